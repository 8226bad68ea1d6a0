import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import type { UpdateChange } from '../../src/contract/update.ts';
import { judgeSale, passedLimit, type SaleLimits } from '../../src/miner/sale-limits.ts';
import { EH } from '../channel/fixtures.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const TERMS = makeTermsV3({ budgetSat: 10_000_000n, stepHashes: 2n * EH, maxUnpaidSteps: 3 });
const PRICE = 1_000_000n;
const FIXED: TermsV3 = { ...TERMS, price: { type: 'fixed', msatPerEh: PRICE } };
const MOVING: TermsV3 = {
  ...TERMS,
  price: {
    ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 36, premiumPpm: 0 },
    ...{ minMsatPerEh: PRICE, maxMsatPerEh: 2n * PRICE },
  },
};

/** What it is refused by: the term, and the limit. */
function refused(limits: SaleLimits, change: UpdateChange, terms = FIXED): string {
  const contractIdHex = contractIdOf(terms);
  const update = {
    ...{ contractIdHex, previousHex: contractIdHex, number: 1, fromHashes: 10n * EH },
    ...{ nonceHex: '00'.repeat(16), ...change },
  };
  try {
    judgeSale(limits, [{ mostSat: 500n, stepSat: 100n }], { terms, paidHashes: 4n * EH, update });
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    expect(error.code).toBe('bad_terms');
    return `${String(error.meta['path'])}: ${error.message}`;
  }
}

describe('an update of what is sold', () => {
  it('is within the exposure of all contracts, to the sat', () => {
    // Three steps of 2 EH at 1,000 sat an EH, beside 500 sat of others.
    const limits = { maxExposureSat: 6_500n + 3_000n };
    expect(refused(limits, { stepHashes: 3n * EH })).toBe('taken');
    expect(refused(limits, { priceMsatPerEh: (PRICE * 3n) / 2n })).toBe('taken');
    expect(refused(limits, { stepHashes: 3n * EH + EH / 1000n })).toMatch(
      /^step_hashes: .*more unpaid than sell\.max_exposure allows/,
    );
    expect(refused(limits, { priceMsatPerEh: (PRICE * 3n) / 2n + 200n })).toMatch(/^price_msat_per_eh: /);
    expect(refused(limits, { stepHashes: 3n * EH, priceMsatPerEh: PRICE + 200n })).toMatch(
      /^step_hashes: /,
    );
    // Beyond what is delivered together nothing is: then the sum does not count.
    expect(refused({ ...limits, maxUnpaidTotalSat: 9_500n }, { stepHashes: 5n * EH })).toBe('taken');
  });

  it('leaves a quarter of the bound of all free beside a step of each', () => {
    const limits = { maxUnpaidTotalSat: 4_000n };
    expect(refused(limits, { priceMsatPerEh: (PRICE * 29n) / 20n })).toBe('taken');
    expect(refused(limits, { priceMsatPerEh: (PRICE * 29n) / 20n + 1n })).toMatch(
      /^price_msat_per_eh: .*contract\.max_unpaid_total/,
    );
    const all = [{ mostSat: 0n, stepSat: 3_000n }];
    expect(passedLimit(limits, all)).toBeUndefined();
    expect(passedLimit({ maxUnpaidTotalSat: 3_999n }, all)).toMatchObject({ sat: 4_000n });
  });

  it('that raises nothing is taken beyond a limit that was lowered since; below the floor none is', () => {
    const limits = { maxExposureSat: 1n, maxUnpaidTotalSat: 1n, floorMsatPerEh: PRICE - 1n };
    expect(refused(limits, { priceMsatPerEh: PRICE - 1n })).toBe('taken');
    expect(refused(limits, { stepHashes: EH })).toBe('taken');
    expect(refused(limits, { stopHeight: 5 })).toBe('taken');
    expect(refused(limits, { priceMsatPerEh: PRICE - 2n })).toMatch(/below sell\.floor_price/);
    // It was below before.
    expect(refused({ floorMsatPerEh: 2n * PRICE }, { priceMsatPerEh: PRICE })).toBe('taken');
  });

  it('of a price that moves is what both signed: it was reckoned with at its highest', () => {
    const limits = { maxExposureSat: 12_500n, floorMsatPerEh: 2n * PRICE };
    expect(refused({ ...limits, maxExposureSat: 1n }, { priceMsatPerEh: 2n * PRICE }, MOVING)).toBe(
      'taken',
    );
    expect(refused(limits, { priceMsatPerEh: PRICE }, MOVING)).toBe('taken');
    expect(refused(limits, { stepHashes: 2n * EH + EH / 1000n }, MOVING)).toMatch(/^step_hashes: /);
  });
});
