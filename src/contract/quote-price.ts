import { type MovingPrice, type Price, priceAtValue } from './price.ts';

/**
 * What a maker pays for an amount of work, from its price rule and what it holds. Less, never more, than the
 * rule says: the spread is what the maker keeps for what could go against it.
 */

const PPM = 1_000_000n;

/** How much less than the price of the rule is paid, each in ppm of it. */
export type Spread = {
  /** Where the work bought is all that is wanted; in proportion below that, and up to twice as much above. */
  readonly inventoryPpm: number;
  /** Part of the volatility of the value of hashes. */
  readonly volatilityPpm: number;
  /** For the largest contract; in proportion below. */
  readonly sizePpm: number;
  /** For the longest contract; in proportion below. */
  readonly durationPpm: number;
};

/** A quantity against the one it is measured by. */
export type Portion = { readonly amount: bigint; readonly whole: bigint };

/** The facts that a price depends on. */
export type PriceFacts = {
  /** Undefined where none can be had; a fixed price needs none. */
  readonly valueMsatPerEh: bigint | undefined;
  /** Largest difference of the value of hashes in the last days, ppm of the least. */
  readonly volatilityPpm: bigint;
  /** Work bought and not delivered yet, against what is wanted. */
  readonly inventory: Portion;
  /** The budget, against the greatest of a contract. */
  readonly size: Portion;
  /** Blocks to the expiry, against the most of a contract. */
  readonly duration: Portion;
};

/**
 * The price of one contract, msat per EH, rounded down; undefined where the rule needs a value of hashes and
 * there is none, and where nothing is left to pay. Pure. It never rises with inventory, volatility, size or
 * duration, and never falls as the value rises.
 */
export function quotePrice(rule: Price, spread: Spread, facts: PriceFacts): bigint | undefined {
  const { valueMsatPerEh } = facts;
  if (rule.type !== 'fixed' && valueMsatPerEh === undefined) return undefined;
  const base = priceAtValue(rule, valueMsatPerEh ?? 0n);
  const price = (base * leftPpm(spread, facts)) / PPM;
  return price === 0n ? undefined : price;
}

/**
 * The price of one contract that moves as the rule does, less the spread of now, and is never below a least
 * price; undefined where the rule is fixed, or nothing of it is left. At no value of hashes is it above the
 * rule's, but where `minMsatPerEh` is.
 */
export function movingQuotePrice(
  rule: Price,
  spread: Spread,
  facts: PriceFacts,
  minMsatPerEh: bigint,
): MovingPrice | undefined {
  if (rule.type === 'fixed' || minMsatPerEh > rule.maxMsatPerEh) return undefined;
  const left = leftPpm(spread, facts);
  if (left === 0n) return undefined;
  if (rule.type === 'index') {
    const premiumPpm = Number(((PPM + BigInt(rule.premiumPpm)) * left) / PPM - PPM);
    return { ...rule, premiumPpm, minMsatPerEh };
  }
  const strikeMsatPerEh = (rule.strikeMsatPerEh * left) / PPM;
  return strikeMsatPerEh < minMsatPerEh ? undefined : { ...rule, strikeMsatPerEh, minMsatPerEh };
}

/** The part of a price that is left after the spread, ppm. */
function leftPpm(spread: Spread, facts: PriceFacts): bigint {
  const left = PPM - spreadPpm(spread, facts);
  return left > 0n ? left : 0n;
}

function spreadPpm(spread: Spread, { volatilityPpm, inventory, size, duration }: PriceFacts): bigint {
  return (
    partOf(spread.inventoryPpm, inventory, 2n) +
    (BigInt(spread.volatilityPpm) * volatilityPpm) / PPM +
    partOf(spread.sizePpm, size, 1n) +
    partOf(spread.durationPpm, duration, 1n)
  );
}

/** Rounded up: a part that is begun counts. @param most times the whole */
function partOf(ppm: number, { amount, whole }: Portion, most: bigint): bigint {
  if (whole <= 0n) return 0n;
  const counted = amount > whole * most ? whole * most : amount;
  return (BigInt(ppm) * counted + whole - 1n) / whole;
}

/** The largest difference between values, in ppm of the least; 0 for fewer than two. */
export function volatilityOf(values: readonly bigint[]): bigint {
  if (values.length < 2) return 0n;
  const least = values.reduce((a, b) => (a < b ? a : b));
  const most = values.reduce((a, b) => (a > b ? a : b));
  return least === 0n ? 0n : ((most - least) * PPM) / least;
}
