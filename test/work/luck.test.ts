import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atLeast, atMost } from '../../src/base/poisson.ts';
import { workOfTarget } from '../../src/bitcoin/target.ts';
import { expectedOf, leastOdds, luckFor, luckOf, oddsOf, UNLIKELY } from '../../src/work/luck.ts';
import { SeededRandom } from '../sim/random.ts';

const means = fc.double({ min: 1e-6, max: 5000, noNaN: true });

describe('luck', () => {
  it('has a band: neither of its ends is unlikely, and what lies beyond is', () => {
    fc.assert(
      fc.property(means, (expected) => {
        const { least, most } = luckFor(0, expected);
        expect(atMost(least, expected)).toBeGreaterThanOrEqual(UNLIKELY);
        if (least > 0) expect(atMost(least - 1, expected)).toBeLessThan(UNLIKELY);
        expect(atLeast(most, expected)).toBeGreaterThanOrEqual(UNLIKELY);
        expect(atLeast(most + 1, expected)).toBeLessThan(UNLIKELY);
      }),
      { numRuns: 300 },
    );
  });

  it('is 1 near what was expected, and never where a tail is unlikely', () => {
    fc.assert(
      fc.property(means, fc.double({ min: -6, max: 8, noNaN: true }), (expected, deviations) => {
        const solutions = Math.max(0, Math.round(expected + deviations * Math.sqrt(expected)));
        const odds = oddsOf(solutions, expected);
        const { fewer, more } = luckFor(solutions, expected);
        if (odds === 1) expect(Math.min(fewer, more)).toBeGreaterThanOrEqual(UNLIKELY);
        else expect(odds).toBe(Math.min(fewer, more));
      }),
      { numRuns: 500 },
    );
  });

  it('of many grows with their number, to 1 at most', () => {
    expect(leastOdds([])).toBe(1);
    expect(leastOdds([1e-6, 1, 1, 1])).toBe(4e-6);
    expect(leastOdds([0.5, 0.5, 0.5])).toBe(1);
  });

  it('expects of a share its part of the work of a solution, one at most', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 2n ** 224n), fc.bigInt(1n, 2n ** 30n), (target, factor) => {
        const share = workOfTarget(target * factor);
        const solution = workOfTarget(target);
        expect(Number(expectedOf(share, solution)) / 1e18).toBeCloseTo(Number(share) / Number(solution), 9);
        expect(expectedOf(solution, share)).toBe(
          share > solution ? expectedOf(solution, share) : 10n ** 18n,
        );
      }),
    );
    expect(luckOf({ solutions: 3, expectedAtto: 2_500_000_000_000_000_000n })).toMatchObject({
      solutions: 3,
      expected: 2.5,
    });
  });

  it('tells a miner that keeps back from honest ones, over 300 contracts looked at all the time', () => {
    const random = new SeededRandom(20_261_130);
    /** Expected solutions at which luck was first unlikely, of a miner that sends this part of them. */
    const firstUnlikely = (sent: number, most: number): number => {
      let solutions = 0;
      for (let shares = 1; shares <= most * 50; shares += 1) {
        if (random.next() < (sent / 50) * 2 ** 32) solutions += 1;
        if (oddsOf(solutions, shares / 50) < UNLIKELY) return shares / 50;
      }
      return Number.POSITIVE_INFINITY;
    };
    const runs = 300;
    const alarmsOf = (sent: number): number[] =>
      Array.from({ length: runs }, () => firstUnlikely(sent, 100)).filter(Number.isFinite);
    expect(alarmsOf(1).length, 'honest').toBeLessThanOrEqual(3);
    expect(alarmsOf(0), 'sends none').toHaveLength(runs);
    expect(Math.max(...alarmsOf(0)), 'sends none').toBeLessThan(10);
    expect(alarmsOf(0.5).length, 'sends half').toBeGreaterThan(runs * 0.95);
  });
});
