import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { type CloseSettlement, makerContributionSat, minerContributionSat } from '../channel/amounts.ts';
import { type BondMode, bondsOf } from '../contract/bond-terms.ts';
import { refuseTerm } from '../contract/fields.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, fixedPriceMsatPerEh, notYetServed } from '../contract/terms-access.ts';
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
  /** The own script, which every job under `payout` must pay; undefined where any is taken. */
  readonly bindingScriptHex: string | undefined;
  /** Default: no limits but that all goes to the own script. */
  readonly payout?: PayoutPolicy;
  /** The bindings that contracts may have. Default: all that need no upstream of the maker. */
  readonly bindings?: readonly BindingType[];
  /** Limits of binding `bead`; where left out, contracts with it are refused. */
  readonly bead?: BeadPolicy;
  /** Limits of bonds and seals; where left out, contracts with either are refused. */
  readonly stakes?: StakesPolicy;
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
  readonly openContractsOfPeer: number;
  /** Sum of `lockedSat` over all contracts that are not closed. */
  readonly openBudgetSat: bigint;
};

/** The maker's money in sats that a contract ties up, the reserve apart. */
export function lockedSat(terms: ContractTerms): bigint {
  return terms.budgetSat + bondsOf(terms).makerBondSat;
}

type Rule = readonly [holds: boolean, reason: string];

type Held = Pick<PolicyContext, 'openContractsOfPeer' | 'openBudgetSat'>;

function roomRules(policy: MakerPolicy, terms: ContractTerms, held: Held): Rule[] {
  return [
    [lockedSat(terms) + held.openBudgetSat <= policy.maxTotalBudgetSat, 'all budgets are in use'],
    [
      held.openContractsOfPeer < policy.maxOpenContractsPerMiner,
      `a miner may have ${policy.maxOpenContractsPerMiner} contracts`,
    ],
  ];
}

/** Checks that there is room for a contract beside those held. Pure. Throws `bad_terms`. */
export function assertRoom(policy: MakerPolicy, terms: ContractTerms, held: Held): void {
  const broken = roomRules(policy, terms, held).find(([holds]) => !holds);
  if (broken !== undefined) throw new CodedError('bad_terms', broken[1]);
}

function stakeRules(stakes: StakesPolicy, terms: ContractTerms): Rule[] {
  const bonds = bondsOf(terms);
  const { bondMode, makerBondSat, collateralSat } = bonds;
  const rules: Rule[] = [
    [stakes.bondModes.includes(bondMode), `bonds of mode ${bondMode} are not served`],
    [makerBondSat <= stakes.maxMakerBondSat, `maker_bond may be at most ${stakes.maxMakerBondSat} sat`],
    [
      bondMode === 'none' || collateralSat >= stakes.minCollateralSat,
      `the collateral must be at least ${stakes.minCollateralSat} sat`,
    ],
    [
      stakes.seal === 'allowed' || (terms.seal === undefined) === (stakes.seal === 'never'),
      stakes.seal === 'never' ? 'contracts with a seal are not served' : 'a contract needs a seal',
    ],
    [
      terms.seal === undefined || terms.seal.claimFeeRateSatPerKvb >= stakes.minClaimFeeRateSatPerKvb,
      `claims must pay at least ${stakes.minClaimFeeRateSatPerKvb} sat per kvB`,
    ],
  ];
  if (bonds.bondMode !== 'auditor') return rules;
  const { bondCsvBlocks, auditorKeyHex } = bonds;
  const { minBondCsvBlocks, maxBondCsvBlocks } = stakes;
  return [
    ...rules,
    [stakes.auditorKeysHex.includes(auditorKeyHex), 'this auditor is not trusted here'],
    [
      bondCsvBlocks >= minBondCsvBlocks && bondCsvBlocks <= maxBondCsvBlocks,
      `bond_csv_blocks must be from ${minBondCsvBlocks} to ${maxBondCsvBlocks}`,
    ],
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

/**
 * Judges terms by the policy. Pure. Throws `bad_terms` with the first reason to refuse the contract;
 * `parseTerms` has checked the terms themselves.
 */
export function judgeTerms(policy: MakerPolicy, terms: ContractTerms, context: PolicyContext): void {
  const unserved = notYetServed(terms);
  if (unserved !== undefined) refuseTerm(unserved, 'is not served yet as it is');
  if (!(policy.bindings ?? OWN_JOBS).includes(terms.binding.type)) {
    if (terms.version !== 3)
      refuseTerm('version', 'must be 3: earlier ones bind no work to its buyer alone');
    refuseTerm('binding.type', 'is not taken here');
  }
  judgeBeadTerms(policy.bead, terms, context.tipBits);
  judgePayout(policy, terms);
  if (terms.version === 3 && terms.fundingByHeight <= context.height)
    refuseTerm('funding_by_height', `must be above ${context.height}`);
  const blocks = terms.expiryHeight - context.height;
  const shareWork = workOfTarget(easiestTarget(terms));
  const rules: readonly Rule[] = [
    [terms.network === policy.network, `the network must be ${policy.network}`],
    [terms.makerNodeId === context.makerNodeId, 'the maker of the terms is another node'],
    [terms.minerNodeId === context.peerNodeId, 'the miner of the terms is another node'],
    [
      fixedPriceMsatPerEh(terms) <= policy.maxPriceMsatPerEh,
      `the price may be at most ${policy.maxPriceMsatPerEh}`,
    ],
    [terms.budgetSat <= policy.maxBudgetSat, `the budget may be at most ${policy.maxBudgetSat} sat`],
    ...roomRules(policy, terms, context),
    [terms.stepHashes >= policy.minStepHashes, `a step must be at least ${policy.minStepHashes} hashes`],
    [terms.stepHashes <= policy.maxStepHashes, `a step may be at most ${policy.maxStepHashes} hashes`],
    [terms.maxUnpaidSteps <= policy.maxUnpaidSteps, `at most ${policy.maxUnpaidSteps} steps are unpaid`],
    [
      shareWork >= policy.minShareWorkHashes,
      `a share must be of at least ${policy.minShareWorkHashes} hashes`,
    ],
    [
      blocks >= policy.minExpiryBlocks && blocks <= policy.maxExpiryBlocks,
      `the expiry must be ${policy.minExpiryBlocks} to ${policy.maxExpiryBlocks} blocks away`,
    ],
    [terms.minDepth >= policy.minDepth, `min_depth must be at least ${policy.minDepth}`],
    [
      terms.staleGraceSeconds <= policy.maxStaleGraceSeconds,
      `stale_grace_seconds may be at most ${policy.maxStaleGraceSeconds}`,
    ],
    [
      terms.version === 3 ||
        policy.bindingScriptHex === undefined ||
        (terms.binding.type === 'coinbase' && terms.binding.scriptHex === policy.bindingScriptHex),
      'the binding must be to the script of the maker',
    ],
    [
      minerContributionSat(terms) <= makerContributionSat(terms),
      'the miner may not put more into the channel than the maker',
    ],
    ...stakeRules(stakesOf(policy), terms),
  ];
  const broken = rules.find(([holds]) => !holds);
  if (broken !== undefined) throw new CodedError('bad_terms', broken[1]);
}
