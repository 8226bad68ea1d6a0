import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochStart, hashValue144 } from '../../src/contract/hash-value.ts';
import { checkPrice, type Price, priceAtValue } from '../../src/contract/price.ts';
import {
  movingQuotePrice,
  type PriceFacts,
  quotePrice,
  type Spread,
  volatilityOf,
} from '../../src/contract/quote-price.ts';
import '../seed.ts';

const NO_SPREAD = { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 };
const msat = fc.bigInt({ min: 1n, max: 10n ** 12n });
const follows = { formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144 } as const;
const bounds = fc.tuple(msat, msat).map(([a, b]) => (a < b ? [a, b] : [b, a]) as [bigint, bigint]);
const rule: fc.Arbitrary<Price> = fc.oneof(
  msat.map((msatPerEh): Price => ({ type: 'fixed', msatPerEh })),
  fc
    .record({ bounds, premiumPpm: fc.integer({ min: -1_000_000, max: 1_000_000 }) })
    .map(({ bounds: [minMsatPerEh, maxMsatPerEh], premiumPpm }): Price => {
      return { type: 'index', ...follows, minMsatPerEh, maxMsatPerEh, premiumPpm };
    }),
  fc
    .record({ bounds, sharePpm: fc.integer({ min: 0, max: 1_000_000 }), high: fc.boolean() })
    .map(({ bounds: [minMsatPerEh, maxMsatPerEh], sharePpm, high }): Price => {
      const strikeMsatPerEh = high ? maxMsatPerEh : minMsatPerEh;
      return { type: 'collar', ...follows, minMsatPerEh, maxMsatPerEh, strikeMsatPerEh, sharePpm };
    }),
);
const ppm = fc.integer({ min: 0, max: 1_000_000 });
const spread: fc.Arbitrary<Spread> = fc.record({
  ...{ inventoryPpm: ppm, volatilityPpm: ppm, sizePpm: ppm, durationPpm: ppm },
});
const amount = fc.bigInt({ min: 0n, max: 10n ** 24n });
const portion = fc.record({ amount, whole: amount });
const facts: fc.Arbitrary<PriceFacts> = fc.record({
  valueMsatPerEh: fc.option(msat, { nil: undefined }),
  volatilityPpm: fc.bigInt({ min: 0n, max: 10n ** 7n }),
  ...{ inventory: portion, size: portion, duration: portion },
});

describe('a quoted price that moves', () => {
  it('is at no value of hashes above that of the rule, or the least that was asked for', () => {
    fc.assert(
      fc.property(
        rule,
        spread,
        facts,
        msat,
        fc.array(amount, { maxLength: 5 }),
        (own, spreads, now, least, values) => {
          const quoted = movingQuotePrice(own, spreads, now, least);
          if (quoted === undefined || own.type === 'fixed') return;
          checkPrice(quoted);
          for (const value of values) {
            const most = priceAtValue(own, value);
            expect(priceAtValue(quoted, value) <= (most > least ? most : least)).toBe(true);
          }
        },
      ),
    );
  });

  it('has what is left of the premium, or of the strike, rounded down', () => {
    const whole = { amount: 1n, whole: 1n };
    const none = { amount: 0n, whole: 1n };
    const now = {
      valueMsatPerEh: undefined,
      volatilityPpm: 0n,
      inventory: whole,
      size: none,
      duration: none,
    };
    const spreads = { ...NO_SPREAD, inventoryPpm: 10_000 };
    const moving = { ...follows, minMsatPerEh: 10n, maxMsatPerEh: 10n ** 9n };
    const index = { type: 'index', ...moving, premiumPpm: 20_001 } as const;
    // 1.020001 times 0.99 is 1.00980099.
    expect(movingQuotePrice(index, spreads, now, 5n)).toEqual({
      ...index,
      premiumPpm: 9800,
      minMsatPerEh: 5n,
    });
    const collar = { type: 'collar', ...moving, strikeMsatPerEh: 1001n, sharePpm: 1 } as const;
    expect(movingQuotePrice(collar, spreads, now, 5n)).toEqual({
      ...{ ...collar, strikeMsatPerEh: 990n, minMsatPerEh: 5n },
    });
    expect(movingQuotePrice(collar, spreads, now, 991n)).toBeUndefined();
    expect(movingQuotePrice({ type: 'fixed', msatPerEh: 5n }, spreads, now, 1n)).toBeUndefined();
    expect(movingQuotePrice(index, { ...spreads, inventoryPpm: 1_000_000 }, now, 1n)).toBeUndefined();
  });
});

