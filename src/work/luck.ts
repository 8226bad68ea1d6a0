import { atLeast, atMost } from '../base/poisson.ts';

/**
 * Luck: solutions found against those that the credited work lets expect. Of shares that meet their own
 * target each meets a harder one with the probability that its work is of the harder one's, so both count
 * over the same shares: whoever keeps solutions back is left with too few.
 */

/** Probability below which luck is not believed. */
export const UNLIKELY = 1e-4;

/** One solution in the unit of `expectedAtto`. */
const ATTO = 10n ** 18n;

/** Solutions and what was to be expected, in 10^-18 solutions. */
export type LuckCount = { readonly solutions: number; readonly expectedAtto: bigint };

export const NO_LUCK: LuckCount = { solutions: 0, expectedAtto: 0n };

/** Solutions to be expected of one share, in 10^-18: 1 where the solution is no harder than the share. */
export function expectedOf(shareWorkHashes: bigint, solutionWorkHashes: bigint): bigint {
  return shareWorkHashes >= solutionWorkHashes ? ATTO : (shareWorkHashes * ATTO) / solutionWorkHashes;
}

/** The count after more shares. */
export function withLuck(count: LuckCount, more: LuckCount): LuckCount {
  return {
    solutions: count.solutions + more.solutions,
    expectedAtto: count.expectedAtto + more.expectedAtto,
  };
}

/** Luck as it is shown. Probabilities are Poisson's: where most shares are solutions they are too large. */
export type Luck = {
  readonly solutions: number;
  readonly expected: number;
  /** Probability of so few solutions or fewer. */
  readonly fewer: number;
  /** Probability of so many solutions or more. */
  readonly more: number;
  /** Band: the least and the most solutions that are not unlikely (`UNLIKELY`). */
  readonly least: number;
  readonly most: number;
};

/** The luck of a count. */
export function luckOf({ solutions, expectedAtto }: LuckCount): Luck {
  return luckFor(solutions, Number(expectedAtto) / 1e18);
}

/** As `oddsOf`, of a count. */
export function oddsOfCount({ solutions, expectedAtto }: LuckCount): number {
  return oddsOf(solutions, Number(expectedAtto) / 1e18);
}

/** The luck of so many solutions where so many were expected. */
export function luckFor(solutions: number, expected: number): Luck {
  const reach = Math.ceil(expected + 8 * Math.sqrt(expected) + 16);
  return {
    ...{ solutions, expected },
    fewer: atMost(solutions, expected),
    more: atLeast(solutions, expected),
    least: firstWhere(0, Math.ceil(expected), (count) => atMost(count, expected) >= UNLIKELY),
    most: firstWhere(Math.floor(expected), reach, (count) => atLeast(count + 1, expected) < UNLIKELY),
  };
}

/**
 * The probability of luck as far from what was expected, or farther, to its side; 1 where it is near: closer
 * than a deviation of the square root of 8 no tail is below `UNLIKELY`.
 */
export function oddsOf(solutions: number, expected: number): number {
  if ((solutions - expected) ** 2 <= 8 * expected) return 1;
  return solutions < expected ? atMost(solutions, expected) : atLeast(solutions, expected);
}

/** The odds of the least likely of several, which grow with their number: at most 1. */
export function leastOdds(odds: readonly number[]): number {
  return odds.reduce((least, each) => Math.min(least, each * odds.length), 1);
}

/** The first integer from `low` on for which a condition holds that stays true, at most `high`. */
function firstWhere(low: number, high: number, holds: (value: number) => boolean): number {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}
