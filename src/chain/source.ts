import { CodedError } from '../base/errors.ts';
import type { BlockMaking } from './block-template.ts';
import type { Waiting } from './fee-bid.ts';

/** What a close pays where neither the node nor the configuration says what blocks ask for. */
export const FALLBACK_SAT_PER_KVB = 5000;

/**
 * The answer to a question that nothing may wait for: a failure of any kind is told, and is no answer.
 * Every optional question on the way to a transaction with a deadline is asked through this.
 */
export async function optional<T>(
  ask: () => Promise<T>,
  onFailure: (error: CodedError) => void,
): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    onFailure(error);
    return undefined;
  }
}

/** Hash and txid strings are as displayed (big-endian hex). */
export type ChainTip = { readonly height: number; readonly hash: string; readonly timeSeconds: number };

export type ChainHeader = {
  readonly height: number;
  readonly hash: string;
  readonly previousHash: string;
  readonly timeSeconds: number;
  readonly bits: number;
  /** -1 when the block is not on the best chain. */
  readonly confirmations: number;
  /** The next block on the best chain, if there is one. */
  readonly nextHash?: string;
  /** Its 80 bytes; absent where the source does not tell all of them. */
  readonly headerHex?: string;
};

export type TxOut = {
  readonly valueSat: bigint;
  readonly scriptHex: string;
  /** 0 while in the mempool. */
  readonly confirmations: number;
};

/** The transaction that spends an output. */
export type Spender = {
  readonly txid: string;
  readonly hex: string;
  /** 0 while in the mempool. */
  readonly confirmations: number;
  /** The block that holds it. */
  readonly blockHash?: string;
  /** What it pays in the mempool; absent in a block, and where the node does not tell. */
  readonly waiting?: Waiting;
  /** The height of the tip when it came into the mempool; absent as `waiting` is. */
  readonly waitingSince?: number;
};

export type Utxo = {
  readonly txid: string;
  readonly vout: number;
  readonly valueSat: bigint;
  readonly height: number;
};

/**
 * A bitcoin full node, or the devnet chain that speaks the same JSON-RPC. Throws `chain_unreachable`,
 * `chain_rpc`.
 */
export interface ChainSource {
  /** The genesis block hash: peers on another chain are refused. */
  genesisHash(): Promise<string>;
  /** Throws `chain_syncing` while the node is far behind: its height would be taken for the present. */
  tip(): Promise<ChainTip>;
  /** Undefined when the node does not know the block. */
  header(hash: string): Promise<ChainHeader | undefined>;
  /**
   * Undefined when spent or unknown. The mempool counts, unless `withMempool` is false: then an output is
   * spent once a block spends it.
   */
  txOut(txid: string, vout: number, withMempool?: boolean): Promise<TxOut | undefined>;
  /** Confirmations of a transaction: 0 in the mempool, undefined when unknown. */
  confirmations(txid: string): Promise<number | undefined>;
  /**
   * What spends an output: in the mempool, or in one of the last `blocks` blocks. Undefined where nothing
   * does, and where the node no longer has those blocks (pruned).
   */
  spender(txid: string, vout: number, blocks: number): Promise<Spender | undefined>;
  /** Returns the txid; a transaction the node already has is not an error. Throws `tx_refused`. */
  broadcast(transactionHex: string): Promise<string>;
  /**
   * A parent and its child: as one package where the node takes packages, so that the child pays for both,
   * else one by one. Throws `tx_refused`.
   */
  broadcastPackage(transactionsHex: readonly string[]): Promise<void>;
  /** Unspent outputs of a script (hex) in blocks; by `scantxoutset`, or btcd's address index. */
  utxos(scriptHex: string): Promise<Utxo[]>;
  /**
   * sat per 1000 virtual bytes: the node's estimate, and never less than what it takes into its mempool.
   * Where the node gives no estimate, for whatever reason, it is the fallback: no deadline waits for one.
   * @param fallback the configured rate unless given
   */
  feeRateSatPerKvb(targetBlocks: number, fallback?: number): Promise<number>;
  /** Subsidy and fees of a block, sats. Absent where the source does not tell. */
  blockRewardSat?(hash: string): Promise<bigint>;
  /** Absent where the source knows the chain alone. */
  readonly blocks?: BlockMaking;
  /** Calls back on each new tip (and on the first), until the returned function is called. */
  watchTip(onTip: (tip: ChainTip) => void): () => void;
  close(): void;
}
