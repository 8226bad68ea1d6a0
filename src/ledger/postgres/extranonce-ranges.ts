import type { Lease, LeaseAnswer, Leases } from '../lease.ts';
import type { PostgresOptions } from './address.ts';
import { type KeptLink, type KeptLinkDeps, linkOf } from './kept-link.ts';

const LATER = "clock_timestamp() + $2::bigint * interval '1 millisecond'";

/** The one that rests for longest; two who ask at once get two. */
const TAKE = `
  UPDATE sharestream.extranonce_range SET owner = $1, token = token + 1, until = ${LATER}
    WHERE number = (SELECT number FROM sharestream.extranonce_range
      WHERE until <= clock_timestamp() - $3::bigint * interval '1 millisecond'
      ORDER BY until, number LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING number, token`;

const RENEW = `
  UPDATE sharestream.extranonce_range SET until = ${LATER} WHERE number = $1 AND token = $3 RETURNING token`;

const GIVE_BACK = `
  UPDATE sharestream.extranonce_range SET until = least(until, clock_timestamp())
    WHERE number = $1 AND token = $2`;

/** How long one that asked and found none waits, at least. */
const NONE_FREE_MS = 60_000;

/**
 * Ranges of session ids, each of one instance at a time. Whatever resource is asked for, what is taken is a
 * range that nobody has and that rested: its number is the resource of the lease.
 */
export class ExtranonceRanges implements Leases {
  readonly #link: KeptLink;
  readonly #restMs: number;

  /** @param restMs from the end of a lease until another takes the range */
  constructor(options: PostgresOptions | KeptLink, restMs: number, deps: KeptLinkDeps = {}) {
    this.#link = linkOf(options, deps);
    this.#restMs = restMs;
  }

  async take(_resource: string, forMs: number): Promise<LeaseAnswer> {
    const [row] = await this.#link.write(TAKE, [this.#link.instance, forMs, this.#restMs], 'take_range');
    if (row === undefined) return { type: 'held', owner: 'others', leftMs: NONE_FREE_MS };
    return { type: 'taken', lease: { resource: String(row['number']), token: Number(row['token']) } };
  }

  async renew({ resource, token }: Lease, forMs: number): Promise<boolean> {
    return (await this.#link.write(RENEW, [Number(resource), forMs, token], 'renew_range')).length > 0;
  }

  async giveBack({ resource, token }: Lease): Promise<void> {
    await this.#link.write(GIVE_BACK, [Number(resource), token], 'give_range_back');
  }

  async close(): Promise<void> {
    await this.#link.close();
  }
}
