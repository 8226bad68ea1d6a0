import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import {
  assertMeant,
  factorPpmOf,
  highestNearMsatPerEh,
  offMarketJson,
  offMarketOf,
  offMarketText,
} from '../../src/contract/off-market.ts';
import '../seed.ts';

const HALF_MORE = factorPpmOf(1.5);

it('a price is far off from beyond the factor on, above as below', () => {
  const side = (price: bigint, value: bigint): unknown => offMarketOf(price, value, HALF_MORE)?.side;
  expect([side(750n, 500n), side(751n, 500n)]).toEqual([undefined, 'above']);
  expect([side(500n, 750n), side(500n, 751n)]).toEqual([undefined, 'below']);
  expect(offMarketOf(1n, 1n, factorPpmOf(1))).toBeUndefined();
});

it('nothing is far off a value that nobody knows, or without a factor', () => {
  expect(offMarketOf(1n, undefined, HALF_MORE)).toBeUndefined();
  expect(offMarketOf(1n, 0n, HALF_MORE)).toBeUndefined();
  expect(offMarketOf(1n, 10n ** 9n, undefined)).toBeUndefined();
});

it('the highest price that is near is, and the next is not', () => {
  const msat = fc.bigInt({ min: 1n, max: 10n ** 15n });
  const factor = fc.bigInt({ min: 1_000_000n, max: 10n ** 8n });
  fc.assert(
    fc.property(msat, factor, (value, factorPpm) => {
      const most = highestNearMsatPerEh(value, factorPpm);
      expect(offMarketOf(most, value, factorPpm)?.side).not.toBe('above');
      expect(offMarketOf(most + 1n, value, factorPpm)?.side).toBe('above');
    }),
  );
});

it('who sells far below, or by no value, is asked whether that is meant; far above it is told', () => {
  const answer = (price: bigint, value: bigint | undefined, isMeant: boolean, factor?: bigint): unknown => {
    try {
      return assertMeant(price, value, factor, isMeant)?.side ?? 'near';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return error.code;
    }
  };
  const both = (price: bigint, value: bigint | undefined): unknown[] =>
    [false, true].map((isMeant) => answer(price, value, isMeant, HALF_MORE));
  expect(both(500n, 751n)).toEqual(['off_market', 'below']);
  expect(both(500n, undefined)).toEqual(['off_market', 'near']);
  expect(both(500n, 750n)).toEqual(['near', 'near']);
  expect(both(751n, 500n)).toEqual(['above', 'above']);
  expect([answer(1n, 10n ** 9n, false), answer(1n, undefined, false)]).toEqual(['near', 'near']);
});

it('people and programs are told how far', () => {
  const text = (price: bigint): string => offMarketText(offMarketOf(price, 500_000n, HALF_MORE)!);
  expect(text(43_200_000_000n)).toContain('is 8.64e+4 times what hashes are worth: 500 sat/EH');
  expect(text(250_000n)).toContain('is 50.0 % of what hashes are worth: 500 sat/EH');
  const off = offMarketOf(250_000n, 500_000n, HALF_MORE);
  expect(offMarketJson(off)).toEqual({ side: 'below', of_value_ppm: '500000', warning: text(250_000n) });
  expect(offMarketJson(undefined)).toBeNull();
});
