import type { Ledger } from '../ledger/ledger.ts';
import type { LedgerUpkeep } from './ledger-upkeep.ts';

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

/** Of old rows, and of the disk under them; nothing where there is no ledger. */
export function upkeepSources(upkeep: LedgerUpkeep | undefined) {
  if (upkeep === undefined) return {};
  const { sealing, disk } = upkeep;
  return {
    ledger_sealed_rows_total: () => sealing.stats.rows,
    ledger_sealing_failures_total: () => sealing.stats.failures,
    disk_free_bytes: () => disk.freeBytes,
    disk_full_seconds: () => disk.secondsToFull,
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
