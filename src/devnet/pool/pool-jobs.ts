import { fromHex } from '../../base/bytes.ts';
import type { DevnetChain } from '../chain/chain.ts';
import { fillMempool } from '../chain/traffic.ts';
import { buildWork, type Work } from '../chain/work.ts';

export type PoolJob = {
  readonly work: Work;
  /** Counts up; difficulties and extranonces refer to it. */
  readonly number: number;
  readonly madeAtMs: number;
};

export type PoolJobsOptions = {
  readonly poolScriptHex: string;
  readonly minTransactions: number;
  readonly extranonceSize: number;
};

/** Jobs of the block before stay known, so that their shares are told from shares of no job at all. */
const KEEP_STALE_MS = 600_000;
const MAX_JOBS = 1024;

/** The jobs of a pool: which exist, which is the latest, and which are of the current block. */
export class PoolJobs {
  readonly #options: PoolJobsOptions;
  readonly #chain: DevnetChain;
  readonly #jobs = new Map<string, PoolJob>();
  /** Scripts of outputs of no value in each coinbase to come. */
  dataScripts: readonly Uint8Array[] = [];
  /** The first job of the current block. */
  #firstFresh = 1;
  #count = 0;
  #latest: PoolJob | undefined;

  constructor(options: PoolJobsOptions, chain: DevnetChain) {
    this.#options = options;
    this.#chain = chain;
  }

  get latest(): PoolJob {
    return this.#latest!;
  }

  /** The number of the next job. */
  get next(): number {
    return this.#count + 1;
  }

  get(jobId: string): PoolJob | undefined {
    return this.#jobs.get(jobId);
  }

  isStale(job: PoolJob): boolean {
    return job.number < this.#firstFresh;
  }

  /** All jobs so far are of an old block. */
  retire(): void {
    this.#firstFresh = this.next;
  }

  clear(): void {
    this.#jobs.clear();
  }

  make(nowMs: number): PoolJob {
    fillMempool(this.#chain, this.#options.minTransactions);
    this.#count += 1;
    const work = buildWork(this.#chain.template(), {
      jobId: this.#count.toString(16).padStart(16, '0'),
      poolScript: fromHex(this.#options.poolScriptHex),
      extranonceSize: this.#options.extranonceSize,
      tag: new TextEncoder().encode('/devnet-pool/'),
      extraOutputs: this.dataScripts.map((script) => ({ script, valueSat: 0n })),
    });
    const job: PoolJob = { work, number: this.#count, madeAtMs: nowMs };
    this.#latest = job;
    this.#jobs.set(work.jobId, job);
    for (const [id, old] of this.#jobs) {
      const outlived = this.isStale(old) && nowMs - old.madeAtMs > KEEP_STALE_MS;
      if (!outlived && this.#jobs.size <= MAX_JOBS) break;
      this.#jobs.delete(id);
    }
    return job;
  }
}
