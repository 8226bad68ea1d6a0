import type { ContractTerms } from './terms.ts';

const PPM = 1_000_000n;

/** Who has how much of the pay, in sats. The parts add up to it. */
export type SplitPay = {
  /** What is left to the miner: it never falls while the pay rises, so no older state tempts it. */
  readonly minerSat: bigint;
  /** A part for each payee, in the order of the terms. */
  readonly payeesSat: readonly bigint[];
};

/** The payees of the terms; none in versions 1 and 2. */
export function splitsOf(
  terms: ContractTerms,
): NonNullable<Extract<ContractTerms, { version: 3 }>['splits']> {
  return terms.version === 3 ? (terms.splits ?? []) : [];
}

/** What the payees' outputs hold from the first state on, in sats: it comes out of the miner's reserve. */
export function seedsSat(terms: ContractTerms): bigint {
  return splitsOf(terms).reduce((sum, { seedSat }) => sum + seedSat, 0n);
}

/**
 * The pay of so many sats among the miner and the payees. The miner and every payee but the last have their
 * part rounded down by itself; the last has what is left, at most a sat for each payee more than its part.
 */
export function splitPay(terms: ContractTerms, paidSat: bigint): SplitPay {
  const splits = splitsOf(terms);
  const partSat = (ppm: bigint): bigint => (paidSat * ppm) / PPM;
  const minersPpm = splits.reduce((rest, { ppm }) => rest - BigInt(ppm), PPM);
  const minerSat = splits.length === 0 ? paidSat : partSat(minersPpm);
  let leftSat = paidSat - minerSat;
  const payeesSat = splits.map(({ ppm }, index) => {
    const sat = index === splits.length - 1 ? leftSat : partSat(BigInt(ppm));
    leftSat -= sat;
    return sat;
  });
  return { minerSat, payeesSat };
}
