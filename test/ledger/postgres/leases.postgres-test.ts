import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../../src/base/errors.ts';
import { type Lease, leaseEntry } from '../../../src/ledger/lease.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { ExtranonceRanges } from '../../../src/ledger/postgres/extranonce-ranges.ts';
import { FleetReader, takeOver } from '../../../src/ledger/postgres/fleet-reader.ts';
import { PostgresInstances, TOLD_BYTES } from '../../../src/ledger/postgres/instances.ts';
import { PostgresLeases } from '../../../src/ledger/postgres/leases.ts';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { verifyPostgresFleet } from '../../../src/ledger/postgres/verify-fleet.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { seededRandom } from '../../seed.ts';
import { codeOfRejection, insert, put } from '../suite.ts';
import { until } from './postgres-server.ts';
import { postgresStand } from './stand.ts';

const stand = postgresStand();
const random = seededRandom();
/** So long that no test waits for its end. */
const LONG_MS = 3_600_000;
const NAMES = [
  { kind: 'stream', prefix: '' },
  { kind: 'job', prefix: 'c' },
] as const;

const closers: (() => Promise<void>)[] = [];
let channels = 0;
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** One instance: its ledger, and its view of leases and of all others. */
async function instance(): Promise<{
  readonly options: PostgresOptions;
  readonly own: string;
  readonly ledger: Ledger;
  readonly leases: PostgresLeases;
  readonly reader: FleetReader;
}> {
  const options = stand.options();
  const ledger = await openPostgresLedger({ ...options, groupCommitMs: 0 }, { log: silentLogger });
  const leases = new PostgresLeases(options);
  const reader = await FleetReader.open(options);
  closers.push(async () => {
    await Promise.all([reader.close(), leases.close(), ledger.close()]);
  });
  return { options, own: options.instance, ledger, leases, reader };
}

function newChannel(): string {
  channels += 1;
  return `channel/${channels}`;
}

async function taken(leases: PostgresLeases, resource: string, forMs = LONG_MS): Promise<Lease> {
  const answer = await leases.take(resource, forMs);
  if (answer.type === 'held') throw new Error(`${answer.owner} has it`);
  return answer.lease;
}

/** By the clock of the database its time is over. */
async function expire(resource: string): Promise<void> {
  await stand.sql(
    `UPDATE sharestream.lease SET until = clock_timestamp() WHERE resource = '${resource}'::bytea`,
  );
}

describe('a lease', () => {
  it('has one owner until it is over, by the clock of the database, and its token only rises', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const first = await taken(a.leases, resource);
    expect(first.token).toBe(1);
    const answer = await b.leases.take(resource, LONG_MS);
    expect(answer).toMatchObject({ type: 'held', owner: a.own });
    if (answer.type === 'held') expect(answer.leftMs).toBeGreaterThan(LONG_MS / 2);
    await expire(resource);
    // Late, and of nobody else: it goes on.
    expect(await a.leases.renew(first, LONG_MS)).toBe(true);
    expect(await b.leases.take(resource, LONG_MS)).toMatchObject({ type: 'held' });
    await expire(resource);
    expect(await taken(b.leases, resource)).toEqual({ resource, token: 2 });
    expect(await a.leases.renew(first, LONG_MS)).toBe(false);
    await a.leases.giveBack(first);
    expect(await a.leases.take(resource, LONG_MS)).toMatchObject({ type: 'held', owner: b.own });
    await b.leases.giveBack({ resource, token: 2 });
    expect(await taken(a.leases, resource)).toEqual({ resource, token: 3 });
    // Another run of the same instance waits for nobody.
    expect(await taken(a.leases, resource)).toEqual({ resource, token: 4 });
  });

  it('that was short is over by itself, in so much time', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    await taken(a.leases, resource, 30);
    await until(async () => (await b.leases.take(resource, LONG_MS)).type === 'taken');
    expect(await b.leases.list(resource)).toMatchObject([{ owner: b.own, token: 2, home: undefined }]);
  });

  it('is asked for by another connection where one was lost', async () => {
    const { leases, own } = await instance();
    const resource = newChannel();
    const lease = await taken(leases, resource);
    await stand.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sharestream ${own}'`,
    );
    await until(async () => await leases.renew(lease, LONG_MS).catch(() => false));
  });

  it('cannot be set back, given to another, or taken out of the table, whoever asks', async () => {
    const { leases } = await instance();
    const resource = newChannel();
    await taken(leases, resource);
    await taken(leases, resource);
    for (const sql of [
      'UPDATE sharestream.lease SET token = 1 WHERE',
      "UPDATE sharestream.lease SET owner = 'somebody' WHERE",
      'DELETE FROM sharestream.lease WHERE',
    ])
      await expect(stand.sql(`${sql} resource = '${resource}'::bytea`)).rejects.toThrow(/only rises/);
  });
});

