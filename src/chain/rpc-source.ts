import { Transaction } from 'bitcoinjs-lib';
import type { Clock, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { NETWORKS } from '../bitcoin/network.ts';
import type { Logger } from '../log/logger.ts';
import { type BlockMaking, blockMaking } from './block-template.ts';
import { btcdQueries } from './btcd-queries.ts';
import { CoinScan } from './coin-scan.ts';
import { bitcoindQueries, type NodeQueries, txOutOf } from './node-queries.ts';
import {
  ChainRpcClient,
  RPC_METHOD_NOT_FOUND,
  type RpcClientOptions,
  type RpcClientStats,
} from './rpc-client.ts';
import { orNotFound, readInteger, readRecord, readText, rpcCodeOf } from './rpc-fields.ts';
import { type ChainSource, type ChainTip, FALLBACK_SAT_PER_KVB, optional, type TxOut } from './source.ts';
import { findSpender } from './spender.ts';
import { TipWatch } from './tip-watch.ts';
import type { TrucAnswering } from './truc.ts';

export type RpcChainSourceOptions = RpcClientOptions & {
  /** How often the node is asked for its tip while somebody watches. */
  readonly pollMs: number;
  /** The chain the node must be on. Without it any is taken. */
  readonly genesisHash?: string;
  /** What is paid where the node has no estimate. */
  readonly feeRateSatPerKvb?: number;
};

/** How the last answer of the node left it. */
export type ChainNodeState = 'unknown' | 'ready' | 'syncing' | 'unreachable' | 'other_network';

export type RpcChainSource = ChainSource &
  TrucAnswering & {
    readonly stats: RpcClientStats;
    readonly state: ChainNodeState;
  };

/**
 * Outputs asked for by `confirmations`: a transaction of ours has at most five, and not all are spent at
 * once.
 */
const OUTPUTS_PROBED = 5;
/**
 * The transaction is refused for its inputs, refused by policy or rules; undecodable.
 */
const RPC_REFUSALS: readonly number[] = [-25, -26, -22];
const RPC_ALREADY_IN_CHAIN = -27;
const RPC_MISC = -1;

/**
 * A full node behind its JSON-RPC: bitcoind, btcd, or the devnet chain. What it is and which chain it is on
 * is asked at the first call, and again after each time it did not answer. `confirmations` needs a
 * transaction index to find a confirmed transaction whose outputs are all spent.
 */
export function createRpcChainSource(
  options: RpcChainSourceOptions,
  deps: { readonly log: Logger; readonly clock: Clock; readonly timers: Timers },
): RpcChainSource {
  const client = new ChainRpcClient(options, deps);
  const coins = new CoinScan({ patienceMs: options.timeoutMs }, client, deps);
  const node = new Node(client, coins, options.genesisHash);
  const watch = new TipWatch(options.pollMs, () => node.tip(), deps);
  const configured = options.feeRateSatPerKvb ?? FALLBACK_SAT_PER_KVB;
  const onNoRate = ({ code, message: detail }: CodedError): void =>
    deps.log.warn({ code, detail }, 'the node does not say what blocks ask for');
  return {
    stats: client.stats,
    get state() {
      return node.state;
    },
    genesisHash: () => node.genesisHash(),
    tip: () => node.tip(),
    header: (hash) => node.use((queries) => queries.header(hash)),
    txOut: (txid, vout, withMempool = true) =>
      node.use((queries) => queries.txOut(txid, vout, withMempool)),
    confirmations: (txid) => node.use(() => confirmationsOf(client, txid)),
    spender: (txid, vout, blocks) => node.use(() => findSpender(client, { txid, vout }, blocks)),
    broadcast: (transactionHex) => node.use(() => broadcast(client, transactionHex)),
    broadcastPackage: (transactionsHex) =>
      node.use(async (queries) => {
        if (queries.submitPackage !== undefined) return queries.submitPackage(transactionsHex);
        for (const transactionHex of transactionsHex) await broadcast(client, transactionHex);
      }),
    utxos: (scriptHex) => node.use((queries) => queries.utxos(scriptHex)),
    feeRateSatPerKvb: async (targetBlocks, fallback = configured) => {
      const ask = (question: (queries: NodeQueries) => Promise<number | undefined>) =>
        optional(() => node.use(question), onNoRate);
      const rate = await ask((queries) => queries.estimateSatPerKvb(targetBlocks));
      const minimum = await ask((queries) => queries.minimumSatPerKvb());
      return Math.max(rate ?? fallback, minimum ?? 0);
    },
    blockRewardSat: (hash) => node.use(() => blockRewardSat(client, hash)),
    trucPolicy: () => node.use(async (queries) => queries.trucPolicy?.()),
    blocks: inThePresent(node, blockMaking(client)),
    watchTip: (onTip) => watch.add(onTip),
    close: () => {
      watch.close();
      client.close();
    },
  };
}

/** By `getblockstats`. Throws `chain_rpc` where the node does not have the block, or the method. */
async function blockRewardSat(client: ChainRpcClient, hash: string): Promise<bigint> {
  const stats = readRecord(
    await client.call('getblockstats', [hash, ['subsidy', 'totalfee']]),
    'getblockstats',
  );
  return (
    BigInt(readInteger(stats['subsidy'], 'subsidy')) + BigInt(readInteger(stats['totalfee'], 'totalfee'))
  );
}

/** Block making of a node that stands in the present. */
function inThePresent(node: Node, making: BlockMaking): BlockMaking {
  return {
    template: () => node.use(() => making.template()),
    waitingFeesSat: () => node.use(() => making.waitingFeesSat()),
    mempoolTxids: () => node.use(() => making.mempoolTxids()),
    mempoolTransaction: (txid) => node.use(() => making.mempoolTransaction(txid)),
    proposalFault: (blockHex) => node.use(() => making.proposalFault(blockHex)),
    submitBlock: (blockHex) => node.use(() => making.submitBlock(blockHex)),
  };
}

type IdentifiedNode = { readonly queries: NodeQueries; readonly genesisHash: string };

/** The node as it was when it last began to answer. */
class Node {
  state: ChainNodeState = 'unknown';
  readonly #client: ChainRpcClient;
  readonly #coins: CoinScan;
  readonly #expectedGenesis: string | undefined;
  #identified: Promise<IdentifiedNode> | undefined;

  constructor(client: ChainRpcClient, coins: CoinScan, expectedGenesis: string | undefined) {
    this.#client = client;
    this.#coins = coins;
    this.#expectedGenesis = expectedGenesis;
  }

  genesisHash(): Promise<string> {
    return this.#trackState(async () => (await this.#identify()).genesisHash);
  }

  tip(): Promise<ChainTip> {
    return this.#trackState(async () => this.#presentTip((await this.#identify()).queries));
  }

  /** Asks a node that stands in the present: one that catches up knows neither coins nor spends. */
  use<T>(ask: (queries: NodeQueries) => Promise<T>): Promise<T> {
    return this.#trackState(async () => {
      const { queries } = await this.#identify();
      if (this.state !== 'ready') await this.#presentTip(queries);
      return ask(queries);
    });
  }

  /** Throws `chain_syncing`. */
  async #presentTip(queries: NodeQueries): Promise<ChainTip> {
    const { tip, isSyncing } = await queries.status();
    this.state = isSyncing ? 'syncing' : 'ready';
    if (isSyncing) throw new CodedError('chain_syncing', `the node is at height ${tip.height}`);
    return tip;
  }

  async #trackState<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      const code = codeOf(error);
      if (code === 'chain_network') this.state = 'other_network';
      if (code === 'chain_unreachable') {
        this.state = 'unreachable';
        // It may come back as another one.
        this.#identified = undefined;
      }
      throw error;
    }
  }

  async #identify(): Promise<IdentifiedNode> {
    this.#identified ??= this.#queryIdentity();
    const identified = this.#identified;
    try {
      return await identified;
    } catch (error) {
      if (this.#identified === identified) this.#identified = undefined;
      throw error;
    }
  }

  async #queryIdentity(): Promise<IdentifiedNode> {
    const genesisHash = readText(await this.#client.call('getblockhash', [0]), 'getblockhash');
    if (this.#expectedGenesis !== undefined && genesisHash !== this.#expectedGenesis) {
      throw new CodedError('chain_network', `the chain of the node begins with ${genesisHash}`);
    }
    return { genesisHash, queries: await this.#queries(genesisHash) };
  }

  /** btcd lists `getnetworkinfo` among the methods it does not have. */
  async #queries(genesisHash: string): Promise<NodeQueries> {
    try {
      await this.#client.call('getnetworkinfo', []);
    } catch (error) {
      const code = rpcCodeOf(error);
      if (code !== RPC_MISC && code !== RPC_METHOD_NOT_FOUND) throw error;
      const network = Object.values(NETWORKS).find((each) => each.genesisHash === genesisHash);
      return btcdQueries(this.#client, network?.params);
    }
    return bitcoindQueries(this.#client, this.#coins);
  }
}

async function confirmationsOf(client: ChainRpcClient, txid: string): Promise<number | undefined> {
  for (let vout = 0; vout < OUTPUTS_PROBED; vout += 1) {
    const output = await anyTxOut(client, txid, vout);
    if (output !== undefined) return output.confirmations;
  }
  const value = await orNotFound(client.call('getrawtransaction', [txid, 1]));
  if (value === undefined) return undefined;
  const confirmations = readRecord(value, 'getrawtransaction')['confirmations'];
  return confirmations === undefined ? 0 : Math.max(readInteger(confirmations, 'confirmations'), 0);
}

/** btcd answers an output beyond those of a transaction in its mempool with an error. */
async function anyTxOut(client: ChainRpcClient, txid: string, vout: number): Promise<TxOut | undefined> {
  const value = await orNotFound(client.call('gettxout', [txid, vout, true]));
  return value === undefined ? undefined : txOutOf(value);
}

async function broadcast(client: ChainRpcClient, transactionHex: string): Promise<string> {
  try {
    return readText(await client.call('sendrawtransaction', [transactionHex]), 'sendrawtransaction');
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'chain_rpc') throw error;
    const { rpcCode, rpcMessage } = error.meta;
    if (
      rpcCode === RPC_ALREADY_IN_CHAIN ||
      /already (?:have|known|in)|txn-already/i.test(String(rpcMessage))
    ) {
      return Transaction.fromHex(transactionHex).getId();
    }
    if (!RPC_REFUSALS.includes(Number(rpcCode))) throw error;
    throw new CodedError('tx_refused', `${rpcMessage} (${rpcCode})`, error.meta, { cause: error });
  }
}
