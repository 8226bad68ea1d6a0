import { larger, smaller } from '../base/bigints.ts';
import type { Clock } from '../base/clock.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { BlockStatus, TipTracker } from '../chain/tip-tracker.ts';
import type { BeginMargins } from '../chain/watcher.ts';
import { isTooLateToBegin } from '../channel/deadlines.ts';
import { placeIn, type TermPeriod } from '../contract/term-clock.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { refusedPpm, staleRacePpm } from '../contract/terms-access.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { checkShare, type ShareRules, shareRulesOf } from '../settlement/share-rules.ts';
import { shareTargetOf } from '../shares/share.ts';
import type { JobId } from '../stratum/job-id.ts';
import { JOB_KIND, type JobRecord, jobDocumentId, parseJobDocument } from '../work/evidence.ts';
import type { ShareRows } from '../work/share-rows.ts';

/** Shares of the own ledger, each with the wall time in ms at which it was written. */
export type SentShares = { readonly rows: ShareRows; readonly atMs: (index: number) => number };

/** Work in hashes that the maker did not credit. */
export type RefusedWork = {
  /** For a reason that the own rules confirm: it is not owed. */
  readonly confirmedHashes: bigint;
  /** On a block that the two sides saw, or saw replaced, at different moments. */
  readonly racedHashes: bigint;
};

export const NOTHING_REFUSED: RefusedWork = { confirmedHashes: 0n, racedHashes: 0n };

type Reason = 'confirmed' | 'raced' | 'none';

/**
 * The work in hashes that counts as unpaid of all that was refused: what no rule of our own confirms, beyond
 * the parts of all delivered work that the terms allow for it and for races of blocks.
 */
export function unexplainedWork(
  terms: ContractTerms,
  ownHashes: bigint,
  refusedHashes: bigint,
  { confirmedHashes, racedHashes }: RefusedWork,
): bigint {
  const beyond = (hashes: bigint, ppm: number): bigint => {
    return larger(hashes - (ownHashes * BigInt(ppm)) / 1_000_000n, 0n);
  };
  const unconfirmed = larger(refusedHashes - confirmedHashes, 0n);
  const raced = smaller(racedHashes, unconfirmed);
  return beyond(raced, staleRacePpm(terms)) + beyond(unconfirmed - raced, refusedPpm(terms));
}

export type RefusalsDeps = {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly view: TipTracker;
  /** The maker heard of too many solutions by a batch first. */
  readonly isLate?: () => boolean;
  /** The blocks of the contract by the own node; undefined while their end is not known. */
  readonly period: () => TermPeriod | undefined;
  /** See `creditLimit`. */
  readonly creditLimit: (height: number) => bigint | undefined;
  /** Work on a block has no price. */
  readonly isUnpriced: (height: number) => boolean;
};

/**
 * Judges refusals of a maker by the rules that its miner goes by itself. What the maker brings about is no
 * reason: not the age of a share that it let wait, not a block that it shows to nobody, no job of its pool.
 */
export class Refusals {
  readonly #terms: ContractTerms;
  readonly #margins: BeginMargins;
  readonly #rules: ShareRules;
  readonly #deps: RefusalsDeps;
  /** Wall time at the zero of the monotonic clock. */
  readonly #wallAtZeroMs: number;

  constructor(terms: ContractTerms, margins: BeginMargins, deps: RefusalsDeps) {
    this.#terms = terms;
    this.#margins = margins;
    this.#rules = shareRulesOf(terms, false);
    this.#deps = deps;
    this.#wallAtZeroMs = deps.clock.nowMs() - deps.clock.monotonicMs();
  }

