import { assert } from './assert.ts';

/**
 * Tails of the Poisson distribution. A tail is summed from its greatest term outwards; what is left after
 * `MOST_TERMS` is bounded by a geometric series. So a tail is exact to rounding, or for means above some
 * 10^6 never too small, and too large by less than a tenth where it is below 10^-3.
 */
const MOST_TERMS = 8192;
const NEGLIGIBLE = 2 ** -54;

/** Corrections of Stirling's formula for n!: exact sums for the first, the series for the rest. */
const FIRST_CORRECTIONS = Array.from({ length: 16 }, (_, n) => {
  let logFactorial = 0;
  for (let factor = 2; factor <= n; factor += 1) logFactorial += Math.log(factor);
  return n === 0 ? 0 : logFactorial - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI);
});

/** What Stirling's formula lacks: `ln n! - (n ln n - n + ln(2 pi n) / 2)`. */
function stirlingCorrection(n: number): number {
  const first = FIRST_CORRECTIONS[n];
  if (first !== undefined) return first;
  const inverse = 1 / n;
  const square = inverse * inverse;
  return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)));
}

/** The deviance `count ln(count / mean) + mean - count`, without cancellation where both are close. */
function deviance(count: number, mean: number): number {
  const offset = (count - mean) / mean;
  if (Math.abs(offset) > 0.1) return count * Math.log(count / mean) + mean - count;
  // (1 + u) ln(1 + u) - u = u^2/2 - u^3/6 + u^4/12 - ...
  let power = offset * offset;
  let sum = 0;
  for (let order = 2; order < 24; order += 1) {
    sum += power / (order * (order - 1));
    power *= -offset;
  }
  return mean * sum;
}

/** The probability of exactly this count, in a form that loses no digits. */
export function probabilityOf(count: number, mean: number): number {
  if (count === 0) return Math.exp(-mean);
  return Math.exp(-stirlingCorrection(count) - deviance(count, mean)) / Math.sqrt(2 * Math.PI * count);
}

/** Sums a term and those behind it, each the one before times a ratio that falls. */
function sumFrom(first: number, ratioAt: (step: number) => number): number {
  let term = first;
  let sum = first;
  for (let step = 0; step < MOST_TERMS; step += 1) {
    term *= ratioAt(step);
    sum += term;
    if (term <= sum * NEGLIGIBLE) return sum;
  }
  const ratio = ratioAt(MOST_TERMS);
  return sum + (term * ratio) / (1 - ratio);
}

function checkCount(count: number, mean: number): void {
  assert(Number.isSafeInteger(count) && count >= 0, 'poisson_count', count);
  assert(Number.isFinite(mean) && mean >= 0, 'poisson_mean', mean);
}

/** The probability of this count or fewer. */
export function atMost(count: number, mean: number): number {
  checkCount(count, mean);
  if (mean === 0) return 1;
  if (count >= mean) return 1 - above(count, mean);
  return Math.min(
    1,
    sumFrom(probabilityOf(count, mean), (step) => Math.max(0, count - step) / mean),
  );
}

/** The probability of this count or more. */
export function atLeast(count: number, mean: number): number {
  checkCount(count, mean);
  if (count === 0) return 1;
  return count > mean ? above(count - 1, mean) : 1 - atMost(count - 1, mean);
}

/** The probability of more than a count that is not below the mean. */
function above(count: number, mean: number): number {
  if (mean === 0) return 0;
  const first = count + 1;
  return Math.min(
    1,
    sumFrom(probabilityOf(first, mean), (step) => mean / (first + 1 + step)),
  );
}
