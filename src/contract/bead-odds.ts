import { probabilityOf } from '../base/poisson.ts';

/**
 * How likely so few beads are. Beads of honest work come by a Poisson process: work that is worth `expected`
 * beads yields `count` of them or fewer with the probability of `poissonTail`.
 */

/**
 * P(Poisson(expected) <= count), for an integer count from 0 and `expected` above it: the tail of too few.
 * Its relative error is below 10^-9 for counts up to 10^7.
 */
export function poissonTail(count: number, expected: number): number {
  let sum = 0;
  let term = 1;
  for (let k = count; k >= 0; k -= 1) {
    sum += term;
    term *= k / expected;
    if (term < sum * 1e-18) break;
  }
  return probabilityOf(count, expected) * sum;
}

/** Parts of a bead that work is counted in: a share is a very small part of one. */
export const BEAD_PARTS = 10n ** 18n;

/**
 * The beads that credited work may be worth while `count` of them pay us, in `BEAD_PARTS`: with more,
 * `P(Poisson(worth) <= count)` is below `stopPpb` in 10^9.
 */
export function mostBeadParts(count: number, stopPpb: number): bigint {
  const least = stopPpb / 1e9;
  let low = count;
  let high = count + 30 + 10 * Math.sqrt(count + 1);
  while (poissonTail(count, high) >= least) high += high - count;
  for (let step = 0; step < 100 && high - low > high * 1e-14; step += 1) {
    const middle = (low + high) / 2;
    if (middle > count && poissonTail(count, middle) < least) high = middle;
    else low = middle;
  }
  // To a millionth of a bead, upwards: a miner is never stopped by a rounding.
  return BigInt(Math.ceil(high * 1e6)) * (BEAD_PARTS / 1_000_000n);
}

/** Shares that count as beads that pay before the node says so, at once: see `BEAD_DOUBT`. */
export const DOUBT_BEADS = 20;

/** The most beads that a thief of all is paid for, rounded up: while `DOUBT_BEADS` are in doubt. */
export function mostLostBeads(stopPpb: number): bigint {
  return (mostBeadParts(DOUBT_BEADS, stopPpb) + BEAD_PARTS - 1n) / BEAD_PARTS;
}

/** The worth of work in beads, in `BEAD_PARTS`. @param beadHashes expected hashes of one bead */
export function beadParts(workHashes: bigint, beadHashes: bigint): bigint {
  return (workHashes * BEAD_PARTS) / beadHashes;
}
