import {
  amount,
  type FieldValue,
  group,
  height,
  integer,
  oneOf,
  ppm,
  refuseTerm,
  tagged,
} from './fields.ts';

/** The promised hashrate, in hashes per second. */
export const rateField = group({
  committed: ['committed_hps', amount],
  /** Least rate: less is a shortfall at any moment. */
  min: ['min_hps', amount],
  /** Greatest rate that may make up for a shortfall. */
  max: ['max_hps', amount],
});

/**
 * The start of delivery: the contract waits until the first height, and ends where work has not begun by
 * the second.
 */
export const startField = group({
  notBeforeHeight: ['not_before_height', height],
  notAfterHeight: ['not_after_height', height],
});

/** The rules of delivery: what counts as a shortfall, and the time to make it up. */
export const deliveryField = group({
  /** Minutes of the window in which delivered and committed work are compared. */
  windowMinutes: ['window_minutes', integer(1, 44_640)],
  /** Part of the committed work that may be missing besides what chance explains, ppm. */
  tolerancePpm: ['tolerance_ppm', ppm],
  /** Blocks of curtailment by notice; they extend the contract and are no default. */
  curtailmentBlocks: ['curtailment_blocks', integer(0, 52_560)],
  /** Blocks from the first shortfall to the default, in which it may be made up. */
  cureBlocks: ['cure_blocks', integer(0, 4032)],
  /** Chance, ppm, that an honest miner is found in default in the whole contract. */
  falseDefaultAlphaPpm: ['false_default_alpha_ppm', integer(1, 500_000)],
});

/** Whether work beyond the greatest rate is refused or credited. */
export const overDeliveryField = oneOf('refuse', 'credit');

/**
 * The rule for times of the maker's fault: delivery pauses unpaid, or the committed work is paid as
 * standby.
 */
export const makerFaultField = tagged(['type', 'type'], {
  pause: group({}),
  /** Price of the committed work of that time, msat per EH. */
  standby: group({ msatPerEh: ['msat_per_eh', amount] }),
});

/** The rule for ending the contract early, by either side. */
export const endField = group({
  /** Fee as a part of what the rest would have earned, ppm. */
  cancelFeePpm: ['cancel_fee_ppm', ppm],
  /** Blocks from the notice to the end. */
  noticeBlocks: ['notice_blocks', integer(0, 52_560)],
});

/** The terms about delivery that depend on each other. */
type DeliveryTerms = {
  readonly rate?: FieldValue<typeof rateField>;
  readonly start?: FieldValue<typeof startField>;
  readonly durationBlocks?: number;
  readonly delivery?: FieldValue<typeof deliveryField>;
  readonly overDelivery: FieldValue<typeof overDeliveryField>;
  readonly makerFault: FieldValue<typeof makerFaultField>;
  readonly fundingByHeight: number;
  readonly expiryHeight: number;
};

/** Checks the relations between the terms about delivery. Throws `bad_terms`. */
export function checkDelivery(terms: DeliveryTerms): void {
  const { rate, start, durationBlocks = 0, expiryHeight } = terms;
  if (rate !== undefined) {
    if (rate.min === 0n) refuseTerm('rate.min_hps', 'must be positive');
    if (rate.committed < rate.min) refuseTerm('rate.committed_hps', 'is below the least rate');
    if (rate.max < rate.committed) refuseTerm('rate.max_hps', 'is below the committed rate');
  } else if (terms.delivery !== undefined) refuseTerm('delivery', 'needs a rate');
  else if (terms.overDelivery === 'refuse') refuseTerm('over_delivery', 'of refuse needs a rate');
  else if (terms.makerFault.type === 'standby') refuseTerm('maker_fault', 'of type standby needs a rate');
  if (terms.fundingByHeight >= expiryHeight) refuseTerm('funding_by_height', 'must be below the expiry');
  if (start !== undefined && start.notAfterHeight < start.notBeforeHeight)
    refuseTerm('start.not_after_height', 'is before the first height');
  const latestStart = start?.notAfterHeight ?? terms.fundingByHeight;
  if (latestStart + durationBlocks >= expiryHeight)
    refuseTerm(durationBlocks > 0 ? 'duration_blocks' : 'start', 'reaches to the expiry');
}
