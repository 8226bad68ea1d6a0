import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AHEAD_BLOCKS, creditLimit } from '../../src/contract/rate-limit.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const rate = { committed: 10n ** 15n, min: 10n ** 15n, max: 2n * 10n ** 15n };
const refusing = makeTermsV3({ rate, overDelivery: 'refuse' });

it('work has no bound where it is credited whatever the rate, or the funding is in no block', () => {
  expect(creditLimit(makeTermsV3({ rate, overDelivery: 'credit' }), 100, 200)).toBeUndefined();
  expect(creditLimit(refusing, undefined, 200)).toBeUndefined();
});

it('work on a block is bounded by the greatest rate since the first block, and some blocks ahead', () => {
  const block = rate.max * 600n;
  expect(creditLimit(refusing, 100, 100)).toBe(block * BigInt(AHEAD_BLOCKS + 1));
  expect(creditLimit(refusing, 100, 243)).toBe(block * BigInt(AHEAD_BLOCKS + 144));
  const start = { notBeforeHeight: 150, notAfterHeight: 160 };
  expect(creditLimit({ ...refusing, start }, 100, 150)).toBe(creditLimit(refusing, 150, 150));
  expect(creditLimit({ ...refusing, start }, 155, 155)).toBe(creditLimit(refusing, 155, 155));
});

it('a later block never has a lower bound, and blocks before the first have that of none', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 10_000 }),
      fc.nat({ max: 10_000 }),
      fc.nat({ max: 100 }),
      (deep, height, more) => {
        const limit = creditLimit(refusing, deep, height)!;
        expect(creditLimit(refusing, deep, height + more)!).toBeGreaterThanOrEqual(limit);
        expect(limit).toBeGreaterThanOrEqual(rate.max * 600n * BigInt(AHEAD_BLOCKS));
      },
    ),
  );
});
