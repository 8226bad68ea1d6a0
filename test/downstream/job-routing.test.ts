import { afterEach, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import type { HandshakeRequest } from '../../src/downstream/session/handshake.ts';
import {
  HeldRequests,
  type JobRouting,
  type SessionFeed,
} from '../../src/downstream/session/job-routing.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import {
  HARD,
  type Line,
  paramsOf,
  startServer,
  stopServers,
  submitOf,
  type TestServer,
  until,
} from './harness.ts';

afterEach(stopServers);

const EN1 = 'aabbccdd00010102030405';
const OTHER = 'aabbccdd00010908070605';

const feedOf = (name = 'audit#1', extranonce1 = EN1): SessionFeed => ({
  name,
  extranonce1: fromHex(extranonce1),
  extranonce2Size: 1,
});

/** A job of one session: one byte is left to it. */
function give(test: TestServer, seed: number, feed: SessionFeed): void {
  const { name, extranonce1 } = feed;
  const upstream = plainWork(seed, {
    ...{ ...HARD, extranonce2Size: 1 },
    extranonce1: extranonce1.length === 0 ? fromHex(EN1) : extranonce1,
  });
  const own = { minerExtranonce1Size: extranonce1.length };
  test.server.broadcast(
    test.jobs.add(name, 'own:audit', upstream, test.clock.monotonicMs(), undefined, own),
  );
}

/** A server whose sessions go where `answers` says, one after the other; shared at the end. */
async function placing(...answers: JobRouting[]): Promise<TestServer & { readonly asked: string[] }> {
  const asked: string[] = [];
  const test = await startServer({
    deps: {
      route: () => 'audit',
      chooseRouting: (_session, destination) => {
        asked.push(destination);
        return answers.shift() ?? { type: 'shared' };
      },
    },
  });
  return { ...test, asked };
}

const SUBSCRIBE = { id: 1, method: 'mining.subscribe', params: ['test/1'] };
const AUTHORIZE = { id: 2, method: 'mining.authorize', params: ['rig.1', 'x'] };
const WISH = { id: 3, method: 'mining.extranonce.subscribe', params: [] };

const extranoncesOf = (line: Line): unknown[] => (line['result'] as unknown[]).slice(1);

describe('a session with work of its own', () => {
  it('is told its extranonces, and gets coinb1 without what is its extranonce1', async () => {
    const test = await placing({ type: 'fed', feed: feedOf() });
    give(test, 1, feedOf());
    const miner = test.miner();
    const { lines } = await miner.start();
    expect(extranoncesOf(lines[0]!)).toEqual([EN1, 1]);
    const notify = paramsOf(lines.at(-1));
    const job = test.jobs.byId(Number.parseInt(notify[0] as string, 16))!;
    expect(toHex(job.coinb1)).toBe(`${notify[2] as string}${EN1}`);
    expect(test.asked).toEqual(['audit']);
    miner.send(submitOf(9, job.wireId, { extranonce2: '5a' }));
    await test.submitted(1);
    expect([...test.submissions[0]!.extranonce]).toEqual([0x5a]);
    miner.send(submitOf(10, job.wireId, { extranonce2: '5a5a5a5a' }));
    expect((await miner.until('id', 10)).at(-1)!['error']).toMatchObject([20, expect.any(String), null]);
  });

  it('may have an empty extranonce1', async () => {
    const test = await placing({ type: 'fed', feed: feedOf('audit#1', '') });
    give(test, 1, feedOf('audit#1', ''));
    const { lines } = await test.miner().start();
    expect(extranoncesOf(lines[0]!)).toEqual(['', 1]);
    const notify = paramsOf(lines.at(-1));
    expect(toHex(test.jobs.byId(Number.parseInt(notify[0] as string, 16))!.coinb1)).toBe(notify[2]);
  });

  it('hears nothing before the reply to its subscribe, however long that takes', async () => {
    const test = await placing({ type: 'waiting' });
    const miner = test.miner();
    miner.send(SUBSCRIBE, AUTHORIZE, WISH);
    await until(() => test.asked.length === 1);
    test.clock.advance(14_000);
    test.server.tick();
    give(test, 1, feedOf());
    expect(test.server.feed(1, feedOf())).toBe(true);
    const lines = await miner.until('method', 'mining.notify');
    expect(lines.map((line) => line['id'] ?? line['method'])).toEqual([
      ...[1, 2, 3],
      ...['mining.set_difficulty', 'mining.notify'],
    ]);
    expect(extranoncesOf(lines[0]!)).toEqual([EN1, 1]);
  });

  it('is closed when there is none for it', async () => {
    const test = await placing({ type: 'refused', instead: undefined });
    const miner = test.miner();
    miner.send(SUBSCRIBE, AUTHORIZE);
    await miner.closed;
    expect(test.server.stats.closed).toEqual({ session_limit: 1 });
  });

  it('gets the jobs of its feed and no others, and leaves nothing behind', async () => {
    const test = await placing(
      { type: 'fed', feed: feedOf('audit#1') },
      { type: 'fed', feed: feedOf('audit#2') },
    );
    give(test, 1, feedOf('audit#1'));
    give(test, 2, feedOf('audit#2'));
    const [one, two] = [test.miner(), test.miner()];
    await one.start();
    await two.start();
    give(test, 3, feedOf('audit#1'));
    expect((await one.settled()).map((line) => line['method'])).toEqual(['mining.notify']);
    expect(await two.settled()).toEqual([]);
    expect(test.server.sessions().map(({ destination }) => destination)).toEqual(['audit#1', 'audit#2']);
    test.clock.advance(60_000);
    test.server.tick();
    expect((await two.settled()).map((line) => line['method'])).toEqual(['mining.notify']);
  });
});

