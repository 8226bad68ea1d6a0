import type { ShareTarget } from '../shares/share.ts';
import type { DifficultyWish } from './handshake.ts';
import type { SessionMemory } from './identities.ts';
import type { PreparedJob, SentJob } from './prepared-job.ts';
import { SentJobs } from './sent-jobs.ts';
import type { SessionHost } from './session-host.ts';
import {
  nextVardiff,
  restartedVardiff,
  startVardiff,
  type VardiffOptions,
  type VardiffState,
} from './vardiff.ts';
import { granted, resumed } from './wishes.ts';

/** A gap between jobs after which silence says nothing about the miner. */
const WORK_GAP_MS = 120_000;
/** An upstream that repeats the same work for so long holds up the search for the difficulty. */
const SAME_WORK_MS = 120_000;

/** What one session was given to do, and how hard. */
export class SessionWork {
  readonly sent = new SentJobs();
  /** Its window counts accepted shares; replaced at each job. */
  vardiff: VardiffState;
  /** When it was last sent a job; 0 before the first. */
  lastJobAtMs = 0;
  readonly #host: SessionHost;
  #options: VardiffOptions;
  #newWorkAtMs = 0;
  #wasFixed = false;

  constructor(options: VardiffOptions, host: SessionHost) {
    this.#options = options;
    this.#host = host;
    this.vardiff = startVardiff(options, host.nowMs);
  }

  wish(wish: DifficultyWish): void {
    this.#take(granted({ options: this.#options, state: this.vardiff }, wish, this.#host.nowMs));
  }

  /** Gives it a job, and says how hard and whether the work before it is void. */
  give(
    prepared: PreparedJob,
    isAgain: boolean,
  ): { readonly target: ShareTarget; readonly isClean: boolean } {
    const { nowMs } = this.#host;
    const { fixedDifficulty } = prepared.job;
    const earlier = isAgain ? this.sent.findWork(prepared.work) : undefined;
    if (earlier === undefined) this.#newWorkAtMs = nowMs;
    if (this.#wasFixed && fixedDifficulty === undefined)
      this.vardiff = restartedVardiff(this.vardiff, nowMs);
    this.#wasFixed = fixedDifficulty !== undefined;
    let target: ShareTarget;
    let isClean = false;
    if (fixedDifficulty !== undefined) target = this.#host.shareTarget(fixedDifficulty);
    else if (earlier === undefined) target = this.#nextTarget(prepared.maxDifficulty);
    else if (nowMs - this.#newWorkAtMs <= SAME_WORK_MS) target = earlier.target;
    else {
      target = this.#nextTarget(prepared.maxDifficulty);
      isClean = target.difficulty !== earlier.target.difficulty;
      if (isClean) {
        this.sent.forgetWork(prepared.work);
        this.#newWorkAtMs = nowMs;
      }
    }
    this.lastJobAtMs = nowMs;
    this.sent.add(prepared.sentWith(target));
    return { target, isClean };
  }

  memory(hasEarned: boolean): SessionMemory {
    const sent = this.sent.list();
    return {
      sent: sent.map(({ job, target }) => ({ jobId: job.id, difficulty: target.difficulty })),
      difficulty: this.vardiff.difficulty,
      hasEarned,
    };
  }

  /** Goes on where an earlier connection ended. */
  recall({ sent, difficulty }: SessionMemory): void {
    const known = sent.map((before) => this.#host.sentBefore(before.jobId, before.difficulty));
    for (const job of known.filter((job): job is SentJob => job !== undefined)) this.sent.add(job);
    this.#newWorkAtMs = this.#host.nowMs;
    this.#take(resumed({ options: this.#options, state: this.vardiff }, difficulty, this.#host.nowMs));
  }

  #take({ options, state }: { readonly options: VardiffOptions; readonly state: VardiffState }): void {
    this.#options = options;
    this.vardiff = state;
  }

  #nextTarget(maxDifficulty: number): ShareTarget {
    const { nowMs, stats } = this.#host;
    const isGap = nowMs - this.lastJobAtMs > WORK_GAP_MS;
    const before = isGap ? restartedVardiff(this.vardiff, nowMs) : this.vardiff;
    this.vardiff = nextVardiff(this.#options, before, nowMs);
    const { difficulty } = this.vardiff;
    if (difficulty > before.difficulty) stats.vardiffUp += 1;
    if (difficulty < before.difficulty) stats.vardiffDown += 1;
    return this.#host.shareTarget(Math.min(difficulty, maxDifficulty));
  }
}
