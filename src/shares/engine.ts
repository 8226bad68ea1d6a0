import { InvariantError } from '../base/assert.ts';
import type { Clock, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Job } from '../jobs/job.ts';
import type { Logger } from '../log/logger.ts';
import { DuplicateSet, generationOf } from './duplicates.ts';
import type { KernelJobHandle, ShareKernel } from './kernel/kernel.ts';
import { meets } from './rules.ts';
import { type AcceptedShare, type Submission, type Verdict, wordsOfTarget } from './share.ts';

export type ShareEngineOptions = {
  /** Shares waiting for the kernel; default and reason: `LIMITS.queuedShares`. */
  readonly maxQueued?: number;
  /** Shares waiting for their commit; default and reason: `LIMITS.uncommittedShares`. */
  readonly maxUncommitted?: number;
};

export type ShareEngineDeps<S extends Submission> = {
  /** May be shared with other synchronous users, but the callbacks below may not use it. */
  readonly kernel: ShareKernel;
  /** Header hashes credited; filled from the ledger at start, generations dropped by `dropGeneration`. */
  readonly duplicates: DuplicateSet;
  readonly clock: Clock;
  /** A batch is what arrived in one turn. */
  readonly timers: Pick<Timers, 'afterTurn'>;
  readonly log: Logger;
  /** True when the job was retired longer ago than its grace. */
  readonly isStale: (job: Job) => boolean;
  /** A valid share may be credited; by default all may. Asked once for each that would be, in order. */
  readonly admits?: (submission: S) => boolean;
  /** The hash meets the upstream or the network target: to be sent upstream now. Once for each hash. */
  readonly forward: (submission: S, hash: Uint8Array) => void;
  /** Makes the accepted shares of one batch durable, all or none. May be called again before it resolves. */
  readonly commit: (shares: readonly AcceptedShare<S>[]) => Promise<void>;
  /** Answers the miner. Exactly once for each submission. */
  readonly settle: (submission: S, verdict: Verdict) => void;
  /** Everything that can be answered now was settled: the answers may leave. */
  readonly onSettled?: () => void;
  /** One kernel call with everything around it. */
  readonly observeBatch?: (shares: number, seconds: number) => void;
};

/** What the engine keeps of a job while shares of it arrive. */
type Entry = {
  readonly job: Job;
  readonly handle: KernelJobHandle;
  readonly generation: string;
  readonly upstreamWords: Uint32Array;
  readonly networkWords: Uint32Array;
  /** Submissions of this job in the queue. */
  queued: number;
  /** Of the batch with this number. */
  isStale: boolean;
  judgedIn: number;
};

/**
 * Judges submissions: collects what arrived in one turn of the event loop, hashes it in one kernel call,
 * and gives each share its verdict. Order of the checks: forward upstream, stale, low difficulty,
 * duplicate, not admitted (stale to the miner), accepted (`WIRE.md`). A share becomes a known duplicate
 * only once it is valid, and is answered only once it is durable.
 */
