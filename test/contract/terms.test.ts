import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkTerms, contractIdOf, parseTerms, termsToJson } from '../../src/contract/terms.ts';
import { anyTerms, code, makeTerms } from '../channel/fixtures.ts';

describe('terms', () => {
  it('survive the round trip through JSON and keep their id (I1)', () => {
    fc.assert(
      fc.property(anyTerms, (terms) => {
        const parsed = parseTerms(JSON.parse(JSON.stringify(termsToJson(terms))));
        expect(parsed).toEqual(terms);
        expect(contractIdOf(parsed)).toBe(contractIdOf(terms));
      }),
    );
  });

  it('have another id when any field differs, whatever the order of the fields (I1)', () => {
    const json = termsToJson(makeTerms());
    const reordered = Object.fromEntries(Object.entries(json).toReversed());
    expect(contractIdOf(parseTerms(reordered))).toBe(contractIdOf(makeTerms()));
    const others = [
      makeTerms({ network: 'signet' }),
      makeTerms({ minerNodeId: '11'.repeat(32) }),
      makeTerms({ makerNodeId: '11'.repeat(32) }),
      makeTerms({ priceMsatPerEh: 1n }),
      makeTerms({ workTotalHashes: 1n }),
      makeTerms({ stepHashes: 1n }),
      makeTerms({ maxUnpaidSteps: 1 }),
      makeTerms({ budgetSat: 1n }),
      makeTerms({ reserveSat: 1n }),
      makeTerms({ minerReserveSat: 1n }),
      makeTerms({ expiryHeight: 1 }),
      makeTerms({ minDepth: 1 }),
      makeTerms({ feeLadderSatPerKvb: [1] }),
      makeTerms({ maxTargetHex: '11'.repeat(32) }),
      makeTerms({ binding: { type: 'coinbase', scriptHex: '51' } }),
      makeTerms({ staleGraceSeconds: 1 }),
      makeTerms({ nonceHex: '11'.repeat(16) }),
    ];
    expect(Object.keys(json)).toHaveLength(others.length + 1);
    expect(new Set([makeTerms(), ...others].map(contractIdOf)).size).toBe(others.length + 1);
  });

  it('are refused with a field absent, unknown or null', () => {
    const json = termsToJson(makeTerms());
    for (const key of Object.keys(json)) {
      const without = Object.fromEntries(Object.entries(json).filter(([name]) => name !== key));
      expect(code(() => parseTerms(without))).toBe('bad_terms');
      expect(code(() => parseTerms({ ...json, [key]: null }))).toBe('bad_terms');
    }
    expect(code(() => parseTerms({ ...json, more: 1 }))).toBe('bad_terms');
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseTerms(value))).toBe('bad_terms');
      }),
    );
  });

  it('are refused where a channel of them would be unsafe', () => {
    const bad = [
      { priceMsatPerEh: 0n },
      { stepHashes: 0n },
      { workTotalHashes: 10n ** 18n - 1n },
      { reserveSat: 999n },
      { minerReserveSat: 999n },
      { budgetSat: 485_059n },
      { budgetSat: 21n * 10n ** 14n },
      { makerNodeId: makeTerms().minerNodeId },
      { feeLadderSatPerKvb: [] },
      { feeLadderSatPerKvb: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((rate) => rate * 1000) },
      { feeLadderSatPerKvb: [99] },
      { feeLadderSatPerKvb: [1000, 1000] },
      { feeLadderSatPerKvb: [1000, 999] },
      { feeLadderSatPerKvb: [1_000_001] },
    ];
    for (const changes of bad) expect(code(() => checkTerms(makeTerms(changes)))).toBe('bad_terms');
    checkTerms(makeTerms());
  });
});
