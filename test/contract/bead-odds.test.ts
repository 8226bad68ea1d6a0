import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { BEAD_PARTS, beadParts, mostBeadParts, poissonTail } from '../../src/contract/bead-odds.ts';

const SCALE = 10n ** 60n;

/** e^-x * sum of x^k/k! for k up to `count`, in integers alone. @param parts x in millionths */
function exactTail(count: number, parts: bigint): number {
  const next = (term: bigint, k: bigint): bigint => (term * parts) / (k * 1_000_000n);
  let term = SCALE;
  let tail = 0n;
  let whole = 0n;
  for (let k = 1n; ; k += 1n) {
    whole += term;
    if (k - 1n <= BigInt(count)) tail += term;
    if (term === 0n) break;
    term = next(term, k);
  }
  return Number((tail * SCALE) / whole) / Number(SCALE);
}

describe('how likely so few beads are', () => {
  it('is what integers of any size say', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 400 }),
        fc.integer({ min: 1, max: 60_000_000 }),
        (count, beyond) => {
          const parts = BigInt(count) * 1_000_000n + BigInt(beyond);
          const exact = exactTail(count, parts);
          fc.pre(exact > 1e-30);
          expect(poissonTail(count, Number(parts) / 1e6) / exact - 1).toBeCloseTo(0, 9);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('falls as more beads are expected, and rises with each that came', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000_000 }),
        fc.double({ min: 0.001, max: 10_000, noNaN: true }),
        (count, beyond) => {
          const expected = count + beyond;
          const tail = poissonTail(count, expected);
          expect(tail).toBeLessThanOrEqual(1);
          expect(poissonTail(count, expected + 1)).toBeLessThanOrEqual(tail);
          if (count > 0) expect(poissonTail(count - 1, expected)).toBeLessThanOrEqual(tail);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('bounds the worth of work: within it so few are not too unlikely, beyond it they are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        (count, stopPpb) => {
          const most = Number(mostBeadParts(count, stopPpb)) / Number(BEAD_PARTS);
          expect(poissonTail(count, most - 2e-6) * 1e9).toBeGreaterThanOrEqual(stopPpb * (1 - 1e-6));
          expect(poissonTail(count, most + 2e-6) * 1e9).toBeLessThan(stopPpb * (1 + 1e-6));
        },
      ),
      { numRuns: 200 },
    );
    expect(Number(mostBeadParts(0, 1000)) / 1e18).toBeCloseTo(-Math.log(1e-6), 5);
  });

  it('weighs work of any size without losing any', () => {
    expect(beadParts(2n ** 17n, 2n ** 20n)).toBe(BEAD_PARTS / 8n);
    expect(beadParts(65_536n * 4_295_032_833n, 126n * 10n ** 12n * 4_295_032_833n)).toBe(520_126_984n);
  });
});
