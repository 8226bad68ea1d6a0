import { priceText } from '../base/price.ts';

/** A price that is far from the value of hashes: mistyped, or what nobody would want to learn late. */

const PPM = 1_000_000n;

export type OffMarket = {
  readonly side: 'below' | 'above';
  readonly valueMsatPerEh: bigint;
  /** The price as a part of the value, ppm, rounded down. */
  readonly ofValuePpm: bigint;
};

/**
 * How a price is off the market: undefined where it is not, and where either is not known.
 * @param factorPpm how many times above or below the value is not far yet; undefined: nothing is far
 */
export function offMarketOf(
  priceMsatPerEh: bigint,
  valueMsatPerEh: bigint | undefined,
  factorPpm: bigint | undefined,
): OffMarket | undefined {
  if (valueMsatPerEh === undefined || valueMsatPerEh === 0n || factorPpm === undefined) return undefined;
  const isAbove = priceMsatPerEh > highestNearMsatPerEh(valueMsatPerEh, factorPpm);
  const isBelow = priceMsatPerEh * factorPpm < valueMsatPerEh * PPM;
  if (!isAbove && !isBelow) return undefined;
  const ofValuePpm = (priceMsatPerEh * PPM) / valueMsatPerEh;
  return { side: isAbove ? 'above' : 'below', valueMsatPerEh, ofValuePpm };
}

/** The highest price that is not far above a value, msat per EH. */
export function highestNearMsatPerEh(valueMsatPerEh: bigint, factorPpm: bigint): bigint {
  return (valueMsatPerEh * factorPpm) / PPM;
}

/** A factor as people type it; exact to a millionth. */
export function factorPpmOf(factor: number): bigint {
  return BigInt(Math.round(factor * 1_000_000));
}

/** How far the price is, for people. */
export function offMarketText({ side, valueMsatPerEh, ofValuePpm }: OffMarket): string {
  const times = Number(ofValuePpm) / 1_000_000;
  const how = side === 'above' ? `${times.toPrecision(3)} times` : `${(100 * times).toPrecision(3)} % of`;
  return `the price is ${how} what hashes are worth: ${priceText(valueMsatPerEh)}`;
}
