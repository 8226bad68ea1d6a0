import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { type CloseSettlement, makerContributionSat, minerContributionSat } from '../channel/amounts.ts';
import { type BondMode, bondsOf } from '../contract/bond-terms.ts';
import { refuseTerm } from '../contract/fields.ts';
import { epochsWithin, movingPriceOf } from '../contract/index-price.ts';
import { isMetering } from '../contract/metering.ts';
import type { MovingPrice, Price } from '../contract/price.ts';
import type { Spread } from '../contract/quote-price.ts';
import { type ContractTerms, termsToJson } from '../contract/terms.ts';
import { assertServed, easiestTarget, mostMsatPerEh } from '../contract/terms-access.ts';
import { type Update, updateField } from '../contract/update.ts';
import { hasMovingPrice, newestPriceMsatPerEh } from '../contract/updated-terms.ts';
import { type BeadPolicy, judgeBeadTerms } from './bead-policy.ts';

/** The type of a binding. */
export type BindingType = ContractTerms['binding']['type'];

const OWN_JOBS: readonly BindingType[] = ['payout', 'bead'];

/** The limits of a policy for binding `payout`. */
export type PayoutPolicy = {
  /** Least part of the coinbase to the own script, ppm; the rest may go to pools and the like. */
  readonly minOwnPpm: number;
  /** Least part of the fees that must be claimed, ppm. */
  readonly minFeesPpm: number;
  /** Least part of the jobs that are validated whole, ppm. */
  readonly minSamplePpm: number;
  /** Most seconds that the miner has to show one. */
  readonly maxSampleSeconds: number;
};

const ANY_PAYOUT: PayoutPolicy = {
  ...{ minOwnPpm: 1_000_000, minFeesPpm: 0, minSamplePpm: 0, maxSampleSeconds: 600 },
};

/** The policy of a maker: the contracts it takes without asking anyone. */
export type MakerPolicy = {
  readonly network: NetworkName;
  readonly maxPriceMsatPerEh: bigint;
  /** Greatest budget in sats of one contract, and of all that are not closed. */
  readonly maxBudgetSat: bigint;
  readonly maxTotalBudgetSat: bigint;
  readonly maxOpenContractsPerMiner: number;
  readonly minStepHashes: bigint;
  readonly maxStepHashes: bigint;
  readonly maxUnpaidSteps: number;
  /** Least work of one share in hashes; bounds the cost of verification. */
  readonly minShareWorkHashes: bigint;
  /** Blocks from now to the expiry. */
  readonly minExpiryBlocks: number;
  readonly maxExpiryBlocks: number;
  readonly minDepth: number;
  readonly maxStaleGraceSeconds: number;
  /** Least blocks of a notice of the end, in terms that have one. Default: no such terms are taken. */
  readonly minNoticeBlocks?: number;
  /** Greatest premium over the value of hashes, ppm, of prices that follow it. Default: none is taken. */
  readonly maxIndexPremiumPpm?: number;
  /** The own script, which every job under `payout` must pay; undefined where any is taken. */
  readonly bindingScriptHex: string | undefined;
  /** Default: no limits but that all goes to the own script. */
  readonly payout?: PayoutPolicy;
  /** The bindings that contracts may have. Default: all that need no upstream of the maker. */
  readonly bindings?: readonly BindingType[];
  /** True where metering without money is taken, binding `none` of terms 3. */
  readonly meters?: boolean;
  /** Limits of binding `bead`; where left out, contracts with it are refused. */
  readonly bead?: BeadPolicy;
  /** Limits of bonds and seals; where left out, contracts with either are refused. */
  readonly stakes?: StakesPolicy;
  /** True where nothing new is taken; what runs goes on. */
  readonly isHalted?: boolean;
  /** Greatest sum in sats of the budgets of one miner. Default: as of all. */
  readonly maxBudgetOfMinerSat?: bigint;
  /** Greatest hashrate that is bought at any time, hashes per second. Default: no bound. */
  readonly maxRateHps?: bigint;
  /** Greatest work in hashes that is credited for the jobs of one pool and not paid by it. Default: any. */
  readonly maxPoolUnpaidHashes?: bigint;
  /** Of the value of hashes: the most that is paid, ppm. Default: no bound. */
  readonly offMarketPpm?: bigint;
  /** What is paid. Default: the highest price, for all. */
  readonly pricing?: PricingPolicy;
  /** Limits of miners that are not listed, together. Default: none of them is served. */
  readonly strangers?: StrangersPolicy;
};

