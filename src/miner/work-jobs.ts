import { equal } from '../base/bytes.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { displayHash } from '../bitcoin/header.ts';
import { decimalDifficultyOf } from '../bitcoin/target.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import type { Logger } from '../log/logger.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import { type JobId, printJobId } from '../stratum/job-id.ts';
import {
  isSameJob,
  isSameWork,
  jobFault,
  type WorkBinding,
  type WorkFault,
  type WorkFaultReason,
} from './work-rules.ts';

export type WorkJobsOptions = { readonly terms: ContractTerms; readonly binding: WorkBinding };

export type WorkJobsDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** The blocks that the own node knows. */
  readonly view: Pick<TipTracker, 'standing'>;
  /** There is another newest job to mine, also where an older one is it again. */
  readonly onJob: (job: UpstreamJob) => void;
  /** These are void; `newest` is no longer there where it was one of them. */
  readonly onGone: (ids: readonly JobId[]) => void;
  /** There is nothing to mine any more. */
  readonly onEmpty: () => void;
};

/** Jobs that are mined or wait for their block, and those whose link was lost: the newest are kept. */
const LIVE_JOBS = LIMITS.jobsPerDestination;
/** Jobs that are over whose work may be given again. */
const JOBS_OVER = 64;
/** Ids that may not come again: some hours' jobs. */
const KNOWN_IDS = 8192;
/** The own node may hear of a block later than the maker's pool does. */
const UNKNOWN_BLOCK_MS = 60_000;
/** Faults of one kind are said in the log once in so long, and counted each time. */
const SAID_EVERY_MS = 10_000;
const LAST_NTIME = 2 ** 32 - 1;

type LiveJob = {
  readonly job: WorkJob;
  readonly firstAtMs: number;
  /** Counts up with each job that was given. */
  readonly turn: number;
};

/**
 * The jobs that a maker gives for one contract, as far as they may be mined: each is judged before
 * (`work-rules.ts`), and waits until the own node knows the block before it.
 */
export class WorkJobs {
  readonly stats = { taken: 0, refused: {} as Partial<Record<WorkFaultReason, number>> };
  readonly #options: WorkJobsOptions;
  readonly #deps: WorkJobsDeps;
  readonly #rate: TokenBucket;
  readonly #live = new Map<JobId, LiveJob>();
  readonly #held = new Map<JobId, LiveJob>();
  /** Of links that were lost, since when they were not given again. */
  #away = new Map<JobId, LiveJob>();
  /** The newest that were mined and are over. */
  readonly #over = new Map<JobId, LiveJob>();
  readonly #ids = new Set<JobId>();
  #turn = 0;
  /** The block before the newest job, and what was withdrawn since it came. */
  #block: Uint8Array | undefined;
  #withdrawals = 0;
  #newest: UpstreamJob | undefined;
  #newestAtMs = 0;
  #lastFault: WorkFault | undefined;
  readonly #saidAtMs = new Map<WorkFaultReason, number>();
  #isLooking = false;
  #isLookedAgain = false;
  #heldTimer: Timer | undefined;
  /** One for each block that was replaced within half of the grace. */
  readonly #staleTimers = new Set<Timer>();

  constructor(options: WorkJobsOptions, deps: WorkJobsDeps) {
    this.#options = options;
    this.#deps = deps;
    const rate = { perSecond: LIMITS.peerWorkJobs / 16, burst: LIMITS.peerWorkJobs };
    this.#rate = new TokenBucket(rate, deps.clock.monotonicMs());
  }

  /** The one to mine; undefined while there is none. */
  get newest(): UpstreamJob | undefined {
    return this.#newest;
  }

  /** Time in ms since the newest was given out. */
  get ageMs(): number | undefined {
    return this.#newest === undefined ? undefined : this.#deps.clock.monotonicMs() - this.#newestAtMs;
  }

