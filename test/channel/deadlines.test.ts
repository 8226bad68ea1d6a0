import { describe, expect, it } from 'vitest';
import {
  assertTimeToBegin,
  assertTimeToFund,
  fundingByHeightOf,
  isTooLateToBegin,
} from '../../src/channel/deadlines.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { code, makeTerms } from './fixtures.ts';

const MARGINS = { askBlocks: 100, urgentBlocks: 20 };
const terms = makeTerms({ expiryHeight: 1000, minDepth: 3 });

describe('a contract', () => {
  it('begins until the margins of its close no longer fit, to the block', () => {
    expect(isTooLateToBegin(terms, MARGINS, 879)).toBe(false);
    expect(isTooLateToBegin(terms, MARGINS, 880)).toBe(true);
    expect(isTooLateToBegin(terms, { ...MARGINS, beginBlocks: 50 }, 949)).toBe(false);
    expect(isTooLateToBegin(terms, { ...MARGINS, beginBlocks: 50 }, 950)).toBe(true);
    expect(() => assertTimeToBegin(terms, MARGINS, 879)).not.toThrow();
    expect(code(() => assertTimeToBegin(terms, MARGINS, 880))).toBe('expiry_near');
  });

  it('is funded while the funding can be deep by its last height, to the block', () => {
    // The last block in which something begins is 879: a funding of depth 3 is to be in block 877.
    expect(fundingByHeightOf(terms, MARGINS)).toBe(879);
    expect(() => assertTimeToFund(terms, MARGINS, 876)).not.toThrow();
    expect(code(() => assertTimeToFund(terms, MARGINS, 877))).toBe('expiry_near');
    expect(code(() => assertTimeToFund(terms, MARGINS, 1000))).toBe('expiry_near');
    // Of depth 0 it is in time where nothing begins any more: that refuses it.
    const instant = makeTerms({ expiryHeight: 1000, minDepth: 0 });
    expect(code(() => assertTimeToFund(instant, { ...MARGINS, beginBlocks: 0 }, 1000))).toBe('expiry_near');
  });

  it('is to be funded by the height of its terms, where that is before the last', () => {
    const of = (fundingByHeight: number): number =>
      fundingByHeightOf(makeTermsV3({ expiryHeight: 1000, fundingByHeight }), MARGINS);
    expect(of(500)).toBe(500);
    expect(of(879)).toBe(879);
    expect(of(950)).toBe(879);
  });
});