describe('a lease that is to be handed over', () => {
  it('is taken by the one that was named alone, and its owner hears of it', async () => {
    const [a, b, c] = [await instance(), await instance(), await instance()];
    const told = new PostgresInstances(a.options);
    closers.push(() => told.close());
    const resource = newChannel();
    const first = await taken(a.leases, resource);
    expect(await told.tell(1, '{}')).toEqual({ isDrained: false, toHandOver: [] });
    expect(await c.leases.want(resource, b.own, LONG_MS)).toBe(true);
    expect(await told.tell(1, '{}')).toEqual({ isDrained: false, toHandOver: [resource] });
    // Until it is given back it is its owner's.
    expect(await a.leases.renew(first, LONG_MS)).toBe(true);
    await a.leases.giveBack(first);
    for (const { leases } of [a, c]) {
      const answer = await leases.take(resource, LONG_MS);
      // There is no use in asking again soon.
      expect(answer.type === 'held' && answer.leftMs > LONG_MS / 2).toBe(true);
    }
    expect(await a.leases.list(resource)).toMatchObject([{ wanted: { instance: b.own } }]);
    expect(await taken(b.leases, resource)).toEqual({ resource, token: 2 });
    expect(await b.leases.list(resource)).toMatchObject([{ owner: b.own, wanted: undefined }]);
    expect(await told.tell(1, '{}')).toEqual({ isDrained: false, toHandOver: [] });
    expect(await a.leases.want(newChannel(), b.own, LONG_MS)).toBe(false);
  });

  it("is anybody's again where it was not taken in time", async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const first = await taken(a.leases, resource);
    await a.leases.want(resource, 'nobody', 50);
    await a.leases.giveBack(first);
    await until(async () => (await b.leases.take(resource, LONG_MS)).type === 'taken');
  });
});

describe('instances', () => {
  it('are known by what each told last, and a run of theirs is drained, not the next', async () => {
    const [a, b] = [await instance(), await instance()];
    const [ofA, ofB] = [new PostgresInstances(a.options), new PostgresInstances(b.options)];
    closers.push(async () => void (await Promise.all([ofA.close(), ofB.close()])));
    await ofA.tell(7, 'first');
    await ofB.tell(8, 'other');
    await ofA.tell(7, 'second');
    const rows = async () =>
      (await ofA.list()).filter(({ instance: name }) => [a.own, b.own].includes(name));
    const [row] = await rows();
    expect(row).toMatchObject({ instance: a.own, run: 7, told: 'second', isDrained: false });
    expect(row!.agoMs).toBeLessThan(60_000);
    expect(await ofB.drain(a.own)).toBe(true);
    expect(await ofB.drain('nobody')).toBe(false);
    expect(await ofA.tell(7, 'second')).toMatchObject({ isDrained: true });
    expect(await ofB.tell(8, 'other')).toMatchObject({ isDrained: false });
    expect(await ofA.tell(9, 'third')).toMatchObject({ isDrained: false });
    // An earlier run that wakes up says nothing any more.
    expect(await ofA.tell(7, 'old')).toEqual({ isDrained: false, toHandOver: [] });
    expect((await rows()).map(({ told: body }) => body)).toEqual(['third', 'other']);
    await expect(ofA.tell(9, 'x'.repeat(TOLD_BYTES + 1))).rejects.toThrow(/ledger_io/);
    await ofA.forget(LONG_MS);
    expect((await rows()).map(({ told: body }) => body)).toEqual(['third', 'other']);
    await stand.sql(`UPDATE sharestream.instance SET seen = seen - interval '2 hours' WHERE run = 8`);
    await ofA.forget(LONG_MS);
    // Its chain is there all the same.
    expect((await rows()).map(({ told: body }) => body)).toEqual(['third', undefined]);
  });
});

