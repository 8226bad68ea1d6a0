import { owedSat } from '../base/units.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { bindingField, checkBinding } from './binding.ts';
import { sizedBonds } from './bond-size.ts';
import { checkCommonTerms } from './common-terms.ts';
import {
  checkDelivery,
  deliveryField,
  endField,
  makerFaultField,
  overDeliveryField,
  rateField,
  startField,
} from './delivery.ts';
import {
  amount,
  type Field,
  type FieldValue,
  group,
  height,
  hexBytes,
  integer,
  label,
  listOf,
  oneOf,
  outputScript,
  ppm,
  refuseTerm,
  tagged,
} from './fields.ts';
import { checkPrice, highestMsatPerEh, lowestMsatPerEh, priceField } from './price.ts';
import type { AgreedUpdate } from './update.ts';

const networkField: Field<NetworkName> = oneOf(...(Object.keys(NETWORKS) as NetworkName[]));

/** See `BondSize`. */
const bondSize = group({
  collateralPpm: ['collateral_ppm', ppm],
  makerBondPpm: ['maker_bond_ppm', ppm],
  makerBondFloorSat: ['maker_bond_floor_sat', amount],
  /** The worst loss of a replay of the past, sats. */
  worstCaseSat: ['worst_case_sat', amount],
});

const bondAmounts = {
  makerBondSat: ['maker_bond_sat', amount],
  collateralSat: ['collateral_sat', amount],
  size: ['size', bondSize],
} as const;

export const bondsField = tagged(['bondMode', 'bond_mode'], {
  auditor: group({
    ...bondAmounts,
    bondCsvBlocks: ['bond_csv_blocks', integer(1, 65_535)],
    auditorKeyHex: ['auditor_key', hexBytes(33)],
  }),
  hostage: group(bondAmounts),
  forfeit_to_mm: group(bondAmounts),
});

const sealField = group({
  sealSat: ['seal_sat', amount],
  claimFeeRateSatPerKvb: ['claim_fee_sat_per_kvb', integer(100, 1_000_000)],
});

/**
 * A cap of a close's fee as a part, in ppm, of what it saves, while so many blocks are left to the expiry.
 */
const feeCap = group({ blocksLeft: ['blocks_left', integer(0, 65_535)], ppm: ['ppm', ppm] });

/** A payee of a part of the pay in every state; its first value comes out of the miner's reserve. */
const split = group({
  scriptHex: ['script', outputScript],
  ppm: ['ppm', ppm],
  seedSat: ['seed_sat', amount],
  label: ['label', label(40)],
});

/** The longest backlog that terms may allow, minutes: a day. */
export const MOST_BACKLOG_MINUTES = 1440;

const required = {
  version: ['version', integer(3, 3) as Field<3>],
  network: ['network', networkField],
  minerNodeId: ['miner_node_id', hexBytes(32)],
  makerNodeId: ['maker_node_id', hexBytes(32)],
  price: ['price', priceField],
  workTotalHashes: ['work_total_hashes', amount],
  stepHashes: ['step_hashes', amount],
  maxUnpaidSteps: ['max_unpaid_steps', integer(1, 1000)],
  /** Part of the work that the maker may refuse before delivery pauses. */
  refusedPpm: ['refused_ppm', ppm],
  /** Part of the solutions that may first come in a batch before credit pauses. */
  latePpm: ['late_ppm', ppm],
  /** Part of the work that may fall between two views of one new block. */
  staleRaceAllowancePpm: ['stale_race_allowance_ppm', ppm],
  staleGraceSeconds: ['stale_grace_seconds', integer(0, 3600)],
  /**
   * Greatest age in minutes of work kept while the peers were disconnected; duplicates are remembered as
   * long.
   */
  backlogMinutes: ['backlog_minutes', integer(0, MOST_BACKLOG_MINUTES)],
  budgetSat: ['budget_sat', amount],
  reserveSat: ['reserve_sat', amount],
  minerReserveSat: ['miner_reserve_sat', amount],
  feeLadderSatPerKvb: ['fee_ladder_sat_per_kvb', listOf(integer(100, 1_000_000), 1, 8)],
  feeCaps: ['fee_caps', listOf(feeCap, 1, 8)],
  /** Height by which the funding must be deep; after it the contract is cancelled. */
  fundingByHeight: ['funding_by_height', height],
  expiryHeight: ['expiry_height', height],
  minDepth: ['min_depth', integer(1, 144)],
  /** Range of a share's target, inclusive: 64 hex digits, big-endian. */
  target: [
    'target',
    group({ easiestHex: ['easiest', hexBytes(32)], hardestHex: ['hardest', hexBytes(32)] }),
  ],
  binding: ['binding', bindingField],
  overDelivery: ['over_delivery', overDeliveryField],
  makerFault: ['maker_fault', makerFaultField],
  end: ['end', endField],
  renew: ['renew', oneOf('none', 'offer')],
  nonceHex: ['nonce', hexBytes(16)],
} as const;

