import { decimalText } from '../base/price.ts';
import { amount, type FieldValue, group, integer, oneOf, ppm, refuseTerm, tagged } from './fields.ts';

/** The terms of a price that follows the value of hashes; `MARKET.md` has the formula. */
const follows = {
  /** Name of the formula. */
  formula: ['formula', oneOf('hash_value_144')],
  /** When the price is set anew: at the first block of each difficulty period, or of each 144 blocks. */
  epoch: ['epoch', oneOf('difficulty', 'day')],
  /** Blocks for which the last good value is used while there is no new one; then the contract pauses. */
  ttlBlocks: ['ttl_blocks', integer(1, 4032)],
  /** Bounds of the price, msat per EH. */
  minMsatPerEh: ['min_msat_per_eh', amount],
  maxMsatPerEh: ['max_msat_per_eh', amount],
} as const;

/** The price of verified work: fixed, or following the value of hashes. */
export const priceField = tagged(['type', 'type'], {
  fixed: group({ msatPerEh: ['msat_per_eh', amount] }),
  /** The value of hashes plus a premium in ppm of it, which may be negative. */
  index: group({ ...follows, premiumPpm: ['premium_ppm', integer(-1_000_000, 1_000_000)] }),
  /** The strike plus a part of the difference between the value of hashes and it. */
  collar: group({
    ...follows,
    strikeMsatPerEh: ['strike_msat_per_eh', amount],
    sharePpm: ['share_ppm', ppm],
  }),
});
/** The price of version 3 terms. */
export type Price = FieldValue<typeof priceField>;

/** A price that follows the value of hashes. */
export type MovingPrice = Exclude<Price, { type: 'fixed' }>;

/** The highest price the terms allow, msat per EH; the budget has to cover it. */
export function highestMsatPerEh(price: Price): bigint {
  return price.type === 'fixed' ? price.msatPerEh : price.maxMsatPerEh;
}

/** The lowest price the terms allow, msat per EH; it bounds the maker's bond. */
export function lowestMsatPerEh(price: Price): bigint {
  return price.type === 'fixed' ? price.msatPerEh : price.minMsatPerEh;
}

/** Checks the relations within a price. Throws `bad_terms`. `checkTermsV3` judges a price of 0. */
export function checkPrice(price: Price): void {
  if (price.type === 'fixed') return;
  const { minMsatPerEh, maxMsatPerEh } = price;
  if (minMsatPerEh === 0n) refuseTerm('price.min_msat_per_eh', 'must be positive');
  if (minMsatPerEh > maxMsatPerEh) refuseTerm('price.max_msat_per_eh', 'is below the least price');
  if (price.type === 'index') return;
  const { strikeMsatPerEh } = price;
  if (strikeMsatPerEh < minMsatPerEh || strikeMsatPerEh > maxMsatPerEh)
    refuseTerm('price.strike_msat_per_eh', 'must be within the bounds of the price');
}

/** The rule of a price that moves, for people. */
export function movingPriceText(price: MovingPrice): string {
  const { epoch, minMsatPerEh, maxMsatPerEh } = price;
  const sat = (msat: bigint): string => `${decimalText(msat, 3)} sat/EH`;
  const percent = (ppm: number): string => `${ppm / 10_000} %`;
  const rule =
    price.type === 'index'
      ? `the value of hashes ${price.premiumPpm < 0 ? '-' : '+'} ${percent(Math.abs(price.premiumPpm))}`
      : `${sat(price.strikeMsatPerEh)} and ${percent(price.sharePpm)} of the distance to the value of hashes`;
  const when = epoch === 'day' ? 'each 144 blocks' : 'each difficulty period';
  return `${rule}, set anew ${when}, from ${sat(minMsatPerEh)} to ${sat(maxMsatPerEh)}`;
}

const PPM = 1_000_000n;

/** `a / b` rounded down, for either sign of `a`. @param b positive */
function floorDivide(a: bigint, b: bigint): bigint {
  return a >= 0n ? a / b : -((-a + b - 1n) / b);
}

/** The price at a value of hashes, msat per EH, by `MARKET.md`. It never falls as the value rises. */
export function priceAtValue(price: Price, valueMsatPerEh: bigint): bigint {
  if (price.type === 'fixed') return price.msatPerEh;
  const { minMsatPerEh: least, maxMsatPerEh: most } = price;
  const wanted =
    price.type === 'index'
      ? floorDivide(valueMsatPerEh * (PPM + BigInt(price.premiumPpm)), PPM)
      : price.strikeMsatPerEh +
        floorDivide((valueMsatPerEh - price.strikeMsatPerEh) * BigInt(price.sharePpm), PPM);
  return wanted < least ? least : wanted > most ? most : wanted;
}
