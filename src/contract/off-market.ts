import { CodedError } from '../base/errors.ts';
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

/**
 * Whoever sells is asked whether it means a price that is far below the value of hashes, or that is compared
 * with none: throws `off_market` where nobody said so. One far above it is only named.
 * @param isMeant somebody said that the price is meant
 */
export function assertMeant(
  priceMsatPerEh: bigint,
  valueMsatPerEh: bigint | undefined,
  factorPpm: bigint | undefined,
  isMeant: boolean,
): OffMarket | undefined {
  if (factorPpm === undefined) return undefined;
  if (valueMsatPerEh === undefined && !isMeant)
    throw new CodedError('off_market', 'the own node does not tell yet what hashes are worth');
  const off = offMarketOf(priceMsatPerEh, valueMsatPerEh, factorPpm);
  if (off?.side === 'below' && !isMeant) throw new CodedError('off_market', offMarketText(off));
  return off;
}

/** The highest price that is not far above a value, msat per EH. */
export function highestNearMsatPerEh(valueMsatPerEh: bigint, factorPpm: bigint): bigint {
  return (valueMsatPerEh * factorPpm) / PPM;
}

/** A factor as people type it; exact to a millionth. */
export function factorPpmOf(factor: number): bigint {
  return BigInt(Math.round(factor * 1_000_000));
}

/** How far the price is, for programs; null where it is not. */
export function offMarketJson(off: OffMarket | undefined): object | null {
  if (off === undefined) return null;
  return { side: off.side, of_value_ppm: off.ofValuePpm.toString(), warning: offMarketText(off) };
}

/** How far the price is, for people. */
export function offMarketText({ side, valueMsatPerEh, ofValuePpm }: OffMarket): string {
  const times = Number(ofValuePpm) / 1_000_000;
  const how = side === 'above' ? `${times.toPrecision(3)} times` : `${(100 * times).toPrecision(3)} % of`;
  return `the price is ${how} what hashes are worth: ${priceText(valueMsatPerEh)}`;
}
