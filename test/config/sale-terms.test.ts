import { expect, it } from 'vitest';
import { blocksOfMs, offMarketOn, type SaidTimes, saleTimesOf } from '../../src/config/sale-terms.ts';

const EH = 10n ** 18n;
const said = (changes: Partial<SaidTimes> = {}) =>
  saleTimesOf({
    ...{ work: undefined, rate: undefined, maxRate: undefined, start: undefined },
    ...{ durationBlocks: undefined, expiryBlocks: 1548, ...changes },
  });

it('a rate for a time is so much work, and 100 EH where neither is said', () => {
  const rate = 10n ** 15n;
  expect(said().workTotalHashes).toBe(100n * EH);
  expect(said({ rate }).workTotalHashes).toBe(100n * EH);
  expect(said({ rate, durationBlocks: 1008 }).workTotalHashes).toBe(rate * 604_800n);
  expect(said({ rate, durationBlocks: 1008, work: EH }).workTotalHashes).toBe(EH);
  expect(said({ rate }).rate).toEqual({ committed: rate, min: rate, max: (rate * 5n) / 4n });
  expect(said({ rate, maxRate: 3n * rate }).rate?.max).toBe(3n * rate);
});

it('the expiry leaves time for the start, all of the duration, and the close', () => {
  expect(said().expiryBlocks).toBe(1548);
  expect(said({ durationBlocks: 1008 }).expiryBlocks).toBe(1548);
  expect(said({ durationBlocks: 1152 }).expiryBlocks).toBe(72 + 1152 + 324 + 1);
  const start = { afterBlocks: 1000, withinBlocks: 144 };
  expect(said({ durationBlocks: 1008, start }).expiryBlocks).toBe(1144 + 1008 + 324 + 1);
});

it('a time is so many blocks, rounded up', () => {
  expect([600_000, 600_001, 604_800_000].map(blocksOfMs)).toEqual([1, 2, 1008]);
});

it('what is far off the value of hashes is usual on mainnet, and on other networks only what is said', () => {
  expect(['mainnet', 'signet', 'regtest'].map((network) => offMarketOn(network, undefined))).toEqual([
    ...[1.5, undefined, undefined],
  ]);
  expect(['mainnet', 'regtest'].map((network) => offMarketOn(network, 3))).toEqual([3, 3]);
});
