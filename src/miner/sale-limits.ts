import { divideUp } from '../base/bigints.ts';
import { refuseTerm } from '../contract/fields.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Update } from '../contract/update.ts';
import {
  hasMovingPrice,
  mostUnpaidSatOf,
  newestPriceMsatPerEh,
  type UnpaidSat,
  updatedBy,
} from '../contract/updated-terms.ts';

/** What a proxy may sell, over all its contracts; what is undefined has no limit. */
export type SaleLimits = {
  /** `sell.floor_price`. */
  readonly floorMsatPerEh?: bigint | undefined;
  /** `sell.max_exposure`: sum of what contracts may have unpaid. */
  readonly maxExposureSat?: bigint | undefined;
  /** `contract.max_unpaid_total`: what all together have unpaid when nothing is delivered any more. */
  readonly maxUnpaidTotalSat?: bigint | undefined;
};

/** A limit that contracts together are beyond: its name, what it is, and what they make. */
export type PassedLimit = { readonly name: string; readonly limitSat: bigint; readonly sat: bigint };

/** The unpaid pay of all at which nothing more is delivered. */
export function mostUnpaidSat({ maxUnpaidTotalSat }: SaleLimits, all: readonly UnpaidSat[]): bigint {
  const sumSat = all.reduce((sum, { mostSat }) => sum + mostSat, 0n);
  return maxUnpaidTotalSat !== undefined && maxUnpaidTotalSat < sumSat ? maxUnpaidTotalSat : sumSat;
}

/**
 * The first limit that contracts are beyond. A step of each need not be signed: where those could use up
 * three quarters of `max_unpaid_total`, nothing would be delivered once it is reached.
 */
export function passedLimit(limits: SaleLimits, all: readonly UnpaidSat[]): PassedLimit | undefined {
  const { maxExposureSat, maxUnpaidTotalSat } = limits;
  const sat = mostUnpaidSat(limits, all);
  if (maxExposureSat !== undefined && sat > maxExposureSat)
    return { name: 'sell.max_exposure', limitSat: maxExposureSat, sat };
  const stepsSat = divideUp(all.reduce((sum, { stepSat }) => sum + stepSat, 0n) * 4n, 3n);
  if (maxUnpaidTotalSat !== undefined && stepsSat > maxUnpaidTotalSat)
    return { name: 'contract.max_unpaid_total', limitSat: maxUnpaidTotalSat, sat: stepsSat };
  return undefined;
}

/**
 * Holds an update of a running contract to what new contracts are held to. Pure; of what is not raised it
 * says nothing. Throws `bad_terms` with the term, and the limit by its name alone: the maker is told it.
 * @param others of all other contracts
 * @param paidHashes work that is paid
 */
export function judgeSale(
  limits: SaleLimits,
  others: readonly UnpaidSat[],
  { terms, paidHashes, update }: SaleUpdate,
): void {
  const { priceMsatPerEh: price, stepHashes } = update;
  const { floorMsatPerEh } = limits;
  const isBelow = price !== undefined && floorMsatPerEh !== undefined && price < floorMsatPerEh;
  if (isBelow && !hasMovingPrice(terms) && price < newestPriceMsatPerEh(terms))
    refuseTerm('price_msat_per_eh', 'is below sell.floor_price');
  const before = mostUnpaidSatOf(terms, paidHashes);
  const after = mostUnpaidSatOf(updatedBy(terms, update), paidHashes);
  if (after.mostSat <= before.mostSat && after.stepSat <= before.stepSat) return;
  const passed = passedLimit(limits, [...others, after]);
  if (passed === undefined) return;
  const path = stepHashes === undefined ? 'price_msat_per_eh' : 'step_hashes';
  refuseTerm(path, `makes more unpaid than ${passed.name} allows`);
}

/** An update of these terms. */
export type SaleUpdate = {
  readonly terms: ContractTerms;
  readonly paidHashes: bigint;
  readonly update: Update;
};
