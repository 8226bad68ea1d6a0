import { systemClock } from '../../base/clock.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { type PostgresOptions, readServer } from './address.ts';
import { CHAIN_LOCK } from './chain-access.ts';
import { linked } from './server-link.ts';

const IS_LOCKED = `
  SELECT EXISTS (
    SELECT 1 FROM pg_locks AS l JOIN sharestream.chain AS c ON l.objid = c.number::oid
      JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
      WHERE l.locktype = 'advisory' AND l.granted AND l.classid = ${CHAIN_LOCK}::oid AND c.instance = $1
  ) AS locked`;

/** True while no program writes the chain of the instance. Throws as `linked`. */
export async function isChainFree(options: PostgresOptions): Promise<boolean> {
  // A look is no writer, of which a server may have to let go.
  const server = { ...readServer(options), standbyMs: undefined };
  return await linked(server, { timers: systemTimers, clock: systemClock }, async ({ reader }) => {
    const [row] = await reader.query(IS_LOCKED, [server.instance]);
    return row?.['locked'] === false;
  });
}
