import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Asked,
  climb,
  type Payer,
  STUCK_BLOCKS,
  type Standing,
  waitsFrom,
} from '../../src/chain/fee-climb.ts';
import { feeAt, MOST_SAT_PER_KVB, rateOf } from '../../src/chain/fee-rate.ts';

const sats = (max: number) => fc.bigInt({ min: 0n, max: BigInt(max) });
const parents = fc.record({ feeSat: sats(5_000), vsize: fc.integer({ min: 100, max: 400 }) });
const payers: fc.Arbitrary<Payer> = fc
  .record({
    vsize: fc.integer({ min: 60, max: 400 }),
    mostSat: sats(1_000_000),
    parent: fc.option(parents),
  })
  .map(({ parent, ...rest }) => (parent === null ? rest : { ...rest, parent }));
const rates = fc.oneof(fc.integer({ min: 0, max: 3_000_000 }), fc.integer({ min: 0, max: 20_000 }));
const FIRST: Standing = { paidSat: 0n, since: undefined };

/** Blocks that ask for so much, one after the other; what stands after each. */
function life(payer: Payer, asked: readonly number[]): Standing[] {
  let standing = FIRST;
  return asked.map((satPerKvb, height) => {
    standing = climb(payer, standing, { satPerKvb, height }).standing;
    return standing;
  });
}

describe('a bid', () => {
  it('follows what blocks ask for, and is replaced by no less than nodes want', () => {
    const payer = { vsize: 130, mostSat: 100_000n };
    const at = (height: number, satPerKvb: number): Asked => ({ height, satPerKvb });
    const first = climb(payer, FIRST, at(10, 2_000));
    expect(first).toEqual({ standing: { paidSat: 260n, since: 10 }, satPerKvb: 2_000, isNew: true });
    // 130 sat more are the least.
    expect(climb(payer, first.standing, at(11, 2_992)).isNew).toBe(false);
    expect(climb(payer, first.standing, at(11, 3_000)).standing).toEqual({ paidSat: 390n, since: 11 });
    expect(climb(payer, first.standing, at(11, 1_000)).standing).toEqual(first.standing);
  });

  it('climbs by half from the second block on, at each one', () => {
    const paid = life(
      { vsize: 100, mostSat: 10_000n },
      Array.from({ length: 7 }, () => 10_000),
    );
    expect(paid.map(({ paidSat }) => paidSat)).toEqual([
      1_000n,
      1_000n,
      1_500n,
      2_250n,
      3_375n,
      5_063n,
      7_595n,
    ]);
  });

  it('waits from no time before its mempool had it, and climbs at each block once it was stuck', () => {
    expect(waitsFrom(undefined, undefined)).toBeUndefined();
    expect(waitsFrom(undefined, 9)).toBe(9);
    expect(waitsFrom(9, undefined)).toBe(9);
    expect(waitsFrom(9, 9)).toBe(9);
    // A bid of what was stuck at 10 counts from 9, and nodes took it at 10.
    expect(waitsFrom(9, 10)).toBe(9);
    expect(waitsFrom(4, 10)).toBe(9);
  });

  it('of a child is none where its parent pays by itself, until that is stuck', () => {
    const payer = { vsize: 110, mostSat: 50_000n, parent: { feeSat: 390n, vsize: 195 } };
    const waits = { paidSat: 0n, since: 5 };
    expect(climb(payer, waits, { height: 6, satPerKvb: 2_000 }).standing.paidSat).toBe(0n);
    expect(climb(payer, waits, { height: 6, satPerKvb: 10_000 }).standing.paidSat).toBe(3_050n - 390n);
    expect(climb(payer, waits, { height: 7, satPerKvb: 2_000 }).standing.paidSat).toBe(915n - 390n);
  });

  it('is never above its cap, never falls, and replaces by at least one sat a vB', () => {
    fc.assert(
      fc.property(payers, fc.array(rates, { minLength: 1, maxLength: 40 }), (payer, asked) => {
        let before = 0n;
        for (const { paidSat } of life(payer, asked)) {
          expect(paidSat).toBeLessThanOrEqual(payer.mostSat!);
          expect(paidSat).toBeGreaterThanOrEqual(before);
          if (paidSat > before && before > 0n)
            expect(paidSat - before).toBeGreaterThanOrEqual(BigInt(payer.vsize));
          const vsize = payer.vsize + (payer.parent?.vsize ?? 0);
          if (paidSat > 0n) {
            const carriedSat = payer.parent?.feeSat ?? 0n;
            expect(paidSat + carriedSat).toBeLessThanOrEqual(feeAt(vsize, MOST_SAT_PER_KVB));
          }
          before = paidSat;
        }
      }),
      { numRuns: 400 },
    );
  });

  it('reaches any rate that its cap affords within so many blocks of waiting, whatever the node says', () => {
    fc.assert(
      fc.property(payers, fc.integer({ min: 1_000, max: 1_200_000 }), (payer, market) => {
        const vsize = payer.vsize + (payer.parent?.vsize ?? 0);
        const carriedSat = payer.parent?.feeSat ?? 0n;
        fc.pre(feeAt(vsize, market) * 2n + BigInt(payer.vsize) < payer.mostSat! + carriedSat);
        const blocks = STUCK_BLOCKS + Math.ceil(Math.log(market / 100) / Math.log(1.5)) + 2;
        const last = life(
          payer,
          Array.from({ length: blocks }, () => 100),
        ).at(-1)!;
        expect(rateOf(last.paidSat + carriedSat, vsize)).toBeGreaterThanOrEqual(market);
      }),
      { numRuns: 400 },
    );
  });
});
