import { type Clock, systemClock, type Timers } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { bodySize, entryKey } from '../../src/ledger/frame.ts';
import type {
  Ledger,
  LedgerDocument,
  LedgerEntry,
  LedgerLogRange,
  LedgerLogRow,
  LedgerRecentLog,
  LedgerStats,
  RecentBounds,
} from '../../src/ledger/ledger.ts';

type LogRow = LedgerLogRow & { readonly kind: string; readonly stream: string };
type Document = { readonly kind: string; readonly id: string; readonly body: string };
type Waiting = {
  readonly entries: readonly LedgerEntry[];
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
};

export type MemoryLedgerOptions = { readonly maxQueuedWrites?: number; readonly maxRecordBytes?: number };

export type MemoryLedgerDeps = {
  readonly clock?: Clock;
  readonly timers?: Timers;
  readonly onFailure?: (error: CodedError) => void;
};

/**
 * The ledger without a disk: for tests and dry runs. Faults are injected by `failNext`, `hold` and
 * `release`. Written apart from the SQLite engine, so that comparing them says something.
 */
export class MemoryLedger implements Ledger {
  readonly engine = 'memory';
  readonly stats: LedgerStats;
  readonly #options: Required<MemoryLedgerOptions>;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #onFailure: ((error: CodedError) => void) | undefined;
  readonly #documents = new Map<string, Document>();
  readonly #log: LogRow[] = [];
  readonly #logEnds = new Map<string, number>();
  #waiting: Waiting[] = [];
  #seq = 0;
  /** Of the newest row: no row is older than one before it. */
  #atMs = 0;
  #scheduled = false;
  #held = false;
  #closed = false;
  #nextFailure: CodedError | undefined;

  constructor(options: MemoryLedgerOptions = {}, deps: MemoryLedgerDeps = {}) {
    this.#options = {
      maxQueuedWrites: options.maxQueuedWrites ?? LIMITS.ledgerQueuedWrites,
      maxRecordBytes: options.maxRecordBytes ?? LIMITS.ledgerRecordBytes,
    };
    this.#clock = deps.clock ?? systemClock;
    this.#timers = deps.timers ?? systemTimers;
    this.stats = {
      ...{ commits: 0, rows: 0, queuedWrites: 0, failed: false },
      ...{ lastCommitAtMs: 0, lastCommitAtMonotonicMs: this.#clock.monotonicMs() },
    };
    this.#onFailure = deps.onFailure;
  }

  /** The next append to be written rejects with this; `ledger_io` fails the ledger for good. */
  failNext(error: CodedError): void {
    this.#nextFailure = error;
  }

  /** Appends wait until `release`, as behind a slow disk. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#schedule();
  }

  /** The process that wrote here is gone: what of it still waited is neither written nor answered. */
  loseQueue(): void {
    this.#waiting = [];
    this.stats.queuedWrites = 0;
  }

