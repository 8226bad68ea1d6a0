import type { ErrorCode } from '../base/errors.ts';
import type { CommitResult } from './sqlite-journal.ts';

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
  | { readonly type: 'read'; readonly id: number; readonly request: ReadRequest }
  | { readonly type: 'close' };

/** Writer to ledger. Commits are answered in the order they were sent, those made as one in one answer. */
export type WriterReply =
  | { readonly type: 'ready'; readonly engine: string }
  /** The buffers come back for the next frames. */
  | {
      readonly type: 'committed';
      readonly results: readonly CommitResult[];
      readonly seconds: number;
      readonly buffers: readonly ArrayBuffer[];
    }
  | { readonly type: 'read'; readonly id: number; readonly value: unknown }
  | { readonly type: 'read_failed'; readonly id: number; readonly code: ErrorCode; readonly detail: string }
  /** Opening or writing failed; nothing is written from here on. */
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'closed' };