/** Terms that are left out where nothing of the kind was agreed. */
const optional = {
  rate: ['rate', rateField],
  start: ['start', startField],
  /** Blocks from the start after which the contract ends, whatever was delivered. */
  durationBlocks: ['duration_blocks', integer(1, 105_120)],
  delivery: ['delivery', deliveryField],
  bonds: ['bonds', bondsField],
  seal: ['seal', sealField],
  splits: ['splits', listOf(split, 1, 8)],
  /** SHA-256 of a text that both sides have. */
  textHashHex: ['text_hash', hexBytes(32)],
  /** The contract that this one succeeds, and the series it belongs to. */
  predecessorHex: ['predecessor', hexBytes(32)],
  streamHex: ['stream', hexBytes(16)],
} as const;

const termsField = group(required, optional);

/** The names of all terms on the wire. */
export const TERM_NAMES: ReadonlySet<string> = new Set(
  Object.values({ ...required, ...optional }).map(([name]) => name),
);

/**
 * The signed terms of a contract, version 3. `updates` is what both signed since (`updated-terms.ts`): no
 * part of the terms, of their JSON or of the contract id.
 */
export type TermsV3 = FieldValue<typeof termsField> & { readonly updates?: readonly AgreedUpdate[] };

/** The terms as JSON, in one spelling. */
export function termsV3ToJson(terms: TermsV3): ReturnType<typeof termsField.print> {
  return termsField.print(terms);
}

/**
 * Parses version 3 terms: every one present and in range, none unknown, all relations hold. Throws
 * `bad_terms` with the path.
 */
export function parseTermsV3(value: Record<string, unknown>): TermsV3 {
  const terms = termsField.parse(value, '');
  checkTermsV3(terms);
  return terms;
}

/** Checks the relations between the terms that make a contract safe. Throws `bad_terms` with the path. */
export function checkTermsV3(terms: TermsV3): void {
  const { price, binding } = terms;
  checkPrice(price);
  checkBinding(binding);
  checkTarget(terms);
  checkFeeCaps(terms);
  if (binding.type === 'none') {
    checkAuditOnly(terms);
    return;
  }
  checkCommonTerms(terms, { lowest: lowestMsatPerEh(price), highest: highestMsatPerEh(price) });
  if (binding.type === 'work' && terms.staleGraceSeconds < 10)
    refuseTerm('stale_grace_seconds', 'must be at least 10 where the maker gives the jobs');
  checkSeal(terms);
  checkDelivery(terms);
  checkBondSizes(terms);
  checkSplits(terms);
}

