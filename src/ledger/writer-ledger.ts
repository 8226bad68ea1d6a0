import { Worker } from 'node:worker_threads';
import { assert, unreachable } from '../base/assert.ts';
import { type Clock, systemClock, type Timer, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { Logger } from '../log/logger.ts';
import { AppendQueue, type QueueLimits } from './append-queue.ts';
import type {
  Ledger,
  LedgerDocument,
  LedgerEntry,
  LedgerLogRange,
  LedgerLogRow,
  LedgerRecentLog,
  LedgerStats,
  RecentBounds,
} from './ledger.ts';
import type {
  CommitResult,
  LogRowOfStream,
  MaintenanceRequest,
  ReadRequest,
  WriterReply,
  WriterRequest,
} from './writer-messages.ts';

export type WriterLedgerOptions = {
  /**
   * Commits start at least this far apart while there is something to write; after a quiet time the next
   * one starts at once. 0 commits whenever the writer is idle. Default 5.
   */
  readonly groupCommitMs?: number;
  /** Entries that start a commit before `groupCommitMs` is over. Default 4096. */
  readonly maxRowsPerCommit?: number;
  /**
   * Bytes that do the same, also while the writer is busy. Default 16 KiB: about what a commit of one share
   * writes.
   */
  readonly maxBytesPerCommit?: number;
  /** Entries waiting for their commit beyond which appends are refused with `overload`. */
  readonly maxQueuedWrites?: number;
  readonly maxQueuedBytes?: number;
  /** Bytes of one body. */
  readonly maxRecordBytes?: number;
  /** For a look at a ledger, also while its writer runs: nothing can be appended. */
  readonly readOnly?: boolean;
};

export type WriterLedgerDeps = {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timers?: Timers;
  /** Called once, when the ledger has failed: nothing is written from then on. */
  readonly onFailure?: (error: CodedError) => void;
  readonly observeCommit?: (seconds: number, rows: number) => void;
};

/**
 * Starts a writer in a thread of its own and waits until it has opened the ledger. Throws what it says.
 * @param data what the thread is told at its start
 */
export async function startWriter(
  thread: URL,
  data: object,
  options: WriterLedgerOptions,
  deps: WriterLedgerDeps,
): Promise<MaintainedLedger> {
  const { clock = systemClock, timers = systemTimers } = deps;
  const worker = new Worker(thread, { workerData: data, execArgv: [], name: 'ledger' });
  const ready = await readyOf(worker);
  return new WriterLedger(options, { ...deps, clock, timers }, worker, ready);
}

type Ready = Omit<Extract<WriterReply, { readonly type: 'ready' }>, 'type'>;

function readyOf(worker: Worker): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const onReply = (reply: WriterReply): void => {
      stop();
      if (reply.type === 'ready') resolve(reply);
      else if (reply.type === 'failed') reject(new CodedError(reply.code, reply.detail));
    };
    const onError = (error: unknown): void => {
      stop();
      reject(new CodedError('ledger_io', `writer thread: ${String(error)}`));
    };
    const onExit = (): void => onError('ended at start');
    const stop = (): void => {
      worker.off('message', onReply);
      worker.off('error', onError);
      worker.off('exit', onExit);
    };
    worker.on('message', onReply);
    worker.on('error', onError);
    worker.on('exit', onExit);
  });
}

type Read = { readonly resolve: (value: never) => void; readonly reject: (error: CodedError) => void };

const FRAME_BUFFERS_KEPT = 4;

/** A ledger whose old rows can be sealed (`sealing.ts`). */
export type MaintainedLedger = Ledger & {
  /** On a server that others may write to as well: a later opening has a higher one. */
  readonly epoch: number | undefined;
  maintain<T>(request: MaintenanceRequest): Promise<T>;
};

class WriterLedger implements MaintainedLedger {
  readonly engine: string;
  readonly epoch: number | undefined;
  readonly stats: LedgerStats;
  readonly #options: Required<
    Pick<WriterLedgerOptions, 'groupCommitMs' | 'maxRowsPerCommit' | 'maxBytesPerCommit'>
  >;
  readonly #readOnly: boolean;
  readonly #deps: WriterLedgerDeps & { readonly clock: Clock; readonly timers: Timers };
  readonly #worker: Worker;
  readonly #queue: AppendQueue;
  readonly #reads = new Map<number, Read>();
  readonly #spareBuffers: ArrayBuffer[] = [];
  #readId = 0;
  #lastFlushMs = Number.NEGATIVE_INFINITY;
  #flushesSoon = false;
  readonly #flushSoon = (): void => {
    if (this.#flushesSoon) this.#flush();
  };
  #timer: Timer | undefined;
  #failure: CodedError | undefined;
  #closing: Promise<void> | undefined;
  #closed: (() => void) | undefined;
  #exited = false;

