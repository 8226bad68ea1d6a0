import { assert } from '../base/assert.ts';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { memo } from '../base/memo.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { call } from '../peer/calls.ts';
import type { Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import type { DeliveryRecord } from '../settlement/records.ts';
import { shareTargetOf } from '../shares/share.ts';
import {
  JOB_KIND,
  jobDocumentId,
  parseJobDocument,
  SHARE_KIND,
  SHARE_RECORD_SIZE,
  type ShareRecord,
  sourceOfJob,
  unpackShares,
} from '../work/evidence.ts';
import type { SentShare } from './refusals.ts';

export type FeedOptions = {
  readonly contractId: string;
  /** Most batches in flight. */
  readonly batchWindow: number;
  /** Least time in ms between batches, unless one is full. */
  readonly batchIntervalMs: number;
};

export type FeedDeps = {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Seq after the last durable share of the stream. */
  readonly durableSeq: () => number;
  /** Called when the maker has judged everything before `nextSeq`. */
  readonly onJudged: (batch: SentBatch, result: Result<'work.batch'>) => void;
};

/** A batch that was sent. */
export type SentBatch = {
  readonly firstSeq: number;
  readonly shares: readonly SentShare[];
  /** The own work in hashes of all shares up to its end. */
  readonly ownWorkHashes: bigint;
};

/** Log rows per read. */
const ROWS_PER_READ = 64;

/**
 * The sender of one stream's shares over one connection, in order and each once: the job of a share first,
 * then batches, a few in flight. It starts at the maker's position and reads durable shares from the
 * ledger.
 */
export class MinerFeed {
  readonly #options: FeedOptions;
  readonly #deps: FeedDeps;
  readonly #peer: RpcPeer;
  readonly #announced = new Set<number>();
  readonly #workOf = memo(1024, (difficulty: number) => shareTargetOf(difficulty).workHashes);
  #sentSeq = 0;
  #sentWorkHashes = 0n;
  #judgedSeq = 0;
  #inFlight = 0;
  #lastBatchAtMs = Number.NEGATIVE_INFINITY;
  #buffer: SentShare[] = [];
  #wake: (() => void) | undefined;
  #timer: Timer | undefined;
  #stopped = false;
  #held = false;
  #running = false;

  constructor(peer: RpcPeer, options: FeedOptions, deps: FeedDeps) {
    this.#peer = peer;
    this.#options = options;
    this.#deps = deps;
  }

  /** True when the maker has judged every durable share. */
  get drained(): boolean {
    return this.#judgedSeq >= this.#deps.durableSeq();
  }

  /**
   * Moves to `nextSeq` and returns the own work in hashes of all shares before it, counted from the nearest
   * known point. Throws `bad_sequence` when the maker has more shares than the ledger.
   */
  async seek(nextSeq: number, from: DeliveryRecord): Promise<bigint> {
    if (nextSeq > this.#deps.durableSeq()) {
      throw new CodedError('bad_sequence', `the maker has ${nextSeq} shares, the own ledger fewer`);
    }
    const known = from.nextSeq <= nextSeq;
    this.#sentSeq = known ? from.nextSeq : 0;
    this.#sentWorkHashes = known ? from.ownWorkHashes : 0n;
    while (this.#sentSeq < nextSeq) {
      const shares = await this.#take(Math.min(nextSeq - this.#sentSeq, LIMITS.peerBatchShares));
      this.#advance(shares);
    }
    this.#judgedSeq = this.#sentSeq;
    return this.#sentWorkHashes;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** Sends until `stop` or the connection ends; rejects with what ended it. Comes after `seek`. */
  async run(): Promise<void> {
    assert(!this.#running, 'miner_feed_runs_once');
    this.#running = true;
    while (!this.#stopped) {
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        await this.#sleep(waitMs);
        continue;
      }
      // The log may hold more than was acknowledged to us; that is not ours to sell yet.
      const waiting = this.#deps.durableSeq() - this.#sentSeq;
      const shares = await this.#take(Math.min(LIMITS.peerBatchShares, waiting));
      if (this.#stopped) return;
      await this.#announce(shares);
      if (this.#stopped) return;
      if (this.#held) this.#buffer.unshift(...shares);
      else this.#send(shares);
    }
  }

  /** Wakes the feed after new evidence became durable. */
  wake(): void {
    this.#wake?.();
  }

  /** Sends nothing until `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.wake();
  }

  stop(): void {
    this.#stopped = true;
    this.wake();
  }

  /** Time in ms to wait for the next batch; infinity to wait for `wake`. */
  #waitMs(): number {
    const waiting = this.#held ? 0 : this.#deps.durableSeq() - this.#sentSeq;
    if (waiting <= 0 || this.#inFlight >= this.#options.batchWindow) return Number.POSITIVE_INFINITY;
    if (waiting >= LIMITS.peerBatchShares) return 0;
    return this.#lastBatchAtMs + this.#options.batchIntervalMs - this.#deps.clock.monotonicMs();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#timer?.cancel();
        this.#wake = undefined;
        resolve();
      };
      if (Number.isFinite(ms)) this.#timer = this.#deps.timers.after(Math.ceil(ms), this.#wake);
    });
  }

  async #take(max: number): Promise<readonly SentShare[]> {
    if (this.#buffer.length === 0) {
      const { contractId } = this.#options;
      const rows = await this.#deps.ledger.readLog(SHARE_KIND, contractId, this.#sentSeq, ROWS_PER_READ);
      let next = this.#sentSeq;
      for (const row of rows) {
        const skipped = Math.max(0, next - row.first);
        if (row.first + skipped !== next || row.body.length !== row.count * SHARE_RECORD_SIZE) {
          throw new CodedError('ledger_corrupt', `the shares of ${contractId} have a gap at ${next}`);
        }
        const shares = unpackShares(row.body.subarray(skipped * SHARE_RECORD_SIZE));
        for (const share of shares) this.#buffer.push(sentShare(share, row.atMs));
        next = row.first + row.count;
      }
      if (this.#buffer.length === 0) {
        throw new CodedError('ledger_corrupt', `share ${this.#sentSeq} of ${contractId} is missing`);
      }
    }
    return this.#buffer.splice(0, max);
  }

  async #announce(shares: readonly ShareRecord[]): Promise<void> {
    for (const { jobId } of shares) {
      if (this.#announced.has(jobId)) continue;
      const body = await this.#deps.ledger.get(JOB_KIND, jobDocumentId(jobId));
      if (body === undefined) throw new CodedError('ledger_corrupt', `job ${jobId} is missing`);
      const job = parseJobDocument(body);
      const source = sourceOfJob(body);
      await call(this.#peer, 'job.announce', {
        ...{ contractId: this.#options.contractId, job },
        ...(source === undefined ? {} : { source }),
      });
      this.#announced.add(jobId);
    }
  }

  #send(shares: readonly SentShare[]): void {
    const firstSeq = this.#sentSeq;
    this.#advance(shares);
    const nextSeq = this.#sentSeq;
    const ownWorkHashes = this.#sentWorkHashes;
    this.#inFlight += 1;
    this.#lastBatchAtMs = this.#deps.clock.monotonicMs();
    call(this.#peer, 'work.batch', {
      contractId: this.#options.contractId,
      firstSeq,
      // A codec prints the fields of the wire and no others.
      shares,
      workTotal: ownWorkHashes,
    })
      .then((result) => {
        if (result.nextSeq !== nextSeq) {
          throw new CodedError('protocol', `a batch up to ${nextSeq} was answered with ${result.nextSeq}`);
        }
        this.#inFlight -= 1;
        this.#judgedSeq = nextSeq;
        if (!this.#stopped) this.#deps.onJudged({ firstSeq, shares, ownWorkHashes }, result);
        this.wake();
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.stop();
        this.#peer.close(error);
      });
  }

  #advance(shares: readonly ShareRecord[]): void {
    for (const { difficulty } of shares) this.#sentWorkHashes += this.#workOf(difficulty);
    this.#sentSeq += shares.length;
  }
}

/** A literal, since a spread costs as much as all the rest of a share. */
function sentShare(share: ShareRecord, atMs: number): SentShare {
  const { jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version, hash } = share;
  return { jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version, hash, atMs };
}
