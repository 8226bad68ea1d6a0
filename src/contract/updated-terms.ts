import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { earnsSatRoundedUp } from '../base/price.ts';
import { HASHES_PER_EH, owedSat } from '../base/units.ts';
import { bondsOf } from './bond-terms.ts';
import { refuseTerm } from './fields.ts';
import { highestMsatPerEh, lowestMsatPerEh } from './price.ts';
import { type ContractTerms, checkTerms } from './terms.ts';
import { fixedPriceMsatPerEh, mostMsatPerEh } from './terms-access.ts';
import { type AgreedUpdate, type Update, updateHash } from './update.ts';

/**
 * Terms as they are by now: those that were signed first, and the updates that both signed since. Work up to
 * `fromHashes` of an update keeps the price that it had.
 */

type Served = Extract<ContractTerms, { readonly version: 3 }>;

/** The updates that both signed. */
export function updatesOf(terms: ContractTerms): readonly AgreedUpdate[] {
  return terms.version === 3 ? (terms.updates ?? []) : [];
}

/** The terms with these updates in the place of any before; they must follow each other and hold. */
export function withUpdates(terms: ContractTerms, updates: readonly AgreedUpdate[]): ContractTerms {
  if (terms.version !== 3) return terms;
  return { ...terms, updates };
}

/** The terms as an update makes them, whoever signed it so far. */
export function updatedBy(terms: ContractTerms, update: Update): ContractTerms {
  return withUpdates(terms, [...updatesOf(terms), { update, minerSignature: '', makerSignature: '' }]);
}

/** True where both signed bounds between which the price moves. */
export function hasMovingPrice(terms: ContractTerms): boolean {
  return terms.version === 3 && terms.price.type !== 'fixed';
}

/** The hash that the next update names as the one before it. */
export function headOf(contractId: string, terms: ContractTerms): string {
  const last = updatesOf(terms).at(-1);
  return last === undefined ? contractId : toHex(updateHash(last.update));
}

/** The price of work above all that an update names, msat per EH. Throws `bad_terms` for one that moves. */
export function newestPriceMsatPerEh(terms: ContractTerms): bigint {
  const last = updatesOf(terms).findLast(({ update }) => update.priceMsatPerEh !== undefined);
  return last?.update.priceMsatPerEh ?? fixedPriceMsatPerEh(terms);
}

/** The work of a state, hashes. */
export function stepHashesOf(terms: ContractTerms): bigint {
  const last = updatesOf(terms).findLast(({ update }) => update.stepHashes !== undefined);
  return last?.update.stepHashes ?? terms.stepHashes;
}

/** The terms as they would be written now: the step, and a price that is fixed, are those of the updates. */
export function rewritten(terms: Served): Served {
  const { updates: _signed, ...first } = terms;
  const { price } = first;
  const isFixed = price.type === 'fixed';
  const now = isFixed ? { ...price, msatPerEh: newestPriceMsatPerEh(terms) } : price;
  return { ...first, price: now, stepHashes: stepHashesOf(terms) };
}

/** The block behind the last one, where an update named one. */
export function stopHeightOf(terms: ContractTerms): number | undefined {
  return updatesOf(terms).findLast(({ update }) => update.stopHeight !== undefined)?.update.stopHeight;
}

/** A part of the work at one price: that above `fromHashes`. */
export type PriceSegment = { readonly fromHashes: bigint; readonly msatPerEh: bigint };

/** The segments of the work, from the first hash on. */
export function segmentsOf(terms: ContractTerms): readonly PriceSegment[] {
  const first = { fromHashes: 0n, msatPerEh: fixedPriceMsatPerEh(terms) };
  const later = updatesOf(terms).flatMap(({ update: { fromHashes, priceMsatPerEh: msatPerEh } }) =>
    msatPerEh === undefined ? [] : [{ fromHashes, msatPerEh }],
  );
  return [first, ...later];
}

/**
 * The pay of so much work in sats, floored once over the whole: where the price never changed, as in
 * `owedSat`. It never falls as work rises.
 */
export function paySatOf(terms: ContractTerms, workHashes: bigint): bigint {
  const segments = segmentsOf(terms);
  const msatHashes = segments.reduce((sum, { fromHashes, msatPerEh }, index) => {
    const end = segments[index + 1]?.fromHashes;
    const to = end === undefined || workHashes < end ? workHashes : end;
    return to > fromHashes ? sum + (to - fromHashes) * msatPerEh : sum;
  }, 0n);
  return msatHashes / HASHES_PER_EH / 1000n;
}

