import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atLeast, atMost } from '../../src/base/poisson.ts';

const FRACTION = 200n;

/**
 * Both tails by sums of `mean^i / i!` in fixed point, over their total: no logarithm, no exponential,
 * nothing of the code under test.
 * @param sixteenths of the mean
 */
function tailsOf(count: number, sixteenths: number): { atMost: number; atLeast: number } {
  const mean = BigInt(sixteenths);
  let term = 1n << FRACTION;
  let total = 0n;
  let below = 0n;
  let upTo = 0n;
  for (let index = 0n; term > 0n; index += 1n) {
    if (index < BigInt(count)) below += term;
    if (index <= BigInt(count)) upTo += term;
    total += term;
    term = (term * mean) / (16n * (index + 1n));
  }
  const part = (sum: bigint): number => Number((sum << FRACTION) / total) / 2 ** Number(FRACTION);
  return { atMost: part(upTo), atLeast: part(total - below) };
}

function isNear(actual: number, expected: number): boolean {
  return Math.abs(actual - expected) <= 1e-9 * expected + 1e-15;
}

describe('the tails of the Poisson distribution', () => {
  it('are what sums in fixed point say, near the mean and far from it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 * 600 }),
        fc.double({ min: -7, max: 9, noNaN: true }),
        (sixteenths, deviations) => {
          const mean = sixteenths / 16;
          const count = Math.max(0, Math.round(mean + deviations * Math.sqrt(mean)));
          const tails = tailsOf(count, sixteenths);
          const said = `${count} of ${mean}: ${atMost(count, mean)} ${atLeast(count, mean)}`;
          expect(isNear(atMost(count, mean), tails.atMost), said).toBe(true);
          expect(isNear(atLeast(count, mean), tails.atLeast), said).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('are 1 together, with what is counted twice', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3000 }),
        fc.double({ min: 0, max: 3000, noNaN: true }),
        (count, mean) => {
          const both = atMost(count, mean) + atLeast(count + 1, mean);
          expect(both).toBeCloseTo(1, 9);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('know the edges', () => {
    expect(atMost(0, 0)).toBe(1);
    expect(atLeast(0, 0)).toBe(1);
    expect(atLeast(1, 0)).toBe(0);
    expect(atMost(0, 3)).toBeCloseTo(Math.exp(-3), 15);
    expect(atLeast(1, 3)).toBeCloseTo(1 - Math.exp(-3), 15);
    expect(() => atMost(-1, 3)).toThrow('poisson_count');
    expect(() => atMost(1, Number.NaN)).toThrow('poisson_mean');
    expect(() => atLeast(0.5, 3)).toThrow('poisson_count');
  });

  it('are near the normal approximation for means of any size, in bounded time', () => {
    // The mean's normal tails at 4 deviations are 3.167e-5; skewness moves them by its sixth part here.
    for (const mean of [1e7, 1e9, 1e12, 1e15]) {
      const reach = Math.round(4 * Math.sqrt(mean));
      for (const tail of [atMost(mean - reach, mean), atLeast(mean + reach, mean)]) {
        expect(tail, `${mean}`).toBeGreaterThan(3.167e-5 * 0.98);
        expect(tail, `${mean}`).toBeLessThan(3.167e-5 * 1.1);
      }
    }
  });
});
