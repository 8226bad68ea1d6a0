import { describe, expect, it } from 'vitest';
import { earnsSatRoundedUp } from '../../src/base/price.ts';
import { successorTerms } from '../../src/contract/successor-terms.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { TERMS_DEFAULTS } from '../../src/contract/terms-defaults.ts';
import type { TermsV3 } from '../../src/contract/terms-v3.ts';
import type { AgreedUpdate } from '../../src/contract/update.ts';
import { withUpdates } from '../../src/contract/updated-terms.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const terms = makeTermsV3();
const place = { height: terms.fundingByHeight, nonce: new Uint8Array(16).fill(7) };
const LATER = TERMS_DEFAULTS.fundingByBlocks;

const updated = (change: Partial<AgreedUpdate['update']>): TermsV3 => {
  const update = {
    ...{ contractIdHex: contractIdOf(terms), previousHex: contractIdOf(terms), number: 1 },
    ...{ fromHashes: 1n, nonceHex: '00'.repeat(16), ...change },
  };
  const signature = '00'.repeat(64);
  const agreed = { update, minerSignature: signature, makerSignature: signature };
  return withUpdates(terms, [agreed as AgreedUpdate]) as TermsV3;
};

describe('the terms of the next contract', () => {
  it('are those of the one before, as far from their height', () => {
    const next = successorTerms(terms, place);
    expect(next).toEqual({
      ...terms,
      nonceHex: '07'.repeat(16),
      expiryHeight: terms.expiryHeight + LATER,
      fundingByHeight: terms.fundingByHeight + LATER,
      ...(terms.start === undefined
        ? {}
        : {
            start: {
              notBeforeHeight: terms.start.notBeforeHeight + LATER,
              notAfterHeight: terms.start.notAfterHeight + LATER,
            },
          }),
    });
  });

  it('have the price and step that both signed last, and the budget that this takes', () => {
    const price = terms.price;
    if (price.type !== 'fixed') throw new Error('not of a fixed price');
    const priceMsatPerEh = price.msatPerEh * 2n;
    const stepHashes = terms.stepHashes - 1n;
    const next = successorTerms(updated({ priceMsatPerEh, stepHashes }), place);
    expect(next).toMatchObject({ price: { type: 'fixed', msatPerEh: priceMsatPerEh }, stepHashes });
    const pays = earnsSatRoundedUp(terms.workTotalHashes, priceMsatPerEh);
    expect(next.budgetSat).toBe(pays > terms.budgetSat ? pays : terms.budgetSat);
    expect(next.updates).toBeUndefined();
  });

  it('have the budget of their work, where that is another, and bonds by their rule', () => {
    const workTotalHashes = terms.workTotalHashes / 2n;
    const next = successorTerms(terms, { ...place, workTotalHashes });
    if (next.price.type !== 'fixed') throw new Error('not of a fixed price');
    expect(next.budgetSat).toBe(earnsSatRoundedUp(workTotalHashes, next.price.msatPerEh));
    expect(next.bonds?.size.collateralPpm).toBe(terms.bonds?.size.collateralPpm);
    expect(() => successorTerms(terms, { ...place, workTotalHashes: 0n })).toThrow('bad_terms');
  });
});
