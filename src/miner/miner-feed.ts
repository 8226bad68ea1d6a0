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
import { JOB_KIND, jobDocumentId, parseJobDocument, SHARE_KIND, sourceOfJob } from '../work/evidence.ts';
import { SHARE_RECORD_SIZE, ShareRows, workOfRows } from '../work/share-rows.ts';
import type { SentShares } from './refusals.ts';

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
  readonly shares: SentShares;
  /** The own work in hashes of all shares up to its end. */
  readonly ownWorkHashes: bigint;
};

/** Shares of one row of the log that were not taken yet, and the wall time in ms at which it was written. */
type Unsent = { readonly rows: ShareRows; readonly atMs: number };

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
  /** In order; the rows of one row of the log are not copied. */
  #buffer: Unsent[] = [];
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
      if (this.#held) this.#giveBack(shares);
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

  async #take(max: number): Promise<SentShares> {
    if (this.#buffer.length === 0) await this.#read();
    const taken: Unsent[] = [];
    let left = max;
    while (left > 0 && this.#buffer.length > 0) {
      const { rows, atMs } = this.#buffer[0]!;
      const count = Math.min(left, rows.length);
      taken.push({ rows: rows.slice(0, count), atMs });
      if (count === rows.length) this.#buffer.shift();
      else this.#buffer[0] = { rows: rows.slice(count, rows.length), atMs };
      left -= count;
    }
    return sentShares(taken);
  }

  #giveBack({ rows, atMs }: SentShares): void {
    const rest = this.#buffer;
    this.#buffer = [];
    for (let first = 0, end = 1; end <= rows.length; end += 1) {
      if (end < rows.length && atMs(end) === atMs(first)) continue;
      this.#buffer.push({ rows: rows.slice(first, end), atMs: atMs(first) });
      first = end;
    }
    this.#buffer.push(...rest);
  }

  async #read(): Promise<void> {
    const { contractId } = this.#options;
    const rows = await this.#deps.ledger.readLog(SHARE_KIND, contractId, this.#sentSeq, ROWS_PER_READ);
    let next = this.#sentSeq;
    for (const { first, count, body, atMs } of rows) {
      const skipped = Math.max(0, next - first);
      if (first + skipped !== next || body.length !== count * SHARE_RECORD_SIZE) {
        throw new CodedError('ledger_corrupt', `the shares of ${contractId} have a gap at ${next}`);
      }
      this.#buffer.push({ rows: ShareRows.read(body.subarray(skipped * SHARE_RECORD_SIZE)), atMs });
      next = first + count;
    }
    if (this.#buffer.length === 0)
      throw new CodedError('ledger_corrupt', `share ${this.#sentSeq} of ${contractId} is missing`);
  }

  async #announce({ rows }: SentShares): Promise<void> {
    let last: number | undefined;
    for (let index = 0; index < rows.length; index += 1) {
      const jobId = rows.jobId(index);
      if (jobId === last || this.#announced.has(jobId)) continue;
      last = jobId;
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

  #send(shares: SentShares): void {
    const firstSeq = this.#sentSeq;
    this.#advance(shares);
    const nextSeq = this.#sentSeq;
    const ownWorkHashes = this.#sentWorkHashes;
    this.#inFlight += 1;
    this.#lastBatchAtMs = this.#deps.clock.monotonicMs();
    call(this.#peer, 'work.batch', {
      contractId: this.#options.contractId,
      firstSeq,
      shares: shares.rows,
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

  #advance({ rows }: SentShares): void {
    this.#sentWorkHashes += workOfRows(rows, this.#workOf);
    this.#sentSeq += rows.length;
  }
}

/** One batch of what was taken; copied only where it is of several rows of the log. */
function sentShares(taken: readonly Unsent[]): SentShares {
  const spans: { readonly end: number; readonly atMs: number }[] = [];
  let end = 0;
  for (const { rows, atMs } of taken) {
    end += rows.length;
    spans.push({ end, atMs });
  }
  const rows = taken.length === 1 ? taken[0]!.rows : ShareRows.joined(taken.map((each) => each.rows));
  return { rows, atMs: (index) => spans.find((span) => index < span.end)!.atMs };
}