describe('ranges of session ids', () => {
  it('are never of two instances, however many ask at once, and rest between two', async () => {
    const options = Array.from({ length: 6 }, () => stand.options());
    const all = options.map((each) => new ExtranonceRanges(each, LONG_MS));
    closers.push(async () => void (await Promise.all(all.map((each) => each.close()))));
    const answers = await Promise.all(
      all.flatMap((each) => [each.take('', LONG_MS), each.take('', LONG_MS)]),
    );
    const leases = answers.flatMap((answer) => (answer.type === 'taken' ? [answer.lease] : []));
    expect(new Set(leases.map(({ resource }) => resource)).size).toBe(12);
    const [first] = leases;
    expect(await all[0]!.renew(first!, LONG_MS)).toBe(true);
    await all[0]!.giveBack(first!);
    // It rests: all that there are go to others first.
    await stand.sql("UPDATE sharestream.extranonce_range SET until = 'infinity' WHERE until = '-infinity'");
    expect(await all[1]!.take('', LONG_MS)).toMatchObject({ type: 'held' });
    const hurried = new ExtranonceRanges(options[2]!, 0);
    closers.push(() => hurried.close());
    const again = await hurried.take('', LONG_MS);
    expect(again).toEqual({ type: 'taken', lease: { ...first!, token: first!.token + 1 } });
    expect(await all[0]!.renew(first!, LONG_MS)).toBe(false);
    for (const sql of ['SET token = 0', "SET owner = 'somebody'"])
      await expect(
        stand.sql(`UPDATE sharestream.extranonce_range ${sql} WHERE number = ${first!.resource}`),
      ).rejects.toThrow(/only rises/);
  });
});

describe('a write under a lease', () => {
  it('is refused by the database when another has taken it; all else goes on', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const old = await taken(a.leases, resource);
    await a.ledger.append([leaseEntry(old), put('s', '1')]);
    // What is over and of nobody else is still its own.
    await expire(resource);
    await a.ledger.append([leaseEntry(old), put('s', '2')]);
    await taken(b.leases, resource);
    const all = await Promise.all([
      codeOfRejection(a.ledger.append([leaseEntry(old), put('s', '3')])),
      a.ledger.append([put('evidence', '1'), insert('j', '1')]).then(() => 'written'),
      codeOfRejection(a.ledger.append([put('s', '4'), leaseEntry(old), put('s', '5')])),
    ]);
    expect(all).toEqual(['lease_lost', 'written', 'lease_lost']);
    expect(await a.ledger.get('stream', 's')).toBe('2');
    expect(await a.ledger.get('stream', 'evidence')).toBe('1');
    expect(a.ledger.stats.failed).toBe(false);
    // A token that nobody drew is refused as one that is over.
    const drawn = { resource, token: 9 };
    expect(await codeOfRejection(b.ledger.append([leaseEntry(drawn), put('s', '9')]))).toBe('lease_lost');
    const other = { resource: newChannel(), token: 1 };
    expect(await codeOfRejection(b.ledger.append([leaseEntry(other), put('s', '9')]))).toBe('lease_lost');
  });

  it('leaves logs where they were when it is refused, and those behind it are judged by that', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const old = await taken(a.leases, resource);
    const other = await taken(a.leases, newChannel());
    await expire(resource);
    await taken(b.leases, resource);
    const items = (first: number) =>
      ({ type: 'log', kind: 'share', stream: 's', first, count: 2, body: new Uint8Array(2) }) as const;
    const all = await Promise.all([
      codeOfRejection(a.ledger.append([leaseEntry(old), items(0)])),
      a.ledger.append([leaseEntry(other), items(0)]).then(() => 'written'),
      codeOfRejection(a.ledger.append([leaseEntry(old), items(2)])),
      a.ledger.append([leaseEntry(other), items(2)]).then(() => 'written'),
    ]);
    expect(all).toEqual(['lease_lost', 'written', 'lease_lost', 'written']);
    expect(await a.ledger.logRange('share', 's')).toEqual({ first: 0, end: 4 });
  });

  it('holds whoever wants to take the lease until it is over, though its standby is slow', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const lease = await taken(a.leases, resource);
    await a.ledger.append([leaseEntry(lease), put('s', '1')]);
    await expire(resource);
    await stand.standby.pause();
    const written = a.ledger.append([leaseEntry(lease), put('s', '2')]);
    const waits = async (where: string): Promise<boolean> =>
      (await stand.sql(`SELECT FROM pg_stat_activity WHERE ${where}`)).length > 0;
    await until(() => waits("wait_event = 'SyncRep'"));
    const took = taken(b.leases, resource);
    await until(() => waits("wait_event_type = 'Lock'"));
    await stand.standby.resume();
    await written;
    await takeOver(b, await took, NAMES);
    expect(await b.ledger.get('stream', 's')).toBe('2');
  });
});

