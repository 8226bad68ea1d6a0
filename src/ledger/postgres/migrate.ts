import { systemClock } from '../../base/clock.ts';
import { hostPortText } from '../../base/host-port.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { type PostgresOptions, readServer } from './address.ts';
import { migrate, POSTGRES_MIGRATIONS } from './migrations.ts';
import { linked } from './server-link.ts';

/** Brings a database to this version, as its owner; how many migrations it has. Throws as `migrate`. */
export async function migratePostgres(options: PostgresOptions): Promise<number> {
  const deps = { timers: systemTimers, clock: systemClock };
  await linked(readServer(options), deps, ({ writer }) => migrate(writer, systemClock.nowMs()));
  return POSTGRES_MIGRATIONS.length;
}

/** What a server is, for whoever asks whether it will do. Throws as `openPostgresLedger`. */
export async function lookAtPostgres(
  options: PostgresOptions,
): Promise<{ readonly engine: string; readonly host: string }> {
  const deps = { timers: systemTimers, clock: systemClock };
  return await linked(readServer(options), deps, async ({ version, host }) => ({
    ...{ engine: `PostgreSQL ${version}`, host: hostPortText(host.host, host.port) },
  }));
}
