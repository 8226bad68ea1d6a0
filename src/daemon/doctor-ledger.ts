import type { LedgerConfig } from '../config/config.ts';
import { lookAtPostgres } from '../ledger/postgres/migrate.ts';
import type { Diagnosis } from './diagnosis.ts';

/** The PostgreSQL of a ledger; nothing where it is a file. Throws why it cannot be used. */
export async function checkLedgerServer({ postgres }: LedgerConfig): Promise<Diagnosis[]> {
  if (postgres === undefined) return [];
  const { engine, host } = await lookAtPostgres(postgres);
  const standby = postgres.singleServer ? 'alone (ledger.single_server)' : 'with a synchronous standby';
  return [{ check: 'ledger', verdict: 'ok', text: `${engine} at ${host}, ${standby}` }];
}
