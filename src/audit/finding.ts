import type { ErrorCode } from '../base/errors.ts';

/**
 * Who is wrong: a side, by what it signed; `file` where the file does not have what was signed, so that
 * nothing follows from it; `undecided` where what was signed does not say.
 */
export type Blame = 'miner' | 'maker' | 'file' | 'undecided';

/** A disagreement. */
export type Finding = {
  readonly blame: Blame;
  readonly code: ErrorCode;
  readonly words: string;
  /** Number of the state at which it shows, and seq of the share. */
  readonly n?: number;
  readonly seq?: number;
};
