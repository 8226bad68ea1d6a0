import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bondsOf, hasBondOutputs, sealExpiryHeight } from '../../src/contract/bond-terms.ts';
import {
  checkTerms,
  contractIdOf,
  parseTerms,
  type TermsV1or2,
  termsToJson,
  termsVersion,
} from '../../src/contract/terms.ts';
import { anyBondedTerms, BOND_MODES, code, EH, makeBonds, makeTerms, SEAL } from '../channel/fixtures.ts';

const bonded = makeTerms({ bonds: makeBonds('auditor'), seal: SEAL });

function json(terms: TermsV1or2): Record<string, unknown> {
  return structuredClone(termsToJson(terms)) as Record<string, unknown>;
}

describe('terms without bonds', () => {
  it('keep the spelling and the id they had', () => {
    const text = JSON.stringify(termsToJson(makeTerms()));
    expect(JSON.parse(text)).toMatchObject({ version: 1 });
    expect(text).not.toMatch(/bond|seal|collateral/);
    expect(contractIdOf(makeTerms())).toBe(
      'b80acb496b5ae6dc160465a52135e7cfaeea5a7348fea3d386ccaa7b7b5d2b25',
    );
  });

  it('have none', () => {
    expect(bondsOf(makeTerms())).toEqual({ bondMode: 'none', makerBondSat: 0n, collateralSat: 0n });
    expect(hasBondOutputs(makeTerms())).toBe(false);
  });
});