  append(entries: readonly LedgerEntry[]): Promise<void> {
    const refusal = this.#refusal(entries);
    if (refusal !== undefined) return Promise.reject(refusal);
    this.stats.queuedWrites += entries.length;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries: entries.map(copyEntry), resolve, reject });
      this.#schedule();
    });
  }

  appendNow(entries: readonly LedgerEntry[]): Promise<void> {
    return this.append(entries);
  }

  async get(kind: string, id: string): Promise<string | undefined> {
    this.#assertOpen();
    return this.#documents.get(nameOf(kind, id))?.body;
  }

  async list(kind: string, prefix = ''): Promise<LedgerDocument[]> {
    this.#assertOpen();
    return [...this.#documents.values()]
      .filter((document) => document.kind === kind && document.id.startsWith(prefix))
      .map(({ id, body }) => ({ id, body }))
      .sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
  }

  async readLog(kind: string, stream: string, fromItem: number, maxRows: number): Promise<LedgerLogRow[]> {
    this.#assertOpen();
    return this.#log
      .filter((row) => row.kind === kind && row.stream === stream && row.first + row.count > fromItem)
      .slice(0, maxRows)
      .map(({ seq, first, count, atMs, body }) => ({ seq, first, count, atMs, body: body.slice() }));
  }

  async recentLog(
    kind: string,
    { memoryMs, certainRows, maxItems }: RecentBounds,
  ): Promise<LedgerRecentLog> {
    this.#assertOpen();
    const rows = this.#log.filter((row) => row.kind === kind).toReversed();
    const [newest] = rows;
    if (newest === undefined) return { afterSeq: 0, isCut: false };
    const recent = rows.filter(
      ({ seq, atMs }) => atMs >= newest.atMs - memoryMs || seq > newest.seq - certainRows,
    );
    let items = 0;
    const end = recent.findIndex(({ count }, index) => {
      items += count;
      return index > 0 && items > maxItems;
    });
    const kept = end < 0 ? recent : recent.slice(0, end);
    return { afterSeq: (kept.at(-1) ?? newest).seq - 1, isCut: end >= 0 };
  }

  async logRange(kind: string, stream: string): Promise<LedgerLogRange> {
    this.#assertOpen();
    return { first: 0, end: this.#logEnds.get(nameOf(kind, stream)) ?? 0 };
  }

  async readLogSince(
    kind: string,
    sinceMs: number,
    page: { readonly afterSeq: number; readonly maxRows: number } = { afterSeq: 0, maxRows: 2 ** 31 - 1 },
  ): Promise<(LedgerLogRow & { readonly stream: string })[]> {
    this.#assertOpen();
    return this.#log
      .filter((row) => row.kind === kind && row.atMs >= sinceMs && row.seq > page.afterSeq)
      .slice(0, page.maxRows)
      .map(({ seq, stream, first, count, atMs, body }) => ({
        seq,
        stream,
        first,
        count,
        atMs,
        body: body.slice(),
      }));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#held = false;
    this.#commit();
    this.#closed = true;
  }

  #refusal(entries: readonly LedgerEntry[]): CodedError | undefined {
    if (this.#closed) return new CodedError('ledger_closed');
    if (this.stats.failed) return new CodedError('ledger_io', 'the ledger failed before');
    for (const entry of entries) {
      entryKey(entry);
      if (bodySize(entry) > this.#options.maxRecordBytes) {
        return new CodedError('overload', `a ${entry.kind} record is too large`, {
          limit: 'ledgerRecordBytes',
        });
      }
    }
    if (this.stats.queuedWrites + entries.length > this.#options.maxQueuedWrites) {
      return new CodedError('overload', 'too many ledger writes wait', { limit: 'ledgerQueuedWrites' });
    }
    return undefined;
  }

  #schedule(): void {
    if (this.#scheduled || this.#held) return;
    this.#scheduled = true;
    this.#timers.afterTurn(() => {
      this.#scheduled = false;
      if (!this.#held) this.#commit();
    });
  }

  #commit(): void {
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    const nowMs = Math.max(this.#clock.nowMs(), this.#atMs);
    const before = this.#seq;
    for (const append of group) {
      this.stats.queuedWrites -= append.entries.length;
      const failure = this.#takeFailure() ?? this.#write(append.entries, nowMs);
      if (failure === undefined) append.resolve();
      else append.reject(failure);
    }
    if (this.stats.failed) return;
    this.stats.commits += 1;
    this.stats.lastCommitAtMs = nowMs;
    this.stats.lastCommitAtMonotonicMs = this.#clock.monotonicMs();
    if (this.#seq > before) this.#atMs = nowMs;
  }

  #takeFailure(): CodedError | undefined {
    if (this.stats.failed) return new CodedError('ledger_io', 'the ledger failed before');
    const failure = this.#nextFailure;
    this.#nextFailure = undefined;
    if (failure?.code === 'ledger_io') {
      this.stats.failed = true;
      this.#onFailure?.(failure);
    }
    return failure;
  }

  /** All entries or none: nothing is kept until the last one fitted. */
  #write(entries: readonly LedgerEntry[], atMs: number): CodedError | undefined {
    const documents = new Map<string, Document>();
    const ends = new Map<string, number>();
    const rows: LogRow[] = [];
    let seq = this.#seq;
    for (const entry of entries) {
      const name = nameOf(entry.kind, entryKey(entry));
      if (entry.type === 'log') {
        const end = ends.get(name) ?? this.#logEnds.get(name) ?? 0;
        if (end !== entry.first) {
          return new CodedError('ledger_conflict', `${entry.kind} ${entry.stream} continues at ${end}`);
        }
        ends.set(name, entry.first + entry.count);
        seq += 1;
        const { kind, stream, first, count, body } = entry;
        rows.push({ kind, stream, first, count, body, atMs, seq });
        continue;
      }
      const stored = documents.get(name) ?? this.#documents.get(name);
      if (entry.type === 'insert' && stored !== undefined) {
        if (stored.body === entry.body) continue;
        return new CodedError('ledger_conflict', `${entry.kind} ${entry.id} is stored with another body`);
      }
      seq += 1;
      documents.set(name, { kind: entry.kind, id: entry.id, body: entry.body });
    }
    for (const [name, document] of documents) this.#documents.set(name, document);
    for (const [name, end] of ends) this.#logEnds.set(name, end);
    this.#log.push(...rows);
    this.stats.rows += seq - this.#seq;
    this.#seq = seq;
    return undefined;
  }

  #assertOpen(): void {
    if (this.#closed) throw new CodedError('ledger_closed');
  }
}

function nameOf(kind: string, id: string): string {
  return `${kind}\0${id}`;
}

function copyEntry(entry: LedgerEntry): LedgerEntry {
  return entry.type === 'log' ? { ...entry, body: entry.body.slice() } : entry;
}
