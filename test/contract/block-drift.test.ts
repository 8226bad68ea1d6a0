import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { driftOf } from '../../src/contract/block-drift.ts';

const MEANT_MS = 600_000;
const WEEK = { fromHeight: 900_000, durationBlocks: 1_008 };
const FROM_MS = 1_800_000_000_000;
/** So many blocks of a contract, each after so many ms. */
const came = (blocks: number, eachMs: number) => ({
  ...{ height: WEEK.fromHeight + blocks, fromMs: FROM_MS, nowMs: FROM_MS + blocks * eachMs },
});

describe('the drift of a block clock', () => {
  it('is none where blocks come as they were meant, and the contract stops where it was to', () => {
    for (const blocks of [0, 1, 500, 1_007])
      expect(driftOf(WEEK, came(blocks, MEANT_MS), MEANT_MS)).toEqual({
        ...{ driftMs: 0, blockIntervalMs: MEANT_MS, stopHeight: 901_008 },
      });
  });

  it('is ahead where blocks come sooner: the week of the document is over a day early', () => {
    // 504 blocks of 500 s, which were to take 600: 14 hours sooner.
    const { driftMs, blockIntervalMs, stopHeight } = driftOf(WEEK, came(504, 500_000), MEANT_MS);
    expect(driftMs).toBe(14 * 3_600_000);
    // 504 of 500 s and 144 of 600 s weigh together.
    expect(blockIntervalMs).toBeCloseTo(522_222.2, 0);
    // 352,800 s are left: 675.6 of these.
    expect(stopHeight).toBe(900_504 + 676);
  });

  it('is behind where blocks come later, and a contract whose time is over stops nowhere', () => {
    expect(driftOf(WEEK, came(504, 700_000), MEANT_MS)).toMatchObject({
      ...{ driftMs: -14 * 3_600_000, stopHeight: 900_504 + 372 },
    });
    expect(driftOf(WEEK, came(1_000, 604_800), MEANT_MS).stopHeight).toBe(undefined);
    expect(driftOf(WEEK, came(1_000, 604_799), MEANT_MS).stopHeight).toBe(901_001);
  });

  it('is none before the first block, by whatever clock', () => {
    const early = { height: WEEK.fromHeight - 3, fromMs: FROM_MS, nowMs: FROM_MS - 5_000 };
    expect(driftOf(WEEK, early, MEANT_MS)).toMatchObject({ driftMs: 0, stopHeight: 901_008 });
  });

  it('names a block ahead of the tip, that ends the contract within a block of its time as blocks went', () => {
    const reading = fc.record({
      blocks: fc.integer({ min: 0, max: 5_000 }),
      eachMs: fc.integer({ min: 1, max: 3_600_000 }),
    });
    fc.assert(
      fc.property(reading, ({ blocks, eachMs }) => {
        const read = came(blocks, eachMs);
        const { stopHeight, blockIntervalMs } = driftOf(WEEK, read, MEANT_MS);
        const leftMs = WEEK.durationBlocks * MEANT_MS - blocks * eachMs;
        expect(stopHeight === undefined).toBe(leftMs <= 0);
        if (stopHeight === undefined) return;
        expect(stopHeight).toBeGreaterThan(read.height);
        const missedMs = (stopHeight - read.height) * blockIntervalMs - leftMs;
        expect(missedMs).toBeGreaterThanOrEqual(-1);
        expect(missedMs).toBeLessThan(blockIntervalMs + 1);
      }),
    );
  });
});
