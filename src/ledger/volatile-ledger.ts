import type { Ledger } from './ledger.ts';

/**
 * Makes a ledger that keeps nothing, for a program whose own ledger cannot be used: appends are answered at
 * once and forgotten, and nothing is ever found. Counted as failed from the beginning.
 */
export function volatileLedger(): Ledger {
  return {
    engine: 'none',
    stats: {
      ...{ commits: 0, rows: 0, queuedWrites: 0, failed: true },
      ...{ lastCommitAtMs: 0, lastCommitAtMonotonicMs: 0 },
    },
    append: async () => {},
    appendNow: async () => {},
    get: async () => undefined,
    list: async () => [],
    readLog: async () => [],
    recentLog: async () => ({ afterSeq: 0, isCut: false }),
    logRange: async () => ({ first: 0, end: 0 }),
    readLogSince: async () => [],
    close: async () => {},
  };
}
