import {
  difficultyOfTarget,
  MAX_TARGET,
  MIN_DIFFICULTY,
  targetOfDifficulty,
} from '../../bitcoin/target.ts';
import type { Job } from '../../jobs/job.ts';
import type { ShareTarget } from '../../shares/share.ts';
import { printNotify } from '../../stratum/server-messages.ts';
import { powerOfTwoBelow } from './vardiff.ts';

/**
 * A job as sessions were sent it: its shares are judged and credited by this target. One object for all
 * who got the same.
 */
export type SentJob = {
  readonly job: Job;
  readonly target: ShareTarget;
  /** Jobs of the same text can be solved by the same headers. */
  readonly work: string;
};

/** What is the same for all sessions of a job, made once. */
export class PreparedJob {
  readonly job: Job;
  /** The line of `mining.notify`; the two differ in `clean_jobs` alone. */
  readonly cleanNotify: Buffer;
  readonly plainNotify: Buffer;
  /**
   * No session may be assigned more, or it would keep shares to itself that the upstream wants. A power of
   * two; infinite where the upstream wants what solves a block, and nothing else.
   */
  readonly upstreamDifficulty: number;
  /** The same for solutions of a block; but on an easy network the least of the session counts. */
  readonly networkDifficulty: number;
  readonly work: string;
  /** An earlier job was the same work, so sessions that had that get this one at the same difficulty. */
  readonly isRepeat: boolean;
  readonly #sent = new Map<ShareTarget, SentJob>();

  constructor(job: Job, work: { readonly key: string; readonly isRepeat: boolean }) {
    this.job = job;
    this.work = work.key;
    this.isRepeat = work.isRepeat;
    const { wireId, minerExtranonce1Size = 0 } = job;
    const fields = { ...job, coinb1: job.coinb1.subarray(0, job.coinb1.length - minerExtranonce1Size) };
    this.cleanNotify = Buffer.from(printNotify({ ...fields, jobId: wireId, clean: true }), 'latin1');
    this.plainNotify = Buffer.from(printNotify({ ...fields, jobId: wireId, clean: false }), 'latin1');
    this.networkDifficulty = easyEnough(job.networkTarget);
    const wantsSolutions = job.upstreamTarget === job.networkTarget;
    this.upstreamDifficulty = wantsSolutions ? Number.POSITIVE_INFINITY : easyEnough(job.upstreamTarget);
  }

  sentWith(target: ShareTarget): SentJob {
    const known = this.#sent.get(target);
    if (known !== undefined) return known;
    const sent = { job: this.job, target, work: this.work };
    this.#sent.set(target, sent);
    return sent;
  }
}

/**
 * The largest power of two whose target is not below the given one; the double of a difficulty may be
 * rounded up. At least the least that can be told: below it a miner is told another target than is judged.
 */
function easyEnough(target: bigint): number {
  const reachable = target < MAX_TARGET ? target : MAX_TARGET;
  let difficulty = powerOfTwoBelow(difficultyOfTarget(reachable));
  while (targetOfDifficulty(difficulty) < reachable) difficulty /= 2;
  return Math.max(difficulty, MIN_DIFFICULTY);
}
