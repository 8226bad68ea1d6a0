import { toHex } from '../../base/bytes.ts';
import { type Clock, systemClock, type Timers } from '../../base/clock.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { OP_CODES } from '../frame.ts';
import { bytes } from '../journal-row.ts';
import { type Lease, type LeaseOrigin, leaseEntry } from '../lease.ts';
import type { Ledger, LedgerEntry, LedgerLogRow } from '../ledger.ts';
import { type PostgresOptions, readServer } from './address.ts';
import { readChain, readsOf } from './chain-access.ts';
import type { Head } from './commit.ts';
import { endOfPrefix, textOf } from './journal-reads.ts';
import { PostgresReader } from './postgres-reader.ts';
import type { ServerLink } from './server-link.ts';

/** Documents of a kind: one, or those whose id begins so, or the last of these by their ids. */
export type DocumentNames =
  | { readonly kind: string; readonly id: string }
  | { readonly kind: string; readonly prefix: string; readonly newest?: number };

/** What belongs to a resource, out of the chain of its last owner. */
export type Estate = { readonly origin: LeaseOrigin; readonly entries: readonly LedgerEntry[] };

/** An instance, and where its chain ends. */
export type Instance = { readonly instance: string; readonly head: Head };

/** Evidence, and whose. */
export type InstanceRow = LedgerLogRow & { readonly instance: string };

/** What the chain of an instance has at one moment: rows of a log, and bodies of documents, as asked. */
export type Gathered = {
  readonly instance: string;
  readonly rows: readonly LedgerLogRow[];
  readonly bodies: readonly (string | undefined)[];
};

type LogName = { readonly kind: string; readonly stream: string };
type DocumentName = { readonly kind: string; readonly id: string };

/** Reads of all chains of a database. A lost connection ends it, as `PostgresReader`. */
export class FleetReader {
  readonly #reader: PostgresReader;

  private constructor(reader: PostgresReader) {
    this.#reader = reader;
  }

  /** Throws as `PostgresReader.open`. */
  static async open(
    options: PostgresOptions,
    deps: { readonly timers?: Timers; readonly clock?: Clock } = {},
  ): Promise<FleetReader> {
    const { timers = systemTimers, clock = systemClock } = deps;
    return new FleetReader(await PostgresReader.open(readServer(options), { timers, clock }));
  }

  /** Everybody who writes, or did; by name. */
  async instances(): Promise<readonly Instance[]> {
    return await this.#reader.snapshot((_reads, _own, link) => instancesOf(link));
  }

  /**
   * Items of one log of every instance, each instance's in its own order: a log of one name has a beginning
   * in each chain, and what is read is known by instance and item.
   * @param next the first item wanted of each instance; 0 where it is not named
   * @param maxRows of each instance
   */
  async evidence(
    kind: string,
    stream: string,
    next: ReadonlyMap<string, number>,
    maxRows: number,
  ): Promise<readonly InstanceRow[]> {
    const all = await this.gather({ kind, stream }, [], next, maxRows);
    return all.flatMap(({ instance, rows }) => rows.map((row) => ({ ...row, instance })));
  }