describe('a change of the extranonce', () => {
  it('is told before the next job to who asked for it', async () => {
    const test = await placing({ type: 'fed', feed: feedOf() });
    give(test, 1, feedOf());
    const miner = test.miner();
    await miner.start();
    miner.send(WISH);
    await miner.until('id', 3);
    expect(test.server.feed(1, feedOf('audit#1', OTHER))).toBe(false);
    give(test, 2, feedOf('audit#1', OTHER));
    const lines = await miner.until('method', 'mining.notify');
    expect(lines.map((line) => line['method'])).toEqual(['mining.set_extranonce', 'mining.notify']);
    expect(paramsOf(lines[0])).toEqual([OTHER, 1]);
    test.server.feed(1, feedOf('audit#1', OTHER));
    expect(await miner.settled()).toEqual([]);
  });

  it('is told to who asked for it by configure', async () => {
    const test = await placing({ type: 'fed', feed: feedOf() });
    give(test, 1, feedOf());
    const miner = test.miner();
    miner.send({ id: 0, method: 'mining.configure', params: [['subscribe-extranonce'], {}] });
    await miner.start();
    test.server.feed(1, feedOf('audit#1', OTHER));
    expect((await miner.settled()).map((line) => line['method'])).toEqual(['mining.set_extranonce']);
  });

  it('makes all others connect anew', async () => {
    const test = await placing({ type: 'fed', feed: feedOf() });
    give(test, 1, feedOf());
    const miner = test.miner();
    await miner.start();
    test.server.feed(1, feedOf('audit#1', OTHER));
    expect((await miner.next())['method']).toBe('client.reconnect');
    await miner.closed;
    expect(test.server.stats.closed).toEqual({ moved: 1 });
  });
});

describe('a move', () => {
  it('between shared work and work of its own tells who asked for it; what it had stays good', async () => {
    const test = await placing({ type: 'shared' }, { type: 'shared' }, { type: 'waiting' });
    test.jobs.add('audit', 'own:pool', plainWork(1, HARD), 0);
    const miner = test.miner();
    const { lines, extranonce1 } = await miner.start();
    const shared = paramsOf(lines.at(-1))[0] as string;
    miner.send(WISH);
    await miner.until('id', 3);
    test.server.assign('all', 'there');
    expect(test.server.session(1)!.destination).toBe('there');
    give(test, 2, feedOf());
    test.server.feed(1, feedOf());
    const told = await miner.until('method', 'mining.notify');
    expect(paramsOf(told[0])).toEqual([EN1, 1]);
    const own = paramsOf(told.at(-1))[0] as string;
    miner.send(submitOf(7, shared), submitOf(8, own, { extranonce2: '01' }));
    await test.submitted(2);
    expect(test.submissions.map(({ extranonce }) => extranonce.length)).toEqual([8, 1]);
    test.server.assign('all', 'audit');
    const back = await miner.until('method', 'mining.notify');
    expect(paramsOf(back[0])).toEqual([extranonce1, 4]);
  });

  it('leaves who is pinned or refused where it is', async () => {
    const test = await placing(
      ...[{ type: 'shared' } as const, { type: 'shared' } as const],
      ...[{ type: 'stay' } as const, { type: 'refused', instead: undefined } as const],
    );
    test.jobs.add('audit', 'own:pool', plainWork(1, HARD), 0);
    const miner = test.miner();
    await miner.start();
    test.server.assign('all', 'there');
    test.server.assign('all', 'there');
    expect(test.asked).toEqual(['audit', 'audit', 'there', 'there']);
    expect(test.server.session(1)!.destination).toBe('audit');
    expect(await miner.settled()).toEqual([]);
  });
});

describe('a refusal', () => {
  it('is no reason to idle where there is other work', async () => {
    const refused = { type: 'refused', instead: 'pool' } as const;
    const test = await placing(refused, refused, { type: 'shared' }, refused);
    test.jobs.add('pool', 'own:pool', plainWork(1, HARD), 0);
    const miner = test.miner();
    await miner.start();
    expect(test.server.session(1)!.destination).toBe('pool');
    test.server.assign('all', 'audit');
    expect(await miner.settled()).toEqual([]);
    expect(test.asked).toEqual(['audit', 'audit', 'pool', 'audit']);
  });
});

describe('HeldRequests', () => {
  it('keeps so many, in order', () => {
    const held = new HeldRequests();
    const request = { type: 'ping', id: '1' } as HandshakeRequest;
    expect(held.add(request)).toBe(false);
    held.begin();
    const added = Array.from({ length: 40 }, (_, index) =>
      held.add({ ...request, id: String(index) } as never),
    );
    expect(added.filter((was) => was)).toHaveLength(32);
    expect(held.take().map(({ id }) => id)).toEqual(
      Array.from({ length: 32 }, (_, index) => String(index)),
    );
    expect([held.isWaiting, held.take()]).toEqual([false, []]);
  });
});