/** How the price of a contract follows from what it is, from what is held, and from the value of hashes. */
export type PricingPolicy = {
  readonly rule: Price;
  readonly spread: Spread;
  /** Work that is wanted in all, hashes. */
  readonly targetInventoryHashes: bigint;
  /** Hashrate that is wanted; where it is given, inventory is measured by it, over the contract's time. */
  readonly targetRateHps?: bigint | undefined;
};

/** What a maker takes from whoever proves a key. */
export type StrangersPolicy = {
  readonly maxBudgetSat: bigint;
  readonly maxContracts: number;
  /** True where they have to bring at least the least collateral of the policy, and 1 sat. */
  readonly requireCollateral: boolean;
};

/** The limits of a policy for bonds and seals. */
export type StakesPolicy = {
  readonly bondModes: readonly BondMode[];
  /** Greatest bond D of one contract. It counts as budget in the other limits. */
  readonly maxMakerBondSat: bigint;
  /** Least collateral C where there are bonds. */
  readonly minCollateralSat: bigint;
  /** Keys of the auditors whose rulings are trusted, compressed, in hex. */
  readonly auditorKeysHex: readonly string[];
  /** Range of `bondCsvBlocks`: time for a ruling, and how long the own bond may be locked. */
  readonly minBondCsvBlocks: number;
  readonly maxBondCsvBlocks: number;
  /**
   * Least blocks of a cure under an auditor: so long this side may be away, or not pay, before it is ruled
   * in default.
   */
  readonly minCureBlocks?: number;
  readonly seal: 'never' | 'allowed' | 'required';
  /** Least fee rate of claims, which must confirm before the seal expires. */
  readonly minClaimFeeRateSatPerKvb: number;
  /**
   * Who receives unvested bonds where the miner asks for the close; with `refused` it has to close alone.
   */
  readonly earlyClose: CloseSettlement | 'refused';
  /** True to sign, when a miner asks, the return of its collateral after a close alone. */
  readonly returnsBonds?: boolean;
};

const NO_STAKES: StakesPolicy = {
  bondModes: ['none'],
  maxMakerBondSat: 0n,
  minCollateralSat: 0n,
  auditorKeysHex: [],
  minBondCsvBlocks: 1,
  maxBondCsvBlocks: 65_535,
  seal: 'never',
  minClaimFeeRateSatPerKvb: 100,
  earlyClose: 'refused',
};

/** The limits of a policy for bonds and seals, with defaults where it leaves them out. */
export function stakesOf(policy: MakerPolicy): StakesPolicy {
  return policy.stakes ?? NO_STAKES;
}

/** The facts that terms are judged against. */
export type PolicyContext = {
  readonly makerNodeId: string;
  /** Proven node id of the proposer. */
  readonly peerNodeId: string;
  readonly height: number;
  /** The nBits of the newest block; undefined where the node does not tell. */
  readonly tipBits?: number | undefined;
  /** The most that is paid for these terms now, msat per EH. Default: the highest price of the policy. */
  readonly priceMsatPerEh?: bigint | undefined;
  /** The price that moves which is paid for these terms now. Default: any within the policy. */
  readonly moving?: MovingPrice | undefined;
} & Held;