  constructor(
    options: WriterLedgerOptions,
    deps: WriterLedgerDeps & { readonly clock: Clock; readonly timers: Timers },
    worker: Worker,
    { engine, epoch }: Ready,
  ) {
    this.engine = engine;
    this.epoch = epoch;
    this.stats = {
      ...{ commits: 0, rows: 0, queuedWrites: 0, failed: false },
      ...{ lastCommitAtMs: 0, lastCommitAtMonotonicMs: deps.clock.monotonicMs() },
    };
    this.#options = {
      groupCommitMs: options.groupCommitMs ?? 5,
      maxRowsPerCommit: options.maxRowsPerCommit ?? 4096,
      maxBytesPerCommit: options.maxBytesPerCommit ?? 16 * 1024,
    };
    this.#readOnly = options.readOnly ?? false;
    this.#deps = deps;
    this.#queue = new AppendQueue(queueLimits(options), this.stats);
    this.#worker = worker;
    worker.on('message', (reply: WriterReply) => this.#onReply(reply));
    worker.on('error', (error) =>
      this.#fail(new CodedError('ledger_io', `writer thread: ${String(error)}`)),
    );
    worker.on('exit', () => this.#onExit());
  }

  append(entries: readonly LedgerEntry[]): Promise<void> {
    return this.#append(entries, false);
  }

  appendNow(entries: readonly LedgerEntry[]): Promise<void> {
    return this.#append(entries, true);
  }

  get(kind: string, id: string): Promise<string | undefined> {
    return this.#read({ type: 'get', kind, id });
  }

  list(kind: string, prefix = ''): Promise<LedgerDocument[]> {
    return this.#read({ type: 'list', kind, prefix });
  }

  readLog(kind: string, stream: string, fromItem: number, maxRows: number): Promise<LedgerLogRow[]> {
    return this.#read({ type: 'log', kind, stream, fromItem, maxRows });
  }

  recentLog(kind: string, bounds: RecentBounds): Promise<LedgerRecentLog> {
    return this.#read({ type: 'recent_log', kind, bounds });
  }

  logRange(kind: string, stream: string): Promise<LedgerLogRange> {
    return this.#read({ type: 'log_range', kind, stream });
  }

  maintain<T>(request: MaintenanceRequest): Promise<T> {
    return this.#read(request);
  }

  readLogSince(
    kind: string,
    sinceMs: number,
    page: { readonly afterSeq: number; readonly maxRows: number } = { afterSeq: 0, maxRows: 2 ** 31 - 1 },
  ): Promise<LogRowOfStream[]> {
    return this.#read({ type: 'log_since', kind, sinceMs, ...page });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #append(entries: readonly LedgerEntry[], now: boolean): Promise<void> {
    const refusal = this.#refusal() ?? this.#queue.refusal(entries);
    if (refusal !== undefined) return Promise.reject(refusal);
    const written = this.#queue.push(entries, this.#spareBuffers);
    if (now) this.#flush();
    else this.#schedule();
    return written;
  }

  #refusal(): CodedError | undefined {
    if (this.#closing !== undefined) return new CodedError('ledger_closed');
    if (this.#failure !== undefined) return new CodedError('ledger_io', this.#failure.message);
    if (this.#readOnly) return new CodedError('ledger_io', 'the ledger is open for reading only');
    return undefined;
  }

  /** A commit begins behind what runs now, so that it takes everything that is appended there. */
  #schedule(): void {
    if (this.#flushesSoon || !this.#queue.isWaiting) return;
    const { groupCommitMs, maxRowsPerCommit, maxBytesPerCommit } = this.#options;
    const isFull =
      this.#queue.waitingWrites >= maxRowsPerCommit || this.#queue.waitingBytes >= maxBytesPerCommit;
    if (!isFull && (this.#timer !== undefined || this.#queue.groupsInFlight > 0)) return;
    const waitMs = this.#lastFlushMs + groupCommitMs - this.#deps.clock.monotonicMs();
    if (isFull || waitMs <= 0) {
      this.#flushesSoon = true;
      this.#deps.timers.afterCall(this.#flushSoon);
    } else this.#timer = this.#deps.timers.after(Math.min(waitMs, groupCommitMs), () => this.#flush());
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#flushesSoon = false;
    const group = this.#queue.takeGroup();
    if (group === undefined) return;
    this.#lastFlushMs = this.#deps.clock.monotonicMs();
    this.#post({ type: 'commit', ...group, nowMs: this.#deps.clock.nowMs() }, [group.buffer]);
  }

  #read<T>(request: ReadRequest | MaintenanceRequest): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new CodedError('ledger_closed'));
    if (this.#exited) return Promise.reject(new CodedError('ledger_io', 'the writer thread ended'));
    return new Promise<T>((resolve, reject) => {
      this.#readId += 1;
      this.#reads.set(this.#readId, { resolve, reject });
      this.#post({ type: 'read', id: this.#readId, request });
    });
  }

  #post(request: WriterRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #onReply(reply: WriterReply): void {
    switch (reply.type) {
      case 'committed':
        this.#onCommitted(reply.results, reply.seconds, reply.buffers);
        break;
      case 'read':
        this.#takeRead(reply.id)?.resolve(reply.value as never);
        break;
      case 'read_failed':
        this.#takeRead(reply.id)?.reject(new CodedError(reply.code, reply.detail));
        break;
      case 'failed':
        this.#fail(new CodedError(reply.code, reply.detail));
        break;
      case 'link':
        this.#onLink(reply.isUp, reply.detail);
        break;
      case 'ready':
      case 'closed':
        break;
      default:
        unreachable(reply);
    }
  }

  #onCommitted(results: readonly CommitResult[], seconds: number, buffers: readonly ArrayBuffer[]): void {
    for (const buffer of buffers)
      if (this.#spareBuffers.length < FRAME_BUFFERS_KEPT) this.#spareBuffers.push(buffer);
    if (this.#failure !== undefined) return;
    this.stats.commits += 1;
    this.stats.lastCommitAtMonotonicMs = this.#deps.clock.monotonicMs();
    let rows = 0;
    for (const result of results) {
      rows += result.rows;
      this.stats.lastCommitAtMs = result.atMs;
    }
    this.stats.rows += rows;
    this.#deps.observeCommit?.(seconds, rows);
    for (const { conflicts } of results) this.#queue.settleGroup(conflicts);
    this.#schedule();
  }

  #onLink(isUp: boolean, detail: string): void {
    if (isUp) this.#deps.log.info({ server: detail }, 'the ledger has a server again');
    else this.#deps.log.warn({ detail }, 'the ledger lost its server; writes wait, it is tried again');
  }

  #takeRead(id: number): Read | undefined {
    const read = this.#reads.get(id);
    this.#reads.delete(id);
    return read;
  }

  #onExit(): void {
    this.#exited = true;
    this.#fail(new CodedError('ledger_io', 'the writer thread ended'));
    for (const read of this.#reads.values())
      read.reject(new CodedError('ledger_io', 'the writer thread ended'));
    this.#reads.clear();
    this.#closed?.();
  }

  /**
   * After a failed write nobody knows what is on disk: everything that waits is refused, and all that
   * follows.
   */
  #fail(error: CodedError): void {
    const isEndOfClose = this.#closing !== undefined && this.#queue.isEmpty;
    if (this.#failure !== undefined || isEndOfClose) return;
    this.#failure = error;
    this.stats.failed = true;
    this.#flushesSoon = false;
    this.#timer?.cancel();
    this.#deps.log.error({ code: error.code, detail: error.message }, 'the ledger failed');
    this.#queue.failAll(() => new CodedError('ledger_io', error.message, {}, { cause: error }));
    this.#deps.onFailure?.(error);
  }

  async #close(): Promise<void> {
    this.#flush();
    if (!this.#exited) {
      const ended = new Promise<void>((resolve) => {
        this.#closed = resolve;
      });
      this.#post({ type: 'close' });
      await ended;
    }
    assert(this.#queue.isEmpty, 'ledger_close_left_writes');
    this.#deps.log.info({}, 'ledger closed');
  }
}

function queueLimits(options: WriterLedgerOptions): QueueLimits {
  return {
    maxQueuedWrites: options.maxQueuedWrites ?? LIMITS.ledgerQueuedWrites,
    maxQueuedBytes: options.maxQueuedBytes ?? LIMITS.ledgerQueuedBytes,
    maxRecordBytes: options.maxRecordBytes ?? LIMITS.ledgerRecordBytes,
  };
}