export class ShareEngine<S extends Submission> {
  readonly stats = {
    batches: 0,
    sharesSubmitted: 0,
    sharesAccepted: 0,
    /** Submissions settled with anything but `accepted`, by verdict. */
    rejected: { stale: 0, low_difficulty: 0, duplicate: 0, overload: 0 } as Record<
      Exclude<Verdict, 'accepted'>,
      number
    >,
    sharesForwarded: 0,
    commitFailures: 0,
    /** Gauges. */
    queued: 0,
    uncommitted: 0,
    kernelJobs: 0,
    limitHits: { queuedShares: 0, uncommittedShares: 0, duplicateHashes: 0, forwardedHashes: 0 },
  };
  readonly #deps: ShareEngineDeps<S>;
  readonly #maxQueued: number;
  readonly #maxUncommitted: number;
  /** Sent upstream but not credited, so that a repeat is not sent again. */
  readonly #forwarded = new DuplicateSet({ maxHashes: LIMITS.forwardedHashes });
  readonly #entries = new Map<Job, Entry>();
  readonly #retired = new WeakSet<Job>();
  /** Queued submissions from `#head` on, and the entry of each at the same index. */
  #queue: S[] = [];
  #queueEntries: Entry[] = [];
  #head = 0;
  #isScheduled = false;
  /** No `Set`: V8 chains the tables of one that churns, and dead batches outlive young collections by it. */
  readonly #commits: Promise<void>[] = [];
  readonly #runTurn = (): void => {
    this.#isScheduled = false;
    this.#runBatch();
    this.#arm();
  };

  constructor(options: ShareEngineOptions, deps: ShareEngineDeps<S>) {
    this.#deps = deps;
    this.#maxQueued = options.maxQueued ?? LIMITS.queuedShares;
    this.#maxUncommitted = options.maxUncommitted ?? LIMITS.uncommittedShares;
  }

  /** Queues a submission; it is settled later, or at once with `overload` when the queue is full. */
  submit(submission: S): void {
    this.stats.sharesSubmitted += 1;
    if (this.stats.queued >= this.#maxQueued) {
      this.stats.limitHits.queuedShares += 1;
      this.#reject(submission, 'overload');
      return;
    }
    const entry = this.#entries.get(submission.job) ?? this.#addEntry(submission.job);
    entry.queued += 1;
    this.stats.queued += 1;
    this.#queue.push(submission);
    this.#queueEntries.push(entry);
    this.#arm();
  }

  /**
   * The job gets no more shares worth keeping: frees its kernel memory, after what is queued. May be
   * called twice.
   */
  retire(job: Job): void {
    this.#retired.add(job);
    const entry = this.#entries.get(job);
    if (entry !== undefined && entry.queued === 0) this.#removeEntry(entry);
  }

  /** Forgets the hashes of a generation (`generationOf(job)`), when no job of it can come back. */
  dropGeneration(generation: string): void {
    this.#deps.duplicates.dropGeneration(generation);
    this.#forwarded.dropGeneration(generation);
  }

  /** Hashes what is queued and resolves when every commit under way is settled: for an orderly stop. */
  async drain(): Promise<void> {
    while (this.stats.queued > 0) this.#runBatch();
    while (this.#commits.length > 0) await Promise.all(this.#commits);
  }

  #arm(): void {
    if (this.#isScheduled || this.stats.queued === 0) return;
    this.#isScheduled = true;
    this.#deps.timers.afterTurn(this.#runTurn);
  }

  #addEntry(job: Job): Entry {
    const entry: Entry = {
      job,
      handle: this.#deps.kernel.addJob(job),
      generation: generationOf(job),
      upstreamWords: wordsOfTarget(job.upstreamTarget),
      networkWords: wordsOfTarget(job.networkTarget),
      queued: 0,
      isStale: false,
      judgedIn: -1,
    };
    this.#entries.set(job, entry);
    this.stats.kernelJobs += 1;
    return entry;
  }

  #removeEntry(entry: Entry): void {
    this.#deps.kernel.removeJob(entry.handle);
    this.#entries.delete(entry.job);
    this.stats.kernelJobs -= 1;
  }

  #runBatch(): void {
    const { kernel, clock, observeBatch } = this.#deps;
    const first = this.#head;
    const count = Math.min(this.stats.queued, kernel.capacity);
    if (count === 0) return;
    const startedMs = clock.monotonicMs();
    for (let slot = 0; slot < count; slot += 1) {
      const share = this.#queue[first + slot]!;
      const { handle } = this.#queueEntries[first + slot]!;
      kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
    }
    kernel.run(count);
    const submissions = this.#queue;
    const entries = this.#queueEntries;
    this.#dequeue(count);
    this.#judgeBatch(submissions, entries, first, count);
    this.stats.batches += 1;
    observeBatch?.(count, (clock.monotonicMs() - startedMs) / 1000);
  }

  /** Takes `count` off the front. The arrays are replaced when emptied, and cut when mostly spent. */
  #dequeue(count: number): void {
    this.stats.queued -= count;
    this.#head += count;
    if (this.stats.queued === 0) {
      this.#queue = [];
      this.#queueEntries = [];
      this.#head = 0;
    } else if (this.#head >= this.stats.queued) {
      this.#queue = this.#queue.slice(this.#head);
      this.#queueEntries = this.#queueEntries.slice(this.#head);
      this.#head = 0;
    }
  }

  #judgeBatch(submissions: readonly S[], entries: readonly Entry[], first: number, count: number): void {
    const hashes = this.#deps.kernel.hashes.slice(0, count * 32);
    const accepted: AcceptedShare<S>[] = [];
    // Mostly all are of one block.
    this.#deps.duplicates.prepare(entries[first]!.generation, hashes, count);
    for (let slot = 0; slot < count; slot += 1) {
      const submission = submissions[first + slot]!;
      const entry = entries[first + slot]!;
      const verdict = this.#judge(submission, entry, hashes, slot * 32, accepted.length);
      if (verdict === 'accepted') accepted.push(new JudgedShare(submission, hashes, slot * 32));
      else this.#reject(submission, verdict);
      entry.queued -= 1;
      if (entry.queued === 0 && this.#retired.has(entry.job)) this.#removeEntry(entry);
    }
    if (accepted.length > 0) this.#commit(accepted);
    if (accepted.length < count) this.#deps.onSettled?.();
  }

  /** @param acceptedBefore shares of this batch accepted already, not yet counted as uncommitted */
  #judge(submission: S, entry: Entry, hashes: Uint8Array, at: number, acceptedBefore: number): Verdict {
    const { duplicates } = this.#deps;
    const { generation } = entry;
    const isWanted = meets(hashes, at, entry.upstreamWords) || meets(hashes, at, entry.networkWords);
    const isFirst =
      isWanted && !duplicates.has(generation, hashes, at) && !this.#forwarded.has(generation, hashes, at);
    if (isFirst) {
      this.stats.sharesForwarded += 1;
      this.#deps.forward(submission, hashes.slice(at, at + 32));
    }
    let verdict: Verdict;
    if (this.#isStale(entry)) verdict = 'stale';
    else if (!meets(hashes, at, submission.assigned.words)) verdict = 'low_difficulty';
    else verdict = this.#credit(submission, generation, hashes, at, acceptedBefore);
    if (isFirst && verdict !== 'accepted') this.#rememberForwarded(generation, hashes, at);
    return verdict;
  }

  #credit(
    submission: S,
    generation: string,
    hashes: Uint8Array,
    at: number,
    acceptedBefore: number,
  ): Verdict {
    const { duplicates, admits } = this.#deps;
    const isBehind = this.stats.uncommitted + acceptedBefore >= this.#maxUncommitted;
    if (!isBehind && !duplicates.isFull) {
      if (!duplicates.add(generation, hashes, at)) return 'duplicate';
      if (admits?.(submission) !== false) return 'accepted';
      duplicates.delete(generation, hashes, at);
      return 'stale';
    }
    if (duplicates.has(generation, hashes, at)) return 'duplicate';
    this.stats.limitHits[isBehind ? 'uncommittedShares' : 'duplicateHashes'] += 1;
    return 'overload';
  }

  /** All shares of a job in one batch are judged at one time. */
  #isStale(entry: Entry): boolean {
    if (entry.judgedIn !== this.stats.batches) {
      entry.judgedIn = this.stats.batches;
      entry.isStale = this.#deps.isStale(entry.job);
    }
    return entry.isStale;
  }

  #rememberForwarded(generation: string, hashes: Uint8Array, at: number): void {
    if (this.#forwarded.isFull) this.stats.limitHits.forwardedHashes += 1;
    else this.#forwarded.add(generation, hashes, at);
  }

  #commit(accepted: readonly AcceptedShare<S>[]): void {
    this.stats.uncommitted += accepted.length;
    const commit = this.#deps.commit(accepted).then(
      () => this.#settleCommitted(accepted),
      (error: unknown) => this.#settleFailed(accepted, error),
    );
    this.#commits.push(commit);
    void commit.finally(() => this.#commits.splice(this.#commits.indexOf(commit), 1));
  }

  #settleCommitted(accepted: readonly AcceptedShare<S>[]): void {
    this.stats.uncommitted -= accepted.length;
    this.stats.sharesAccepted += accepted.length;
    for (const { submission } of accepted) this.#deps.settle(submission, 'accepted');
    this.#deps.onSettled?.();
  }

  /** Nothing of the batch is durable: the miner may send the shares again, so they are no duplicates. */
  #settleFailed(accepted: readonly AcceptedShare<S>[], error: unknown): void {
    if (error instanceof InvariantError) throw error;
    this.stats.uncommitted -= accepted.length;
    this.stats.commitFailures += 1;
    this.#deps.log.error(
      { code: codeOf(error), shares: accepted.length, err: error },
      'shares not committed',
    );
    for (const { submission, hash } of accepted) {
      const { job } = submission;
      const generation = generationOf(job);
      this.#deps.duplicates.delete(generation, hash);
      if (
        meets(hash, 0, wordsOfTarget(job.upstreamTarget)) ||
        meets(hash, 0, wordsOfTarget(job.networkTarget))
      )
        this.#rememberForwarded(generation, hash, 0);
      this.#reject(submission, 'overload');
    }
    this.#deps.onSettled?.();
  }

  #reject(submission: S, verdict: Exclude<Verdict, 'accepted'>): void {
    this.stats.rejected[verdict] += 1;
    this.#deps.settle(submission, verdict);
  }
}

/**
 * No object literal: those V8 may come to allocate old at once, and then each dead batch keeps all its
 * shares alive until the next full collection.
 */
class JudgedShare<S extends Submission> implements AcceptedShare<S> {
  readonly submission: S;
  readonly hashes: Uint8Array;
  readonly hashAt: number;

  constructor(submission: S, hashes: Uint8Array, hashAt: number) {
    this.submission = submission;
    this.hashes = hashes;
    this.hashAt = hashAt;
  }

  get hash(): Uint8Array {
    return this.hashes.subarray(this.hashAt, this.hashAt + 32);
  }
}