/** The contracts that are not closed, and quotes that hold room: how many, and the sums of `lockedSat`. */
export type Held = {
  readonly openContractsOfPeer: number;
  readonly openBudgetSat: bigint;
  readonly budgetOfPeerSat?: bigint;
  /** Work in hashes that pools may still be owed, and what contracts on their jobs may bring of it. */
  readonly poolWork?: { readonly roomHashes: bigint; readonly besideHashes: bigint };
  /** The hashrate of these terms, and the most that is bought beside it in its time, hashes per second. */
  readonly rate?: { readonly ownHps: bigint; readonly besideHps: bigint };
  /** Of miners that are not listed; undefined where the peer is. */
  readonly strangers?: { readonly contracts: number; readonly budgetSat: bigint } | undefined;
};

/** The maker's money in sats that a contract ties up, the reserve apart. */
export function lockedSat(terms: ContractTerms): bigint {
  return terms.budgetSat + bondsOf(terms).makerBondSat;
}

/** One rule: whether it holds, and of which term; `allowed` is what would be taken. */
type Rule = {
  readonly holds: boolean;
  readonly path: string;
  readonly allowed: string;
  readonly reason: string;
};

function most(path: string, value: bigint | number, limit: bigint | number): Rule {
  const reason = `${path} may be at most ${limit}`;
  return { holds: value <= limit, path, allowed: `at most ${limit}`, reason };
}

function least(path: string, value: bigint | number, limit: bigint | number): Rule {
  const reason = `${path} must be at least ${limit}`;
  return { holds: value >= limit, path, allowed: `at least ${limit}`, reason };
}

function only(path: string, holds: boolean, allowed: string, reason: string): Rule {
  return { holds, path, allowed, reason };
}

function roomRules(policy: MakerPolicy, terms: ContractTerms, held: Held): Rule[] {
  const locked = lockedSat(terms);
  const left = (limit: bigint, used: bigint): bigint => (limit > used ? limit - used : 0n);
  const { maxTotalBudgetSat, maxBudgetOfMinerSat = maxTotalBudgetSat, strangers } = policy;
  const room = (limit: bigint, used: bigint, reason: string): Rule => {
    const allowed = `at most ${left(limit, used)} with the bond`;
    return only('budget_sat', locked + used <= limit, allowed, reason);
  };
  const rules = [
    room(maxTotalBudgetSat, held.openBudgetSat, 'all budgets are in use'),
    room(maxBudgetOfMinerSat, held.budgetOfPeerSat ?? 0n, 'the budgets of this miner are in use'),
    ...rateRules(policy, terms, held),
    ...poolRules(terms, held),
    only(
      'miner_node_id',
      held.openContractsOfPeer < policy.maxOpenContractsPerMiner,
      `${policy.maxOpenContractsPerMiner} contracts of a miner`,
      `a miner may have ${policy.maxOpenContractsPerMiner} contracts`,
    ),
  ];
  if (held.strangers === undefined) return rules;
  const { contracts, budgetSat } = held.strangers;
  const { maxBudgetSat, maxContracts, requireCollateral } = strangers ?? NO_STRANGERS;
  const { minCollateralSat } = stakesOf(policy);
  const collateralSat = minCollateralSat > 0n ? minCollateralSat : 1n;
  return [
    ...rules,
    room(maxBudgetSat, budgetSat, 'the budgets of miners that are not listed are in use'),
    only(
      'miner_node_id',
      contracts < maxContracts,
      `${maxContracts} contracts of miners that are not listed`,
      `miners that are not listed may have ${maxContracts} contracts`,
    ),
    ...(requireCollateral
      ? [least('bonds.collateral_sat', bondsOf(terms).collateralSat, collateralSat)]
      : []),
  ];
}

/** The hashrate that is bought at any time stays within what there is a use for. */
function rateRules({ maxRateHps }: MakerPolicy, terms: ContractTerms, { rate }: Held): Rule[] {
  if (maxRateHps === undefined || rate === undefined) return [];
  const { ownHps, besideHps } = rate;
  const leftHps = maxRateHps > besideHps ? maxRateHps - besideHps : 0n;
  const isRated = terms.version === 3 && terms.rate !== undefined;
  const path = isRated ? 'rate.committed_hps' : 'work_total_hashes';
  const allowed = `at most ${leftHps} hashes a second${isRated ? '' : ', over its time'}`;
  return [only(path, ownHps <= leftHps, allowed, `${path} is more hashrate than there is room for`)];
}