describe('the price that a value of hashes gives', () => {
  it('is within the bounds of its rule, and never falls as the value rises (I25)', () => {
    fc.assert(
      fc.property(rule, msat, amount, (price, value, more) => {
        checkPrice(price);
        const [low, high] = [priceAtValue(price, value), priceAtValue(price, value + more)];
        expect(high >= low).toBe(true);
        if (price.type === 'fixed') expect([low, high]).toEqual([price.msatPerEh, price.msatPerEh]);
        else expect(low >= price.minMsatPerEh && high <= price.maxMsatPerEh).toBe(true);
      }),
    );
  });

  it('is rounded down to a msat, below the strike too', () => {
    const index = { type: 'index', ...follows, minMsatPerEh: 1n, maxMsatPerEh: 10n ** 9n } as const;
    expect(priceAtValue({ ...index, premiumPpm: -20_000 }, 485_063n)).toBe(475_361n);
    expect(priceAtValue({ ...index, premiumPpm: 1 }, 485_063n)).toBe(485_063n);
    const collar = { ...index, type: 'collar', strikeMsatPerEh: 100n, sharePpm: 500_000 } as const;
    // A half of -3 is -1.5, of which the floor is -2.
    expect(priceAtValue(collar, 97n)).toBe(98n);
    expect(priceAtValue(collar, 103n)).toBe(101n);
  });
});

describe('the price of a quote', () => {
  it('is never above what the rule says, and needs a value where the rule does', () => {
    fc.assert(
      fc.property(rule, spread, facts, (price, kept, around) => {
        const quoted = quotePrice(price, kept, around);
        if (quoted === undefined) return;
        expect(price.type === 'fixed' || around.valueMsatPerEh !== undefined).toBe(true);
        expect(quoted > 0n && quoted <= priceAtValue(price, around.valueMsatPerEh ?? 0n)).toBe(true);
        expect(quotePrice(price, NO_SPREAD, around)).toBe(priceAtValue(price, around.valueMsatPerEh ?? 0n));
      }),
    );
  });

  it('never rises with inventory, volatility, size or duration, nor falls with the value', () => {
    const price = (...words: Parameters<typeof quotePrice>): bigint => quotePrice(...words) ?? 0n;
    fc.assert(
      fc.property(rule, spread, facts, amount, (by, kept, around, more) => {
        const now = price(by, kept, around);
        for (const name of ['inventory', 'size', 'duration'] as const) {
          const grown = { ...around[name], amount: around[name].amount + more };
          expect(price(by, kept, { ...around, [name]: grown }) <= now).toBe(true);
        }
        const rougher = { ...around, volatilityPpm: around.volatilityPpm + more };
        expect(price(by, kept, rougher) <= now).toBe(true);
        if (around.valueMsatPerEh === undefined) return;
        const dearer = { ...around, valueMsatPerEh: around.valueMsatPerEh + more };
        expect(price(by, kept, dearer) >= now).toBe(true);
      }),
    );
  });

  it('keeps the parts that it says', () => {
    const whole = { amount: 100n, whole: 100n };
    const none = { amount: 0n, whole: 100n };
    const around: PriceFacts = {
      ...{
        valueMsatPerEh: undefined,
        volatilityPpm: 40_000n,
        inventory: whole,
        size: none,
        duration: none,
      },
    };
    const fixed: Price = { type: 'fixed', msatPerEh: 1_000_000n };
    expect(quotePrice(fixed, { ...NO_SPREAD, inventoryPpm: 10_000 }, around)).toBe(990_000n);
    const twice = { ...around, inventory: { amount: 500n, whole: 100n } };
    expect(quotePrice(fixed, { ...NO_SPREAD, inventoryPpm: 10_000 }, twice)).toBe(980_000n);
    expect(quotePrice(fixed, { ...NO_SPREAD, volatilityPpm: 500_000 }, around)).toBe(980_000n);
    const long = { ...around, duration: whole, size: { amount: 50n, whole: 100n } };
    expect(quotePrice(fixed, { ...NO_SPREAD, durationPpm: 3_000, sizePpm: 4_000 }, long)).toBe(995_000n);
    expect(quotePrice(fixed, { ...NO_SPREAD, inventoryPpm: 1_000_000 }, around)).toBeUndefined();
  });
});

describe('the value of hashes', () => {
  it('is what 144 blocks paid for the hashes they stand for', () => {
    // Difficulty 1 is 4,295,032,833 hashes.
    const block = { rewardSat: 312_500_000n, bits: 0x1d00ffff };
    const blocks = Array.from({ length: 144 }, () => block);
    expect(hashValue144(blocks)).toBe((312_500_000n * 1000n * 10n ** 18n) / 4_295_032_833n);
    expect(hashValue144(blocks.slice(1))).toBeUndefined();
    const richer = blocks.with(7, { ...block, rewardSat: 456_500_000n });
    expect(hashValue144(richer)).toBe((313_500_000n * 1000n * 10n ** 18n) / 4_295_032_833n);
  });

  it('is taken at the first block of an epoch', () => {
    expect([epochStart('day', 143), epochStart('day', 144), epochStart('day', 400)]).toEqual([0, 144, 288]);
    expect([epochStart('difficulty', 2015), epochStart('difficulty', 4100)]).toEqual([0, 4032]);
  });

  it('is as rough as its largest difference', () => {
    expect([volatilityOf([]), volatilityOf([5n]), volatilityOf([100n, 110n, 95n])]).toEqual([
      0n,
      0n,
      157_894n,
    ]);
  });
});
