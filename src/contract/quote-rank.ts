import { HASHES_PER_EH } from '../base/units.ts';
import { bondsOf } from './bond-terms.ts';
import { movingPriceOf } from './index-price.ts';
import { priceAtValue } from './price.ts';
import type { ContractTerms } from './terms.ts';
import { fixedPriceMsatPerEh } from './terms-access.ts';

/** A quote of one maker, to be compared with others. */
export type RankedQuote<Q> = {
  readonly quote: Q;
  /** The price of today: one that moves at today's value of hashes, or the least where none is known. */
  readonly priceMsatPerEh: bigint;
  /** Price less the fees of opening and closing, msat per EH; below 0 where they are more. */
  readonly netMsatPerEh: bigint;
  readonly makerBondSat: bigint;
  readonly collateralSat: bigint;
  /** Why it stands where it does. */
  readonly why: string;
};

type Compared = { readonly terms: ContractTerms; readonly maker: string };

/**
 * Quotes from the best to the worst: by the price net of what the miner's own transactions cost, then by the
 * maker's bond, by less collateral, by fewer confirmations to wait for, and by name. Pure.
 * Prices that move stand beside fixed ones by what they are today.
 * @param feesSat of opening and closing one channel
 * @param valueMsatPerEh of hashes today, by the own node; undefined where it does not tell
 */
export function rankQuotes<Q extends Compared>(
  quotes: readonly Q[],
  feesSat: bigint,
  valueMsatPerEh?: bigint,
): readonly RankedQuote<Q>[] {
  const ranked = quotes.map((quote): Omit<RankedQuote<Q>, 'why'> => {
    const { terms } = quote;
    const { makerBondSat, collateralSat } = bondsOf(terms);
    const feeMsatPerEh =
      (feesSat * 1000n * HASHES_PER_EH + terms.workTotalHashes - 1n) / terms.workTotalHashes;
    const priceMsatPerEh = priceToday(terms, valueMsatPerEh);
    const netMsatPerEh = priceMsatPerEh - feeMsatPerEh;
    return { quote, priceMsatPerEh, netMsatPerEh, makerBondSat, collateralSat };
  });
  const compare = (a: (typeof ranked)[number], b: (typeof ranked)[number]): number =>
    sign(b.netMsatPerEh - a.netMsatPerEh) ||
    sign(b.makerBondSat - a.makerBondSat) ||
    sign(a.collateralSat - b.collateralSat) ||
    a.quote.terms.minDepth - b.quote.terms.minDepth ||
    (a.quote.maker < b.quote.maker ? -1 : a.quote.maker > b.quote.maker ? 1 : 0);
  return ranked.toSorted(compare).map((each, index, all) => {
    const why = `${whyOf(each, all[index - 1])}${todayText(each.quote.terms, valueMsatPerEh)}`;
    return { ...each, why };
  });
}

/** The price of terms at a value of hashes; the least of one that moves where there is none. */
export function priceToday(terms: ContractTerms, valueMsatPerEh: bigint | undefined): bigint {
  const price = movingPriceOf(terms);
  if (price === undefined || valueMsatPerEh === undefined) return fixedPriceMsatPerEh(terms);
  return priceAtValue(price, valueMsatPerEh);
}

function todayText(terms: ContractTerms, valueMsatPerEh: bigint | undefined): string {
  if (movingPriceOf(terms) === undefined) return '';
  if (valueMsatPerEh === undefined) return '; by its least price, since no value of hashes is known';
  return `; by today's value of hashes, ${valueMsatPerEh} msat/EH`;
}

type Unexplained = Omit<RankedQuote<Compared>, 'why'>;

function whyOf(each: Unexplained, better: Unexplained | undefined): string {
  if (better === undefined) return 'the most per EH net of fees';
  if (better.netMsatPerEh !== each.netMsatPerEh)
    return `${better.netMsatPerEh - each.netMsatPerEh} msat/EH less than the one above`;
  if (better.makerBondSat !== each.makerBondSat) return 'as much, and a smaller bond of the maker';
  if (better.collateralSat !== each.collateralSat) return 'as much, and more collateral';
  if (better.quote.terms.minDepth !== each.quote.terms.minDepth)
    return 'as much, and more confirmations to wait for';
  return 'as good: by name';
}

function sign(value: bigint): number {
  return value > 0n ? 1 : value < 0n ? -1 : 0;
}
