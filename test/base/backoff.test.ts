import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../src/base/backoff.ts';
import type { Random } from '../../src/base/clock.ts';

const always = (byte: number): Random => ({ bytes: (size) => new Uint8Array(size).fill(byte) });

describe('backoffMs', () => {
  it('lies between half and all of a ceiling that doubles up to its maximum', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 10_000, max: 600_000 }),
        fc.nat({ max: 5_000 }),
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        (baseMs, maxMs, attempt, bytes) => {
          const ceiling = Math.min(maxMs, baseMs * 2 ** attempt);
          const delay = backoffMs({ baseMs, maxMs }, attempt, { bytes: () => bytes });
          expect(delay).toBeGreaterThanOrEqual(ceiling / 2);
          expect(delay).toBeLessThan(ceiling);
        },
      ),
    );
  });

  it('spreads by the randomness it is given', () => {
    const backoff = { baseMs: 1_000, maxMs: 60_000 };
    expect([0, 1, 2, 10, 1_000].map((attempt) => backoffMs(backoff, attempt, always(0)))).toEqual([
      500, 1_000, 2_000, 30_000, 30_000,
    ]);
    expect(backoffMs(backoff, 0, always(0x80))).toBeCloseTo(750.98, 1);
  });
});
