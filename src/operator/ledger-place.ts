import { join } from 'node:path';
import type { LedgerConfig } from '../config/config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { openPostgresLedger } from '../ledger/postgres/postgres-ledger.ts';
import { openSqliteLedger } from '../ledger/sqlite-ledger.ts';
import type { MaintainedLedger, WriterLedgerDeps } from '../ledger/writer-ledger.ts';

/** Of a ledger in its folder. */
export const LEDGER_NAME = 'ledger.sqlite';

/** Where a ledger is: a file, or a chain in a PostgreSQL. */
export type LedgerPlace = {
  /** Beside it lies the lock of the data directory, of either kind. */
  readonly path: string;
  readonly postgres: LedgerConfig['postgres'];
};

/** Where the ledger of a daemon is. */
export function ledgerPlaceOf(config: {
  readonly dataDir: string;
  readonly ledger: LedgerConfig;
}): LedgerPlace {
  return { path: join(config.dataDir, LEDGER_NAME), postgres: config.ledger.postgres };
}

/** Opens a ledger for its one writer. Throws as `openSqliteLedger` and `openPostgresLedger`. */
export async function openLedger(
  { path, postgres }: LedgerPlace,
  deps: WriterLedgerDeps,
): Promise<MaintainedLedger> {
  if (postgres === undefined) return await openSqliteLedger({ path }, deps);
  // The data directory holds more that is of one daemon alone.
  return await openPostgresLedger({ ...postgres, lockPath: path }, deps);
}

/** For a look, also while its writer runs. Throws as `openLedger`. */
export function openLedgerForReading(
  { path, postgres }: LedgerPlace,
  deps: WriterLedgerDeps,
): Promise<Ledger> {
  return postgres === undefined
    ? openSqliteLedger({ path, readOnly: true }, deps)
    : openPostgresLedger({ ...postgres, readOnly: true }, deps);
}