  /** The same by instance, and documents of each at the same moment. */
  async gather(
    { kind, stream }: LogName,
    documents: readonly DocumentName[],
    next: ReadonlyMap<string, number>,
    maxRows: number,
  ): Promise<readonly Gathered[]> {
    return await this.#reader.snapshot(async (_reads, _own, link) => {
      const out: Gathered[] = [];
      for (const { instance } of await instancesOf(link)) {
        const reads = readsOf(link.reader, await readChain(link.reader, instance));
        const bodies: (string | undefined)[] = [];
        for (const each of documents) bodies.push(await reads.get(each.kind, each.id));
        const rows = await reads.readLog(kind, stream, next.get(instance) ?? 0, maxRows);
        out.push({ instance, rows, bodies });
      }
      return out;
    });
  }

  /** Rows of a log of one instance: see `Ledger.readLog`. */
  async rowsOf(
    instance: string,
    { kind, stream }: LogName,
    from: number,
    maxRows: number,
  ): Promise<readonly LedgerLogRow[]> {
    return await this.#reader.snapshot(async (_reads, _own, { reader }) =>
      readsOf(reader, await readChain(reader, instance)).readLog(kind, stream, from, maxRows),
    );
  }

  /** A document of whichever chain has it; of several, of the oldest chain. */
  async find({ kind, id }: DocumentName): Promise<string | undefined> {
    return await this.#reader.snapshot(async (_reads, _own, { reader }) => {
      const [row] = await reader.query(
        `SELECT d.body FROM sharestream.chain AS c JOIN sharestream.document AS d ON d.chain = c.number
          WHERE d.kind = $1 AND d.id = $2 ORDER BY c.number LIMIT 1`,
        [kind, Buffer.from(id)],
      );
      return row === undefined ? undefined : textOf(row['body']);
    });
  }

  /**
   * What whoever wrote last for a resource has of these names, and where his chain ended at that moment.
   * Undefined where nobody has written for it yet.
   */
  async estate(resource: string, names: readonly DocumentNames[]): Promise<Estate | undefined> {
    return await this.#reader.snapshot(async (_reads, _own, { reader }) => {
      const [home] = await reader.query(
        `SELECT c.number, c.instance, c.seq, c.hash FROM sharestream.lease AS l
          JOIN sharestream.chain AS c ON c.number = l.chain WHERE l.resource = $1`,
        [Buffer.from(resource)],
      );
      if (home === undefined) return undefined;
      const entries: LedgerEntry[] = [];
      for (const name of names) {
        const { kind } = name;
        const from = Buffer.from('id' in name ? name.id : name.prefix);
        const end = 'id' in name ? Buffer.concat([from, Buffer.of(0)]) : endOfPrefix(from);
        const rows = await reader.query(
          `SELECT id, op, body FROM sharestream.document WHERE chain = $1 AND kind = $2 AND id >= $3
            AND ($4::bytea IS NULL OR id < $4) ORDER BY id DESC LIMIT $5`,
          [home['number'], kind, from, end ?? null, 'newest' in name ? name.newest : null],
        );
        for (const row of rows.toReversed()) {
          const type = Number(row['op']) === OP_CODES.insert ? 'insert' : 'put';
          entries.push({ type, kind, id: textOf(row['id']), body: textOf(row['body']) });
        }
      }
      const [instance, seq] = [String(home['instance']), Number(home['seq'])];
      return { origin: { instance, seq, hash: toHex(bytes(home['hash'])) }, entries };
    });
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

/**
 * Brings what belongs to a resource into the chain of its new owner, as its first commit under the lease: all
 * of it, or nothing; nothing where it is there already. The owner before can write nothing for it any more,
 * so what is read is the last there is. Throws `lease_lost`, and as `append`.
 * @param own the instance of the ledger
 */
export async function takeOver(
  { ledger, reader, own }: { readonly ledger: Ledger; readonly reader: FleetReader; readonly own: string },
  lease: Lease,
  names: readonly DocumentNames[],
): Promise<void> {
  const estate = await reader.estate(lease.resource, names);
  if (estate === undefined || estate.origin.instance === own) await ledger.appendNow([leaseEntry(lease)]);
  else await ledger.appendNow([leaseEntry(lease, estate.origin), ...estate.entries]);
}

export async function instancesOf({ reader }: ServerLink): Promise<readonly Instance[]> {
  const rows = await reader.query(
    'SELECT instance, seq, at_ms, hash FROM sharestream.chain ORDER BY instance COLLATE "C"',
  );
  return rows.map((row) => ({
    instance: String(row['instance']),
    head: { seq: Number(row['seq']), atMs: Number(row['at_ms']), hash: bytes(row['hash']) },
  }));
}
