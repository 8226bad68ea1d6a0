import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compactOfTarget,
  DIFFICULTY_1_TARGET,
  difficultyOfTarget,
  MAX_TARGET,
  targetOfCompact,
  targetOfDifficulty,
  targetToHex,
  workOfTarget,
} from '../../src/bitcoin/target.ts';
import { difficultyTargets } from '../vectors.ts';

describe('work', () => {
  it('is 4,295,032,833 hashes at difficulty 1', () => {
    expect(workOfTarget(DIFFICULTY_1_TARGET)).toBe(4_295_032_833n);
  });

  it('is 1 for a target every hash meets, and 2 at the easiest we assign', () => {
    expect(workOfTarget((1n << 256n) - 1n)).toBe(1n);
    expect(workOfTarget(MAX_TARGET)).toBe(2n);
  });

  it('of block 413567 at its network target is the published figure', () => {
    expect(workOfTarget(targetOfCompact(0x18058436))).toBe(856_051_874_059_805_017_411n);
  });
});

describe('difficulty to target', () => {
  it.each(difficultyTargets())('$difficulty', (row) => {
    expect(targetToHex(targetOfDifficulty(Number(row.difficulty)))).toBe(row.target);
  });
});

describe('difficulty', () => {
  it('is the exact floor for the decimal on the wire', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999_999_999_999_999 }),
        fc.integer({ min: 0, max: 14 }),
        (digits, places) => {
          const text = `${digits}e-${places}`;
          fc.pre(Number(text) > 2 ** -20);
          const target = targetOfDifficulty(Number(text));
          const scale = 10n ** BigInt(places);
          expect(target * BigInt(digits) <= DIFFICULTY_1_TARGET * scale).toBe(true);
          expect((target + 1n) * BigInt(digits) > DIFFICULTY_1_TARGET * scale).toBe(true);
        },
      ),
    );
  });

  it('falls as the target rises', () => {
    const difficulty = fc.double({ min: 2 ** -30, max: 2 ** 60, noNaN: true });
    fc.assert(
      fc.property(difficulty, difficulty, (a, b) => {
        if (a < b) expect(targetOfDifficulty(a) >= targetOfDifficulty(b)).toBe(true);
      }),
    );
  });

  it('survives the round trip for powers of two', () => {
    for (let power = -30; power <= 60; power += 1) {
      expect(difficultyOfTarget(targetOfDifficulty(2 ** power))).toBeCloseTo(2 ** power, 8);
    }
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('%s is refused', (difficulty) => {
    expect(() => targetOfDifficulty(difficulty)).toThrow('malformed');
  });
});

describe('nBits', () => {
  it.each([
    [0x1d00ffff, DIFFICULTY_1_TARGET],
    [0x207fffff, 0x7fffffn << 232n],
    [0x01120000, 0x12n],
    [0x03123456, 0x123456n],
  ])('%s expands', (bits, target) => {
    expect(targetOfCompact(bits)).toBe(target);
    expect(compactOfTarget(target)).toBe(bits);
  });

  it.each([0x01fedcba, 0x04923456, 0x00000000, 0x03000000, 0xff123456])('%s is refused', (bits) => {
    expect(() => targetOfCompact(bits)).toThrow('malformed');
  });

  it('rounds down and keeps its value through another round', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: MAX_TARGET }), (target) => {
        const once = targetOfCompact(compactOfTarget(target));
        expect(once <= target).toBe(true);
        expect(targetOfCompact(compactOfTarget(once))).toBe(once);
      }),
    );
  });
});
