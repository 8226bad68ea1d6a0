import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { HASHES_PER_EH } from '../base/units.ts';

/** The inputs of a stream's accounts, all cumulative. */
export type AccountingInputs = {
  /** What the verified work is worth, floored once over the whole. */
  readonly owedSat: bigint;
  /** D: the deposit, all that the maker can pay. */
  readonly depositedSat: bigint;
  /** P: the pay of the newest signed state. */
  readonly paidSat: bigint;
  /** F: refunded to the maker. */
  readonly refundedSat: bigint;
};

/** The accounts of a stream in sats. Always D = P + F + covered + refundable. */
export type Accounting = {
  /** Debt: earned by verified work and not in a signed state. */
  readonly debtSat: bigint;
  /** The part of the debt the deposit can pay, and the part it cannot. */
  readonly coveredSat: bigint;
  readonly uncoveredSat: bigint;
  /** The part of the deposit that the maker could take out now. */
  readonly refundableSat: bigint;
};

/**
 * The accounts at work that is worth so much. Pay is floored once over the whole work, so intermediate
 * settlements change nothing.
 */
export function accountingOf(inputs: AccountingInputs): Accounting {
  const freeSat = inputs.depositedSat - inputs.paidSat - inputs.refundedSat;
  assert(freeSat >= 0n, 'paid_and_refunded_within_deposit', inputs);
  const { owedSat: owed } = inputs;
  const debtSat = owed > inputs.paidSat ? owed - inputs.paidSat : 0n;
  const coveredSat = smaller(debtSat, freeSat);
  return {
    debtSat,
    coveredSat,
    uncoveredSat: debtSat - coveredSat,
    refundableSat: freeSat - coveredSat,
  };
}

/** The least work in hashes at which the deposit does not cover the debt: at one hash less it does. */
export function depletionWork(inputs: {
  readonly priceMsatPerEh: bigint;
  readonly depositedSat: bigint;
  readonly refundedSat: bigint;
}): bigint {
  const msat = (inputs.depositedSat - inputs.refundedSat + 1n) * 1000n;
  return (msat * HASHES_PER_EH + inputs.priceMsatPerEh - 1n) / inputs.priceMsatPerEh;
}