/** Checks terms without a binding, which can sell nothing: no price, no channel. */
function checkAuditOnly(terms: TermsV3): void {
  const { price } = terms;
  const why = 'must be 0 where no binding is agreed';
  if (price.type !== 'fixed' || price.msatPerEh !== 0n) refuseTerm('price.msat_per_eh', why);
  if (terms.budgetSat !== 0n) refuseTerm('budget_sat', why);
  if (terms.reserveSat !== 0n) refuseTerm('reserve_sat', why);
  if (terms.minerReserveSat !== 0n) refuseTerm('miner_reserve_sat', why);
  for (const key of ['bonds', 'seal', 'splits'] as const) {
    if (terms[key] !== undefined) refuseTerm(key, 'needs a binding');
  }
  if (terms.stepHashes === 0n) refuseTerm('step_hashes', 'must be positive');
  if (terms.workTotalHashes < terms.stepHashes)
    refuseTerm('work_total_hashes', 'must be at least one step');
  if (terms.minerNodeId === terms.makerNodeId) refuseTerm('maker_node_id', 'must be another node');
  checkDelivery(terms);
}

/**
 * Checks that shares commit to the contract that the seal's claims are about: by the jobs of `work`, by the
 * tag in each coinbase of `payout`, by the metadata of beads that are in the proof of work.
 */
function checkSeal({ seal, binding }: TermsV3): void {
  if (seal !== undefined && binding.type === 'bead' && binding.profile !== 'spec')
    refuseTerm('seal', 'needs shares that commit to the contract: beads do so in profile spec alone');
}

function checkTarget({ target, stepHashes }: TermsV3): void {
  if (/^0+$/.test(target.hardestHex)) refuseTerm('target.hardest', 'must be positive');
  // Hex of one length orders as its numbers do.
  if (target.hardestHex > target.easiestHex) refuseTerm('target.hardest', 'is easier than the easiest');
  if (target.easiestHex >= '8') refuseTerm('target.easiest', 'must be below 2^255');
  // The bound on what is unpaid holds to one share, which the maker may make as hard as this.
  const isRange = target.hardestHex !== target.easiestHex;
  if (isRange && workOfTarget(BigInt(`0x${target.hardestHex}`)) > stepHashes)
    refuseTerm('target.hardest', 'makes a share worth more than a step');
}

function checkFeeCaps({ feeCaps }: TermsV3): void {
  feeCaps.forEach((cap, index) => {
    const before = feeCaps[index - 1];
    if (before !== undefined && cap.blocksLeft >= before.blocksLeft)
      refuseTerm(`fee_caps.${index}.blocks_left`, 'must fall');
    if (before !== undefined && cap.ppm < before.ppm) refuseTerm(`fee_caps.${index}.ppm`, 'may not fall');
  });
  if (feeCaps.at(-1)?.blocksLeft !== 0) refuseTerm('fee_caps', 'must end at the expiry');
}

function checkBondSizes(terms: TermsV3): void {
  const { bonds } = terms;
  if (bonds === undefined) return;
  const notionalSat = owedSat(terms.workTotalHashes, highestMsatPerEh(terms.price));
  const { collateralSat, makerBondSat } = sizedBonds(bonds.size, notionalSat);
  if (bonds.collateralSat !== collateralSat)
    refuseTerm('bonds.collateral_sat', `must be ${collateralSat} by its rule`);
  if (bonds.makerBondSat !== makerBondSat)
    refuseTerm('bonds.maker_bond_sat', `must be ${makerBondSat} by its rule`);
}

/** Least first value of a split payee's output in sats: above the dust of every standard script. */
const MIN_SEED_SAT = 546n;
const MAX_SPLITS_PPM = 900_000;

function checkSplits({ splits, minerReserveSat }: TermsV3): void {
  if (splits === undefined) return;
  const total = splits.reduce((sum, each) => sum + each.ppm, 0);
  if (total > MAX_SPLITS_PPM) refuseTerm('splits', `may be ${MAX_SPLITS_PPM} ppm in all`);
  splits.forEach((each, index) => {
    if (each.ppm === 0) refuseTerm(`splits.${index}.ppm`, 'must be positive');
    if (each.seedSat < MIN_SEED_SAT)
      refuseTerm(`splits.${index}.seed_sat`, `must be at least ${MIN_SEED_SAT}`);
  });
  const seedSat = splits.reduce((sum, each) => sum + each.seedSat, 0n);
  if (seedSat + 1000n > minerReserveSat) refuseTerm('splits', 'take more than the reserve of the miner');
}
