import { assert } from '../base/assert.ts';
import { HASHES_PER_EH, owedSat } from '../base/units.ts';

/** What the money of a stream follows from. All cumulative. */
export type AccountingInputs = {
  readonly priceMsatPerEh: bigint;
  /** D: what the maker can pay in all. */
  readonly depositedSat: bigint;
  /** W: verified work. */
  readonly workHashes: bigint;
  /** P: what the newest signed state pays. */
  readonly paidSat: bigint;
  /** F: given back to the maker. */
  readonly refundedSat: bigint;
};

/** D = P + F + covered + refundable, always. */
export type Accounting = {
  /** Owed for verified work and not in a signed state. */
  readonly debtSat: bigint;
  /** The part of the debt the deposit can pay, and the part it cannot. */
  readonly coveredSat: bigint;
  readonly uncoveredSat: bigint;
  /** What the maker could take out now. */
  readonly refundableSat: bigint;
};

/**
 * The accounts at this much work. Floored once over the whole work, so any way of settling on the road
 * gives the same.
 */
export function accountingOf(inputs: AccountingInputs): Accounting {
  const freeSat = inputs.depositedSat - inputs.paidSat - inputs.refundedSat;
  assert(freeSat >= 0n, 'paid_and_refunded_within_deposit', inputs);
  const owed = owedSat(inputs.workHashes, inputs.priceMsatPerEh);
  const debtSat = owed > inputs.paidSat ? owed - inputs.paidSat : 0n;
  const coveredSat = debtSat < freeSat ? debtSat : freeSat;
  return {
    debtSat,
    coveredSat,
    uncoveredSat: debtSat - coveredSat,
    refundableSat: freeSat - coveredSat,
  };
}

/** The least work at which the deposit does not cover the debt: at one hash less it does. */
export function depletionWork(inputs: {
  readonly priceMsatPerEh: bigint;
  readonly depositedSat: bigint;
  readonly refundedSat: bigint;
}): bigint {
  const msat = (inputs.depositedSat - inputs.refundedSat + 1n) * 1000n;
  return (msat * HASHES_PER_EH + inputs.priceMsatPerEh - 1n) / inputs.priceMsatPerEh;
}
