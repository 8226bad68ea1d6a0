import { CodedError } from '../base/errors.ts';
import { memo } from '../base/memo.ts';
import { type ShareTarget, shareTargetOf } from '../shares/share.ts';
import type { JobId } from '../stratum/job-id.ts';
import { asEvidence, JOBS_KEPT } from './records.ts';

/** Cached targets; a stream uses few difficulties at a time. */
const TARGETS_KEPT = 1024;

/** The jobs of a file that its next shares may name; the oldest is forgotten as the writer forgets it. */
export class JobWindow<T> {
  readonly #jobs = new Map<JobId, T>();
  readonly #drop: (job: T) => void;

  /** @param drop frees what was kept of a job */
  constructor(drop: (job: T) => void = () => {}) {
    this.#drop = drop;
  }

  /** Takes a job, which comes before its shares. */
  add(id: JobId, make: () => T): void {
    this.#forget(id);
    if (this.#jobs.size >= JOBS_KEPT) this.#forget(this.#jobs.keys().next().value!);
    this.#jobs.set(id, make());
  }

  /** The job of shares from this seq on. Throws `bad_evidence` where it was not named. */
  of(id: JobId, seq: number): T {
    const job = this.#jobs.get(id);
    if (job !== undefined) return job;
    throw new CodedError('bad_evidence', `share ${seq} and on name job ${id.toString(16)}, not there`);
  }

  clear(): void {
    for (const id of [...this.#jobs.keys()]) this.#forget(id);
  }

  #forget(id: JobId): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#drop(job);
    this.#jobs.delete(id);
  }
}

/** The targets of difficulties. */
export class TargetCache {
  /** Throws `bad_evidence` for a difficulty that is none. */
  readonly of: (difficulty: number) => ShareTarget = memo(TARGETS_KEPT, (difficulty) =>
    asEvidence('share', () => shareTargetOf(difficulty)),
  );
}