/** What pools owe for the jobs of contracts stays within what they are trusted with. */
function poolRules(terms: ContractTerms, { poolWork }: Held): Rule[] {
  if (poolWork === undefined || terms.binding.type !== 'work') return [];
  const { roomHashes, besideHashes } = poolWork;
  const left = roomHashes > besideHashes ? roomHashes - besideHashes : 0n;
  const why = 'the pools owe for as much work as they are trusted with';
  return [only('work_total_hashes', terms.workTotalHashes <= left, `at most ${left}`, why)];
}

const NO_STRANGERS: StrangersPolicy = { maxBudgetSat: 0n, maxContracts: 0, requireCollateral: true };

/** Checks that there is room for a contract beside those held. Pure. Throws `bad_terms`. */
export function assertRoom(policy: MakerPolicy, terms: ContractTerms, held: Held): void {
  assertRules(terms, roomRules(policy, terms, held));
}

function stakeRules(stakes: StakesPolicy, terms: ContractTerms): Rule[] {
  const bonds = bondsOf(terms);
  const { bondMode, makerBondSat, collateralSat } = bonds;
  const { bondModes, seal } = stakes;
  const rules = [
    only(
      'bonds.bond_mode',
      bondModes.includes(bondMode),
      bondModes.join(', '),
      `bonds of mode ${bondMode} are not served`,
    ),
    most('bonds.maker_bond_sat', makerBondSat, stakes.maxMakerBondSat),
    ...(bondMode === 'none' ? [] : [least('bonds.collateral_sat', collateralSat, stakes.minCollateralSat)]),
    only(
      'seal',
      seal === 'allowed' || (terms.seal === undefined) === (seal === 'never'),
      seal,
      seal === 'never' ? 'contracts with a seal are not served' : 'a contract needs a seal',
    ),
    ...(terms.seal === undefined
      ? []
      : [
          least(
            'seal.claim_fee_sat_per_kvb',
            terms.seal.claimFeeRateSatPerKvb,
            stakes.minClaimFeeRateSatPerKvb,
          ),
        ]),
  ];
  if (bonds.bondMode !== 'auditor') return rules;
  const { bondCsvBlocks, auditorKeyHex } = bonds;
  const { auditorKeysHex, minCureBlocks = 0 } = stakes;
  const isTrusted = auditorKeysHex.includes(auditorKeyHex);
  return [
    ...rules,
    only('bonds.auditor_key', isTrusted, auditorKeysHex.join(', '), 'this auditor is not trusted here'),
    least('bonds.bond_csv_blocks', bondCsvBlocks, stakes.minBondCsvBlocks),
    most('bonds.bond_csv_blocks', bondCsvBlocks, stakes.maxBondCsvBlocks),
    ...(terms.version === 3 && terms.delivery !== undefined
      ? [least('delivery.cure_blocks', terms.delivery.cureBlocks, minCureBlocks)]
      : []),
  ];
}

/** Judges the binding `payout` by the policy. Throws `bad_terms` with the path. */
function judgePayout(policy: MakerPolicy, { binding }: ContractTerms): void {
  if (binding.type !== 'payout') return;
  const { minOwnPpm, minFeesPpm, minSamplePpm, maxSampleSeconds } = policy.payout ?? ANY_PAYOUT;
  const { bindingScriptHex: own } = policy;
  const ownPpm = binding.outputs.find(({ scriptHex }) => scriptHex === own)?.ppm ?? 0;
  if (own !== undefined && ownPpm < minOwnPpm)
    refuseTerm('binding.outputs', `must pay ${minOwnPpm} ppm to the script of the maker, ${own}`);
  if (binding.minFeesPpm < minFeesPpm) refuseTerm('binding.min_fees_ppm', `must be at least ${minFeesPpm}`);
  if (binding.samplePpm < minSamplePpm)
    refuseTerm('binding.sample_ppm', `must be at least ${minSamplePpm}`);
  if (binding.sampleSeconds > maxSampleSeconds)
    refuseTerm('binding.sample_seconds', `may be at most ${maxSampleSeconds}`);
}

