import type { ShareTarget } from '../../shares/share.ts';
import type { JobId } from '../../stratum/job-id.ts';
import { applyRequest, applySpeed, reboundVardiff, resumeVardiff } from './difficulty-request.ts';
import type { DifficultyRequest } from './handshake.ts';
import type { SessionMemory } from './identities.ts';
import type { PreparedJob, SentJob } from './prepared-job.ts';
import { SentJobs } from './sent-jobs.ts';
import type { SessionContext } from './session-context.ts';
import {
  countShares,
  startVardiff,
  type VardiffEvent,
  type VardiffOptions,
  type VardiffState,
  transition as vardiff,
} from './vardiff.ts';
import type { SessionWorker } from './worker.ts';

type WorkContext = Pick<
  SessionContext<never>,
  'nowMs' | 'monotonicMs' | 'sentBefore' | 'shareTarget' | 'stats'
>;

/** A gap between jobs after which silence says nothing about the miner. */
const WORK_GAP_MS = 120_000;
/** An upstream that repeats the same work for so long holds up the search for the difficulty. */
const SAME_WORK_MS = 120_000;

/**
 * What one session was given to do, how hard, and what it did of it.
 *
 * Every share comes by here twice, each time with thousands of others in between, so that what it reads is in
 * no cache: what it needs stands in the first few fields, and the other objects are brought up to date for
 * a row of shares at once.
 */
export class SessionWork {
  /** Given last: what nearly all shares are of. */
  #newest: SentJob | undefined;
  /** A row of accepted shares of one worker at one difficulty, not counted elsewhere yet. */
  #rowShares = 0;
  #rowTarget: ShareTarget | undefined;
  #rowWorker: SessionWorker | undefined;
  /** Wall time in seconds: V8 keeps a small integer in place, any other number in an object of its own. */
  #rowAtSeconds = 0;
  readonly #sent = new SentJobs();
  /** Replaced at each job. */
  #vardiff: VardiffState;
  /** When it was last sent a job, monotonic; minus infinity before the first. */
  jobAtMonotonicMs = Number.NEGATIVE_INFINITY;
  readonly #context: WorkContext;
  /** As its listener has it. */
  #given: VardiffOptions;
  /** Within what the miner asked for. */
  #options: VardiffOptions;
  #newWorkAtMonotonicMs = 0;
  #wasFixed = false;

  constructor(options: VardiffOptions, context: WorkContext) {
    this.#given = options;
    this.#options = options;
    this.#context = context;
    this.#vardiff = startVardiff(options, context.monotonicMs);
  }

  /** The job with this id as it was sent, if it was. */
  find(jobId: JobId): SentJob | undefined {
    return this.#newest?.job.id === jobId ? this.#newest : this.#sent.find(jobId);
  }

  /** True for a job that may be submitted, and for the same work as one of its time or a later one. */
  wasSent({ job, work }: PreparedJob): boolean {
    if (this.find(job.id) !== undefined) return true;
    const sent = this.#sent.findWork(work);
    return sent !== undefined && sent.job.time >= job.time;
  }

  /** A share of this worker was accepted at this target. */
  accept(worker: SessionWorker, target: ShareTarget): void {
    if (target !== this.#rowTarget || worker !== this.#rowWorker) {
      this.tally();
      this.#rowTarget = target;
      this.#rowWorker = worker;
    }
    this.#rowShares += 1;
    this.#rowAtSeconds = Math.floor(this.#context.nowMs / 1000);
  }

