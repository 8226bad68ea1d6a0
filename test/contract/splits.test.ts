import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedsSat, splitPay } from '../../src/contract/splits.ts';
import { makeTerms } from '../channel/fixtures.ts';
import { anySplits, makeTermsV3 } from './terms-v3-fixtures.ts';

const anyPay = fc.oneof(fc.bigInt(0n, 40n), fc.bigInt(0n, 21n * 10n ** 14n));

describe('pay that is split', () => {
  it('is all of it, to the sat, with nothing negative, and at most 900,000 ppm of it to payees (I48)', () => {
    fc.assert(
      fc.property(anySplits, anyPay, (splits, paidSat) => {
        const { minerSat, payeesSat } = splitPay(makeTermsV3({ splits }), paidSat);
        expect(payeesSat).toHaveLength(splits.length);
        expect(payeesSat.reduce((sum, sat) => sum + sat, minerSat)).toBe(paidSat);
        for (const sat of payeesSat) expect(sat).toBeGreaterThanOrEqual(0n);
        expect(minerSat * 10n).toBeGreaterThanOrEqual(paidSat - 10n);
      }),
    );
  });

  it('never gives the miner less for more, nor any payee but the last, nor that less than its part', () => {
    fc.assert(
      fc.property(anySplits, anyPay, fc.bigInt(0n, 3000n), (splits, lessSat, moreSat) => {
        const terms = makeTermsV3({ splits });
        const [less, more] = [splitPay(terms, lessSat), splitPay(terms, lessSat + moreSat)];
        expect(more.minerSat).toBeGreaterThanOrEqual(less.minerSat);
        splits.forEach(({ ppm }, index) => {
          const exact = ((lessSat + moreSat) * BigInt(ppm)) / 1_000_000n;
          const sat = more.payeesSat[index]!;
          if (index < splits.length - 1) {
            expect(sat).toBe(exact);
            expect(sat).toBeGreaterThanOrEqual(less.payeesSat[index]!);
          } else {
            expect(sat).toBeGreaterThanOrEqual(exact);
            expect(sat).toBeLessThanOrEqual(exact + BigInt(splits.length));
          }
        });
      }),
    );
  });

  it('would tempt the miner to an older state, were it the one who has what is left over', () => {
    // Two payees of a third each: of 2 sats nobody has a third, of 3 sats each has one.
    const third = (label: string) => ({
      scriptHex: `0014${'ab'.repeat(20)}`,
      ppm: 333_334,
      seedSat: 600n,
      label,
    });
    const terms = makeTermsV3({ splits: [third('one'), third('two')] });
    const naive = (paidSat: bigint): bigint => paidSat - 2n * ((paidSat * 333_334n) / 1_000_000n);
    expect([naive(2n), naive(3n)]).toEqual([2n, 1n]);
    expect([2n, 3n].map((paidSat) => splitPay(terms, paidSat).minerSat)).toEqual([0n, 0n]);
  });

  it('is whole where nothing is split', () => {
    for (const terms of [makeTerms(), makeTermsV3()]) {
      expect(splitPay(terms, 12_345n)).toEqual({ minerSat: 12_345n, payeesSat: [] });
      expect(seedsSat(terms)).toBe(0n);
    }
  });
});