  /**
   * The refused work of one batch that has a reason. Throws `chain_unreachable`, `chain_rpc`.
   * @param creditedHashes work the maker has credited by now; never more than was delivered, whatever it says
   */
  async judge(
    firstSeq: number,
    shares: SentShares,
    refused: readonly { readonly seq: number; readonly code: string }[],
    creditedHashes: bigint,
  ): Promise<RefusedWork> {
    const jobs = new Map<number, JobRecord | undefined>();
    let { confirmedHashes, racedHashes } = NOTHING_REFUSED;
    for (const { seq, code } of new Map(refused.map((each) => [each.seq, each])).values()) {
      const index = seq - firstSeq;
      if (index < 0 || index >= shares.rows.length) continue;
      const jobId = shares.rows.jobId(index);
      if (!jobs.has(jobId)) jobs.set(jobId, await this.#job(jobId));
      const reason = await this.#reasonOf(code, shares, index, jobs.get(jobId), creditedHashes);
      const { workHashes } = shareTargetOf(shares.rows.difficulty(index));
      if (reason === 'confirmed') confirmedHashes += workHashes;
      if (reason === 'raced') racedHashes += workHashes;
    }
    return { confirmedHashes, racedHashes };
  }

  async #job(jobId: JobId): Promise<JobRecord | undefined> {
    const body = await this.#deps.ledger.get(JOB_KIND, jobDocumentId(jobId));
    return body === undefined ? undefined : parseJobDocument(body);
  }

  async #reasonOf(
    code: string,
    { rows, atMs }: SentShares,
    index: number,
    job: JobRecord | undefined,
    creditedHashes: bigint,
  ): Promise<Reason> {
    const isComplete = creditedHashes >= this.#terms.workTotalHashes;
    if (code === 'over_budget') return isComplete ? 'confirmed' : 'none';
    if (code === 'over_rate') return this.#whyOverRate(job, creditedHashes);
    if (code === 'late_solutions') return this.#deps.isLate?.() === true ? 'confirmed' : 'none';
    if (job === undefined) return 'none';
    if (code === 'share_stale' || code === 'stale_race') return this.#whyStale(atMs(index), job);
    if (code === 'no_price') {
      const standing = await this.#deps.view.standing(displayHash(job.prevHash));
      const isRight = standing.status !== 'unknown' && this.#deps.isUnpriced(standing.height);
      return isRight ? 'confirmed' : 'none';
    }
    if (code === 'expiry_near' || code === 'not_begun' || code === 'duration_over') {
      const standing = await this.#deps.view.standing(displayHash(job.prevHash));
      return standing.status !== 'unknown' && this.#isOutside(code, standing.height) ? 'confirmed' : 'none';
    }
    const { target } = shareTargetOf(rows.difficulty(index));
    const own = checkShare(this.#rules, job, rows, index, target, this.#deps.clock.nowMs());
    return own === code ? 'confirmed' : 'none';
  }

  /** Whether as much is credited as may be on the block of a job, by the own node. */
  async #whyOverRate(job: JobRecord | undefined, creditedHashes: bigint): Promise<Reason> {
    if (job === undefined) return 'none';
    const standing = await this.#deps.view.standing(displayHash(job.prevHash));
    if (standing.status === 'unknown') return 'none';
    const limitHashes = this.#deps.creditLimit(standing.height);
    return limitHashes !== undefined && creditedHashes >= limitHashes ? 'confirmed' : 'none';
  }

  /** Whether a block is outside of the contract for a reason that the maker gave. */
  #isOutside(code: 'expiry_near' | 'not_begun' | 'duration_over', height: number): boolean {
    if (code === 'expiry_near') return isTooLateToBegin(this.#terms, this.#margins, height);
    const blocks = this.#deps.period();
    return blocks !== undefined && placeIn(blocks, height) === (code === 'not_begun' ? 'before' : 'after');
  }

  /**
   * A share is stale by the own rules where its block had been replaced for the whole grace when the share
   * was found. On any other block, also one that the own node never had for its tip, the two sides raced.
   */
  async #whyStale(atMs: number, job: JobRecord): Promise<Reason> {
    const { clock, view } = this.#deps;
    const standing: BlockStatus = await view.standing(displayHash(job.prevHash));
    if (standing.status !== 'superseded' || !Number.isFinite(standing.sinceMonotonicMs)) return 'raced';
    const monotonicMs = clock.monotonicMs();
    // A step of the wall clock, either way, makes no share later than it was.
    const foundMs = Math.min(atMs - this.#wallAtZeroMs, monotonicMs - (clock.nowMs() - atMs));
    const untilMs = standing.sinceMonotonicMs + this.#terms.staleGraceSeconds * 1000;
    return foundMs > untilMs ? 'confirmed' : 'raced';
  }
}