describe('a channel that changes hands', () => {
  it('comes with all that was acknowledged, whenever it is taken, and nothing is acknowledged after', async () => {
    const [a, b] = [await instance(), await instance()];
    let [from, to] = [a, b];
    const resource = newChannel();
    let lease = await taken(from.leases, resource);
    await takeOver(from, lease, NAMES);
    let n = 0;
    for (let round = 0; round < 8; round += 1) {
      const owner = { ...from, lease };
      const acknowledged: number[] = [];
      const codes: string[] = [];
      const write = async (): Promise<void> => {
        while (codes.length === 0) {
          n += 1;
          const mine = n;
          await owner.ledger
            .append([leaseEntry(owner.lease), put('s', `${mine}`), insert(`c${mine}`, `${mine}`)])
            .then(
              () => acknowledged.push(mine),
              (error: unknown) => codes.push(codeOf(error)),
            );
        }
      };
      const writers = [write(), write(), write()];
      const wanted = 1 + random.below(20);
      await until(() => Promise.resolve(acknowledged.length >= wanted));
      await expire(resource);
      lease = await taken(to.leases, resource);
      await takeOver(to, lease, NAMES);
      const here = Number(await to.ledger.get('stream', 's'));
      await Promise.all(writers);
      expect(new Set(codes)).toEqual(new Set(['lease_lost']));
      expect(acknowledged.length).toBeGreaterThanOrEqual(wanted);
      expect(here).toBe(acknowledged.at(-1));
      const jobs = await to.ledger.list('job', 'c');
      for (const each of acknowledged) expect(jobs).toContainEqual({ id: `c${each}`, body: `${each}` });
      [from, to] = [to, from];
    }
    const { chains, problem } = await verifyPostgresFleet(a.options);
    expect(problem).toBeUndefined();
    expect(chains.every(({ verification }) => verification.ok)).toBe(true);
  });

  it('comes from whoever wrote last, not from one who took it and died', async () => {
    const [a, b, c] = [await instance(), await instance(), await instance()];
    const resource = newChannel();
    await takeOver(a, await taken(a.leases, resource), NAMES);
    const lease = { resource, token: 1 };
    await a.ledger.append([leaseEntry(lease), put('s', 'of a')]);
    await expire(resource);
    await taken(b.leases, resource);
    await expire(resource);
    await takeOver(c, await taken(c.leases, resource), NAMES);
    expect(await c.ledger.get('stream', 's')).toBe('of a');
    expect(await c.leases.list(resource)).toMatchObject([{ token: 3, owner: c.own, home: c.own }]);
    // And nothing is brought over twice.
    await c.ledger.append([leaseEntry({ resource, token: 3 }), put('s', 'of c')]);
    await takeOver(c, await taken(c.leases, resource), NAMES);
    expect(await c.ledger.get('stream', 's')).toBe('of c');
    expect(await verifyPostgresFleet(a.options)).toMatchObject({ problem: undefined });
  });
});

