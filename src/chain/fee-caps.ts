import { larger, smaller } from '../base/bigints.ts';

/** The most that the fee of a close may be, while at least so many blocks are left to the expiry. */
export type FeeCap = {
  readonly blocksLeft: number;
  /** Of what the close saves. */
  readonly ppm: number;
};

/** Without a policy: a tenth until 72 blocks before the expiry, half until 12, then all but dust. */
export const DEFAULT_FEE_CAPS: readonly FeeCap[] = [
  { blocksLeft: 72, ppm: 100_000 },
  { blocksLeft: 12, ppm: 500_000 },
  { blocksLeft: 0, ppm: 1_000_000 },
];

/**
 * Sats that no bound is worth waiting for: a close at 5 sat/vB, also with bonds. A part of a small output
 * buys no place in a block.
 */
export const FREE_FEE_SAT = 1_500n;

/** What a close saves: the own output in sats before any fee, and what of it would not relay. */
export type Saved = { readonly outputSat: bigint; readonly dustSat: bigint };

/**
 * The most in sats that a close and its child may pay together. It clamps: the lowest rung of a ladder is
 * broadcast whatever it says.
 * @param caps by falling `blocksLeft`
 * @param left blocks to the expiry; negative after it
 */
export function mostFeeSat(caps: readonly FeeCap[], left: number, { outputSat, dustSat }: Saved): bigint {
  const cap = caps.find(({ blocksLeft }) => left >= blocksLeft) ?? caps.at(-1);
  const shareSat = (outputSat * BigInt(cap?.ppm ?? 1_000_000)) / 1_000_000n;
  return smaller(larger(shareSat, FREE_FEE_SAT), larger(outputSat - dustSat, 0n));
}
