import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { type ContractTerms, termsVersion } from '../contract/terms.ts';

/** The contracts a maker takes without asking anyone. */
export type MakerPolicy = {
  readonly network: NetworkName;
  readonly maxPriceMsatPerEh: bigint;
  /** Of one contract, and of all that are not closed. */
  readonly maxBudgetSat: bigint;
  readonly maxTotalBudgetSat: bigint;
  readonly maxOpenContractsPerMiner: number;
  readonly minStepHashes: bigint;
  readonly maxStepHashes: bigint;
  readonly maxUnpaidSteps: number;
  /** Least work of one share: bounds what verification costs. */
  readonly minShareWorkHashes: bigint;
  /** Blocks from now to the expiry. */
  readonly minExpiryBlocks: number;
  readonly maxExpiryBlocks: number;
  readonly minDepth: number;
  readonly maxStaleGraceSeconds: number;
  /**
   * The script every job must pay; undefined takes contracts without a binding, for a maker that is the
   * upstream itself.
   */
  readonly bindingScriptHex: string | undefined;
};

/** What terms are judged against. */
export type PolicyContext = {
  readonly makerNodeId: string;
  /** The proven node key of who proposes. */
  readonly peerNodeId: string;
  readonly height: number;
  readonly openContractsOfPeer: number;
  readonly openBudgetSat: bigint;
};

/**
 * Pure. Throws `bad_terms` with the first reason not to take a contract; `parseTerms` has checked it in
 * itself.
 */
export function judgeTerms(policy: MakerPolicy, terms: ContractTerms, context: PolicyContext): void {
  const blocks = terms.expiryHeight - context.height;
  const shareWork = workOfTarget(BigInt(`0x${terms.maxTargetHex}`));
  const { binding } = terms;
  const rules: readonly (readonly [holds: boolean, reason: string])[] = [
    [terms.network === policy.network, `the network must be ${policy.network}`],
    [terms.makerNodeId === context.makerNodeId, 'the maker of the terms is another node'],
    [terms.minerNodeId === context.peerNodeId, 'the miner of the terms is another node'],
    [
      terms.priceMsatPerEh <= policy.maxPriceMsatPerEh,
      `the price may be at most ${policy.maxPriceMsatPerEh}`,
    ],
    [terms.budgetSat <= policy.maxBudgetSat, `the budget may be at most ${policy.maxBudgetSat} sat`],
    [terms.budgetSat + context.openBudgetSat <= policy.maxTotalBudgetSat, 'all budgets are in use'],
    [
      context.openContractsOfPeer < policy.maxOpenContractsPerMiner,
      `a miner may have ${policy.maxOpenContractsPerMiner} contracts`,
    ],
    [terms.stepHashes >= policy.minStepHashes, `a step must be at least ${policy.minStepHashes} hashes`],
    [terms.stepHashes <= policy.maxStepHashes, `a step may be at most ${policy.maxStepHashes} hashes`],
    [termsVersion(terms) === 1, 'contracts with bonds or a seal are not served'],
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
      policy.bindingScriptHex === undefined ||
        (binding.type === 'coinbase' && binding.scriptHex === policy.bindingScriptHex),
      'the binding must be to the script of the maker',
    ],
  ];
  const broken = rules.find(([holds]) => !holds);
  if (broken !== undefined) throw new CodedError('bad_terms', broken[1]);
}