type Parties = Pick<PolicyContext, 'makerNodeId' | 'peerNodeId'>;

/** The term that says the price, or the most of it. */
export function pricePath(terms: ContractTerms): string {
  if (terms.version !== 3) return 'price_msat_per_eh';
  return terms.price.type === 'fixed' ? 'price.msat_per_eh' : 'price.max_msat_per_eh';
}

/**
 * A price that moves is taken by what it is at each value of hashes, at most that of the own rule, and by
 * its least: its bounds alone would let a miner name any.
 */
function movingRules(
  policy: MakerPolicy,
  terms: ContractTerms,
  { height, moving, priceMsatPerEh }: Pick<PolicyContext, 'height' | 'moving' | 'priceMsatPerEh'>,
): Rule[] {
  const price = movingPriceOf(terms);
  if (price === undefined) return [];
  const { maxIndexPremiumPpm, pricing } = policy;
  const kinds = [
    'fixed',
    ...(maxIndexPremiumPpm === undefined ? [] : ['index']),
    ...(maxIndexPremiumPpm !== undefined && pricing?.rule.type === 'collar' ? ['collar'] : []),
  ];
  const type = only(
    'price.type',
    kinds.includes(price.type),
    kinds.join(', '),
    'no price of this kind is taken here',
  );
  if (!type.holds || maxIndexPremiumPpm === undefined) return [type];
  const followed =
    price.type === 'index'
      ? [most('price.premium_ppm', price.premiumPpm, mostPremiumPpm(maxIndexPremiumPpm, moving))]
      : collarRules(price, moving ?? pricing?.rule);
  return [
    ...followed,
    most('price.min_msat_per_eh', price.minMsatPerEh, mostLeastPrice(policy, priceMsatPerEh)),
    epochRule(price, terms.expiryHeight - height),
  ];
}

/** The greatest premium that is taken now. */
function mostPremiumPpm(maxIndexPremiumPpm: number, moving: MovingPrice | undefined): number {
  return moving?.type === 'index' ? Math.min(moving.premiumPpm, maxIndexPremiumPpm) : maxIndexPremiumPpm;
}

/** A collar is no more than the own one at any value where it moves as much, around no more. */
function collarRules(price: Extract<Price, { type: 'collar' }>, rule: Price | undefined): Rule[] {
  if (rule?.type !== 'collar') return [only('price.type', false, 'fixed, index', 'is not taken here')];
  const { sharePpm, strikeMsatPerEh } = rule;
  return [
    only('price.share_ppm', price.sharePpm === sharePpm, `${sharePpm}`, `must be ${sharePpm}`),
    most('price.strike_msat_per_eh', price.strikeMsatPerEh, strikeMsatPerEh),
  ];
}

/** The most that the least of a price may be: that of the own rule, or what is paid whatever the value. */
function mostLeastPrice(
  { pricing, maxPriceMsatPerEh }: MakerPolicy,
  priceMsatPerEh: bigint | undefined,
): bigint {
  const rule = pricing?.rule;
  if (rule !== undefined && rule.type !== 'fixed') return rule.minMsatPerEh;
  return priceMsatPerEh ?? maxPriceMsatPerEh;
}

function epochRule(price: MovingPrice, blocks: number): Rule {
  const epochs = epochsWithin(price, blocks);
  const isSignable = epochs <= LIMITS.contractUpdates;
  const few = `at most ${LIMITS.contractUpdates} epochs to the expiry`;
  return only('price.epoch', isSignable, few, `has ${epochs} epochs; ${few}`);
}

