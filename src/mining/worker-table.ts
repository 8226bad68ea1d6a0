import type { SessionSnapshot, WorkerSnapshot } from '../downstream/server/snapshot.ts';
import { withoutContract } from './work-routes.ts';

/** A worker: all connections that authorised with its name, together. */
export type WorkerRow = {
  /** The miner's to make up; empty for connections that did not authorise yet. */
  readonly name: string;
  readonly connections: number;
  readonly hashes_per_second_1m: number;
  readonly hashes_per_second_5m: number;
  readonly hashes_per_second_1h: number;
  readonly accepted: number;
  readonly rejected: number;
  /** Of what was judged. */
  readonly reject_ratio: number;
  /** Of the first of its connections, as are agent and destination. */
  readonly difficulty: number;
  readonly user_agent: string;
  readonly destination: string;
  /** The newest of all; 0 before the first. */
  readonly last_share_at_ms: number;
  /** The oldest of all. */
  readonly connected_at_ms: number;
};

export type WorkerQuery = {
  /** Words that each have to be in a name, address, user agent or destination, whatever their case. */
  readonly q: string;
  readonly sort: keyof WorkerRow;
  readonly order: 'ascending' | 'descending';
  /** Rows before the first that is given. */
  readonly offset: number;
  readonly limit: number;
};

export type WorkerTable = {
  readonly total: number;
  /** By the words. */
  readonly matched: number;
  /** Of those, over five minutes. */
  readonly hashes_per_second_5m: number;
  readonly offset: number;
  readonly items: readonly WorkerRow[];
};

type Part = { readonly session: SessionSnapshot; readonly worker: WorkerSnapshot | undefined };

/** A part of the workers, in the order that is asked for; of equals, who came first is first. */
export function workerTable(
  sessions: readonly SessionSnapshot[],
  { q, sort, order, offset, limit }: WorkerQuery,
): WorkerTable {
  const workers = partsByName(sessions);
  const words = q.toLowerCase().split(/\s+/);
  const matched = [...workers].filter(([name, parts]) => isMeant(name, parts, words));
  const rows = matched.map(([name, parts]) => rowOf(name, parts));
  const sign = order === 'descending' ? -1 : 1;
  const compare = (a: WorkerRow, b: WorkerRow): number =>
    a[sort] === b[sort] ? 0 : a[sort] < b[sort] ? -sign : sign;
  return {
    ...{ total: workers.size, matched: rows.length, offset },
    hashes_per_second_5m: sumOf(rows, (row) => row.hashes_per_second_5m),
    items: rows.toSorted(compare).slice(offset, offset + limit),
  };
}

/** True for connections of a worker, and, of the empty name, for those that have none. */
export function isOfWorker({ workers }: Pick<SessionSnapshot, 'workers'>, name: string): boolean {
  return workers.length === 0 ? name === '' : workers.some((worker) => worker.name === name);
}

function partsByName(sessions: readonly SessionSnapshot[]): ReadonlyMap<string, readonly Part[]> {
  const byName = new Map<string, Part[]>();
  for (const session of sessions)
    for (const worker of session.workers.length === 0 ? [undefined] : session.workers) {
      const name = worker?.name ?? '';
      const parts = byName.get(name);
      if (parts === undefined) byName.set(name, [{ session, worker }]);
      else parts.push({ session, worker });
    }
  return byName;
}

function isMeant(name: string, parts: readonly Part[], words: readonly string[]): boolean {
  if (words.every((word) => word === '')) return true;
  const texts = [
    name,
    ...parts.flatMap(({ session: { address, userAgent, destination } }) => [
      ...[address, userAgent, withoutContract(destination)],
    ]),
  ].map((text) => text.toLowerCase());
  return words.every((word) => texts.some((text) => text.includes(word)));
}

function rowOf(name: string, parts: readonly Part[]): WorkerRow {
  const { difficulty, userAgent, destination } = parts[0]!.session;
  const workers = parts.flatMap(({ worker }) => worker ?? []);
  const accepted = sumOf(workers, (each) => each.accepted);
  const rejected = sumOf(workers, (each) => each.rejected);
  return {
    ...{ name, connections: parts.length, accepted, rejected, difficulty, user_agent: userAgent },
    hashes_per_second_1m: sumOf(workers, (each) => each.hashesPerSecondOneMinute),
    hashes_per_second_5m: sumOf(workers, (each) => each.hashesPerSecond),
    hashes_per_second_1h: sumOf(workers, (each) => each.hashesPerSecondOneHour),
    reject_ratio: rejected === 0 ? 0 : rejected / (accepted + rejected),
    destination: withoutContract(destination),
    last_share_at_ms: workers.reduce((last, each) => Math.max(last, each.lastShareAtMs), 0),
    connected_at_ms: parts.reduce(
      (first, { session }) => Math.min(first, session.connectedAtMs),
      Number.POSITIVE_INFINITY,
    ),
  };
}

function sumOf<T>(all: readonly T[], of: (each: T) => number): number {
  return all.reduce((sum, each) => sum + of(each), 0);
}
