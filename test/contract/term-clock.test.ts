import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deepHeightOf, EVERY_BLOCK, isLapsed, periodOf, placeIn } from '../../src/contract/term-clock.ts';
import { notYetServed } from '../../src/contract/terms-access.ts';
import { makeTerms } from '../channel/fixtures.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const START = { notBeforeHeight: 918_500, notAfterHeight: 918_700 };

describe('the blocks of a contract', () => {
  it('are all of them where the terms say nothing', () => {
    expect(periodOf(makeTerms(), undefined)).toEqual(EVERY_BLOCK);
    expect(periodOf(makeTermsV3(), undefined)).toEqual(EVERY_BLOCK);
    expect(isLapsed(makeTerms(), 1_000_000)).toBe(false);
    expect(isLapsed(makeTermsV3(), 1_000_000)).toBe(false);
  });

  it('begin at the first height, and end so long after it or after the funding was deep', () => {
    const terms = makeTermsV3({ start: START, durationBlocks: 1008 });
    expect(periodOf(terms, undefined)).toBeUndefined();
    expect(periodOf(terms, 918_400)).toEqual({ from: 918_500, end: 919_508 });
    expect(periodOf(terms, 918_600)).toEqual({ from: 918_500, end: 919_608 });
    expect(periodOf(makeTermsV3({ durationBlocks: 10 }), 918_400)).toEqual({ from: 0, end: 918_410 });
    expect(periodOf(makeTermsV3({ start: START }), undefined)).toEqual({ ...EVERY_BLOCK, from: 918_500 });
  });

  it.each([
    [918_499, 'before'],
    [918_500, 'within'],
    [919_507, 'within'],
    [919_508, 'after'],
  ] as const)('%i is %s', (height, place) => {
    const period = periodOf(makeTermsV3({ start: START, durationBlocks: 1008 }), 918_400)!;
    expect(placeIn(period, height)).toBe(place);
  });

  it('lapse after the last height for a beginning', () => {
    const terms = makeTermsV3({ start: START });
    expect([918_700, 918_701].map((height) => isLapsed(terms, height))).toEqual([false, true]);
  });

  it('are of the chain alone: any tip above the same funding gives the same ones (I60)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 900_000 }),
        fc.integer({ min: 1, max: 144 }),
        fc.array(fc.nat(2000), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 105_120 }),
        (fundingHeight, minDepth, above, durationBlocks) => {
          const terms = makeTermsV3({ minDepth, durationBlocks });
          const periods = above.map((blocks) => {
            const height = fundingHeight + blocks;
            return periodOf(terms, deepHeightOf(terms, height, blocks + 1));
          });
          const deep = fundingHeight + minDepth - 1;
          for (const period of periods) expect(period).toEqual({ from: 0, end: deep + durationBlocks });
        },
      ),
    );
  });

  it('hold exactly as many heights as the duration has blocks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 1, max: 200 }),
        (first, deep, durationBlocks) => {
          const start = { notBeforeHeight: first, notAfterHeight: first + 100 };
          const period = periodOf(makeTermsV3({ start, durationBlocks }), deep)!;
          const heights = Array.from({ length: 2000 }, (_, height) => height);
          const within = heights.filter((height) => placeIn(period, height) === 'within');
          expect(within.length).toBe(durationBlocks + Math.max(0, deep - first));
        },
      ),
    );
  });

  it('are served on a channel, and not where there is none', () => {
    expect(notYetServed(makeTermsV3({ start: START }))).toBeUndefined();
    expect(notYetServed(makeTermsV3({ durationBlocks: 10 }))).toBeUndefined();
    const binding = { type: 'none' } as const;
    expect(notYetServed(makeTermsV3({ binding, start: START }))).toBe('start');
    expect(notYetServed(makeTermsV3({ binding, durationBlocks: 10 }))).toBe('duration_blocks');
  });
});
