import type { Ledger } from '../ledger/ledger.ts';

/** The ledger's metrics, the same for every role. */
export function ledgerSources(ledger: Ledger) {
  const { stats } = ledger;
  return {
    ledger_commits_total: () => stats.commits,
    ledger_rows_total: () => stats.rows,
    ledger_queue_rows: () => stats.queuedWrites,
    ledger_last_commit_timestamp_seconds: () => stats.lastCommitAtMs / 1000,
    ledger_errors_total: () => (stats.failed ? { ledger_io: 1 } : {}),
  };
}

/** Hits of limits from several modules, added up by the name of the limit. */
export function limitSum(...hits: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const counts of hits) {
    for (const [limit, count] of Object.entries(counts)) sum[limit] = (sum[limit] ?? 0) + count;
  }
  return sum;
}
