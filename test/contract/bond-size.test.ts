import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clampedSize, sizedBonds } from '../../src/contract/bond-size.ts';
import { MIN_BOND_OUTPUT_SAT } from '../../src/contract/bond-terms.ts';
import { checkTerms } from '../../src/contract/terms.ts';
import { withBondRule } from '../../src/contract/terms-upgrade.ts';
import { EH, makeBonds, makeTerms } from '../channel/fixtures.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const SIZE = { collateralPpm: 0, worstCaseSat: 0n, makerBondPpm: 0, makerBondFloorSat: 0n };

describe('the size of bonds', () => {
  it('is the larger of a part of what all the work earns and of the worst case of a replay', () => {
    const size = { ...SIZE, collateralPpm: 180_000, worstCaseSat: 50_000n };
    expect(sizedBonds(size, 1_000_000n)).toEqual({ collateralSat: 180_000n, makerBondSat: 0n });
    expect(sizedBonds(size, 100_000n)).toEqual({ collateralSat: 50_000n, makerBondSat: 0n });
  });

  it('is within what a channel allows', () => {
    const both = { ...SIZE, collateralPpm: 10, makerBondPpm: 10 };
    const few = { notionalSat: 1_000_000n, paysSat: 900_000n };
    expect(sizedBonds(clampedSize(both, few), few.notionalSat)).toEqual({
      ...{ collateralSat: MIN_BOND_OUTPUT_SAT, makerBondSat: MIN_BOND_OUTPUT_SAT },
    });
    const large = { ...SIZE, makerBondFloorSat: 10_000_000n };
    expect(sizedBonds(clampedSize(large, few), few.notionalSat).makerBondSat).toBe(899_999n);
    expect(clampedSize(large, { notionalSat: 900n, paysSat: 900n }).makerBondFloorSat).toBe(0n);
  });

  it('makes terms that are sound of any rule, price and amount of work, the same again', () => {
    const anyCase = fc.record({
      ...{ collateralPpm: fc.nat(900_000), makerBondPpm: fc.nat(900_000) },
      priceMsatPerEh: fc.bigInt(10_000n, 1_000_000n),
      workEh: fc.bigInt(3n, 10_000n),
      collateralSat: fc.bigInt(1000n, 10_000_000n),
      makerBondSat: fc.constantFrom(0n, 1000n, 50_000n, 10_000_000n),
    });
    fc.assert(
      fc.property(anyCase, ({ workEh, priceMsatPerEh, collateralPpm, makerBondPpm, ...amounts }) => {
        const bonds = { ...makeBonds('auditor'), ...amounts };
        const older = makeTerms({ bonds: makeBonds('auditor') });
        const plain = makeTermsV3({
          workTotalHashes: workEh * EH,
          price: { type: 'fixed', msatPerEh: priceMsatPerEh },
          budgetSat: workEh * 1000n + 1000n,
          bonds: {
            ...bonds,
            size: { ...SIZE, worstCaseSat: amounts.collateralSat, makerBondFloorSat: amounts.makerBondSat },
          } as never,
          stepHashes: older.stepHashes,
        });
        const ruled = withBondRule(plain, { collateralPpm, makerBondPpm });
        expect(() => checkTerms(ruled)).not.toThrow();
        const { collateralSat, makerBondSat } = ruled.bonds!;
        const again = withBondRule(ruled, { collateralPpm, makerBondPpm });
        expect(again.bonds).toMatchObject({ collateralSat, makerBondSat });
      }),
    );
  });
});
