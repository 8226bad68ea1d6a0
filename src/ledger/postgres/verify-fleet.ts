import { toHex } from '../../base/bytes.ts';
import { systemClock } from '../../base/clock.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { bytes } from '../journal-row.ts';
import { type LeaseOrigin, parseLeaseBody } from '../lease.ts';
import type { Verification } from '../verify.ts';
import { type PostgresOptions, readServer } from './address.ts';
import { type ChainRow, readChain, readsOf } from './chain-access.ts';
import { instancesOf } from './fleet-reader.ts';
import { textOf } from './journal-reads.ts';
import type { PackedRow } from './packed-rows.ts';
import { PostgresReader } from './postgres-reader.ts';
import type { Session } from './session.ts';
import { verify } from './verify.ts';

/** Every chain by itself, and what is wrong between them: undefined where nothing is. */
export type FleetVerification = {
  readonly chains: readonly { readonly instance: string; readonly verification: Verification }[];
  readonly problem: string | undefined;
};

/** A commit under a lease. */
type Write = {
  readonly instance: string;
  readonly seq: number;
  readonly token: number;
  readonly from: LeaseOrigin | undefined;
};

/**
 * Replays all chains of a database as one moment has them, and holds what was written under leases against
 * each other: a token belongs to one chain; nobody wrote under an older one after it was taken over from him;
 * who took over began where the owner before had ended. Throws as `PostgresReader.open`.
 */
export async function verifyPostgresFleet(options: PostgresOptions): Promise<FleetVerification> {
  const deps = { timers: systemTimers, clock: systemClock };
  const reader = await PostgresReader.open(readServer(options), deps);
  try {
    return await reader.snapshot(async (_reads, _own, link) => {
      const chains: { instance: string; verification: Verification }[] = [];
      const writes = new Map<string, Write[]>();
      const rows = new Map<string, ChainRow>();
      for (const { instance } of await instancesOf(link)) {
        const chain = await readChain(link.reader, instance);
        const leases: PackedRow[] = [];
        const verification = await verify(readsOf(link.reader, chain), chain, link, instance, leases);
        chains.push({ instance, verification });
        rows.set(instance, chain);
        for (const { key, seq, body } of leases) {
          const write = { instance, seq, ...parseLeaseBody(body) };
          writes.set(key, [...(writes.get(key) ?? []), write]);
        }
      }
      return { chains, problem: await problemOf(writes, rows, link.reader) };
    });
  } finally {
    await reader.close();
  }
}

async function problemOf(
  writes: ReadonlyMap<string, readonly Write[]>,
  chains: ReadonlyMap<string, ChainRow>,
  session: Session,
): Promise<string | undefined> {
  const leases = await session.query('SELECT resource, token FROM sharestream.lease');
  const newest = new Map(leases.map((row) => [textOf(row['resource']), Number(row['token'])]));
  for (const [resource, all] of writes) {
    const last = Math.max(...all.map(({ token }) => token));
    if (last > (newest.get(resource) ?? 0))
      return `${resource} was written under ${last}, which nobody took`;
    const problem = courseProblem(all) ?? (await originProblem(all, chains, session));
    if (problem !== undefined) return `${resource}: ${problem}`;
  }
  return undefined;
}

/** Who wrote when, by tokens alone. */
function courseProblem(writes: readonly Write[]): string | undefined {
  const inOrder = writes.toSorted((a, b) => a.token - b.token || a.seq - b.seq);
  let before: Write | undefined;
  for (const write of inOrder) {
    const { instance, seq, token, from } = write;
    if (before !== undefined && before.token === token && before.instance !== instance)
      return `two chains were written under token ${token}: ${before.instance} and ${instance}`;
    if (before?.instance === instance && before.seq > seq)
      return `row ${before.seq} of ${instance} is under token ${before.token}, and ${seq} before it under ${token}`;
    if (before !== undefined && before.instance !== instance) {
      if (from === undefined || from.instance !== before.instance)
        return `${instance} wrote under token ${token} without what ${before.instance} had`;
      if (before.seq > from.seq)
        return `row ${before.seq} of ${before.instance} is under token ${before.token}, after ${token} was taken`;
    }
    before = write;
  }
  return undefined;
}

/** The chain that was taken over from had that hash there; rows that were let go of are not looked for. */
async function originProblem(
  writes: readonly Write[],
  chains: ReadonlyMap<string, ChainRow>,
  session: Session,
): Promise<string | undefined> {
  for (const { instance, token, from } of writes) {
    if (from === undefined) continue;
    const chain = chains.get(from.instance);
    if (chain === undefined) return `${instance} took over from ${from.instance}, which is not there`;
    if (from.seq <= chain.letGo.seq) continue;
    const [batch] = await session.query(
      'SELECT end_hash FROM sharestream.batch WHERE chain = $1 AND first_seq <= $2 AND last_seq = $2',
      [chain.number, from.seq],
    );
    if (batch === undefined || toHex(bytes(batch['end_hash'])) !== from.hash)
      return `token ${token} was taken over from row ${from.seq} of ${from.instance}, which is another`;
  }
  return undefined;
}