  /** Brings the worker and the window of the difficulty up to the last share, before either is read. */
  tally(): void {
    const shares = this.#rowShares;
    if (shares === 0) return;
    this.#rowShares = 0;
    const { difficulty } = this.#rowTarget!;
    this.#rowWorker!.accept(shares, difficulty, this.#rowAtSeconds * 1000);
    countShares(this.#vardiff, shares, difficulty);
  }

  /** Other bounds, from the next job on; what the miner asked for stays, as far as they allow it. */
  setBounds(given: VardiffOptions): void {
    this.tally();
    const options = reboundVardiff(given, { asked: this.#options, before: this.#given });
    this.#given = given;
    const { difficulty } = this.#vardiff;
    this.#setVardiff(
      resumeVardiff({ options, state: this.#vardiff }, difficulty, this.#context.monotonicMs),
    );
  }

  requestDifficulty(request: DifficultyRequest): void {
    this.tally();
    this.#setVardiff(
      applyRequest({ options: this.#options, state: this.#vardiff }, request, this.#context.monotonicMs),
    );
  }

  /** The miner named itself, and its like do about so many hashes per second. */
  expectSpeed(hashesPerSecond: number): void {
    this.tally();
    const { monotonicMs } = this.#context;
    this.#setVardiff(
      applySpeed({ options: this.#options, state: this.#vardiff }, hashesPerSecond, monotonicMs),
    );
  }

  /** Gives it a job, and says how hard and whether the work before it is void. */
  assignJob(
    prepared: PreparedJob,
    isAgain: boolean,
  ): { readonly target: ShareTarget; readonly isClean: boolean } {
    this.tally();
    const { monotonicMs } = this.#context;
    const { fixedDifficulty } = prepared.job;
    const earlier = isAgain ? this.#sent.findWork(prepared.work) : undefined;
    if (earlier === undefined) this.#newWorkAtMonotonicMs = monotonicMs;
    if (this.#wasFixed && fixedDifficulty === undefined) this.#onVardiff({ type: 'work_resumed' });
    this.#wasFixed = fixedDifficulty !== undefined;
    let target: ShareTarget;
    let isClean = false;
    if (fixedDifficulty !== undefined) target = this.#context.shareTarget(fixedDifficulty);
    else if (earlier === undefined) target = this.#nextTarget(prepared);
    else if (monotonicMs - this.#newWorkAtMonotonicMs <= SAME_WORK_MS) target = earlier.target;
    else {
      target = this.#nextTarget(prepared);
      isClean = target.difficulty !== earlier.target.difficulty;
      if (isClean) {
        this.#sent.forgetWork(prepared.work);
        this.#newWorkAtMonotonicMs = monotonicMs;
      }
    }
    this.jobAtMonotonicMs = monotonicMs;
    this.#newest = prepared.sentWith(target);
    this.#sent.add(this.#newest);
    return { target, isClean };
  }

  memory(hasEarned: boolean): SessionMemory {
    this.tally();
    const sent = this.#sent.list();
    return {
      sent: sent.map(({ job, target }) => ({ jobId: job.id, difficulty: target.difficulty })),
      difficulty: this.#vardiff.difficulty,
      hasEarned,
    };
  }

  /** Goes on where an earlier connection ended. */
  restore({ sent, difficulty }: SessionMemory): void {
    const knownJobs = sent.map((before) => this.#context.sentBefore(before.jobId, before.difficulty));
    for (const job of knownJobs.filter((job): job is SentJob => job !== undefined)) this.#sent.add(job);
    this.#newWorkAtMonotonicMs = this.#context.monotonicMs;
    this.#setVardiff(
      resumeVardiff(
        { options: this.#options, state: this.#vardiff },
        difficulty,
        this.#context.monotonicMs,
      ),
    );
  }

  #setVardiff({
    options,
    state,
  }: {
    readonly options: VardiffOptions;
    readonly state: VardiffState;
  }): void {
    this.#options = options;
    this.#vardiff = state;
  }

  #nextTarget({ upstreamDifficulty, networkDifficulty }: PreparedJob): ShareTarget {
    if (this.#context.monotonicMs - this.jobAtMonotonicMs > WORK_GAP_MS)
      this.#onVardiff({ type: 'work_resumed' });
    this.#onVardiff({ type: 'job_due' });
    const { floor, least = floor } = this.#options;
    const wanted = Math.min(this.#vardiff.difficulty, upstreamDifficulty);
    return this.#context.shareTarget(Math.min(wanted, Math.max(networkDifficulty, least)));
  }

  #onVardiff(event: VardiffEvent): void {
    const { monotonicMs, stats } = this.#context;
    const { state, effects } = vardiff(this.#options, this.#vardiff, event, monotonicMs);
    this.#vardiff = state;
    for (const { type } of effects) {
      if (type === 'raised') stats.vardiffUp += 1;
      else stats.vardiffDown += 1;
    }
  }
}
