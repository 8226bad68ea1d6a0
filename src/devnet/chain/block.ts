import { Transaction } from 'bitcoinjs-lib';
import { concat, equal } from '../../base/bytes.ts';
import { sha256d } from '../../base/hash.ts';
import { heightPush } from '../../bitcoin/coinbase.ts';
import type { Header } from '../../bitcoin/header.ts';
import { merkleRoot } from '../../bitcoin/merkle.ts';
import { type Coin, RPC_DESERIALIZATION_ERROR, refusal } from './chain-rules.ts';

/** A block the chain accepted. `transactions` and `spent` are dropped from blocks far below the tip. */
export type BlockRecord = {
  readonly height: number;
  /** As displayed. */
  readonly hash: string;
  readonly header: Header;
  transactions: readonly Transaction[];
  /** What the block spent, to undo it. */
  spent: readonly (readonly [outpoint: string, coin: Coin])[];
};

/** Work for a miner: what `getblocktemplate` gives. */
export type BlockTemplate = {
  readonly id: number;
  readonly height: number;
  /** As displayed. */
  readonly previousHash: string;
  readonly version: number;
  readonly bits: number;
  /** Seconds; `minTime` is the least a block may carry. */
  readonly time: number;
  readonly minTime: number;
  readonly transactions: readonly Transaction[];
  /** Subsidy and fees. */
  readonly coinbaseValueSat: bigint;
  /** BIP141 commitment output for these transactions with a witness nonce of zeros. */
  readonly witnessCommitmentScript: Uint8Array;
};

export type BlockVerdict =
  | { readonly accepted: true; readonly hash: string; readonly height: number }
  /** `reason` in the words of BIP22. */
  | { readonly accepted: false; readonly reason: string };

const COMMITMENT_HEADER = Uint8Array.of(0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed);
const WITNESS_NONCE = new Uint8Array(32);

/** The BIP141 commitment script of a block with these transactions after the coinbase. */
export function witnessCommitmentScript(transactions: readonly Transaction[]): Uint8Array {
  const leaves = [new Uint8Array(32), ...transactions.map((transaction) => transaction.getHash(true))];
  return concat(COMMITMENT_HEADER, sha256d(concat(merkleRoot(leaves), WITNESS_NONCE)));
}

/**
 * Parses a coinbase as miners submit it (without witness) and gives it the witness nonce of zeros.
 * Throws `tx_refused`.
 */
export function parseCoinbase(bytes: Uint8Array): Transaction {
  const coinbase = decodeTransaction(bytes);
  const first = coinbase.ins[0];
  if (coinbase.ins.length === 1 && first !== undefined && first.witness.length === 0) {
    coinbase.setWitness(0, [WITNESS_NONCE]);
  }
  return coinbase;
}

/** Throws `tx_refused` for bytes that are no transaction. */
export function decodeTransaction(bytes: Uint8Array): Transaction {
  try {
    return Transaction.fromBuffer(bytes);
  } catch {
    throw refusal('TX decode failed', RPC_DESERIALIZATION_ERROR);
  }
}

/** The merkle root over txids, internal order. */
export function blockMerkleRoot(transactions: readonly Transaction[]): Uint8Array {
  return merkleRoot(transactions.map((transaction) => transaction.getHash()));
}

/** The regtest genesis header: block 0 of every devnet chain, so that peers find the chain they expect. */
export const REGTEST_GENESIS: Header = {
  version: 1,
  prevHash: new Uint8Array(32),
  merkleRoot: Uint8Array.from(
    Buffer.from('3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a', 'hex'),
  ),
  time: 1_296_688_602,
  bits: 0x207fffff,
  nonce: 2,
};

/** The coins a transaction makes; `coinbase` when they have to mature. */
export function* coinsOf(
  transaction: Transaction,
  height: number,
  coinbase: boolean,
): Generator<readonly [string, Coin]> {
  const txid = transaction.getId();
  for (const [vout, output] of transaction.outs.entries()) {
    if (output.script[0] === 0x6a) continue;
    const { value: valueSat, script } = output;
    yield [`${txid}:${vout}`, { valueSat, script, height, coinbase, confirmed: true }];
  }
}

/** A coinbase with a script of legal size that begins with the height (BIP34). Throws `tx_refused`. */
export function checkCoinbaseShape(coinbase: Transaction, height: number): void {
  if (!coinbase.isCoinbase()) throw refusal('bad-cb-missing');
  const script = coinbase.ins[0]!.script;
  if (script.length < 2 || script.length > 100) throw refusal('bad-cb-length');
  const push = heightPush(height);
  if (!equal(script.subarray(0, push.length), push)) throw refusal('bad-cb-height');
}

/** The witness commitment is right, or absent where no transaction has a witness. Throws `tx_refused`. */
export function checkWitnessCommitment(transactions: readonly Transaction[]): void {
  const commitment = witnessCommitmentScript(transactions.slice(1));
  const found = transactions[0]!.outs.filter((output) =>
    equal(output.script.subarray(0, 6), commitment.subarray(0, 6)),
  );
  const last = found[found.length - 1];
  if (last === undefined) {
    if (transactions.slice(1).some((transaction) => transaction.hasWitnesses())) {
      throw refusal('unexpected-witness');
    }
    return;
  }
  if (!equal(last.script.subarray(0, commitment.length), commitment))
    throw refusal('bad-witness-merkle-match');
}