  get counts(): { readonly live: number; readonly held: number } {
    return { live: this.#live.size, held: this.#held.size };
  }

  /** What was wrong with the last job or withdrawal that was refused. */
  get lastFault(): WorkFault | undefined {
    return this.#lastFault;
  }

  /** Takes a job of the maker. Throws `work_refused`. */
  give(job: WorkJob): void {
    const { clock, log } = this.#deps;
    const { terms, binding } = this.#options;
    const before = this.#away.get(job.id);
    const isResumed = before !== undefined && isSameJob(before.job, job);
    const fault =
      this.#faultInSet(job, isResumed) ?? jobFault(terms, binding, job, clock.nowMs()) ?? undefined;
    if (fault !== undefined) this.#refuse(fault, job);
    this.#remember(job.id);
    this.#away.delete(job.id);
    const firstAtMs = before?.firstAtMs ?? this.#firstAtMs(job);
    this.#turn += 1;
    this.#held.set(job.id, { job, firstAtMs, turn: this.#turn });
    trim(this.#held);
    log.debug({ job: printJobId(job.id) }, 'a job of the market maker');
    this.#settleHeld();
  }

  /** The maker withdraws jobs. Throws `work_refused` where it does so too often: then they are good still. */
  withdraw(ids: readonly JobId[]): void {
    const known = ids.filter((id) => this.#live.has(id) || this.#held.has(id));
    const tip = this.#newestBlock;
    const withdrawn = known.filter((id) => {
      const { prevHash } = (this.#live.get(id) ?? this.#held.get(id)!).job;
      return tip !== undefined && equal(prevHash, tip);
    }).length;
    const most = this.#options.binding.withdrawalsPerBlock;
    // Where none is left the hashrate goes, which harms no one but the maker.
    const isAll = known.length === this.#live.size + this.#held.size;
    if (!isAll && this.#withdrawals + withdrawn > most)
      this.#refuse({ reason: 'too_many', detail: `more than ${most} jobs of one block withdrawn` });
    if (!isAll) this.#withdrawals += withdrawn;
    for (const id of ids) this.#away.delete(id);
    this.#end(known);
  }

  /** The maker's work is down: all its jobs are void, for good. */
  withdrawAll(): void {
    this.#away = new Map();
    this.#end([...this.#live.keys(), ...this.#held.keys()]);
  }

  /** The link is lost: nothing may be mined, but what the maker gives again unchanged goes on. */
  linkLost(): void {
    const before = [...this.#away, ...this.#live, ...this.#held];
    this.#away = new Map(before.slice(-LIVE_JOBS));
    this.#end([...this.#live.keys(), ...this.#held.keys()]);
  }

  /** The own node has another tip. */
  onTip(): void {
    this.#settleHeld();
    const agedMs = (this.#options.terms.staleGraceSeconds * 1000) / 2;
    const timer = this.#deps.timers.after(agedMs, () => {
      this.#staleTimers.delete(timer);
      void this.#endStale(agedMs);
    });
    this.#staleTimers.add(timer);
  }

  stop(): void {
    this.#heldTimer?.cancel();
    for (const timer of this.#staleTimers) timer.cancel();
    this.#live.clear();
    this.#held.clear();
    this.#newest = undefined;
  }

  get #newestBlock(): Uint8Array | undefined {
    return (lastOf(this.#held) ?? lastOf(this.#live))?.job.prevHash;
  }

  /** What is wrong with a job beside those that are there. */
  #faultInSet(job: WorkJob, isResumed: boolean): WorkFault | undefined {
    if (!this.#rate.take(this.#deps.clock.monotonicMs()))
      return { reason: 'too_many', detail: 'jobs come too fast' };
    if (isResumed) return undefined;
    if (this.#ids.has(job.id)) return { reason: 'id', detail: 'its id was used before' };
    const others = [...this.#live.values(), ...this.#held.values()];
    const same = others.find((other) => isSameWork(other.job, job));
    if (same !== undefined)
      return { reason: 'repeated', detail: `it is the work of job ${printJobId(same.job.id)}` };
    if (job.clean && others.some((other) => equal(other.job.prevHash, job.prevHash)))
      return { reason: 'clean', detail: 'it voids jobs on the same block' };
    return undefined;
  }

  #refuse(fault: WorkFault, job?: WorkJob): never {
    this.#note(fault, job);
    throw new CodedError('work_refused', fault.detail, { reason: fault.reason });
  }

  #note(fault: WorkFault, job?: WorkJob): void {
    const { refused } = this.stats;
    refused[fault.reason] = (refused[fault.reason] ?? 0) + 1;
    this.#lastFault = fault;
    const monotonicMs = this.#deps.clock.monotonicMs();
    if (monotonicMs - (this.#saidAtMs.get(fault.reason) ?? Number.NEGATIVE_INFINITY) < SAID_EVERY_MS)
      return;
    this.#saidAtMs.set(fault.reason, monotonicMs);
    const id = job === undefined ? {} : { job: printJobId(job.id) };
    this.#deps.log.warn(
      { code: 'work_refused', ...fault, ...id },
      'a job of the market maker is not mined: it breaks the terms',
    );
  }

  /**
   * Since when the work of a job was mined, under whatever ids: a pool that comes back may give it again,
   * and what is mined of it then has a later time than all that was.
   */
  #firstAtMs(job: WorkJob): number {
    const same = [...this.#over.values()].filter((other) => isSameWork(other.job, job));
    const sinceMs = same.map((other) => other.firstAtMs + (job.time - other.job.time) * 1000);
    return Math.min(this.#deps.clock.monotonicMs(), ...sinceMs);
  }

  #remember(id: JobId): void {
    this.#ids.add(id);
    if (this.#ids.size > KNOWN_IDS) for (const oldest of this.#ids) return void this.#ids.delete(oldest);
  }

  /** Begins with the jobs whose block the own node knows, in the order they came. */
  #settleHeld(): void {
    if (this.#options.binding.foreignChain) {
      for (const held of this.#held.values()) this.#begin(held);
      return;
    }
    if (this.#isLooking) {
      this.#isLookedAgain = true;
      return;
    }
    this.#isLooking = true;
    void this.#lookAtHeld().finally(() => {
      this.#isLooking = false;
      this.#heldTimer?.cancel();
      if (this.#isLookedAgain) {
        this.#isLookedAgain = false;
        this.#settleHeld();
      } else if (this.#held.size > 0)
        this.#heldTimer = this.#deps.timers.after(1_000, () => this.#settleHeld());
    });
  }

  async #lookAtHeld(): Promise<void> {
    const { clock, log, view } = this.#deps;
    const graceMs = this.#options.terms.staleGraceSeconds * 1000;
    for (const [id, held] of [...this.#held]) {
      const block = displayHash(held.job.prevHash);
      let standing: Awaited<ReturnType<TipTracker['standing']>>;
      try {
        standing = await view.standing(block);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        log.warn({ code: codeOf(error) }, 'the block of a job could not be looked up: it waits');
        return;
      }
      if (this.#held.get(id) !== held) continue;
      const waitedMs = clock.monotonicMs() - held.firstAtMs;
      if (standing.status === 'unknown') {
        // The maker knows that this job came, and credits those before it for the grace only.
        if (waitedMs >= graceMs / 2) this.#endBefore(held);
        if (waitedMs < UNKNOWN_BLOCK_MS) continue;
        this.#held.delete(id);
        this.#note(
          { reason: 'unknown_block', detail: `the own node does not know block ${block}` },
          held.job,
        );
      } else if (
        standing.status === 'superseded' &&
        isPast(standing.sinceMonotonicMs, graceMs / 2, clock)
      ) {
        this.#held.delete(id);
        this.#note({ reason: 'stale', detail: `block ${block} was replaced long ago` }, held.job);
      } else this.#begin(held);
    }
  }

  /** Ends the jobs that came before this one, on another block; one that came later would have voided it. */
  #endBefore({ job: { prevHash } }: LiveJob): void {
    const before = [...this.#live].filter(([, { job }]) => !equal(job.prevHash, prevHash));
    this.#end(before.map(([id]) => id));
  }

  #begin(begun: LiveJob): void {
    const { job, turn } = begun;
    this.#held.delete(job.id);
    // Its maker voided by it what came before, on another block: that waits for nothing any more.
    for (const [id, other] of this.#held)
      if (other.turn < turn && !equal(other.job.prevHash, job.prevHash)) this.#held.delete(id);

    if (this.#block === undefined || !equal(this.#block, job.prevHash)) {
      for (const id of this.#live.keys()) this.#drop(id);
      this.#withdrawals = 0;
      this.#block = job.prevHash;
    }
    this.#live.set(job.id, begun);
    trim(this.#live);
    this.stats.taken += 1;
    this.#giveOut(begun);
  }

  /** A job that was given out before goes on with a later time: a new header, so no work is repeated. */
  #giveOut({ job, firstAtMs }: LiveJob): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    const time = Math.min(job.time + Math.ceil((monotonicMs - firstAtMs) / 1000), LAST_NTIME);
    this.#newestAtMs = monotonicMs;
    this.#newest = upstreamJobOf(job, time);
    this.#deps.onJob(this.#newest);
  }

  async #endStale(agedMs: number): Promise<void> {
    const { clock, log, view } = this.#deps;
    if (this.#options.binding.foreignChain) return;
    try {
      for (const [id, { job }] of [...this.#live]) {
        const standing = await view.standing(displayHash(job.prevHash));
        if (standing.status !== 'superseded' || !isPast(standing.sinceMonotonicMs, agedMs, clock)) continue;
        if (!this.#live.has(id)) continue;
        this.#note(
          { reason: 'stale', detail: 'its block was replaced, and no job on the new one came' },
          job,
        );
        this.#end([id]);
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      log.warn({ code: codeOf(error) }, 'the blocks of jobs could not be looked up');
    }
  }

  #drop(id: JobId): void {
    const live = this.#live.get(id);
    if (live !== undefined) this.#over.set(id, live);
    trim(this.#over, JOBS_OVER);
    this.#live.delete(id);
    this.#held.delete(id);
  }

  #end(ids: readonly JobId[]): void {
    if (ids.length === 0) return;
    for (const id of ids) this.#drop(id);
    const isNewest = this.#newest !== undefined && !this.#live.has(this.#newest.bought!.jobId);
    if (isNewest) this.#newest = undefined;
    this.#deps.onGone(ids);
    const next = lastOf(this.#live);
    if (isNewest && next !== undefined) this.#giveOut(next);
    else if (isNewest) this.#deps.onEmpty();
  }
}

function isPast(sinceMs: number, agedMs: number, clock: Clock): boolean {
  return clock.monotonicMs() - sinceMs >= agedMs;
}

function lastOf(jobs: ReadonlyMap<JobId, LiveJob>): LiveJob | undefined {
  let last: LiveJob | undefined;
  for (const job of jobs.values()) last = job;
  return last;
}

function trim(jobs: Map<JobId, LiveJob>, most: number = LIVE_JOBS): void {
  if (jobs.size > most) for (const oldest of jobs.keys()) return void jobs.delete(oldest);
}

function upstreamJobOf(job: WorkJob, time: number): UpstreamJob {
  const { id, shareTarget, upstreamTarget, ...fields } = job;
  return {
    ...fields,
    time,
    upstreamJobId: printJobId(id),
    target: upstreamTarget,
    bought: { jobId: id, difficulty: decimalDifficultyOf(shareTarget)! },
  };
}
