import { bytes } from '../journal-row.ts';
import type { PostgresOptions } from './address.ts';
import { textOf } from './journal-reads.ts';
import { type KeptLink, type KeptLinkDeps, linkOf } from './kept-link.ts';

/** Rows that are listed, and bytes that an instance tells of itself, at most. */
const INSTANCES_LISTED = 1_000;
export const TOLD_BYTES = 16_384;

/** An instance: its own words, and what is asked of it. */
export type InstanceRow = {
  readonly instance: string;
  /** Of the program that told it. */
  readonly run: number;
  /** Undefined of one that only writes. */
  readonly told: string | undefined;
  /** Since then, or since its last commit, by the clock of the database. */
  readonly agoMs: number;
  /** This run is to let go of its miners and its leases. */
  readonly isDrained: boolean;
};

/** What others ask of an instance. */
export type Asked = {
  readonly isDrained: boolean;
  /** Leases of it that are to be another's. */
  readonly toHandOver: readonly string[];
};

const TELL = `
  INSERT INTO sharestream.instance AS i (instance, run, told, seen) VALUES ($1, $2, $3, clock_timestamp())
    ON CONFLICT (instance) DO UPDATE SET run = excluded.run, told = excluded.told, seen = excluded.seen
      WHERE i.run <= excluded.run
    RETURNING drained_run IS NOT DISTINCT FROM run AS is_drained,
      ARRAY(SELECT resource FROM sharestream.lease AS l
        WHERE l.owner = $1 AND l.wanted <> $1 AND l.wanted_until > clock_timestamp()) AS to_hand_over`;

const DRAIN = 'UPDATE sharestream.instance SET drained_run = run WHERE instance = $1 RETURNING run';

const FORGET = `
  DELETE FROM sharestream.instance WHERE seen < clock_timestamp() - $1::bigint * interval '1 millisecond'`;

/** Of those that only write, since their last commit. */
const LIST = `
  SELECT instance, i.run, i.told, i.drained_run IS NOT DISTINCT FROM i.run AS is_drained,
      extract(epoch FROM clock_timestamp() - coalesce(i.seen, to_timestamp(c.at_ms / 1000.0))) * 1000 AS ago_ms
    FROM sharestream.instance AS i FULL JOIN sharestream.chain AS c USING (instance)
    ORDER BY instance COLLATE "C" LIMIT ${INSTANCES_LISTED}`;

/** The table of instances: a row each, which it writes anew every few seconds. */
export class PostgresInstances {
  readonly #link: KeptLink;

  /** @param options whose instance tells. Throws as `readServer`. */
  constructor(options: PostgresOptions | KeptLink, deps: KeptLinkDeps = {}) {
    this.#link = linkOf(options, deps);
  }

  get instance(): string {
    return this.#link.instance;
  }

  /**
   * The row of this instance, with what is asked of it since. Throws `ledger_io`.
   * @param told of at most `TOLD_BYTES`
   */
  async tell(run: number, told: string): Promise<Asked> {
    const [row] = await this.#link.write(TELL, [this.instance, run, Buffer.from(told)], 'tell');
    // A later run has the row: there is nothing to be asked of this one.
    if (row === undefined) return { isDrained: false, toHandOver: [] };
    const keys = row['to_hand_over'] as readonly unknown[];
    return { isDrained: row['is_drained'] === true, toHandOver: keys.map((key) => textOf(bytes(key))) };
  }

  /** Asks the run of an instance to let go of its miners and leases. False where there is no such. */
  async drain(instance: string): Promise<boolean> {
    return (await this.#link.write(DRAIN, [instance], 'drain')).length > 0;
  }

  /** Rows that nobody wrote for so long are dropped. */
  async forget(olderMs: number): Promise<void> {
    await this.#link.write(FORGET, [olderMs], 'forget');
  }

  /** By name; of more than a thousand the first. */
  async list(): Promise<readonly InstanceRow[]> {
    return (await this.#link.read(LIST)).map((row) => {
      const told = row['told'] === null ? undefined : textOf(row['told']);
      return {
        ...{ instance: String(row['instance']), run: Number(row['run'] ?? 0), told },
        agoMs: Math.max(0, Number(row['ago_ms'])),
        isDrained: told !== undefined && row['is_drained'] === true,
      };
    });
  }

  async close(): Promise<void> {
    await this.#link.close();
  }
}