/** The highest price of any work above this, msat per EH. */
export function highestPriceFrom(terms: ContractTerms, workHashes: bigint): bigint {
  const segments = segmentsOf(terms);
  return segments.reduce((most, { msatPerEh }, index) => {
    const end = segments[index + 1]?.fromHashes;
    return (end === undefined || end > workHashes) && msatPerEh > most ? msatPerEh : most;
  }, 0n);
}

/** Pay in sats of a contract that may go unsigned. */
export type UnpaidSat = {
  /** Of its unpaid steps, at which delivery stops. */
  readonly mostSat: bigint;
  /** Of one step, rounded up: less than that need not be signed. */
  readonly stepSat: bigint;
};

/** What may be unpaid once so much work is paid, at the highest price that both signed for what is left. */
export function unpaidSatOf(terms: ContractTerms, paidHashes: bigint): UnpaidSat {
  return unpaidSatAt(terms, highestPriceFrom(terms, paidHashes));
}

/** The same at the highest price that what is left may ever have without another signature. */
export function mostUnpaidSatOf(terms: ContractTerms, paidHashes: bigint): UnpaidSat {
  return hasMovingPrice(terms) ? unpaidSatAt(terms, mostMsatPerEh(terms)) : unpaidSatOf(terms, paidHashes);
}

function unpaidSatAt(terms: ContractTerms, price: bigint): UnpaidSat {
  const stepHashes = stepHashesOf(terms);
  return {
    mostSat: owedSat(BigInt(terms.maxUnpaidSteps) * stepHashes, price),
    stepSat: earnsSatRoundedUp(stepHashes, price),
  };
}

/**
 * Checks that an update may follow what was agreed: its place, and that the contract it makes is as safe as
 * the one before. Throws `bad_terms` with the path, `update_conflict` for another place.
 */
export function checkUpdate(contractId: string, terms: ContractTerms, update: Update): void {
  const agreed = updatesOf(terms);
  const before = agreed.at(-1)?.update;
  if (terms.version !== 3 || terms.binding.type === 'none')
    refuseTerm('version', 'must be 3, of a contract that pays');
  if (update.contractIdHex !== contractId) refuseTerm('contract_id', 'is another contract');
  if (update.number !== agreed.length + 1 || update.previousHex !== headOf(contractId, terms))
    throw new CodedError('update_conflict', `update ${agreed.length + 1} is the next`);
  if (update.number > LIMITS.contractUpdates)
    refuseTerm('number', `may be at most ${LIMITS.contractUpdates}`);
  const { fromHashes, priceMsatPerEh, stepHashes, stopHeight } = update;
  if (priceMsatPerEh === undefined && stepHashes === undefined && stopHeight === undefined)
    refuseTerm('update', 'changes nothing');
  if (fromHashes < (before?.fromHashes ?? 0n)) refuseTerm('from_hashes', 'is below that of the one before');
  if (fromHashes >= terms.workTotalHashes) refuseTerm('from_hashes', 'is beyond the work of the contract');
  if (stepHashes !== undefined) checkStep(terms, stepHashes);
  if (stopHeight !== undefined) checkStop(terms, stopHeight);
  if (priceMsatPerEh !== undefined) checkPrice(contractId, terms, update, priceMsatPerEh);
}

function checkStep(terms: Served, stepHashes: bigint): void {
  // Whose fault an unpaid minute is depends on it.
  if (terms.delivery !== undefined) refuseTerm('step_hashes', 'is fixed where delivery is promised');
  checkTerms({ ...terms, stepHashes });
}

function checkStop(terms: Served, stopHeight: number): void {
  if (terms.delivery !== undefined) refuseTerm('stop_height', 'is fixed where delivery is promised');
  if (stopHeight >= terms.expiryHeight) refuseTerm('stop_height', 'reaches to the expiry');
}

function checkPrice(contractId: string, terms: Served, update: Update, msatPerEh: bigint): void {
  if (msatPerEh === 0n) refuseTerm('price_msat_per_eh', 'must be positive');
  const { price } = terms;
  if (hasMovingPrice(terms) && (msatPerEh < lowestMsatPerEh(price) || msatPerEh > highestMsatPerEh(price)))
    refuseTerm('price_msat_per_eh', 'is beyond the bounds of the price');
  if (paySatOf(updatedBy(terms, update), terms.workTotalHashes) > terms.budgetSat)
    refuseTerm('price_msat_per_eh', `makes the work worth more than the budget, ${terms.budgetSat} sat`);
  // What a state pays the miner may not fall as the bond of the maker vests: at no price of the contract.
  const wholeSat = (terms.workTotalHashes * msatPerEh) / HASHES_PER_EH / 1000n;
  const { makerBondSat } = bondsOf(terms);
  if (makerBondSat > 0n && makerBondSat >= wholeSat)
    refuseTerm('price_msat_per_eh', `makes all of ${contractId.slice(0, 8)} worth less than the bond`);
}
