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

/** How much hashrate is promised, in hashes per second. */
export const rateField = group({
  committed: ['committed_hps', amount],
  /** Less than this is a shortfall at any moment. */
  min: ['min_hps', amount],
  /** What may make up for a shortfall, at most. */
  max: ['max_hps', amount],
});

/** When work begins: the contract waits until the first, and is over where it has not begun by the second. */
export const startField = group({
  notBeforeHeight: ['not_before_height', height],
  notAfterHeight: ['not_after_height', height],
});

/** What is a shortfall, and what time there is to mend it. */
export const deliveryField = group({
  /** Delivered work is compared with the committed over this many minutes. */
  windowMinutes: ['window_minutes', integer(1, 44_640)],
  /** Part of the committed work that may be missing besides what chance explains. */
  tolerancePpm: ['tolerance_ppm', ppm],
  /** Blocks of curtailment by notice, which extend the contract and are no default. */
  curtailmentBlocks: ['curtailment_blocks', integer(0, 52_560)],
  /** Blocks from the first shortfall to the default, in which it may be made up. */
  cureBlocks: ['cure_blocks', integer(0, 4032)],
  /** The chance that an honest miner is found in default in the whole contract. */
  falseDefaultAlphaPpm: ['false_default_alpha_ppm', integer(1, 500_000)],
});

/** What is taken of work beyond the greatest rate. */
export const overDeliveryField = oneOf('refuse', 'credit');

/** What happens while the fault is the maker's: the obligation rests, or standing by is paid. */
export const makerFaultField = tagged(['type', 'type'], {
  pause: group({}),
  /** Paid for the committed work of that time, msat per EH. */
  standby: group({ msatPerEh: ['msat_per_eh', amount] }),
});

/** How either side may end it early. */
export const endField = group({
  /** Part of what the rest would have earned. */
  cancelFeePpm: ['cancel_fee_ppm', ppm],
  /** Blocks from the notice to the end. */
  noticeBlocks: ['notice_blocks', integer(0, 52_560)],
});

/** The terms about delivery, as far as they depend on each other. */
type DeliveryTerms = {
  readonly rate?: FieldValue<typeof rateField>;
  readonly start?: FieldValue<typeof startField>;
  readonly durationBlocks?: number;
  readonly delivery?: FieldValue<typeof deliveryField>;
  readonly makerFault: FieldValue<typeof makerFaultField>;
  readonly fundingByHeight: number;
  readonly expiryHeight: number;
};

/** Throws `bad_terms`. */
export function checkDelivery(terms: DeliveryTerms): void {
  const { rate, start, durationBlocks = 0, expiryHeight } = terms;
  if (rate !== undefined) {
    if (rate.min === 0n) refuseTerm('rate.min_hps', 'must be positive');
    if (rate.committed < rate.min) refuseTerm('rate.committed_hps', 'is below the least rate');
    if (rate.max < rate.committed) refuseTerm('rate.max_hps', 'is below the committed rate');
  } else if (terms.delivery !== undefined) refuseTerm('delivery', 'needs a rate');
  else if (terms.makerFault.type === 'standby') refuseTerm('maker_fault', 'of type standby needs a rate');
  if (terms.fundingByHeight >= expiryHeight) refuseTerm('funding_by_height', 'must be below the expiry');
  if (start !== undefined && start.notAfterHeight < start.notBeforeHeight)
    refuseTerm('start.not_after_height', 'is before the first height');
  const latestStart = start?.notAfterHeight ?? terms.fundingByHeight;
  if (latestStart + durationBlocks >= expiryHeight)
    refuseTerm(durationBlocks > 0 ? 'duration_blocks' : 'start', 'reaches to the expiry');
}
