import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { flooredText, parseSale, type Sale, saleText } from '../../src/config/sale-text.ts';
import { HASHRATE, Invalid, msatPerEh } from '../../src/config/values.ts';

const WEEK = 604_800n;

function read(text: string): Sale {
  const sale = parseSale(text);
  if (sale instanceof Invalid) throw new Error(`${text} ${sale.why}`);
  return sale;
}

describe('a sale in words', () => {
  it.each([
    ['30 sats for 60TH/minute for 1 week', 8_333_333n, 60n * 10n ** 12n, WEEK],
    ['30 sats per 60 TH/min for 1 week', 8_333_333n, 60n * 10n ** 12n, WEEK],
    ['30 sats per 60 TH/min of 5 PH/s for 1 week', 8_333_333n, 5n * 10n ** 15n, WEEK],
    ['46000 sat/PH/day', 532_407n, undefined, undefined],
    ['46000 sat/PH/day of 5 PH/s for 30 days', 532_407n, 5n * 10n ** 15n, 30n * 86_400n],
    ['485.06 sat/EH at 1.5 EH/s over 12 hours', 485_060n, 15n * 10n ** 17n, 43_200n],
    ['0.00045 BTC/PH/day for 2 weeks', 520_833n, undefined, 2n * WEEK],
    ['520 sats for 1 EH', 520_000n, undefined, undefined],
    ['520 sat per EH for 90m', 520_000n, undefined, 5400n],
    // An EH/s kept up for a second is an EH.
    ['1 sat per 1 EH/s', 1000n, 10n ** 18n, undefined],
  ])('%s', (text, price, hashesPerSecond, seconds) => {
    const sale = read(text);
    expect([sale.hashesPerSecond, sale.seconds]).toEqual([hashesPerSecond, seconds]);
    expect(msatPerEh(sale.price)).toBe(price);
  });

  it.each([
    ['46000 sat/PH for 30 days', 'lacks "/day"'],
    ['30 sats per 60 TH for 1 week', 'lacks "/day"'],
    ['30 sats for 1 week', 'must be a price'],
    ['30 sats per 60 TH/min for 0 days', 'lasts no time'],
    ['30 sats per 60 TH/min for 1 fortnight', 'must be a price'],
    ['30 sats per 60 TH/min for a week', 'must be a price'],
    ['520 sat/EH of 0 PH/s', 'is of no hashrate'],
    ['520 sat/EH of 5 XH/s', 'is of a hashrate that must be'],
    ['0.0001 sat/EH for 1 day', 'comes to less than 1 msat per EH'],
    ['', 'must be a price'],
  ])('%s is refused', (text, why) => {
    const sale = parseSale(text);
    expect(sale).toBeInstanceOf(Invalid);
    expect((sale as Invalid).why).toContain(why);
  });

  it('is read back as it is printed, to the msat, the hash and the second', () => {
    const anySale = fc.record({
      msat: fc.bigInt(1n, 10n ** 12n),
      hashesPerSecond: fc.option(fc.bigInt(1n, 10n ** 24n), { nil: undefined }),
      seconds: fc.option(fc.bigInt(1n, 10n ** 8n), { nil: undefined }),
    });
    fc.assert(
      fc.property(anySale, ({ msat, hashesPerSecond, seconds }) => {
        const price = { msat, hashes: 10n ** 18n, hashesPerSecond: undefined };
        const again = read(saleText({ price, hashesPerSecond, seconds }));
        expect(msatPerEh(again.price)).toBe(msat);
        expect([again.hashesPerSecond, again.seconds]).toEqual([hashesPerSecond, seconds]);
      }),
    );
  });

  it('is the same by every unit of hashrate over time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 ** 9 }),
        fc.integer({ min: 1, max: 10_000 }),
        (sat, count) => {
          const inMinutes = read(`${sat} sats per ${count} PH/min`).price;
          const inSeconds = read(`${sat} sats per ${count * 60} PH/s`).price;
          const inHours = read(`${sat * 60} sats per ${count} PH/hour`).price;
          for (const other of [inSeconds, inHours])
            expect(inMinutes.msat * other.hashes).toBe(other.msat * inMinutes.hashes);
        },
      ),
    );
  });

  it('says that a price was floored, and only then', () => {
    expect(flooredText(read('30 sats per 60 TH/min').price)).toBe(
      '8333.33... sat/EH, floored to 8333333 msat/EH',
    );
    expect(flooredText(read('520 sat/EH').price)).toBeUndefined();
  });

  it('prints a hashrate that the parser takes, of any size', () => {
    for (const text of ['1 H/s', '1.5 kH/s', '999.999 TH/s', '12.345678 ZH/s']) {
      const rate = HASHRATE.parse(text) as bigint;
      const sale = {
        price: { msat: 1n, hashes: 10n ** 18n, hashesPerSecond: undefined },
        hashesPerSecond: rate,
        seconds: undefined,
      };
      expect(saleText(sale)).toBe(`0.001 sat/EH of ${text}`);
    }
  });
});