describe('evidence of several instances', () => {
  it('is read by instance and item, each once, whatever connections are lost', async () => {
    const all = [await instance(), await instance(), await instance()];
    const stream = newChannel();
    const ITEMS = 60;
    const write = async ({ ledger, own }: (typeof all)[number]): Promise<void> => {
      for (let first = 0; first < ITEMS; first += 2) {
        const body = Buffer.from(`${own} ${first}`);
        await ledger.append([{ type: 'log', kind: 'share', stream, first, count: 2, body }]);
        // The same again is refused: it is there.
        if (first % 20 === 0) {
          const again = ledger.append([{ type: 'log', kind: 'share', stream, first, count: 2, body }]);
          expect(await codeOfRejection(again)).toBe('ledger_conflict');
        }
      }
    };
    const written = Promise.all(all.map(write));
    const isDone = { yes: false };
    void written.then(() => {
      isDone.yes = true;
    });
    const { reader } = await instance();
    const next = new Map<string, number>();
    const seen = new Map<string, string[]>();
    const look = async (): Promise<void> => {
      for (const { instance: own, first, count, body } of await reader.evidence('share', stream, next, 7)) {
        expect(first).toBe(next.get(own) ?? 0);
        next.set(own, first + count);
        seen.set(own, [...(seen.get(own) ?? []), Buffer.from(body).toString()]);
      }
    };
    const seenItems = (): number => [...next.values()].reduce((sum, each) => sum + each, 0);
    for (let cut = 0; cut < 6; cut += 1) {
      // Each has gone on since the cut before, so that none is kept from it.
      const before = seenItems();
      await until(async () => {
        await look();
        return isDone.yes || seenItems() > before;
      });
      const { own } = all[random.below(3)]!;
      await stand.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sharestream ${own}'`,
      );
    }
    await written;
    await until(async () => {
      await look();
      return seenItems() === 3 * ITEMS;
    });
    for (const { own } of all)
      expect(seen.get(own)).toEqual(Array.from({ length: ITEMS / 2 }, (_, index) => `${own} ${2 * index}`));
    expect(await verifyPostgresFleet(all[0]!.options)).toMatchObject({ problem: undefined });
  });
});

/** Last: what it breaks stays. */
describe('a fence that did not hold', () => {
  it('is found out by verify', async () => {
    const [a, b] = [await instance(), await instance()];
    const resource = newChannel();
    const old = await taken(a.leases, resource);
    await takeOver(a, old, NAMES);
    await expire(resource);
    await takeOver(b, await taken(b.leases, resource), NAMES);
    const set = (token: number): Promise<unknown> =>
      stand.sql(
        `SET session_replication_role = replica;
          UPDATE sharestream.lease SET token = ${token} WHERE resource = '${resource}'::bytea`,
      );
    expect(await verifyPostgresFleet(a.options)).toMatchObject({ problem: undefined });
    await set(1);
    expect((await verifyPostgresFleet(a.options)).problem).toContain('under 2, which nobody took');
    await a.ledger.append([leaseEntry(old), put('s', 'late')]);
    await set(2);
    expect((await verifyPostgresFleet(a.options)).problem).toMatch(/is under token 1, after 2 was taken/);
    await stand.sql(`SET session_replication_role = replica; DELETE FROM sharestream.batch WHERE chain =
      (SELECT number FROM sharestream.chain WHERE instance = '${a.own}')`);
    const { chains } = await verifyPostgresFleet(b.options);
    const of = (own: string) => chains.find((each) => each.instance === own)!.verification.ok;
    expect([of(a.own), of(b.own)]).toEqual([false, true]);
  });
});
