import { unreachable } from '../base/assert.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { type CoinbaseRule, coinbaseRule, easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import { ntimeInWindow, versionInMask } from '../shares/rules.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { ShareRows } from '../work/share-rows.ts';
import { type CommittedParts, checkMetadata, committedBinding } from './bead-rules.ts';
import { type CoinbaseParts, type JobCoinbase, jobCoinbase, paidByScript } from './job-coinbase.ts';
import { paysParts } from './payout-rules.ts';

/** Error codes of refused shares. */
export type ShareCode = Extract<
  ErrorCode,
  | `share_${string}`
  | 'stale_race'
  | 'maker_restored'
  | 'over_budget'
  | 'over_rate'
  | 'no_price'
  | 'bad_ntime'
  | 'expiry_near'
  | 'not_begun'
  | 'duration_over'
  | 'late_solutions'
>;

/** The rules for a share before its hash is compared with its target. */
export type ShareRules = {
  readonly terms: ContractTerms;
  /** The easiest target of a share. */
  readonly maxTarget: bigint;
  /** The hardest target of a share. */
  readonly minTarget: bigint;
  /**
   * Every share must be assigned exactly `maxTarget`. Then no one can choose a share's difficulty after its
   * hash is known, which a maker that trusts reported difficulties cannot see (a share is worth its
   * difficulty).
   */
  readonly fixedTarget: boolean;
};

/** The rules for shares of a contract with these terms. */
export function shareRulesOf(terms: ContractTerms, fixedTarget: boolean): ShareRules {
  return { terms, maxTarget: easiestTarget(terms), minTarget: hardestTarget(terms), fixedTarget };
}

/** The parts of a job that bind its shares to a buyer. */
export type BoundParts = CoinbaseParts & CommittedParts;

/**
 * Checks a job by itself: `share_bad` where its coinbase cannot be read (`jobCoinbase`), `share_unbound`
 * unless it pays whom the terms bind to, or commits to a bead that does. Undefined when good.
 */
export function checkJob(terms: ContractTerms, job: BoundParts): ShareCode | undefined {
  const coinbase = jobCoinbase(job);
  if (coinbase === undefined) return 'share_bad';
  const binding = committedBinding(terms);
  if (binding !== undefined && checkMetadata(binding, terms.network, job, coinbase.outputs) !== undefined)
    return 'share_unbound';
  return pays(coinbaseRule(terms), coinbase) ? undefined : 'share_unbound';
}

function pays(rule: CoinbaseRule, coinbase: JobCoinbase): boolean {
  switch (rule.type) {
    case 'none':
      return true;
    case 'some':
      return paidByScript(coinbase).has(rule.scriptHex);
    case 'parts':
      return paysParts(coinbase, rule.outputs);
    default:
      return unreachable(rule);
  }
}

/** Checks the share at an index without its hash; undefined when nothing is wrong. */
export function checkShare(
  rules: ShareRules,
  job: JobRecord,
  shares: ShareRows,
  index: number,
  target: bigint,
  nowMs: number,
): ShareCode | undefined {
  if (shares.extranonceSize(index) !== job.extranonceSize) return 'share_bad';
  if (!versionInMask(shares.version(index), job.version, job.versionMask)) return 'share_bad';
  if (target > rules.maxTarget || target < rules.minTarget) return 'share_low';
  if (rules.fixedTarget && target !== rules.maxTarget) return 'share_low';
  return ntimeInWindow(shares.ntime(index), job.time, nowMs) ? undefined : 'bad_ntime';
}