/** A notice that is short is no more than a close, and gives bonds back. */
function noticeRule({ minNoticeBlocks: least }: MakerPolicy, terms: ContractTerms): Rule {
  const blocks = terms.version === 3 ? terms.end.noticeBlocks : 0;
  const isTaken = blocks === 0 || (least !== undefined && blocks >= least);
  const allowed = least === undefined ? '0' : `0, or at least ${least}`;
  return only('end.notice_blocks', isTaken, allowed, `a notice must be of ${allowed} blocks`);
}

function stepRules({ minStepHashes, maxStepHashes }: MakerPolicy, stepHashes: bigint): Rule[] {
  return [least('step_hashes', stepHashes, minStepHashes), most('step_hashes', stepHashes, maxStepHashes)];
}

/** The rules of all contracts, with a channel or without. */
function commonRules(
  policy: MakerPolicy,
  terms: ContractTerms,
  { makerNodeId, peerNodeId }: Parties,
): Rule[] {
  const { network, minShareWorkHashes } = policy;
  const shareHashes = workOfTarget(easiestTarget(terms));
  return [
    only('network', terms.network === network, network, `the network must be ${network}`),
    only(
      'maker_node_id',
      terms.makerNodeId === makerNodeId,
      makerNodeId,
      'the maker of the terms is another node',
    ),
    only(
      'miner_node_id',
      terms.minerNodeId === peerNodeId,
      peerNodeId,
      'the miner of the terms is another node',
    ),
    ...stepRules(policy, terms.stepHashes),
    only(
      terms.version === 3 ? 'target.easiest' : 'max_target',
      shareHashes >= minShareWorkHashes,
      `shares of at least ${minShareWorkHashes} hashes`,
      `a share must be of at least ${minShareWorkHashes} hashes`,
    ),
    most('stale_grace_seconds', terms.staleGraceSeconds, policy.maxStaleGraceSeconds),
    noticeRule(policy, terms),
  ];
}

/** What a refusal says of a term: where it stands, what it is, and what would be taken. */
export type RefusedTerm = { readonly path: string; readonly got: string; readonly allowed: string };

/** Longest value that a refusal repeats. */
const MOST_SAID = 100;

function assertRules(terms: ContractTerms, rules: readonly Rule[]): void {
  assertAll(rules, (path) => termText(terms, path));
}

function assertAll(rules: readonly Rule[], textOf: (path: string) => string): void {
  const broken = rules.find(({ holds }) => !holds);
  if (broken === undefined) return;
  const { path, allowed, reason } = broken;
  const refused: RefusedTerm = { path, got: textOf(path), allowed: allowed.slice(0, MOST_SAID) };
  throw new CodedError('bad_terms', reason, refused);
}

/** A term by its path, as it is on the wire. */
export function termText(terms: ContractTerms, path: string): string {
  return textAt(termsToJson(terms), path);
}

function textAt(document: unknown, path: string): string {
  let value = document;
  for (const name of path.split('.')) value = isRecord(value) ? value[name] : undefined;
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none');
  return text.slice(0, MOST_SAID);
}

/** Checks that anything new is taken at all. Throws `maker_halted`. */
export function assertNotHalted({ isHalted }: MakerPolicy): void {
  if (isHalted === true) throw new CodedError('maker_halted');
}

/**
 * Judges terms of metering without money by the policy; nothing is locked up by them. Pure. Throws
 * `bad_terms`, `maker_halted`.
 * @param context of it the height is undefined without a bitcoin node
 */
export function judgeMetering(
  policy: MakerPolicy,
  terms: ContractTerms,
  context: Parties & Pick<Held, 'openContractsOfPeer'> & { readonly height: number | undefined },
): void {
  assertNotHalted(policy);
  if (policy.meters !== true) refuseTerm('binding.type', 'is not taken here');
  assertServed(terms);
  if (terms.expiryHeight <= (context.height ?? 0))
    refuseTerm('expiry_height', `must be above ${context.height}`);
  assertRules(terms, [
    ...commonRules(policy, terms, context),
    ...roomRules(policy, terms, { ...context, openBudgetSat: 0n }),
  ]);
}

