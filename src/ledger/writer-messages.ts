import type { ErrorCode } from '../base/errors.ts';
import type { LedgerLogRow, RecentBounds } from './ledger.ts';

export type LogRowOfStream = LedgerLogRow & { readonly stream: string };

/** An append of a frame that was refused. */
export type Conflict = {
  readonly append: number;
  readonly detail: string;
  /** Default: `ledger_conflict`. */
  readonly code?: 'lease_lost';
};

export type CommitResult = {
  readonly rows: number;
  /** Wall time stored with the rows. */
  readonly atMs: number;
  /** Which appends of the frame were refused, and why; the others are durable. */
  readonly conflicts: readonly Conflict[];
};

/** What the ledger tells its writer thread at start. */
export type WriterOptions = {
  readonly path: string;
  readonly instance?: string;
  readonly nowMs: number;
  readonly readOnly: boolean;
};

export type ReadRequest =
  | { readonly type: 'get'; readonly kind: string; readonly id: string }
  | { readonly type: 'list'; readonly kind: string; readonly prefix: string }
  | {
      readonly type: 'log';
      readonly kind: string;
      readonly stream: string;
      readonly fromItem: number;
      readonly maxRows: number;
    }
  | {
      readonly type: 'log_since';
      readonly kind: string;
      readonly sinceMs: number;
      readonly afterSeq: number;
      readonly maxRows: number;
    }
  | { readonly type: 'recent_log'; readonly kind: string; readonly bounds: RecentBounds }
  | { readonly type: 'log_range'; readonly kind: string; readonly stream: string };

/** What the writer does between commits for sealing (`sealing.ts`). */
export type MaintenanceRequest =
  /** Answered with the last row that can be sealed, or undefined. */
  | { readonly type: 'sealable'; readonly policy: SealingPolicy }
  | { readonly type: 'seal'; readonly segment: SealedSegment }
  /** Deletes a few rows that are in a segment; answered with true once there are none. */
  | { readonly type: 'prune'; readonly evidenceKinds: readonly string[] }
  /** Answered with true where a segment is so old that it may go. */
  | { readonly type: 'is_old'; readonly beforeMs: number }
  /** Answered with the files that may go. */
  | LetGoRequest;

export type LetGoRequest = {
  readonly type: 'let_go';
  readonly beforeMs: number;
  /** Streams that are kept. */
  readonly held: readonly string[];
  readonly evidenceKinds: readonly string[];
  readonly nowMs: number;
};

/** Which rows are sealed, and when. */
export type SealingPolicy = {
  /** Only rows that are so much older than the newest. */
  readonly afterMs: number;
  /** And not the newest so many; at least 2. */
  readonly keptRows: number;
  /** Not for fewer rows, unless they waited for `waitMs`. */
  readonly fromRows: number;
  readonly waitMs: number;
};

/** A segment that is on disk, for the ledger's own table. */
export type SealedSegment = {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly lastAtMs: number;
  readonly endHash: Uint8Array;
  readonly digest: Uint8Array;
  readonly logs: readonly {
    readonly kind: string;
    readonly key: string;
    readonly first: number;
    readonly end: number;
  }[];
};

export type CommitRequest = {
  readonly type: 'commit';
  /** Transferred; `size` bytes of it are the frame. */
  readonly buffer: ArrayBuffer;
  readonly size: number;
  readonly nowMs: number;
};

/** Ledger to writer; handled strictly in order. */
export type WriterRequest =
  | CommitRequest
  | { readonly type: 'read'; readonly id: number; readonly request: ReadRequest | MaintenanceRequest }
  | { readonly type: 'close' };

/** Writer to ledger. Commits are answered in the order they were sent, those made as one in one answer. */
export type WriterReply =
  | { readonly type: 'ready'; readonly engine: string; readonly epoch?: number }
  /** The buffers come back for the next frames. */
  | {
      readonly type: 'committed';
      readonly results: readonly CommitResult[];
      readonly seconds: number;
      readonly buffers: readonly ArrayBuffer[];
    }
  | { readonly type: 'read'; readonly id: number; readonly value: unknown }
  /** The server of the ledger was lost, or is there again. Nothing has failed. */
  | { readonly type: 'link'; readonly isUp: boolean; readonly detail: string }
  | { readonly type: 'read_failed'; readonly id: number; readonly code: ErrorCode; readonly detail: string }
  /** Opening or writing failed; nothing is written from here on. */
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'closed' };
