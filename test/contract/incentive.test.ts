import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import {
  bondNeededPpm,
  type Commitment,
  leavingNow,
  leavingOf,
  leavingPays,
} from '../../src/contract/incentive.ts';
import { vestingOf } from '../../src/contract/vesting.ts';
import { makeBonds, makeTerms } from '../channel/fixtures.ts';

const EH = 10n ** 18n;

const anyCommitment = fc
  .record({
    priceMsatPerEh: fc.bigInt(1n, 10n ** 9n),
    totalHashes: fc.bigInt(1n, 10n ** 24n),
    remaining: fc.bigInt(0n, 10n ** 6n),
    collateralSat: fc.bigInt(0n, 10n ** 12n),
    makerBondSat: fc.bigInt(0n, 10n ** 12n),
  })
  .map(({ remaining, ...rest }): Commitment => {
    return { ...rest, remainingHashes: (rest.totalHashes * remaining) / 10n ** 6n };
  });

describe('what leaving now gains', () => {
  it('is the difference of price and value over the rest of the work, for one side at most', () => {
    const commitment = {
      priceMsatPerEh: 500_000n,
      totalHashes: 100n * EH,
      remainingHashes: 40n * EH,
      collateralSat: 9_000n,
      makerBondSat: 5_000n,
    };
    expect(leavingNow(commitment, 600_000n)).toEqual({
      miner: { gainSat: 4_000n, forfeitSat: 3_600n },
      maker: { gainSat: 0n, forfeitSat: 2_000n },
    });
    expect(leavingPays(commitment, 600_000n)).toBe('miner');
    expect(leavingPays(commitment, 590_000n)).toBeUndefined();
    expect(leavingPays(commitment, 450_000n)).toBeUndefined();
    expect(leavingPays(commitment, 449_999n)).toBe('maker');
  });

  it('never pays with the bonds that are needed, and pays with less (I41)', () => {
    fc.assert(
      fc.property(anyCommitment, fc.bigInt(1n, 10n ** 9n), (some, value) => {
        const paysSat = (some.priceMsatPerEh * some.totalHashes) / (EH * 1000n);
        const side = value > some.priceMsatPerEh ? 'miner' : 'maker';
        const ppm = bondNeededPpm(side, some.priceMsatPerEh, value);
        // In whole sats: one more covers that gains are rounded up and bonds down.
        const bond = (paysSat * ppm) / 1_000_000n + 3n + ppm / 1_000_000n;
        const held = {
          ...some,
          collateralSat: bond,
          makerBondSat: bond,
          remainingHashes: some.totalHashes,
        };
        expect(leavingPays(held, value)).toBeUndefined();
        fc.pre(ppm > 2n && paysSat > 10_000_000n);
        const less = (paysSat * (ppm - 2n)) / 1_000_000n;
        const short = { ...held, collateralSat: less, makerBondSat: less };
        expect(leavingPays(short, value)).toBe(side);
      }),
    );
  });

  it('is nothing once no work is left, and nothing at the price', () => {
    fc.assert(
      fc.property(anyCommitment, fc.bigInt(1n, 10n ** 9n), (some, value) => {
        expect(leavingPays({ ...some, remainingHashes: 0n }, value)).toBeUndefined();
        expect(leavingPays(some, some.priceMsatPerEh)).toBeUndefined();
        for (const side of ['miner', 'maker'] as const)
          expect(bondNeededPpm(side, some.priceMsatPerEh, some.priceMsatPerEh)).toBe(0n);
      }),
    );
  });
});

describe('what leaving a running contract is to both', () => {
  const terms = makeTerms({
    ...{ priceMsatPerEh: 500_000n, workTotalHashes: 100n * EH, budgetSat: 60_000n },
    bonds: makeBonds('auditor', { collateralSat: 9_000n, makerBondSat: 5_000n }),
  });

  it('counts what is delivered and not signed for as the maker’s gain and the miner’s loss', () => {
    const work = { deliveredHashes: 60n * EH, signedHashes: 58n * EH };
    const { unvestedCollateralSat, unvestedMakerBondSat } = vestingOf(terms, work.signedHashes);
    expect([unvestedCollateralSat, unvestedMakerBondSat]).toEqual([3_780n, 2_100n]);
    expect(leavingOf(terms, work, 600_000n)).toEqual({
      valueMsatPerEh: 600_000n,
      miner: { gainSat: 4_000n, forfeitSat: 3_780n + 1_000n, bondNeededSat: 3_000n },
      maker: { gainSat: 0n, forfeitSat: 2_100n, bondNeededSat: 0n },
      pays: null,
    });
    expect(leavingOf(terms, work, 621_000n)).toMatchObject({ pays: 'miner', miner: { gainSat: 4_840n } });
    expect(leavingOf(terms, work, 460_000n)).toMatchObject({ pays: 'maker', maker: { gainSat: 2_600n } });
  });

  it('is as of the same contract replayed, where all is paid', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 100n), fc.bigInt(1n, 10n ** 6n), (part, value) => {
        const work = { deliveredHashes: part * EH, signedHashes: part * EH };
        const view = leavingOf(terms, work, value);
        const { collateralSat, makerBondSat } = { collateralSat: 9_000n, makerBondSat: 5_000n };
        const replayed = leavingNow(
          {
            ...{ priceMsatPerEh: 500_000n, totalHashes: 100n * EH, remainingHashes: (100n - part) * EH },
            ...{ collateralSat, makerBondSat },
          },
          value,
        );
        for (const side of ['miner', 'maker'] as const) {
          const { gainSat } = replayed[side];
          expect(view[side].gainSat - gainSat).toBeGreaterThanOrEqual(-1n);
          expect(view[side].gainSat - gainSat).toBeLessThanOrEqual(1n);
          expect(view[side].bondNeededSat).toBe(view[side].gainSat);
        }
      }),
    );
  });
});
