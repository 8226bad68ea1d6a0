import { assert } from '../base/assert.ts';
import { concat, equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { targetOfCompact } from '../bitcoin/target.ts';
import { extranonceLayout } from '../stratum/extranonce.ts';
import { printJobId } from '../stratum/job-id.ts';
import { commonMask } from '../stratum/version-rolling.ts';
import type { Job, UpstreamJob } from './job.ts';

export type JobTableOptions = {
  /**
   * Number of this run of the program, 0 to 2^20-1: ids are `run * 2^32 + counter`, so none is ever used
   * twice.
   */
  readonly run: number;
  readonly sessionIdSize: number;
  readonly minerExtranonce2Size: number;
  /** The version bits we let miners roll; cut to what each upstream allows. */
  readonly versionMask: number;
  /** How long shares of a job count after a clean job replaced it. */
  readonly staleGraceMs: number;
  /** The same for single destinations, by name. */
  readonly staleGraceMsOf?: Readonly<Record<string, number>>;
  /**
   * How long after its end a job is still known, so that late shares are judged (and solved blocks seen).
   */
  readonly retainMs?: number;
  readonly jobAgeMs?: number;
  readonly jobsPerDestination?: number;
};

export type JobTableDeps = {
  /** Nobody can submit the job any more and no share of it is waiting: its memory elsewhere can be freed. */
  readonly onRetired?: (job: Job) => void;
};

const DEFAULT_RETAIN_MS = 60_000;
/**
 * Between the last moment a share of a job can be submitted and `onRetired`: far above any wait in a
 * queue.
 */
const RETIRE_DELAY_MS = 5_000;
/** Bytes of extranonce2 in a job of one session: firmware takes no more, and evidence holds no more. */
const MAX_OWN_EXTRANONCE2 = 8;
const COUNTERS = 2 ** 32;
const LAST_NTIME = 2 ** 32 - 1;
const MAX_RUN = 2 ** 20;

/** Of a job for one session alone, whose miner fills the upstream's whole extranonce2. */
export type OwnExtranonce = {
  /** See `Job.minerExtranonce1Size`: the upstream's extranonce1 size, or 0 for a miner that has none. */
  readonly minerExtranonce1Size: number;
};

type Entry = { readonly job: Job; endedAtMs: number };
type RetiringJob = { readonly job: Job; readonly atMs: number };

/**
 * The life of every job: current -> ended (a clean job replaced it, or it is too old) -> retired (unknown
 * to all). Bounded per destination; all times are monotonic milliseconds.
 */
export class JobTable {
  readonly #options: JobTableOptions;
  readonly #deps: JobTableDeps;
  readonly #entries = new Map<number, Entry>();
  readonly #destinations = new Map<string, Entry[]>();
  #retiring: RetiringJob[] = [];
  #counter = 0;
  readonly stats = { jobsAdded: 0, jobsRetired: 0, cleanJobs: 0, limitHits: { jobsPerDestination: 0 } };

  constructor(options: JobTableOptions, deps: JobTableDeps = {}) {
    assert(
      Number.isInteger(options.run) && options.run >= 0 && options.run < MAX_RUN,
      'run_number_range',
      options.run,
    );
    this.#options = options;
    this.#deps = deps;
  }

  /** Jobs that can still be submitted. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Makes a job of upstream work and ends the destination's earlier ones when it is clean, on another
   * prevhash, or the first after the destination was ended. Throws `malformed` (sizes over a limit, nbits
   * no target) and `extranonce_too_small`; the table is then unchanged.
   * @param own for a job that one session gets alone; its `destination` is then one of its own too
   */
  add(
    destination: string,
    stream: string,
    upstream: UpstreamJob,
    monotonicMs: number,
    fixedDifficulty?: number,
    own?: OwnExtranonce,
  ): Job {
    const earlier = this.#destinations.get(destination);
    const previous = this.current(destination);
    const clean = upstream.clean || previous === undefined || !equal(previous.prevHash, upstream.prevHash);
    const fields = { destination, stream, clean, createdAtMonotonicMs: monotonicMs, fixedDifficulty };
    const job = this.#makeJob(upstream, own === undefined ? fields : { ...fields, ...own });
    this.#counter += 1;
    const entries = earlier ?? [];
    if (clean) {
      for (const entry of entries) entry.endedAtMs = Math.min(entry.endedAtMs, monotonicMs);
      this.stats.cleanJobs += 1;
    }
    const entry = { job, endedAtMs: Number.POSITIVE_INFINITY };
    entries.push(entry);
    this.#destinations.set(destination, entries);
    this.#entries.set(job.id, entry);
    this.stats.jobsAdded += 1;
    if (entries.length > (this.#options.jobsPerDestination ?? LIMITS.jobsPerDestination)) {
      this.stats.limitHits.jobsPerDestination += 1;
      this.#retire(entries.shift()!, monotonicMs);
    }
    return job;
  }

  /**
   * The destination's current work again with a later ntime, for miners that leave when they hear nothing
   * for two minutes. A new header, so no work is repeated. Undefined when there is no current job, or its
   * ntime is the last that 32 bits hold.
   */
  refresh(destination: string, monotonicMs: number): Job | undefined {
    const current = this.current(destination);
    if (current === undefined || current.time >= LAST_NTIME) return undefined;
    const elapsedSeconds = Math.max(1, Math.floor((monotonicMs - current.createdAtMonotonicMs) / 1000));
    const time = Math.min(current.time + elapsedSeconds, LAST_NTIME);
    const upstream = { ...current.upstream, time, clean: false };
    const { stream, fixedDifficulty, minerExtranonce1Size } = current;
    const own = minerExtranonce1Size === undefined ? undefined : { minerExtranonce1Size };
    return this.add(destination, stream, upstream, monotonicMs, fixedDifficulty, own);
  }

  /** The newest job of a destination, if it has one that is not ended. */
  current(destination: string): Job | undefined {
    const entry = this.#destinations.get(destination)?.at(-1);
    return entry !== undefined && entry.endedAtMs === Number.POSITIVE_INFINITY ? entry.job : undefined;
  }

  byId(id: number): Job | undefined {
    return this.#entries.get(id)?.job;
  }

  /** False once the job is retired: a share of it is then answered `unknown_job`. */
  isKnown(job: Job): boolean {
    return this.#entries.has(job.id);
  }

  /** True while a job on this block (internal order) can still be submitted. */
  hasPrevHash(prevHash: Uint8Array): boolean {
    for (const { job } of this.#entries.values()) if (equal(job.prevHash, prevHash)) return true;
    return false;
  }

  /**
   * True when a share of this job earns nothing any more: it ended longer ago than the grace of its
   * destination.
   */
  isStale(job: Job, monotonicMs: number): boolean {
    const entry = this.#entries.get(job.id);
    if (entry === undefined) return true;
    if (monotonicMs - job.createdAtMonotonicMs >= this.#jobAgeMs) return true;
    return (
      entry.endedAtMs !== Number.POSITIVE_INFINITY && monotonicMs > entry.endedAtMs + this.#graceMs(job)
    );
  }

  /** Ends all jobs of a destination: its upstream is gone and nobody wants their shares. */
  endDestination(destination: string, monotonicMs: number): void {
    for (const entry of this.#destinations.get(destination) ?? []) {
      entry.endedAtMs = Math.min(entry.endedAtMs, monotonicMs);
    }
  }

  /** Ends the jobs of a destination that were made of these upstream jobs. */
  endJobs(destination: string, upstreamJobIds: ReadonlySet<string>, monotonicMs: number): void {
    for (const entry of this.#destinations.get(destination) ?? []) {
      if (upstreamJobIds.has(entry.job.upstream.upstreamJobId))
        entry.endedAtMs = Math.min(entry.endedAtMs, monotonicMs);
    }
  }

  /** Retires what is over; to be called every few seconds. */
  expire(monotonicMs: number): void {
    for (const [destination, entries] of this.#destinations) {
      const remaining = entries.filter((entry) => !this.#isOver(entry, monotonicMs));
      if (remaining.length === entries.length) continue;
      for (const entry of entries) if (this.#isOver(entry, monotonicMs)) this.#retire(entry, monotonicMs);
      if (remaining.length === 0) this.#destinations.delete(destination);
      else this.#destinations.set(destination, remaining);
    }
    const due = this.#retiring.filter((leaving) => leaving.atMs <= monotonicMs);
    if (due.length === 0) return;
    this.#retiring = this.#retiring.filter((leaving) => leaving.atMs > monotonicMs);
    for (const { job } of due) {
      this.stats.jobsRetired += 1;
      this.#deps.onRetired?.(job);
    }
  }

  get #jobAgeMs(): number {
    return this.#options.jobAgeMs ?? LIMITS.jobAgeMs;
  }

  #graceMs(job: Job): number {
    return this.#options.staleGraceMsOf?.[job.destination] ?? this.#options.staleGraceMs;
  }

  #isOver(entry: Entry, monotonicMs: number): boolean {
    const retainMs = Math.max(this.#options.retainMs ?? DEFAULT_RETAIN_MS, this.#graceMs(entry.job));
    return (
      monotonicMs > Math.min(entry.endedAtMs, entry.job.createdAtMonotonicMs + this.#jobAgeMs) + retainMs
    );
  }

  #retire(entry: Entry, monotonicMs: number): void {
    this.#entries.delete(entry.job.id);
    this.#retiring.push({ job: entry.job, atMs: monotonicMs + RETIRE_DELAY_MS });
  }

  #makeJob(
    upstream: UpstreamJob,
    fields: Pick<
      Job,
      | 'destination'
      | 'stream'
      | 'clean'
      | 'createdAtMonotonicMs'
      | 'fixedDifficulty'
      | 'minerExtranonce1Size'
    >,
  ): Job {
    const { extranonce2Size } = upstream;
    const { padSize, extranonceSize } =
      fields.minerExtranonce1Size === undefined
        ? extranonceLayout({ upstreamExtranonce2Size: extranonce2Size, ...this.#options })
        : { padSize: 0, extranonceSize: extranonce2Size };
    assert((fields.minerExtranonce1Size ?? 0) <= upstream.extranonce1.length, 'extranonce1_within_coinb1');
    if (fields.minerExtranonce1Size !== undefined && extranonceSize > MAX_OWN_EXTRANONCE2) {
      throw new CodedError(
        'malformed',
        `${extranonceSize} bytes of extranonce2 exceed ${MAX_OWN_EXTRANONCE2}`,
      );
    }
    checkSizes(upstream);
    assert(this.#counter < COUNTERS, 'job_counter_range');
    const id = this.#options.run * COUNTERS + this.#counter;
    const versionMask = commonMask(this.#options.versionMask, upstream.versionMask);
    return {
      id,
      wireId: printJobId(id),
      ...fields,
      prevHash: upstream.prevHash,
      coinb1: concat(upstream.coinb1, upstream.extranonce1, new Uint8Array(padSize)),
      coinb2: upstream.coinb2,
      branches: upstream.branches,
      version: (upstream.version & ~versionMask) >>> 0,
      versionMask,
      bits: upstream.bits,
      time: upstream.time,
      extranonceSize,
      networkTarget: targetOfCompact(upstream.bits),
      upstreamTarget: upstream.target,
      upstream,
    };
  }
}

function checkSizes(upstream: UpstreamJob): void {
  const { branches, coinb1, coinb2, extranonce1, extranonce2Size, prevHash } = upstream;
  if (branches.length > LIMITS.merkleBranches) {
    throw new CodedError('malformed', `${branches.length} merkle branches exceed ${LIMITS.merkleBranches}`);
  }
  const coinbaseBytes = coinb1.length + extranonce1.length + extranonce2Size + coinb2.length;
  if (coinbaseBytes > LIMITS.coinbaseBytes) {
    throw new CodedError(
      'malformed',
      `a coinbase of ${coinbaseBytes} bytes exceeds ${LIMITS.coinbaseBytes}`,
    );
  }
  if (prevHash.length !== 32 || branches.some((branch) => branch.length !== 32)) {
    throw new CodedError('malformed', 'prevhash and merkle branches have 32 bytes');
  }
}
