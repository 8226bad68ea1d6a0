import { Transaction } from 'bitcoinjs-lib';
import { fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { checkFeeRate, dustSat, feeOfVsize } from './sizes.ts';

/** Transaction version of spends: 3, relayed under the TRUC rules (BIP431). */
export const SPEND_VERSION = 3;
/**
 * Sequence of spends without a relative lock: locktime applies, and a higher fee may replace them (BIP125).
 */
export const SPEND_SEQUENCE = 0xffff_fffd;

/** A P2WSH output that one transaction spends alone: of a channel, a bond or a seal. */
export type SpentOutput = {
  /** Txid of its transaction in internal byte order. */
  readonly hash: Uint8Array;
  readonly vout: number;
  readonly valueSat: bigint;
  /** The witness script. */
  readonly script: Uint8Array;
};

/** An output that a spend pays: its output script and value. */
export type SpendTo = { readonly script: Uint8Array; readonly valueSat: bigint };

/** When a spend may confirm: a height (BIP65), or a sequence with blocks after its input (BIP68). */
export type SpendLock = { readonly locktime?: number; readonly sequence?: number };

/** A complete transaction with its txid. */
export type SignedTransaction = {
  readonly hex: string;
  /** Txid as displayed. */
  readonly txid: string;
  readonly feeSat: bigint;
  readonly vsize: number;
};

/** The unsigned transaction whose only input is `from`. */
export function buildSpend(
  from: SpentOutput,
  outputs: readonly SpendTo[],
  lock: SpendLock = {},
): Transaction {
  const transaction = new Transaction();
  transaction.version = SPEND_VERSION;
  transaction.locktime = lock.locktime ?? 0;
  transaction.addInput(from.hash, from.vout, lock.sequence ?? SPEND_SEQUENCE);
  for (const { script, valueSat } of outputs) transaction.addOutput(script, valueSat);
  return transaction;
}

/**
 * The unsigned transaction that pays all of `from`, less the fee, to one output. Throws `bad_amount` for a
 * fee rate out of range or a fee above the value.
 * @param what is spent, for the error
 */
export function buildSweep(
  from: SpentOutput,
  to: Uint8Array,
  fee: { readonly vsize: number; readonly satPerKvb: number },
  what: string,
  lock: SpendLock = {},
): Transaction {
  checkFeeRate(fee.satPerKvb);
  const valueSat = from.valueSat - feeOfVsize(fee.vsize, fee.satPerKvb);
  if (valueSat < dustSat(to))
    throw new CodedError('bad_amount', `the ${what} does not pay for its spend at this fee rate`);
  return buildSpend(from, [{ script: to, valueSat }], lock);
}

/** BIP143 digest, SIGHASH_ALL, of a transaction whose only input is `from`. */
export function spendDigest(
  from: Pick<SpentOutput, 'script' | 'valueSat'>,
  transaction: Transaction,
): Uint8Array {
  return transaction.hashForWitnessV0(0, from.script, from.valueSat, Transaction.SIGHASH_ALL);
}

/** The spend with its witness: ready to broadcast. */
export function finalizeSpend(
  from: Pick<SpentOutput, 'valueSat'>,
  transaction: Transaction,
  witness: Uint8Array[],
): SignedTransaction {
  transaction.setWitness(0, witness);
  const outSat = transaction.outs.reduce((total, output) => total + output.value, 0n);
  return {
    hex: transaction.toHex(),
    txid: transaction.getId(),
    feeSat: from.valueSat - outSat,
    vsize: transaction.virtualSize(),
  };
}

/** Parses a signature: 64 bytes of lower-case hex, undefined for anything else. */
export function signatureBytes(text: unknown): Uint8Array | undefined {
  return typeof text === 'string' && /^[0-9a-f]{128}$/.test(text) ? fromHex(text) : undefined;
}
