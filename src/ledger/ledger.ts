/**
 * The durable journal. Everything goes through one append-only, hash-chained log with one writer;
 * documents are a projection of it (latest body of each key), kept in the same transaction.
 */
export type LedgerEntry =
  /**
   * Append-only rows of items `first .. first+count-1` of a stream, e.g. packed shares. The first row
   * starts at 0 and every later one where the last ended, or the append fails with `ledger_conflict`: no
   * item is written twice and none is left out, even when an append before it failed.
   */
  | {
      readonly type: 'log';
      readonly kind: string;
      readonly stream: string;
      readonly first: number;
      readonly count: number;
      readonly body: Uint8Array;
    }
  /** The latest body wins. */
  | { readonly type: 'put'; readonly kind: string; readonly id: string; readonly body: string }
  /** Once only: the same body again is a no-op, another body fails the append with `ledger_conflict`. */
  | { readonly type: 'insert'; readonly kind: string; readonly id: string; readonly body: string };

export type LedgerDocument = { readonly id: string; readonly body: string };
export type LedgerLogRow = {
  /** Position in the journal: 1, 2, 3, ... */
  readonly seq: number;
  readonly first: number;
  readonly count: number;
  readonly atMs: number;
  readonly body: Uint8Array;
};

/** Items of a log that can be read: those before `first` were let go of. */
export type LedgerLogRange = { readonly first: number; readonly end: number };

/** The newest rows of a kind: those above `afterSeq`. `isCut` where there were more items than wanted. */
export type LedgerRecentLog = { readonly afterSeq: number; readonly isCut: boolean };

/** Rows no older than `memoryMs` before the newest, and the last `certainRows` rows whatever their dates. */
export type RecentBounds = {
  readonly memoryMs: number;
  readonly certainRows: number;
  /** Items in them at most, the newest first; the newest row is always one of them. */
  readonly maxItems: number;
};

export type LedgerStats = {
  commits: number;
  rows: number;
  queuedWrites: number;
  /** Wall time of the last durable commit, ms since the epoch. */
  lastCommitAtMs: number;
  /** The same by the monotonic clock; before the first, when the ledger was opened. */
  lastCommitAtMonotonicMs: number;
  failed: boolean;
};

export interface Ledger {
  /** For `build_info` and `doctor`: engine and version, e.g. "sqlite 3.53.4". */
  readonly engine: string;
  readonly stats: LedgerStats;
  /**
   * Group commit: resolves when these entries (all or none) and everything appended before them are on
   * disk. Rejects with `ledger_conflict` and `lease_lost` (only this append fails), or `ledger_io` (the
   * ledger is failed from then on), `ledger_closed`, `overload` (queue full, nothing was written).
   */
  append(entries: readonly LedgerEntry[]): Promise<void>;
  /** As `append`, but does not wait for company: for channel states. */
  appendNow(entries: readonly LedgerEntry[]): Promise<void>;
  /** The latest body. Reads see at least everything acknowledged before they were called. */
  get(kind: string, id: string): Promise<string | undefined>;
  /** All documents of a kind whose id starts with `prefix`, ordered by id. */
  list(kind: string, prefix?: string): Promise<LedgerDocument[]>;
  /**
   * Log rows holding items from `fromItem` on, in order, at most `maxRows`. A row may start before
   * `fromItem`.
   */
  readLog(kind: string, stream: string, fromItem: number, maxRows: number): Promise<LedgerLogRow[]>;
  /** Where the newest rows of a kind begin, of all its streams; bodies are not read. */
  recentLog(kind: string, bounds: RecentBounds): Promise<LedgerRecentLog>;
  logRange(kind: string, stream: string): Promise<LedgerLogRange>;
  /**
   * Log rows written at or after `sinceMs`, in journal order: to rebuild duplicate detection after a
   * restart. With `page`, at most `maxRows` rows with a seq above `afterSeq`. Rows that were sealed, which
   * are an hour old, are left out.
   */
  readLogSince(
    kind: string,
    sinceMs: number,
    page?: { readonly afterSeq: number; readonly maxRows: number },
  ): Promise<(LedgerLogRow & { readonly stream: string })[]>;
  /** Commits what is queued, checkpoints and closes. */
  close(): Promise<void>;
}
