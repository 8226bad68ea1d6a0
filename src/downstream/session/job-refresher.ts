import { TokenBucket } from '../../base/token-bucket.ts';
import type { Job } from '../../jobs/job.ts';
import type { JobTable } from '../../jobs/job-table.ts';

/**
 * Each is a job in the table, which has room for some hundreds, and moves the time of the work ahead by a
 * second at least: no miner may cause more of them than time passes.
 */
const RATE = { perSecond: 1, burst: 8 };

/** The present work of a destination again with a later time, as often as the table can bear. */
export class JobRefresher {
  readonly #jobs: Pick<JobTable, 'refresh'>;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(jobs: Pick<JobTable, 'refresh'>) {
    this.#jobs = jobs;
  }

  /** Undefined when there is no work, or it was made anew too often. */
  refresh(destination: string, monotonicMs: number): Job | undefined {
    let bucket = this.#buckets.get(destination);
    if (bucket === undefined) {
      bucket = new TokenBucket(RATE, monotonicMs);
      this.#buckets.set(destination, bucket);
    }
    return bucket.take(monotonicMs) ? this.#jobs.refresh(destination, monotonicMs) : undefined;
  }

  /** The destination is gone for good. */
  forget(destination: string): void {
    this.#buckets.delete(destination);
  }
}