describe('terms with bonds', () => {
  it('survive the round trip through JSON and keep their id (I1)', () => {
    fc.assert(
      fc.property(anyBondedTerms, (terms) => {
        const parsed = parseTerms(JSON.parse(JSON.stringify(termsToJson(terms))));
        expect(parsed).toEqual(terms);
        expect(contractIdOf(parsed)).toBe(contractIdOf(terms));
        expect(termsVersion(parsed)).toBe(2);
      }),
    );
  });

  it('have another id when any field of a group differs (I1)', () => {
    const others = [
      makeTerms(),
      bonded,
      makeTerms({ seal: SEAL }),
      makeTerms({ bonds: makeBonds('auditor') }),
      ...BOND_MODES.map((mode) =>
        makeTerms({ seal: SEAL, bonds: makeBonds(mode, { makerBondSat: 1000n }) }),
      ),
      makeTerms({ seal: SEAL, bonds: makeBonds('auditor', { collateralSat: 1001n }) }),
      makeTerms({ seal: SEAL, bonds: makeBonds('auditor', { bondCsvBlocks: 144 }) }),
      makeTerms({ seal: { ...SEAL, sealSat: 2001n }, bonds: makeBonds('auditor') }),
      makeTerms({ seal: { ...SEAL, claimFeeRateSatPerKvb: 2001 }, bonds: makeBonds('auditor') }),
    ];
    expect(new Set(others.map(contractIdOf)).size).toBe(others.length);
  });

  it('are refused under version 1, and version 2 without them, so that each has one spelling', () => {
    for (const value of [
      { ...json(bonded), version: 1 },
      { ...json(makeTerms()), version: 2 },
      { ...json(bonded), version: 3 },
      { ...json(bonded), version: '2' },
      { ...json(makeTerms()), bonds: null },
      { ...json(makeTerms({ seal: SEAL })), bonds: null },
      { ...json(makeTerms({ bonds: makeBonds('hostage') })), seal: null },
    ]) {
      expect(code(() => parseTerms(value))).toBe('bad_terms');
    }
  });

  it('are refused with a field of a group absent, unknown, null or of another shape', () => {
    for (const [group, terms] of [
      ['bonds', bonded],
      ['seal', bonded],
      ['bonds', makeTerms({ bonds: makeBonds('hostage') })],
    ] as const) {
      const good = json(terms)[group] as Record<string, unknown>;
      const bad: unknown[] = [[], 'x', {}, { ...good, more: 1 }];
      for (const key of Object.keys(good)) {
        bad.push(Object.fromEntries(Object.entries(good).filter(([name]) => name !== key)));
        for (const value of [null, -1, '-1', '01', 1.5, {}, true]) bad.push({ ...good, [key]: value });
      }
      for (const value of bad) {
        expect(code(() => parseTerms({ ...json(terms), [group]: value }))).toBe('bad_terms');
      }
    }
    const { bonds } = json(bonded) as { bonds: Record<string, unknown> };
    expect(code(() => parseTerms({ ...json(bonded), bonds: { ...bonds, bond_mode: 'none' } }))).toBe(
      'bad_terms',
    );
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom('bonds', 'seal'), (value, group) => {
        fc.pre(value !== undefined);
        expect(code(() => parseTerms({ ...json(bonded), [group]: value }))).toBe('bad_terms');
      }),
    );
  });

  it('are refused where a channel of them would be unsafe', () => {
    const key = (auditorKeyHex: string): Partial<TermsV1or2> => ({
      bonds: { ...makeBonds('auditor'), auditorKeyHex } as TermsV1or2['bonds'] & object,
    });
    const { minerNodeId, makerNodeId } = makeTerms();
    const bad: Partial<TermsV1or2>[] = [
      { bonds: makeBonds('auditor', { makerBondSat: 0n, collateralSat: 0n }) },
      { bonds: makeBonds('hostage', { collateralSat: 999n }) },
      { bonds: makeBonds('hostage', { makerBondSat: 999n }) },
      { bonds: makeBonds('auditor', { collateralSat: 21n * 10n ** 14n }) },
      { bonds: makeBonds('auditor', { bondCsvBlocks: 0 }) },
      { bonds: makeBonds('auditor', { bondCsvBlocks: 65_536 }) },
      { bonds: makeBonds('auditor', { bondCsvBlocks: 1.5 }) },
      key(''),
      key(`04${'11'.repeat(32)}`),
      key(`02${'AA'.repeat(32)}`),
      key(`02${minerNodeId}`),
      key(`03${makerNodeId}`),
      { seal: { ...SEAL, sealSat: 999n } },
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 99 } },
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 1_000_001 } },
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 1000.5 } },
      { seal: SEAL, expiryHeight: 499_999_999 - 2015 },
    ];
    for (const changes of bad) expect(code(() => checkTerms(makeTerms(changes)))).toBe('bad_terms');
    checkTerms(makeTerms({ seal: SEAL, expiryHeight: 499_999_999 - 2016 }));
    expect(sealExpiryHeight(bonded)).toBe(920_000 + 2016);
  });

  it('need D below all that the work pays, which is at most B', () => {
    const pays = 485_060n;
    for (const mode of ['auditor', 'hostage'] as const) {
      const terms = (makerBondSat: bigint, budgetSat = pays): TermsV1or2 =>
        makeTerms({ budgetSat, bonds: makeBonds(mode, { makerBondSat }) });
      checkTerms(terms(pays - 1n));
      expect(code(() => checkTerms(terms(pays)))).toBe('bad_terms');
      expect(code(() => checkTerms(terms(pays, 2n * pays)))).toBe('bad_terms');
    }
    const unpaid = { workTotalHashes: EH, stepHashes: 1n, priceMsatPerEh: 1n };
    checkTerms(makeTerms({ ...unpaid, bonds: makeBonds('auditor', { makerBondSat: 0n }) }));
  });

  it('need D at most C where bonds are forfeited at once, or the miner would gain at state 0', () => {
    const terms = (makerBondSat: bigint): TermsV1or2 =>
      makeTerms({ bonds: makeBonds('forfeit_to_mm', { makerBondSat, collateralSat: 60_000n }) });
    checkTerms(terms(0n));
    checkTerms(terms(60_000n));
    expect(code(() => checkTerms(terms(60_001n)))).toBe('bad_terms');
  });
});
