import { assert } from '../../src/base/assert.ts';
import { CodedError } from '../../src/base/errors.ts';
import {
  type ChainSource,
  type ChainTip,
  FALLBACK_SAT_PER_KVB,
  type Spender,
} from '../../src/chain/source.ts';
import { devnetBlocks } from '../../src/devnet/chain/block-making.ts';
import type { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { outpointOf, RPC_VERIFY_ALREADY_IN_CHAIN } from '../../src/devnet/chain/chain-rules.ts';
import { packageOf } from '../../src/devnet/chain/mempool-graph.ts';

/**
 * The chain of this process behind the interface of a full node, without a socket between: for tests and
 * simulations.
 */
export function createDevnetChainSource(
  chain: DevnetChain,
  options: { readonly feeRateSatPerKvb?: number } = {},
): ChainSource {
  const watchers = new Set<() => void>();
  return {
    genesisHash: () => Promise.resolve(chain.blockAt(0)!.hash),
    tip: () => Promise.resolve(chain.tip()),
    header: (hash) => Promise.resolve(chain.header(hash)),
    txOut: (txid, vout, withMempool = true) => {
      const coin = chain.coin(txid, vout, withMempool);
      if (coin === undefined) return Promise.resolve(undefined);
      return Promise.resolve({
        valueSat: coin.valueSat,
        scriptHex: Buffer.from(coin.script).toString('hex'),
        confirmations: coin.confirmed ? chain.height - coin.height + 1 : 0,
      });
    },
    confirmations: (txid) => {
      const found = chain.transaction(txid);
      if (found === undefined) return Promise.resolve(undefined);
      return Promise.resolve(found.block === undefined ? 0 : chain.height - found.block.height + 1);
    },
    broadcast: (transactionHex) => {
      try {
        return Promise.resolve(chain.broadcast(transactionHex));
      } catch (error) {
        const known = error instanceof CodedError && error.meta['rpcCode'] === RPC_VERIFY_ALREADY_IN_CHAIN;
        return known ? Promise.resolve(String(error.meta['txid'])) : Promise.reject(error as Error);
      }
    },
    broadcastPackage: async ([parentHex, childHex]) => {
      assert(parentHex !== undefined && childHex !== undefined, 'package_of_two');
      chain.broadcastPackage([parentHex, childHex]);
    },
    spender: (txid, vout, blocks) => Promise.resolve(findSpender(chain, txid, vout, blocks)),
    utxos: (scriptHex) => Promise.resolve(chain.utxos(scriptHex)),
    blockRewardSat: (hash) =>
      Promise.resolve(
        chain.block(hash)?.transactions[0]?.outs.reduce((sum, { value }) => sum + value, 0n) ?? 0n,
      ),
    blocks: devnetBlocks(chain),
    feeRateSatPerKvb: (_targetBlocks, fallback = FALLBACK_SAT_PER_KVB) =>
      Promise.resolve(options.feeRateSatPerKvb ?? fallback),
    watchTip: (onTip: (tip: ChainTip) => void) => {
      onTip(chain.tip());
      const stop = chain.onTip(onTip);
      watchers.add(stop);
      return () => {
        stop();
        watchers.delete(stop);
      };
    },
    close: () => {
      for (const stop of watchers) stop();
      watchers.clear();
    },
  };
}

function findSpender(chain: DevnetChain, txid: string, vout: number, blocks: number): Spender | undefined {
  const waiting = chain.mempoolSpender(txid, vout);
  if (waiting !== undefined) {
    const { entry, feeSat, vsize } = packageOf(chain.mempoolEntries(), waiting)!;
    return {
      ...{ txid: waiting, hex: entry.transaction.toHex(), confirmations: 0 },
      waiting: { feeSat: entry.feeSat, vsize: entry.vsize, packageFeeSat: feeSat, packageVsize: vsize },
      waitingSince: entry.height,
    };
  }
  const outpoint = `${txid}:${vout}`;
  for (let confirmations = 1; confirmations <= blocks; confirmations += 1) {
    const block = chain.blockAt(chain.height - confirmations + 1);
    const found = block?.transactions.find(({ ins }) =>
      ins.some((input) => outpointOf(input) === outpoint),
    );
    if (found === undefined) continue;
    return { txid: found.getId(), hex: found.toHex(), confirmations, blockHash: block!.hash };
  }
  return undefined;
}
