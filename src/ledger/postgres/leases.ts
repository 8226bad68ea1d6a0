import { type Clock, systemClock, type Timers } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { systemTimers } from '../../base/system-timers.ts';
import type { Lease, LeaseAnswer, LeaseRow, Leases } from '../lease.ts';
import { type PostgresOptions, type PostgresServer, readServer } from './address.ts';
import { textOf } from './journal-reads.ts';
import { appliedOf, POSTGRES_MIGRATIONS } from './migrations.ts';
import { ServerLink } from './server-link.ts';
import { ConnectionLost, type Row } from './session.ts';

/** Milliseconds that are left of `until`, by the clock of the database. */
const LEFT_MS = 'ceil(extract(epoch FROM l.until - clock_timestamp()) * 1000)::bigint AS left_ms';
const HOME = '(SELECT instance FROM sharestream.chain WHERE number = l.chain) AS home';

const LATER = "clock_timestamp() + $3::bigint * interval '1 millisecond'";

/** Of an earlier run of the same instance too: one that holds the lock of its chain is the only run. */
const TAKE = `
  INSERT INTO sharestream.lease AS l (resource, owner, token, until) VALUES ($1, $2, 1, ${LATER})
    ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, token = l.token + 1, until = ${LATER}
      WHERE l.until <= clock_timestamp() OR l.owner = excluded.owner
    RETURNING token`;

const RENEW = `
  UPDATE sharestream.lease AS l SET until = ${LATER} WHERE resource = $1 AND token = $2 RETURNING token`;

const GIVE_BACK = `
  UPDATE sharestream.lease SET until = least(until, clock_timestamp()) WHERE resource = $1 AND token = $2`;

export type LeasesDeps = { readonly timers?: Timers; readonly clock?: Clock };

/**
 * Leases in a PostgreSQL, by connections of their own: an answer waits for the standby, and for no commit. A
 * lost connection is made anew by the next call; a lease whose answer was lost may have been taken.
 */
export class PostgresLeases implements Leases {
  readonly #server: PostgresServer;
  readonly #deps: Required<LeasesDeps>;
  #link: Promise<ServerLink> | undefined;

  /** @param options whose instance is the owner of what is taken. Throws as `readServer`. */
  constructor(options: PostgresOptions, { timers = systemTimers, clock = systemClock }: LeasesDeps = {}) {
    this.#server = readServer(options);
    this.#deps = { timers, clock };
  }

  get instance(): string {
    return this.#server.instance;
  }

  async take(resource: string, forMs: number): Promise<LeaseAnswer> {
    const key = Buffer.from(resource);
    const [row] = await this.#write(TAKE, [key, this.instance, forMs], 'take');
    if (row !== undefined) return { type: 'taken', lease: { resource, token: Number(row['token']) } };
    const [held] = await this.list(resource);
    if (held !== undefined) return { type: 'held', owner: held.owner, leftMs: held.leftMs };
    throw new CodedError('ledger_io', `the lease of ${resource} was refused and is not there`);
  }

  async renew({ resource, token }: Lease, forMs: number): Promise<boolean> {
    const rows = await this.#write(RENEW, [Buffer.from(resource), token, forMs], 'renew');
    return rows.length > 0;
  }

  async giveBack({ resource, token }: Lease): Promise<void> {
    await this.#write(GIVE_BACK, [Buffer.from(resource), token], 'give_back');
  }

  /** All leases, or one; by resource. */
  async list(resource?: string): Promise<readonly LeaseRow[]> {
    const rows = await this.#ask((link) =>
      link.reader.query(
        `SELECT resource, token, owner, ${LEFT_MS}, ${HOME} FROM sharestream.lease AS l
          WHERE $1::bytea IS NULL OR resource = $1 ORDER BY resource`,
        [resource === undefined ? null : Buffer.from(resource)],
      ),
    );
    return rows.map((row) => ({
      ...{ resource: textOf(row['resource']), token: Number(row['token']), owner: String(row['owner']) },
      leftMs: Number(row['left_ms']),
      home: row['home'] === null ? undefined : String(row['home']),
    }));
  }

  async close(): Promise<void> {
    const link = await this.#link?.catch(() => undefined);
    this.#link = undefined;
    await link?.close();
  }

  #write(text: string, values: readonly unknown[], name: string): Promise<readonly Row[]> {
    return this.#ask((link) => link.write(text, values, name));
  }

  async #ask(work: (link: ServerLink) => Promise<readonly Row[]>): Promise<readonly Row[]> {
    let link: ServerLink | undefined;
    try {
      this.#link ??= this.#open();
      link = await this.#link;
      return await work(link);
    } catch (error) {
      if (link === undefined || link.isLost) {
        link?.destroy('not used');
        this.#link = undefined;
      }
      if (!(error instanceof ConnectionLost)) throw error;
      throw new CodedError('ledger_io', error.message, {}, { cause: error });
    }
  }

  async #open(): Promise<ServerLink> {
    const link = await ServerLink.open(this.#server, this.#deps);
    if ((await appliedOf(link.reader)) === POSTGRES_MIGRATIONS.length) return link;
    link.destroy('not used');
    throw new CodedError('ledger_schema', 'the database has no leases of this version yet');
  }
}
