import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  evidenceOf,
  isShort,
  NO_SHORTFALL,
  type ShortfallOptions,
  withMinute,
  withoutEvidence,
} from '../../src/contract/shortfall-test.ts';
import { seededRandom } from '../seed.ts';
import { honestWeeks, minutesToFind, poisson, tableShares } from './delivery-miners.ts';

const WEEK_MINUTES = 7 * 1440;
const OPTIONS: ShortfallOptions = {
  alpha: 1e-3,
  tolerance: 0,
  windowMinutes: 1440,
  expectedMinutes: WEEK_MINUTES,
};

/** Shares that a test at alpha 10^-6 needs to find such a miner with 99 % power, each minute asked once. */
const TABLE = [
  { ratio: 0.9, shares: 4844 },
  { ratio: 0.8, shares: 1167 },
  { ratio: 0.5, shares: 164 },
];

describe('the test for a shortfall', () => {
  it('finds honest miners short in no more contract-weeks than alpha says (I43)', () => {
    // 500 weeks at 6, 12 and 20 shares a minute; more than 5 at alpha 10^-3 come once in 70,000 runs.
    expect(honestWeeks(OPTIONS, 500, seededRandom())).toBeLessThanOrEqual(5);
  });

  it('keeps a bound that can be reached: at alpha 20 % some are found, and no more than that', () => {
    const loose = { ...OPTIONS, alpha: 0.2, expectedMinutes: 1440, windowMinutes: 240 };
    const found = honestWeeks(loose, 300, seededRandom());
    expect(found).toBeGreaterThan(3);
    // 60 are expected at most; 90 would be 4.3 standard deviations above.
    expect(found).toBeLessThan(90);
  });

  it.each(TABLE)(
    'finds a miner at $ratio within 1.5 times the table, also after days of honest work (I42)',
    (row) => {
      const random = seededRandom();
      for (const sharesPerMinute of [6, 12, 20])
        for (const honestMinutes of [0, 2000]) {
          const miner = { sharesPerMinute, ratio: row.ratio, honestMinutes };
          const minutes = Array.from({ length: 60 }, () => minutesToFind(OPTIONS, miner, random));
          const late = minutes.filter((took) => took * sharesPerMinute > 1.5 * row.shares);
          // 99 % are found in time; of 60 at that rate, 5 or more late ones come once in 3000 runs.
          expect(late.length, JSON.stringify({ ...miner, minutes })).toBeLessThanOrEqual(4);
          expect(minutes.every((took) => took * sharesPerMinute < 3 * row.shares)).toBe(true);
        }
    },
  );

  it.each([
    [0.5, 1500],
    [0.8, 200],
    [0.9, 60],
  ])(
    'finds a miner at %d on average within 1.5 times the time of the table, for the tolerance',
    (ratio, runs) => {
      const random = seededRandom();
      for (const tolerance of [0, 0.02])
        for (const sharesPerMinute of [6, 12, 20]) {
          const miner = { sharesPerMinute, ratio, honestMinutes: 60 };
          const options = { ...OPTIONS, tolerance };
          let minutes = 0;
          for (let run = 0; run < runs; run += 1) minutes += minutesToFind(options, miner, random);
          // The nearest is 0.94 of it, five standard deviations of the mean below.
          const shares = (minutes / runs) * sharesPerMinute;
          expect(shares, JSON.stringify({ ...miner, tolerance })).toBeLessThan(
            1.5 * tableShares(ratio, tolerance),
          );
        }
    },
  );

  it('goes by the figures of the table where nothing may be missing', () => {
    expect([0.9, 0.8, 0.5].map((ratio) => Math.round(tableShares(ratio, 0)))).toEqual([2632, 634, 89]);
  });

  it('finds silence in minutes', () => {
    for (const sharesPerMinute of [6, 12, 20]) {
      const miner = { sharesPerMinute, ratio: 0, honestMinutes: 3000 };
      const minutes = minutesToFind(OPTIONS, miner, seededRandom());
      expect(minutes * sharesPerMinute).toBeLessThanOrEqual(40);
    }
  });

  it('is a supermartingale: one more minute of honest work adds nothing on average', () => {
    // Exactly: the likelihood ratio of each comparison has mean 1 over all counts of a Poisson minute.
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 30, noNaN: true }), fc.nat(200), (due, minutes) => {
        const random = seededRandom();
        let before = NO_SHORTFALL;
        const brings = (count: number) => ({ dueHashes: due, creditedHashes: count, shareHashes: 1 });
        for (let minute = 0; minute < minutes; minute += 1)
          before = withMinute(OPTIONS, before, brings(poisson(random, due)));
        let mean = 0;
        let probability = Math.exp(-due);
        for (let count = 0; count < 300; count += 1) {
          mean += probability * Math.exp(evidenceOf(withMinute(OPTIONS, before, brings(count))));
          probability *= due / (count + 1);
        }
        // What began before, and the parts of alpha that may have begun with this minute.
        const most = Math.exp(evidenceOf(before)) + unspentOf(before) + 1 / WEEK_MINUTES;
        expect(mean).toBeLessThanOrEqual(most * (1 + 1e-9));
      }),
      { numRuns: 100 },
    );
  });

  it('spends no more than all of alpha over a contract of any length', () => {
    for (const expectedMinutes of [undefined, 1, 100, 5000])
      for (const windowMinutes of [1, 60, 1440]) {
        const options = { ...OPTIONS, expectedMinutes, windowMinutes };
        // A share a minute where a share a minute is due.
        let state = NO_SHORTFALL;
        let given = 0;
        for (let minute = 0; minute < 20_000; minute += 1) {
          const next = withMinute(options, state, {
            dueHashes: 1e9,
            creditedHashes: 1e9,
            shareHashes: 1e9,
          });
          given += massGiven(state, next);
          state = next;
        }
        expect(given).toBeLessThanOrEqual(1 + 1e-9);
      }
  });

  it('does not know shares that are easier than the hardest from fewer of the hardest', () => {
    const hard = withMinute(OPTIONS, NO_SHORTFALL, { dueHashes: 10, creditedHashes: 4, shareHashes: 2 });
    const scaled = withMinute(OPTIONS, NO_SHORTFALL, { dueHashes: 5, creditedHashes: 2, shareHashes: 1 });
    expect(hard).toEqual(scaled);
  });

  it('keeps its bound where miners choose among difficulties', () => {
    const options = { ...OPTIONS, alpha: 0.2, expectedMinutes: 600, windowMinutes: 120 };
    const random = seededRandom();
    let found = 0;
    for (let contract = 0; contract < 300; contract += 1) {
      let state = NO_SHORTFALL;
      for (let minute = 0; minute < 600 && !isShort(options, state); minute += 1) {
        const hard = random.below(11) / 10;
        const creditedHashes = 4 * poisson(random, 3 * hard) + poisson(random, 12 * (1 - hard));
        state = withMinute(options, state, { dueHashes: 12, creditedHashes, shareHashes: 4 });
      }
      if (isShort(options, state)) found += 1;
    }
    expect(found).toBeLessThan(90);
  });

  it('takes what the tolerance allows for no shortfall', () => {
    const tolerant = { ...OPTIONS, alpha: 0.2, tolerance: 0.05 };
    const miner = { sharesPerMinute: 12, ratio: 0.95, honestMinutes: 0 };
    const random = seededRandom();
    const found = Array.from({ length: 100 }, () => minutesToFind(tolerant, miner, random, 1440));
    expect(found.filter((minutes) => minutes !== Infinity).length).toBeLessThan(45);
  });

  it('is not moved by time in which nothing is due', () => {
    const before = withMinute(OPTIONS, NO_SHORTFALL, { dueHashes: 9, creditedHashes: 2, shareHashes: 1 });
    const after = withMinute(OPTIONS, before, { dueHashes: 0, creditedHashes: 0, shareHashes: 1 });
    expect(after).toBe(before);
  });

  it('goes on behind a shortfall that was made up, with what of alpha is left', () => {
    const short = withMinute(OPTIONS, NO_SHORTFALL, { dueHashes: 90, creditedHashes: 0, shareHashes: 1 });
    expect(isShort(OPTIONS, short)).toBe(true);
    const mended = withoutEvidence(short);
    expect(isShort(OPTIONS, mended)).toBe(false);
    expect(mended.minutes).toBe(1);
  });
});

type State = typeof NO_SHORTFALL;

/** The parts of alpha that are not spent yet, weighed as their comparisons are: at most the greatest. */
function unspentOf(state: State): number {
  return Math.max(...state.evidence.map(({ unspent }) => unspent));
}

/** The greatest part of alpha that a comparison was given in a step. */
function massGiven(before: State, after: State): number {
  return Math.max(
    ...after.evidence.map(({ unspent }, index) => {
      const held = before.evidence[index]!.unspent;
      return unspent > held ? unspent - held : 0;
    }),
  );
}
