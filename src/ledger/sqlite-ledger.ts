import { systemClock } from '../base/clock.ts';
import {
  type MaintainedLedger,
  startWriter,
  type WriterLedgerDeps,
  type WriterLedgerOptions,
} from './writer-ledger.ts';
import type { WriterOptions } from './writer-messages.ts';

export type SqliteLedgerOptions = WriterLedgerOptions & {
  readonly path: string;
  /** Pinned when the file is created; another value later is refused with `ledger_schema`. */
  readonly instance?: string;
};

/**
 * Opens or creates the ledger, alone (`ledger_locked`). The writer is a thread of its own. Throws
 * `ledger_version`, `ledger_settings`, `ledger_schema`, `ledger_corrupt`, `ledger_io`.
 */
export async function openSqliteLedger(
  options: SqliteLedgerOptions,
  deps: WriterLedgerDeps,
): Promise<MaintainedLedger> {
  const { clock = systemClock } = deps;
  const data: WriterOptions = {
    path: options.path,
    nowMs: clock.nowMs(),
    readOnly: options.readOnly ?? false,
    ...(options.instance === undefined ? {} : { instance: options.instance }),
  };
  const file = import.meta.url.endsWith('.ts') ? './sqlite-worker.ts' : './sqlite-worker.js';
  const ledger = await startWriter(new URL(file, import.meta.url), data, options, deps);
  deps.log.info({ path: options.path, engine: ledger.engine }, 'ledger opened');
  return ledger;
}
