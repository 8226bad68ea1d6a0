import { systemClock } from '../../base/clock.ts';
import {
  type MaintainedLedger,
  startWriter,
  type WriterLedgerDeps,
  type WriterLedgerOptions,
} from '../writer-ledger.ts';
import { type PostgresOptions, type PostgresThreadData, readServer } from './address.ts';

export type PostgresLedgerOptions = WriterLedgerOptions &
  PostgresOptions & {
    /** Of a file whose lock (`lockLedger`) the writer holds too. */
    readonly lockPath?: string;
  };

/**
 * Opens the chain of an instance in a PostgreSQL, alone (`ledger_locked`); it is made where there is none.
 * The writer is a thread of its own. Throws `ledger_version`, `ledger_settings`, `ledger_schema`,
 * `ledger_corrupt`, `ledger_io`.
 */
export async function openPostgresLedger(
  options: PostgresLedgerOptions,
  deps: WriterLedgerDeps,
): Promise<MaintainedLedger> {
  const { clock = systemClock } = deps;
  const server = readServer(options);
  const data: PostgresThreadData = {
    server,
    nowMs: clock.nowMs(),
    readOnly: options.readOnly ?? false,
    lockPath: options.lockPath,
  };
  const file = import.meta.url.endsWith('.ts') ? './postgres-worker.ts' : './postgres-worker.js';
  const ledger = await startWriter(new URL(file, import.meta.url), data, options, deps);
  // The address without what is secret in it.
  const { hosts, database, instance } = server;
  deps.log.info({ hosts, database, instance, engine: ledger.engine }, 'ledger opened');
  return ledger;
}
