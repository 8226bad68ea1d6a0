import { unreachable } from '../base/assert.ts';
import { concat, toHex } from '../base/bytes.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { type CoinbaseOutput, coinbaseOutputs } from '../bitcoin/coinbase.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { type CoinbaseRule, coinbaseRule, easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import type { WireShare } from '../peer/messages.ts';
import { ntimeInWindow, versionInMask } from '../shares/rules.ts';
import { BIP323_VERSION_MASK } from '../stratum/version-rolling.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * Version, input count and outpoint of a coinbase, then the length of its script: where the script begins.
 */
const SCRIPT_AT = 4 + 1 + 36 + 1;
const MAX_SCRIPT_SIZE = 100;

/** Error codes of refused shares. */
export type ShareCode = Extract<
  ErrorCode,
  | `share_${string}`
  | 'stale_race'
  | 'maker_restored'
  | 'over_budget'
  | 'bad_ntime'
  | 'expiry_near'
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

/**
 * Checks a job by itself: `share_bad` unless its coinbase parses with the extranonce inside the script of
 * its input (anywhere else a miner could move the outputs with it), `share_unbound` unless it pays the
 * script the terms bind to. Undefined when good.
 */
export function checkJob(terms: ContractTerms, job: JobRecord): ShareCode | undefined {
  const { coinb1, coinb2, extranonceSize } = job;
  const coinbase = concat(coinb1, new Uint8Array(extranonceSize), coinb2);
  const scriptSize = coinbase[SCRIPT_AT - 1] ?? 0;
  const extranonceEnd = coinb1.length + extranonceSize;
  if (
    scriptSize > MAX_SCRIPT_SIZE ||
    coinb1.length < SCRIPT_AT ||
    extranonceEnd > SCRIPT_AT + scriptSize ||
    (job.versionMask & ~BIP323_VERSION_MASK) !== 0
  ) {
    return 'share_bad';
  }
  try {
    const outputs = coinbaseOutputs(coinbase);
    return pays(coinbaseRule(terms), outputs) ? undefined : 'share_unbound';
  } catch (error) {
    if (error instanceof CodedError) return 'share_bad';
    throw error;
  }
}

function pays(rule: CoinbaseRule, outputs: readonly CoinbaseOutput[]): boolean {
  const paidSat = (scriptHex: string): bigint =>
    outputs.reduce((sum, each) => (toHex(each.script) === scriptHex ? sum + each.valueSat : sum), 0n);
  switch (rule.type) {
    case 'none':
      return true;
    case 'some':
      return paidSat(rule.scriptHex) > 0n;
    case 'parts': {
      const totalSat = outputs.reduce((sum, each) => sum + each.valueSat, 0n);
      return (
        totalSat > 0n &&
        rule.outputs.every(
          ({ scriptHex, ppm }) => paidSat(scriptHex) >= (totalSat * BigInt(ppm)) / 1_000_000n,
        )
      );
    }
    default:
      return unreachable(rule);
  }
}

/** Checks a share without its hash; undefined when nothing is wrong. */
export function checkShare(
  rules: ShareRules,
  job: JobRecord,
  share: WireShare,
  target: bigint,
  nowMs: number,
): ShareCode | undefined {
  if (share.extranonce1.length + share.extranonce2.length !== job.extranonceSize) return 'share_bad';
  if (!versionInMask(share.version, job.version, job.versionMask)) return 'share_bad';
  if (target > rules.maxTarget || target < rules.minTarget) return 'share_low';
  if (rules.fixedTarget && target !== rules.maxTarget) return 'share_low';
  return ntimeInWindow(share.ntime, job.time, nowMs) ? undefined : 'bad_ntime';
}
