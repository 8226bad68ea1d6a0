import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import { withUpdates } from '../../src/contract/updated-terms.ts';
import {
  type BookedTerms,
  type Booking,
  bookedTermsOf,
  bookingOf,
  peakRate,
} from '../../src/maker/rate-book.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import '../seed.ts';

const HEIGHT = 1000;
const asked = (changes: Partial<BookedTerms>): BookedTerms => ({
  ...{ openHashes: 600_000n, committedHps: undefined, notBeforeHeight: undefined },
  ...{ durationBlocks: undefined, lastHeight: HEIGHT + 100, ...changes },
});

describe('the hashrate of a contract', () => {
  it('is what it commits to, until its work is done, its time over or its expiry near', () => {
    const rated = { committedHps: 10n };
    // 600,000 hashes at 10 a second are 100 blocks of 600 seconds; half of them 50.
    expect(bookingOf(asked(rated), HEIGHT)).toEqual({
      ...{ fromHeight: HEIGHT, endHeight: HEIGHT + 100, hashesPerSecond: 10n },
    });
    expect(bookingOf(asked({ ...rated, openHashes: 300_000n }), HEIGHT).endHeight).toBe(HEIGHT + 50);
    expect(bookingOf(asked({ ...rated, openHashes: 300_001n }), HEIGHT).endHeight).toBe(HEIGHT + 51);
    expect(bookingOf(asked({ ...rated, durationBlocks: 7 }), HEIGHT).endHeight).toBe(HEIGHT + 7);
    expect(bookingOf(asked({ ...rated, lastHeight: HEIGHT + 3 }), HEIGHT).endHeight).toBe(HEIGHT + 3);
  });

  it('ends where both signed later that it stops, whatever was said before', () => {
    const rate = { committed: 10n, min: 10n, max: 10n };
    const terms = makeTermsV3({ expiryHeight: 9000, durationBlocks: 50, rate });
    const booked = (all: ContractTerms) => bookingOf(bookedTermsOf(all, 10n ** 9n, 100), HEIGHT).endHeight;
    const stopped = (stopHeight: number) => {
      const place = { contractIdHex: contractIdOf(terms), number: 1, previousHex: contractIdOf(terms) };
      const update = { ...place, fromHashes: 0n, nonceHex: '00'.repeat(16), stopHeight };
      return booked(withUpdates(terms, [{ update, minerSignature: '', makerSignature: '' }]));
    };
    expect(booked(terms)).toBe(HEIGHT + 50);
    expect([stopped(HEIGHT + 20), stopped(HEIGHT + 80)]).toEqual([HEIGHT + 20, HEIGHT + 80]);
    expect(stopped(8999)).toBe(8900);
  });

  it('begins where the terms say, and not before now', () => {
    const later = bookingOf(asked({ committedHps: 10n, notBeforeHeight: HEIGHT + 20 }), HEIGHT);
    expect([later.fromHeight, later.endHeight]).toEqual([HEIGHT + 20, HEIGHT + 100]);
    expect(bookingOf(asked({ notBeforeHeight: 1 }), HEIGHT).fromHeight).toBe(HEIGHT);
  });

  it('is without a rate what is left over the time that is, and none once nothing is left', () => {
    expect(bookingOf(asked({}), HEIGHT).hashesPerSecond).toBe(10n);
    expect(bookingOf(asked({ durationBlocks: 10 }), HEIGHT).hashesPerSecond).toBe(100n);
    expect(bookingOf(asked({ openHashes: 1n }), HEIGHT).hashesPerSecond).toBe(1n);
    expect(bookingOf(asked({ openHashes: 0n }), HEIGHT).hashesPerSecond).toBe(0n);
    expect(bookingOf(asked({ lastHeight: HEIGHT - 5 }), HEIGHT).hashesPerSecond).toBe(1000n);
  });
});

describe('the most that is bought at any time', () => {
  const booking = fc
    .record({ from: fc.nat(40), blocks: fc.nat(20), rate: fc.bigInt({ min: 0n, max: 100n }) })
    .map(
      ({ from, blocks, rate }): Booking => ({
        ...{ fromHeight: from, endHeight: from + blocks, hashesPerSecond: rate },
      }),
    );

  it('is the greatest sum over the heights, of alternatives the largest of each height', () => {
    const at = (group: readonly Booking[], height: number): bigint =>
      group
        .filter(({ fromHeight, endHeight }) => height >= fromHeight && height < endHeight)
        .reduce((most, { hashesPerSecond }) => (hashesPerSecond > most ? hashesPerSecond : most), 0n);
    const groups = fc.array(fc.array(booking, { maxLength: 3 }), { maxLength: 6 });
    fc.assert(
      fc.property(groups, fc.nat(50), fc.integer({ min: 1, max: 30 }), (all, fromHeight, blocks) => {
        const heights = Array.from({ length: blocks }, (_, index) => fromHeight + index);
        const sums = heights.map((height) => all.reduce((sum, group) => sum + at(group, height), 0n));
        const most = sums.reduce((a, b) => (a > b ? a : b));
        expect(peakRate(all, { fromHeight, endHeight: fromHeight + blocks })).toBe(most);
      }),
    );
  });

  it('is not of contracts that follow one another', () => {
    const one = { fromHeight: 0, endHeight: 10, hashesPerSecond: 5n };
    const next = { fromHeight: 10, endHeight: 20, hashesPerSecond: 7n };
    const time = { fromHeight: 0, endHeight: Number.POSITIVE_INFINITY };
    expect(peakRate([[one], [next]], time)).toBe(7n);
    expect(peakRate([[one], [{ ...next, fromHeight: 9 }]], time)).toBe(12n);
  });
});
