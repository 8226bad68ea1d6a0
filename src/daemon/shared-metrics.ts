import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { RootLogger } from '../log/pino-logger.ts';
import type { LaterPart } from './later-part.ts';
import type { LedgerUpkeep } from './ledger-upkeep.ts';

/** The log of the process, where it counts what it loses and can be told how much to say. */
export type DaemonLog = Logger & Partial<Pick<RootLogger, 'stats' | 'level' | 'setLevel'>>;

/** The ledger's metrics, the same for every role. */
export function ledgerSources(ledger: Ledger) {
  const { stats } = ledger;
  return {
    ledger_commits_total: () => stats.commits,
    ledger_rows_total: () => stats.rows,
    ledger_queue_rows: () => stats.queuedWrites,
    ledger_last_commit_timestamp_seconds: () => stats.lastCommitAtMs / 1000,
    ledger_failed: () => (stats.failed ? 1 : 0),
  };
}

/** Of old rows, and of the disk under them; nothing where there is no ledger. */
export function upkeepSources(upkeep: LedgerUpkeep | undefined) {
  if (upkeep === undefined) return {};
  const { sealing } = upkeep;
  return {
    ledger_sealed_rows_total: () => sealing.stats.rows,
    ledger_sealing_failures_total: () => sealing.stats.failures,
    ...diskSources(upkeep),
  };
}

/** Of the disk under a ledger, and of its backup. */
export function diskSources({ disk, backup }: Pick<LedgerUpkeep, 'disk' | 'backup'>) {
  return {
    disk_free_bytes: () => disk.freeBytes,
    disk_full_seconds: () => disk.secondsToFull,
    ledger_backup_timestamp_seconds: () => backup.seconds,
  };
}

/** Of contracts without money, at either side. */
export function meteringSources(
  rows: () => readonly {
    readonly status: string;
    readonly verifiedWorkHashes: bigint;
    readonly signedWorkHashes: bigint;
  }[],
) {
  return {
    metering_state: () => {
      const counts: Record<string, number> = {};
      for (const { status } of rows()) counts[status] = (counts[status] ?? 0) + 1;
      return counts;
    },
    metering_work_hashes: () => ({
      verified: rows().reduce((sum, row) => sum + Number(row.verifiedWorkHashes), 0),
      signed: rows().reduce((sum, row) => sum + Number(row.signedWorkHashes), 0),
    }),
  };
}

/** Counts of several modules, such as hits of limits, added up by name. */
export function sumByName(...hits: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const counts of hits) {
    for (const [limit, count] of Object.entries(counts)) sum[limit] = (sum[limit] ?? 0) + count;
  }
  return sum;
}

/**
 * The metrics of every daemon: what it waits for, its errors, and what its log lost.
 * @param refused errors that were answered and not logged, by code
 */
export function daemonSources(
  waiting: readonly LaterPart[],
  log: DaemonLog,
  refused: Readonly<Record<string, number>> = {},
) {
  return {
    errors_total: () => sumByName(refused, log.stats?.errors ?? {}),
    waiting_parts: () =>
      Object.fromEntries(waiting.map((part) => [part.name, part.waiting === undefined ? 0 : 1])),
    log_blocked: () => (log.stats?.isBlocked === true ? 1 : 0),
    log_dropped_lines_total: () => log.stats?.droppedLines ?? 0,
  };
}
