import { assert } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { targetOfCompact, targetOfDifficulty } from '../bitcoin/target.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { type Extranonce, isSameExtranonce } from '../stratum/extranonce.ts';
import type { NotifyParams } from '../stratum/server-messages.ts';
import type { ShareTargetRule } from './profile.ts';
import type { UpstreamStats } from './stats.ts';
import type { VersionReadingTracker } from './version-reading.ts';

export type JobAssemblerOptions = {
  /** Version bits asked for. */
  readonly versionMask: number;
  readonly reading: VersionReadingTracker;
  readonly shareTarget: ShareTargetRule;
  /**
   * After `set_extranonce` without a notify for this long, the last job is given out again with the new
   * one; undefined never.
   */
  readonly extranonceRepeatMs: number | undefined;
  /** Jobs given out per second, in bursts of twice as many; of what comes faster only the newest. */
  readonly jobsPerSecond: number;
};

/**
 * Makes jobs of what one connection is sent: notifies, and the difficulty, extranonce and version mask in
 * force for each. Knows no socket and no clock.
 */
export class JobAssembler {
  readonly #options: JobAssemblerOptions;
  readonly #stats: UpstreamStats;
  #open = false;
  /** Null until version rolling was granted. */
  #mask: number | undefined;
  #difficulty: number | undefined;
  #nextDifficulty: number | undefined;
  #extranonce: Extranonce | undefined;
  #nextExtranonce: Extranonce | undefined;
  #repeatAtMs: number | undefined;
  #waiting: NotifyParams | undefined;
  #last: { readonly params: NotifyParams; readonly job: UpstreamJob } | undefined;
  #tokens: number;
  #tokensAtMs = 0;
  readonly #jobs = new WeakSet<UpstreamJob>();

  constructor(options: JobAssemblerOptions, deps: { readonly stats: UpstreamStats }) {
    assert(options.jobsPerSecond > 0, 'jobs_per_second_positive', options.jobsPerSecond);
    this.#options = options;
    this.#stats = deps.stats;
    this.#tokens = 2 * options.jobsPerSecond;
  }

  get extranonce(): Extranonce | undefined {
    return this.#extranonce;
  }

  /** In force for the jobs given out; undefined when the upstream never sent one. */
  get difficulty(): number | undefined {
    return this.#difficulty;
  }

  /** Version bits granted; undefined without version rolling. */
  get versionMask(): number | undefined {
    return this.#mask;
  }

  /** The answer to `mining.configure`. */
  setGrantedMask(mask: number): void {
    this.#mask = (mask & this.#options.versionMask) >>> 0;
  }

  /** The answer to `mining.subscribe`. A `set_extranonce` that came before it is newer. */
  subscribed(extranonce: Extranonce): void {
    this.#extranonce = extranonce;
    this.#nextExtranonce ??= extranonce;
  }

  /** Shares may be sent now, so jobs may be given out. @returns the one that waited */
  open(monotonicMs: number): UpstreamJob | undefined {
    this.#open = true;
    this.#tokensAtMs = monotonicMs;
    return this.#assembleWaiting(monotonicMs);
  }

