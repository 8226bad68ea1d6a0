import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bondsOf, hasBondOutputs } from '../../src/contract/bond-terms.ts';
import { vestingOf } from '../../src/contract/vesting.ts';
import { anyBondedTerms, EH, makeBonds, makeTerms } from '../channel/fixtures.ts';

const anyPart = fc.bigInt(0n, 10n ** 6n);

describe('vesting', () => {
  it('is what was vested and what was not, of each bond, and neither is negative (I40)', () => {
    fc.assert(
      fc.property(anyBondedTerms, anyPart, (terms, part) => {
        const { collateralSat, makerBondSat } = bondsOf(terms);
        const vesting = vestingOf(terms, (terms.workTotalHashes * part) / 10n ** 6n);
        expect(vesting.vestedCollateralSat + vesting.unvestedCollateralSat).toBe(collateralSat);
        expect(vesting.vestedMakerBondSat + vesting.unvestedMakerBondSat).toBe(makerBondSat);
        for (const sat of Object.values(vesting)) expect(sat).toBeGreaterThanOrEqual(0n);
      }),
    );
  });

  it('never falls as work rises, is nothing before any and all at the end and beyond', () => {
    fc.assert(
      fc.property(anyBondedTerms, anyPart, anyPart, (terms, first, second) => {
        const [less, more] = [first, second]
          .toSorted((a, b) => Number(a - b))
          .map((part) => vestingOf(terms, (terms.workTotalHashes * part) / 10n ** 6n));
        expect(more!.vestedCollateralSat).toBeGreaterThanOrEqual(less!.vestedCollateralSat);
        expect(more!.vestedMakerBondSat).toBeGreaterThanOrEqual(less!.vestedMakerBondSat);
        const start = vestingOf(terms, 0n);
        expect([start.vestedCollateralSat, start.vestedMakerBondSat]).toEqual([0n, 0n]);
        for (const work of [terms.workTotalHashes, 2n * terms.workTotalHashes]) {
          const end = vestingOf(terms, work);
          expect([end.unvestedCollateralSat, end.unvestedMakerBondSat]).toEqual([0n, 0n]);
        }
      }),
    );
  });

  it('is the floor of the exact share, but for a rest below 1000 sats that would need an output', () => {
    fc.assert(
      fc.property(anyBondedTerms, anyPart, (terms, part) => {
        const work = (terms.workTotalHashes * part) / 10n ** 6n;
        const { vestedCollateralSat, unvestedCollateralSat } = vestingOf(terms, work);
        const { collateralSat } = bondsOf(terms);
        const floor = (collateralSat * work) / terms.workTotalHashes;
        if (hasBondOutputs(terms) && collateralSat - floor < 1000n) {
          expect(vestedCollateralSat).toBe(collateralSat);
        } else {
          expect(vestedCollateralSat).toBe(floor);
        }
        if (hasBondOutputs(terms) && unvestedCollateralSat > 0n)
          expect(unvestedCollateralSat).toBeGreaterThanOrEqual(1000n);
      }),
    );
  });

  it('by example: half the work releases half, and the last 999 sats go with the rest', () => {
    const terms = makeTerms({
      bonds: makeBonds('auditor', { makerBondSat: 2000n, collateralSat: 60_000n }),
    });
    expect(vestingOf(terms, 500n * EH)).toEqual({
      vestedCollateralSat: 30_000n,
      unvestedCollateralSat: 30_000n,
      vestedMakerBondSat: 1000n,
      unvestedMakerBondSat: 1000n,
    });
    const [one, other] = [500n * EH + EH / 2n, 983n * EH + EH / 2n].map((work) => vestingOf(terms, work));
    expect([one!.vestedMakerBondSat, one!.unvestedCollateralSat]).toEqual([2000n, 29_970n]);
    expect([other!.unvestedMakerBondSat, other!.unvestedCollateralSat]).toEqual([0n, 0n]);
    const forfeited = makeTerms({ bonds: makeBonds('forfeit_to_mm', { makerBondSat: 2000n }) });
    expect(vestingOf(forfeited, 999n * EH)).toEqual({
      vestedCollateralSat: 59_940n,
      unvestedCollateralSat: 60n,
      vestedMakerBondSat: 1998n,
      unvestedMakerBondSat: 2n,
    });
  });
});
