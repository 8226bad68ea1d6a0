import {
  isShort,
  NO_SHORTFALL,
  type ShortfallOptions,
  withMinute,
} from '../../src/contract/shortfall-test.ts';
import type { SeededRandom } from '../sim/random.ts';

/** A miner that delivers all, and from some minute on only a part of what is due. */
export type SlackMiner = {
  readonly sharesPerMinute: number;
  readonly ratio: number;
  readonly honestMinutes: number;
};

/** Errors of the published table of such tests: of calling honest work short, and of missing a shortfall. */
const TABLE = { alpha: 1e-6, beta: 0.01 };

/**
 * The table's time until a miner at `ratio` is found, in due shares: what a sequential test needs on average
 * that knows the ratio and the minute it began. Where a part may be missing it is known by less: the table
 * itself is for a tolerance of 0 (89, 634 and 2632 shares for 0.5, 0.8 and 0.9).
 */
export function tableShares(ratio: number, tolerance: number): number {
  const { alpha, beta } = TABLE;
  const nats = (1 - beta) * Math.log((1 - beta) / alpha) + beta * Math.log(beta / (1 - alpha));
  const due = 1 - tolerance;
  const part = ratio / due;
  return nats / (due * (part * Math.log(part) + 1 - part));
}

/** A count of a Poisson process, by counting the gaps: for means up to some hundred. */
export function poisson(random: SeededRandom, mean: number): number {
  const least = Math.exp(-mean);
  let product = 1;
  let count = -1;
  do {
    product *= (random.next() + 1) / 2 ** 32;
    count += 1;
  } while (product > least);
  return count;
}

/** Minutes of the shortfall until it is found; Infinity where it is not within so many minutes. */
export function minutesToFind(
  options: ShortfallOptions,
  { sharesPerMinute, ratio, honestMinutes }: SlackMiner,
  random: SeededRandom,
  mostMinutes = 10_000,
): number {
  let state = NO_SHORTFALL;
  for (let minute = 0; minute < honestMinutes + mostMinutes; minute += 1) {
    const rate = minute < honestMinutes ? sharesPerMinute : sharesPerMinute * ratio;
    state = withMinute(options, state, {
      dueHashes: sharesPerMinute,
      creditedHashes: poisson(random, rate),
      shareHashes: 1,
    });
    if (minute >= honestMinutes && isShort(options, state)) return minute - honestMinutes + 1;
  }
  return Infinity;
}

/** Of so many contracts of honest miners, a third each at 6, 12 and 20 shares a minute, those found short. */
export function honestWeeks(
  options: ShortfallOptions,
  contracts: number,
  random: SeededRandom,
  ratio = 1,
): number {
  let found = 0;
  for (let contract = 0; contract < contracts; contract += 1) {
    const sharesPerMinute = [6, 12, 20][contract % 3]!;
    const miner = { sharesPerMinute, ratio, honestMinutes: 0 };
    if (minutesToFind(options, miner, random, options.expectedMinutes) !== Infinity) found += 1;
  }
  return found;
}
