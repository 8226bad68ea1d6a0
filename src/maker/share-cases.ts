import type { ShareCode } from '../settlement/share-rules.ts';
import type { ShareTarget } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { ShareRows } from '../work/share-rows.ts';

/**
 * The shares of one batch on their way through the checks: their records, and what is found out of each at
 * its index. Those without a code are good.
 */
export class ShareCases {
  /** Their hashes are filled in once they are computed. */
  readonly rows: ShareRows;
  readonly length: number;
  /** Undefined where it is not known. */
  readonly jobs: (JobRecord | undefined)[];
  readonly targets: ShareTarget[];
  /** Code of the first fault found. */
  readonly codes: (ShareCode | undefined)[];
  /** Code of one that is late, where the backlog has no room for it; none where it comes in time. */
  readonly lateCodes: (ShareCode | undefined)[];
  /** Hashes that may be credited in all before it, on its block; undefined where there is no such bound. */
  readonly limitHashes: (bigint | undefined)[];
  readonly #marks: Uint8Array;

  /** @param rows of a batch, which are its own: their hashes are written */
  constructor(rows: ShareRows) {
    this.rows = rows;
    this.length = rows.length;
    this.jobs = [];
    this.targets = [];
    this.codes = [];
    this.lateCodes = [];
    this.limitHashes = [];
    this.#marks = new Uint8Array(rows.length);
  }

  isGood(index: number): boolean {
    return this.codes[index] === undefined;
  }

  isHashed(index: number): boolean {
    return this.#marks[index] !== 0;
  }

  /** The hash is remembered as credited by this very case. */
  isNew(index: number): boolean {
    return this.#marks[index] === 2;
  }

  /** @param hash at `at` in `hashes` */
  setHash(index: number, hashes: Uint8Array, at: number): void {
    const { body } = this.rows;
    const to = this.rows.hashAt(index);
    for (let byte = 0; byte < 32; byte += 1) body[to + byte] = hashes[at + byte]!;
    this.#marks[index] = 1;
  }

  setNew(index: number): void {
    this.#marks[index] = 2;
  }

  /** The jobs of the good shares. */
  goodJobs(): Set<JobRecord> {
    const jobs = new Set<JobRecord>();
    let last: JobRecord | undefined;
    for (let index = 0; index < this.length; index += 1) {
      const job = this.jobs[index];
      if (!this.isGood(index) || job === undefined || job === last) continue;
      last = job;
      jobs.add(job);
    }
    return jobs;
  }

  /** The good shares, as they are recorded. */
  goodRows(): ShareRows {
    return this.rows.filter((index) => this.isGood(index));
  }

  /** The good shares in runs of one job and one target, in their order. */
  eachRun(use: (job: JobRecord | undefined, target: ShareTarget, count: number) => void): void {
    let job: JobRecord | undefined;
    let target: ShareTarget | undefined;
    let count = 0;
    for (let index = 0; index < this.length; index += 1) {
      if (!this.isGood(index)) continue;
      if (count > 0 && (this.jobs[index] !== job || this.targets[index] !== target)) {
        use(job, target!, count);
        count = 0;
      }
      job = this.jobs[index];
      target = this.targets[index]!;
      count += 1;
    }
    if (count > 0) use(job, target!, count);
  }
}