/**
 * Judges terms by the policy. Pure. Throws `maker_halted`, and `bad_terms` with the first reason to refuse
 * the contract, in `meta` a `RefusedTerm`; `parseTerms` has checked the terms themselves.
 */
export function judgeTerms(policy: MakerPolicy, terms: ContractTerms, context: PolicyContext): void {
  assertNotHalted(policy);
  assertServed(terms);
  if (isMetering(terms)) refuseTerm('binding.type', 'none has no channel');
  if (!(policy.bindings ?? OWN_JOBS).includes(terms.binding.type)) {
    if (terms.version !== 3)
      refuseTerm('version', 'must be 3: earlier ones bind no work to its buyer alone');
    refuseTerm('binding.type', 'is not taken here');
  }
  judgeBeadTerms(policy.bead, terms, context.tipBits);
  judgePayout(policy, terms);
  if (terms.version === 3 && terms.fundingByHeight <= context.height)
    refuseTerm('funding_by_height', `must be above ${context.height}`);
  const { bindingScriptHex } = policy;
  const isBoundToMaker =
    terms.version === 3 ||
    bindingScriptHex === undefined ||
    (terms.binding.type === 'coinbase' && terms.binding.scriptHex === bindingScriptHex);
  const price = mostMsatPerEh(terms);
  const highest = context.priceMsatPerEh ?? policy.maxPriceMsatPerEh;
  const makerSat = makerContributionSat(terms);
  assertRules(terms, [
    ...commonRules(policy, terms, context),
    ...movingRules(policy, terms, context),
    most(pricePath(terms), price, hasMovingPrice(terms) ? policy.maxPriceMsatPerEh : highest),
    most('budget_sat', terms.budgetSat, policy.maxBudgetSat),
    ...roomRules(policy, terms, context),
    most('max_unpaid_steps', terms.maxUnpaidSteps, policy.maxUnpaidSteps),
    least('expiry_height', terms.expiryHeight, context.height + policy.minExpiryBlocks),
    most('expiry_height', terms.expiryHeight, context.height + policy.maxExpiryBlocks),
    least('min_depth', terms.minDepth, policy.minDepth),
    only(
      'binding',
      isBoundToMaker,
      bindingScriptHex ?? '',
      'the binding must be to the script of the maker',
    ),
    only(
      'miner_reserve_sat',
      minerContributionSat(terms) <= makerSat,
      `at most ${makerSat} with the collateral`,
      'the miner may not put more into the channel than the maker',
    ),
    ...stakeRules(stakesOf(policy), terms),
  ]);
}

/** True where an update raises the price; the bounds of one that moves were taken with the terms. */
export function raisesPrice(terms: ContractTerms, { priceMsatPerEh: price }: Update): boolean {
  return price !== undefined && !hasMovingPrice(terms) && price > newestPriceMsatPerEh(terms);
}

/**
 * Judges what an update makes of terms that were taken, as a proposal is judged. Pure. Throws as
 * `judgeTerms`.
 * @param highest the most that is paid for what is left now, msat per EH
 */
export function judgeUpdate(
  policy: MakerPolicy,
  terms: ContractTerms,
  update: Update,
  highest: bigint | undefined,
): void {
  const { priceMsatPerEh = 0n, stepHashes } = update;
  const rules = stepHashes === undefined ? [] : stepRules(policy, stepHashes);
  if (raisesPrice(terms, update)) {
    assertNotHalted(policy);
    if (highest === undefined) throw new CodedError('no_price');
    rules.push(most('price_msat_per_eh', priceMsatPerEh, highest));
  }
  assertAll(rules, (path) => textAt(updateField.print(update), path));
}
