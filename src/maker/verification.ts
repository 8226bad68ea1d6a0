import { unreachable } from '../base/assert.ts';
import { concat, toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { type CoinbaseOutput, coinbaseOutputs } from '../bitcoin/coinbase.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { type CoinbaseRule, coinbaseRule, easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import type { WireShare } from '../peer/messages.ts';
import { type DuplicateSet, generationOf } from '../shares/duplicates.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets, ntimeInWindow, versionInMask } from '../shares/rules.ts';
import { type ShareTarget, shareTargetOf } from '../shares/share.ts';
import { type ShareInput, verifyShares } from '../shares/verify.ts';
import { BIP323_VERSION_MASK } from '../stratum/version-rolling.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * Version, input count and outpoint of a coinbase, then the length of its script: where the script begins.
 */
const SCRIPT_AT = 4 + 1 + 36 + 1;
const MAX_SCRIPT_SIZE = 100;

/** Error codes of refused shares. */
export type ShareCode = Extract<ErrorCode, `share_${string}` | 'over_budget' | 'bad_ntime' | 'expiry_near'>;

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

/** A share of a batch on its way through the checks. */
export type ShareCase = {
  readonly share: WireShare;
  readonly job: JobRecord | undefined;
  /** Code of the first fault found. */
  code: ShareCode | undefined;
  target: ShareTarget | undefined;
  /** Hash in internal byte order, once computed. */
  hash: Uint8Array | undefined;
};

/** Time in ms for which credited hashes are remembered: no block lasts longer, so older work is stale. */
export const DUPLICATE_MEMORY_MS = 24 * 3_600_000;

/** Cached targets; a stream uses few difficulties at a time. */
const TARGETS_KEPT = 1024;

/**
 * A verifier of shares: hashes a batch in one go with the miners' own kernel, and finds low and duplicate
 * ones.
 */
export class ShareVerifier {
  readonly #kernel: ShareKernel;
  readonly #targets = new Map<number, ShareTarget>();
  readonly #clock: Clock;
  /** Monotonic time in ms of the last addition to each generation of hashes. */
  readonly #usedAtMs = new Map<string, number>();
  /** Hashes of credited shares, one set for all contracts: a share is paid once, whoever sells it. */
  readonly duplicates: DuplicateSet;

  constructor(deps: {
    readonly kernel: ShareKernel;
    readonly duplicates: DuplicateSet;
    readonly clock: Clock;
  }) {
    this.#kernel = deps.kernel;
    this.#clock = deps.clock;
    this.duplicates = deps.duplicates;
  }

  /** Remembers a hash as credited. False when it was known. */
  remember(generation: string, hash: Uint8Array): boolean {
    this.#usedAtMs.set(generation, this.#clock.monotonicMs());
    return this.duplicates.add(generation, hash);
  }

  /** Drops generations without an addition for a day: their work is stale however late it comes. */
  dropOld(): void {
    const beforeMs = this.#clock.monotonicMs() - DUPLICATE_MEMORY_MS;
    for (const [generation, usedAtMs] of this.#usedAtMs) {
      if (usedAtMs >= beforeMs) continue;
      this.duplicates.dropGeneration(generation);
      this.#usedAtMs.delete(generation);
    }
  }

  targetOf(difficulty: number): ShareTarget {
    const known = this.#targets.get(difficulty);
    if (known !== undefined) return known;
    if (this.#targets.size >= TARGETS_KEPT) this.#targets.clear();
    const target = shareTargetOf(difficulty);
    this.#targets.set(difficulty, target);
    return target;
  }

  /** Fills in hash and code of the cases without one; new hashes are remembered. Throws `overload`. */
  hashAll(cases: readonly ShareCase[]): void {
    const open = cases.filter((each) => each.code === undefined);
    if (this.duplicates.size + open.length >= this.duplicates.maxHashes) {
      throw new CodedError('overload', 'too many hashes are remembered', { limit: 'duplicateHashes' });
    }
    const jobs = [...new Set(open.map(({ job }) => job!))];
    const indexOf = new Map(jobs.map((job, index) => [job, index]));
    const inputs: ShareInput[] = open.map(({ share, job }) => ({
      job: indexOf.get(job!)!,
      extranonce: concat(share.extranonce1, share.extranonce2),
      ntime: share.ntime,
      nonce: share.nonce,
      version: share.version,
    }));
    const hashes = verifyShares(this.#kernel, jobs, inputs);
    open.forEach((each, index) => {
      each.hash = hashes.slice(index * 32, index * 32 + 32);
      if (!meets(each.hash, 0, each.target!.words)) each.code = 'share_low';
      else if (!this.remember(generationOf(each.job!), each.hash)) each.code = 'share_duplicate';
    });
  }

  /** Forgets the hashes that `hashAll` remembered, after a failed write of the batch. */
  forget(cases: readonly ShareCase[]): void {
    for (const { code, job, hash } of cases) {
      if (code === undefined && hash !== undefined) this.duplicates.delete(generationOf(job!), hash);
    }
  }
}
