import { address, type Network } from 'bitcoinjs-lib';
import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { displayHash, parseHeader } from '../bitcoin/header.ts';
import { headerOf, type NodeQueries, type NodeStatus, txOutOf } from './node-queries.ts';
import { type ChainRpcClient, RPC_NOT_FOUND } from './rpc-client.ts';
import {
  orNotFound,
  readInteger,
  readList,
  readRecord,
  readSatPerKvb,
  readText,
  rpcCodeOf,
} from './rpc-fields.ts';
import type { ChainHeader, TxOut, Utxo } from './source.ts';

/** btcd answers a verbose header of a block off the best chain with this. */
const RPC_INTERNAL = -32603;
/** Blocks off the best chain whose height is worked out; a reorg deeper than a day is no reorg. */
const MAX_BRANCH_BLOCKS = 144;
const PAGE = 100;
/** A wallet of this product has a handful of transactions; a busier script is somebody else's. */
const MAX_PAGES = 100;

/**
 * btcd 0.24 or newer. `utxos` needs `--addrindex`, and `params` to write the address of a script.
 * btcd relays transactions of version 3 only with `--relaynonstd`, and knows no packages.
 */
export function btcdQueries(client: ChainRpcClient, params: Network | undefined): NodeQueries {
  return {
    kind: 'btcd',
    status: () => nodeStatus(client),
    header: (hash) => header(client, hash),
    txOut: (txid, vout, withMempool) => txOut(client, txid, vout, withMempool),
    utxos: (scriptHex) => utxos(client, scriptHex, params),
    estimateSatPerKvb: async (targetBlocks) => {
      const rate = readSatPerKvb(await client.call('estimatefee', [targetBlocks]), 'estimatefee');
      return rate > 0 ? rate : undefined;
    },
    minimumSatPerKvb: async () => {
      const info = readRecord(await client.call('getinfo', []), 'getinfo');
      return readSatPerKvb(info['relayfee'], 'relayfee');
    },
  };
}

async function nodeStatus(client: ChainRpcClient): Promise<NodeStatus> {
  const hash = readText(await client.call('getbestblockhash', []), 'getbestblockhash');
  const best = await header(client, hash);
  if (best === undefined) throw new CodedError('chain_rpc', `the node does not know its tip ${hash}`);
  const peers = readList(await client.call('getpeerinfo', []), 'getpeerinfo');
  const ahead = peers.filter((peer) => {
    const height = readRecord(peer, 'peer')['currentheight'];
    return typeof height === 'number' && height > best.height + 1;
  });
  const tip = { height: best.height, hash, timeSeconds: best.timeSeconds };
  return { tip, isSyncing: ahead.length * 2 > peers.length };
}

async function header(client: ChainRpcClient, hash: string): Promise<ChainHeader | undefined> {
  try {
    return headerOf(await client.call('getblockheader', [hash, true]));
  } catch (error) {
    if (rpcCodeOf(error) === RPC_NOT_FOUND) return undefined;
    if (rpcCodeOf(error) !== RPC_INTERNAL) throw error;
    return headerOffChain(client, hash);
  }
}

/** The height of a block off the best chain, by its parents down to the best chain. */
async function headerOffChain(client: ChainRpcClient, hash: string): Promise<ChainHeader | undefined> {
  const block = await bareHeader(client, hash);
  let parent = block?.previousHash;
  for (let depth = 1; block !== undefined && depth <= MAX_BRANCH_BLOCKS; depth += 1) {
    if (parent === undefined) return undefined;
    try {
      const ancestor = headerOf(await client.call('getblockheader', [parent, true]));
      return { ...block, height: ancestor.height + depth, confirmations: -1 };
    } catch (error) {
      if (rpcCodeOf(error) !== RPC_INTERNAL) throw error;
      parent = (await bareHeader(client, parent))?.previousHash;
    }
  }
  return undefined;
}

async function bareHeader(
  client: ChainRpcClient,
  hash: string,
): Promise<Omit<ChainHeader, 'height' | 'confirmations'> | undefined> {
  const value = await orNotFound(client.call('getblockheader', [hash, false]));
  if (value === undefined) return undefined;
  const { prevHash, time, bits } = parseHeader(fromHex(readText(value, 'getblockheader'), 80));
  return { hash, previousHash: displayHash(prevHash), timeSeconds: time, bits };
}

/** btcd's `gettxout` with the mempool shows new outputs, and coins of blocks that the mempool spends. */
async function txOut(
  client: ChainRpcClient,
  txid: string,
  vout: number,
  withMempool: boolean,
): Promise<TxOut | undefined> {
  if (withMempool) {
    const spends = readList(
      await client.call('gettxspendingprevout', [[{ txid, vout }]]),
      'gettxspendingprevout',
    );
    const spender = readRecord(spends[0], 'gettxspendingprevout')['spendingtxid'];
    if (typeof spender === 'string' && spender !== '') return undefined;
  }
  const value = await orNotFound(client.call('gettxout', [txid, vout, withMempool]));
  return value === undefined ? undefined : txOutOf(value);
}

async function utxos(
  client: ChainRpcClient,
  scriptHex: string,
  params: Network | undefined,
): Promise<Utxo[]> {
  const found: Utxo[] = [];
  for (const { txid, vout, blockHash } of await outputsTo(client, scriptHex, params)) {
    const output = await txOut(client, txid, vout, false);
    const block = await header(client, blockHash);
    if (output === undefined || block === undefined || output.scriptHex !== scriptHex) continue;
    found.push({ txid, vout, valueSat: output.valueSat, height: block.height });
  }
  return found;
}

type OwnOutput = { readonly txid: string; readonly vout: number; readonly blockHash: string };

/** Outputs of confirmed transactions to a script that no transaction of the same script spends. */
async function outputsTo(
  client: ChainRpcClient,
  scriptHex: string,
  params: Network | undefined,
): Promise<readonly OwnOutput[]> {
  const name = addressOf(scriptHex, params);
  const outputs = new Map<string, OwnOutput>();
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const call = client.call('searchrawtransactions', [name, 1, page * PAGE, PAGE]);
    const transactions = readList((await orNotFound(call)) ?? [], 'searchrawtransactions');
    for (const transaction of transactions) {
      const fields = readRecord(transaction, 'transaction');
      const blockHash = fields['blockhash'];
      if (typeof blockHash !== 'string' || blockHash === '') continue;
      const txid = readText(fields['txid'], 'txid');
      for (const output of readList(fields['vout'], 'vout')) {
        const { n, scriptPubKey } = readRecord(output, 'vout');
        if (readRecord(scriptPubKey, 'scriptPubKey')['hex'] !== scriptHex) continue;
        const vout = readInteger(n, 'vout.n');
        outputs.set(`${txid}:${vout}`, { txid, vout, blockHash });
      }
      for (const input of readList(fields['vin'], 'vin')) {
        const { txid: spent, vout } = readRecord(input, 'vin');
        outputs.delete(`${String(spent)}:${String(vout)}`);
      }
    }
    if (transactions.length < PAGE) return [...outputs.values()];
  }
  throw new CodedError('chain_rpc', `more than ${MAX_PAGES * PAGE} transactions of one script`);
}

function addressOf(scriptHex: string, params: Network | undefined): string {
  if (params === undefined)
    throw new CodedError('chain_rpc', 'the network of the node has no known addresses');
  try {
    return address.fromOutputScript(fromHex(scriptHex), params);
  } catch {
    throw new CodedError('chain_rpc', 'btcd finds coins by address only, and this script has none');
  }
}
