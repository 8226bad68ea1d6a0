import { CodedError } from '../../base/errors.ts';
import type { Lease, LeaseAnswer, LeaseRow, Leases } from '../lease.ts';
import type { PostgresOptions } from './address.ts';
import { textOf } from './journal-reads.ts';
import { type KeptLink, type KeptLinkDeps, linkOf } from './kept-link.ts';

/** Milliseconds that are left of a time, by the clock of the database. */
const leftMs = (column: string): string =>
  `ceil(extract(epoch FROM ${column} - clock_timestamp()) * 1000)::bigint`;
const HOME = '(SELECT instance FROM sharestream.chain WHERE number = l.chain) AS home';

const LATER = "clock_timestamp() + $3::bigint * interval '1 millisecond'";
/** It is to be another's, for a while yet. */
const IS_ANOTHERS = 'l.wanted <> excluded.owner AND l.wanted_until > clock_timestamp()';

/** Of an earlier run of the same instance too: one that holds the lock of its chain is the only run. */
const TAKE = `
  INSERT INTO sharestream.lease AS l (resource, owner, token, until) VALUES ($1, $2, 1, ${LATER})
    ON CONFLICT (resource) DO UPDATE SET owner = excluded.owner, token = l.token + 1, until = ${LATER}
      WHERE (l.until <= clock_timestamp() OR l.owner = excluded.owner) AND (${IS_ANOTHERS}) IS NOT TRUE
    RETURNING token`;

const RENEW = `
  UPDATE sharestream.lease AS l SET until = ${LATER} WHERE resource = $1 AND token = $2 RETURNING token`;

const GIVE_BACK = `
  UPDATE sharestream.lease SET until = least(until, clock_timestamp()) WHERE resource = $1 AND token = $2`;

const WANT = `
  UPDATE sharestream.lease SET wanted = $2, wanted_until = ${LATER} WHERE resource = $1 RETURNING token`;

/**
 * Leases in a PostgreSQL, by connections of their own: an answer waits for the standby, and for no commit. A
 * lost connection is made anew by the next call; a lease whose answer was lost may have been taken.
 */
export class PostgresLeases implements Leases {
  readonly #link: KeptLink;

  /** @param options whose instance is the owner of what is taken. Throws as `readServer`. */
  constructor(options: PostgresOptions | KeptLink, deps: KeptLinkDeps = {}) {
    this.#link = linkOf(options, deps);
  }

  get instance(): string {
    return this.#link.instance;
  }

  async take(resource: string, forMs: number): Promise<LeaseAnswer> {
    const key = Buffer.from(resource);
    const [row] = await this.#link.write(TAKE, [key, this.instance, forMs], 'take');
    if (row !== undefined) return { type: 'taken', lease: { resource, token: Number(row['token']) } };
    const [held] = await this.list(resource);
    if (held === undefined)
      throw new CodedError('ledger_io', `the lease of ${resource} was refused and is not there`);
    return { type: 'held', owner: held.owner, leftMs: Math.max(held.leftMs, held.wanted?.leftMs ?? 0) };
  }

  async renew({ resource, token }: Lease, forMs: number): Promise<boolean> {
    const rows = await this.#link.write(RENEW, [Buffer.from(resource), token, forMs], 'renew');
    return rows.length > 0;
  }

  async giveBack({ resource, token }: Lease): Promise<void> {
    await this.#link.write(GIVE_BACK, [Buffer.from(resource), token], 'give_back');
  }

  /**
   * For so long nobody but this instance takes it; who has it hears of that, and leaves it. False where there
   * is no such lease.
   */
  async want(resource: string, instance: string, forMs: number): Promise<boolean> {
    const rows = await this.#link.write(WANT, [Buffer.from(resource), instance, forMs], 'want');
    return rows.length > 0;
  }

  /** All leases, or one; by resource. */
  async list(resource?: string): Promise<readonly LeaseRow[]> {
    const rows = await this.#link.read(
      `SELECT resource, token, owner, ${leftMs('l.until')} AS left_ms, ${HOME},
          l.wanted, ${leftMs('l.wanted_until')} AS wanted_ms FROM sharestream.lease AS l
        WHERE $1::bytea IS NULL OR resource = $1 ORDER BY resource`,
      [resource === undefined ? null : Buffer.from(resource)],
    );
    return rows.map((row) => {
      const wanted = { instance: String(row['wanted']), leftMs: Number(row['wanted_ms'] ?? 0) };
      return {
        ...{ resource: textOf(row['resource']), token: Number(row['token']), owner: String(row['owner']) },
        leftMs: Number(row['left_ms']),
        home: row['home'] === null ? undefined : String(row['home']),
        wanted: wanted.leftMs > 0 && wanted.instance !== row['owner'] ? wanted : undefined,
      };
    });
  }

  async close(): Promise<void> {
    await this.#link.close();
  }
}
