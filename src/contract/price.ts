import { amount, type FieldValue, group, integer, oneOf, ppm, refuseTerm, tagged } from './fields.ts';

/** How a price follows the value of hashes: see `MARKET.md` for the formula, word for word. */
const follows = {
  /** The formula by its name. */
  formula: ['formula', oneOf('hash_value_144')],
  /** Looked at anew at the first block of each difficulty period, or of each 144 blocks; constant between. */
  epoch: ['epoch', oneOf('difficulty', 'day')],
  /** Blocks for which the last good value stands in for one that cannot be had; then the contract pauses. */
  ttlBlocks: ['ttl_blocks', integer(1, 4032)],
  /** Bounds of the price, msat per EH. */
  minMsatPerEh: ['min_msat_per_eh', amount],
  maxMsatPerEh: ['max_msat_per_eh', amount],
} as const;

/** What verified work earns: at one price, or at one that follows the value of hashes. */
export const priceField = tagged(['type', 'type'], {
  fixed: group({ msatPerEh: ['msat_per_eh', amount] }),
  /** The value of hashes, and parts in a million of it more or less. */
  index: group({ ...follows, premiumPpm: ['premium_ppm', integer(-1_000_000, 1_000_000)] }),
  /** The strike, and a part of what the value of hashes is above or below it. */
  collar: group({
    ...follows,
    strikeMsatPerEh: ['strike_msat_per_eh', amount],
    sharePpm: ['share_ppm', ppm],
  }),
});
export type Price = FieldValue<typeof priceField>;

/** The most a price can be, msat per EH: what the budget has to cover. */
export function highestMsatPerEh(price: Price): bigint {
  return price.type === 'fixed' ? price.msatPerEh : price.maxMsatPerEh;
}

/** The least a price can be, msat per EH: what bounds the bond of the maker. */
export function lowestMsatPerEh(price: Price): bigint {
  return price.type === 'fixed' ? price.msatPerEh : price.minMsatPerEh;
}

/** Throws `bad_terms`. A price of 0 is for `checkTermsV3` to judge. */
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