  /** In force from the next job. @returns false when it is no news */
  setDifficulty(difficulty: number): boolean {
    if (difficulty === this.#nextDifficulty) return false;
    this.#nextDifficulty = difficulty;
    return true;
  }

  /** In force from the next job. */
  setExtranonce(extranonce: Extranonce, monotonicMs: number): void {
    this.#nextExtranonce = extranonce;
    const { extranonceRepeatMs } = this.#options;
    if (extranonceRepeatMs !== undefined && this.#last !== undefined)
      this.#repeatAtMs = monotonicMs + extranonceRepeatMs;
  }

  /**
   * Immediate (BIP310). When bits are taken away, the last job is given out again without them.
   * Ignored when no version rolling was asked for.
   */
  setMask(mask: number, monotonicMs: number): UpstreamJob | undefined {
    if (this.#options.versionMask === 0) return undefined;
    const before = this.#mask ?? 0;
    this.setGrantedMask(mask);
    const last = this.#last;
    if (last === undefined || (before & ~(this.#mask ?? 0)) === 0) return undefined;
    return this.notify({ ...(this.#waiting ?? last.params), clean: true }, monotonicMs);
  }

  /** @returns the job to give out now, if any; one that must wait comes by `tick` */
  notify(params: NotifyParams, monotonicMs: number): UpstreamJob | undefined {
    const waiting = this.#waiting;
    if (waiting !== undefined && this.#open) this.#stats.jobsSkipped += 1;
    this.#waiting = waiting?.clean === true ? { ...params, clean: true } : params;
    return this.#assembleWaiting(monotonicMs);
  }

  /** What is due: a job that waited, or the last one again under a new extranonce. */
  tick(monotonicMs: number): UpstreamJob | undefined {
    if (this.#waiting !== undefined) return this.#assembleWaiting(monotonicMs);
    if (this.#repeatAtMs === undefined || monotonicMs < this.#repeatAtMs || this.#last === undefined)
      return undefined;
    return this.notify(this.#last.params, monotonicMs);
  }

  /** True for a job whose shares this connection can take: its own, or one under the same extranonce1. */
  isKnown(job: UpstreamJob): boolean {
    return (
      this.#jobs.has(job) || (this.#extranonce !== undefined && isSameExtranonce(job, this.#extranonce))
    );
  }

  #assembleWaiting(monotonicMs: number): UpstreamJob | undefined {
    const params = this.#waiting;
    if (params === undefined || !this.#open || !this.#takeToken(monotonicMs)) return undefined;
    this.#waiting = undefined;
    return this.#assemble(params);
  }

  #takeToken(monotonicMs: number): boolean {
    const { jobsPerSecond } = this.#options;
    const earned = ((monotonicMs - this.#tokensAtMs) / 1000) * jobsPerSecond;
    this.#tokens = Math.min(2 * jobsPerSecond, this.#tokens + earned);
    this.#tokensAtMs = monotonicMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Difficulty and extranonce that came since the last job take effect here. */
  #assemble(params: NotifyParams): UpstreamJob | undefined {
    const next = this.#nextExtranonce;
    assert(next !== undefined, 'job_after_subscribe');
    const last = this.#last;
    const hasMoved = last !== undefined && !isSameExtranonce(last.job, next);
    this.#difficulty = this.#nextDifficulty;
    this.#extranonce = next;
    this.#repeatAtMs = undefined;
    const { jobId, clean, ...work } = params;
    const job: UpstreamJob = {
      ...work,
      upstreamJobId: jobId,
      clean: clean || hasMoved || last === undefined || !equal(last.job.prevHash, params.prevHash),
      extranonce1: next.extranonce1,
      extranonce2Size: next.extranonce2Size,
      target: this.#target(params.bits),
      versionMask: this.#options.reading.mask(params.version, this.#mask ?? 0),
    };
    if (last !== undefined && !job.clean && sameWork(last.job, job)) {
      this.#stats.repeatedJobs += 1;
      return undefined;
    }
    this.#last = { params, job };
    this.#jobs.add(job);
    this.#stats.jobs += 1;
    return job;
  }

  #target(bits: number): bigint {
    if (this.#difficulty !== undefined) return targetOfDifficulty(this.#difficulty);
    return this.#options.shareTarget === 'network' ? targetOfCompact(bits) : targetOfDifficulty(1);
  }
}

function sameWork(a: UpstreamJob, b: UpstreamJob): boolean {
  return (
    a.upstreamJobId === b.upstreamJobId &&
    a.version === b.version &&
    a.bits === b.bits &&
    a.time === b.time &&
    a.target === b.target &&
    a.versionMask === b.versionMask &&
    equal(a.coinb1, b.coinb1) &&
    equal(a.coinb2, b.coinb2) &&
    a.branches.length === b.branches.length &&
    a.branches.every((branch, at) => equal(branch, b.branches[at]!))
  );
}
