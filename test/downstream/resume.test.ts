import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { broadcast, paramsOf, startServer, stopServers, submitOf, until, withWork } from './harness.ts';

afterEach(stopServers);

const jobOf = (lines: readonly { readonly [key: string]: unknown }[]): string =>
  paramsOf(lines.at(-1))[0] as string;

describe('a session that is resumed', () => {
  it('has its extranonce1 and its jobs again, and new work', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const before = test.miner();
    const first = await before.start('rig.1', 'd=65536');
    const [old, time] = [jobOf(first.lines), paramsOf(first.lines.at(-1))[7] as string];
    before.destroy();
    await until(() => test.server.sessionCount === 0);
    test.clock.advance(30_000);
    test.server.tick();

    const after = test.miner();
    const again = await after.start('rig.1', 'd=8', first.session);
    expect([again.extranonce1, again.session]).toEqual([first.extranonce1, first.session]);
    expect(jobOf(again.lines)).not.toBe(old);
    expect(Number.parseInt(paramsOf(again.lines.at(-1))[7] as string, 16)).toBeGreaterThan(
      Number.parseInt(time, 16),
    );
    after.send(submitOf(9, old));
    expect(await after.next()).toEqual({ id: 9, result: true, error: null });
    expect(test.submissions[0]!.assigned.difficulty).toBe(65_536);
    expect(toHex(test.submissions[0]!.extranonce).slice(0, 8)).toBe(first.extranonce1);
    expect(test.server.stats.resumed).toBe(1);
  });

  it('goes on at its difficulty', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const before = test.miner();
    const { lines, session } = await before.start();
    for (let id = 0; id < 60; id += 1) before.send(submitOf(id, jobOf(lines), { nonce: id.toString(16) }));
    await before.until('id', 59);
    test.clock.advance(10_000);
    broadcast(test, 2);
    const [set] = await before.until('method', 'mining.notify');
    expect(paramsOf(set)[0]).toBeGreaterThan(8 * 1024);
    before.destroy();
    await until(() => test.server.sessionCount === 0);
    const again = await test.miner().start('rig.1', 'x', session);
    expect(paramsOf(again.lines.at(-2))).toEqual(paramsOf(set));
  });

  it('takes the place of a connection that is not seen to be gone', async () => {
    const test = await withWork();
    const [dead, after] = [test.miner(), test.miner()];
    const first = await dead.start();
    dead.pauseReading();
    const early = await test.miner().start('rig.1', 'x', first.session);
    expect(early.extranonce1).not.toBe(first.extranonce1);
    test.clock.advance(10_000);
    test.server.tick();
    const again = await after.start('rig.1', 'x', first.session);
    expect(again.extranonce1).toBe(first.extranonce1);
    expect(test.server.sessionCount).toBe(2);
    expect(test.server.stats.closed.resumed).toBe(1);
    const third = await test.miner().start('rig.1', 'x', 'ffffffffffffffffffffffff');
    expect(third.extranonce1).not.toBe(first.extranonce1);
  });

  it('is known only by the whole of its id', async () => {
    const test = await withWork();
    const first = test.miner();
    const { session, extranonce1 } = await first.start();
    for (const guess of [extranonce1, `${extranonce1}0000000000000000`, session.slice(1), '']) {
      const other = await test.miner().start('thief', 'x', guess);
      expect(other.extranonce1).not.toBe(extranonce1);
    }
    expect(first.isClosed).toBe(false);
  });

  it('is forgotten after ten minutes', async () => {
    const test = await withWork();
    const before = test.miner();
    const first = await before.start();
    before.destroy();
    await until(() => test.server.sessionCount === 0);
    test.clock.advance(600_001);
    for (let tick = 0; tick < 5; tick += 1) test.server.tick();
    const again = await test.miner().start('rig.1', 'x', first.session);
    expect(again.extranonce1).not.toBe(first.extranonce1);
  });

  it('cannot submit jobs that are over', async () => {
    const test = await withWork({ table: { retainMs: 1000 } });
    const before = test.miner();
    const first = await before.start();
    before.destroy();
    await until(() => test.server.sessionCount === 0);
    broadcast(test, 2);
    test.clock.advance(2000);
    test.jobs.expire(test.clock.monotonicMs());
    test.server.tick();
    const after = test.miner();
    await after.start('rig.1', 'x', first.session);
    after.send(submitOf(1, jobOf(first.lines)));
    expect(await after.next()).toMatchObject({ error: [21, 'unknown job', null] });
  });

  it('does not come back after a ban, nor before it was authorised', async () => {
    const sanctions = { resendAfter: 2, reconnectAfter: 2, banAfter: 2 };
    const test = await startServer({ options: { sanctions, banMs: 1 } });
    const bad = test.miner();
    bad.send(
      { id: 1, method: 'mining.subscribe', params: [] },
      { id: 2, method: 'mining.authorize', params: ['a', ''] },
    );
    const [subscribed] = await bad.until('id', 2);
    const [[[, session]]] = subscribed!['result'] as [[[string, string]]];
    bad.send(submitOf(3, 'zz', { ntime: 'x' }), submitOf(4, 'zz', { ntime: 'x' }));
    await bad.closed;
    test.clock.advance(10);
    test.server.tick();
    broadcast(test, 1);
    const again = await test.miner().start('a', '', session);
    expect(again.session).not.toBe(session);
    const half = test.miner();
    half.send({ id: 1, method: 'mining.subscribe', params: [] });
    const [[[, unfinished]]] = (await half.next())['result'] as [[[string, string]]];
    half.destroy();
    await until(() => test.server.sessionCount === 1);
    expect((await test.miner().start('a', '', unfinished)).session).not.toBe(unfinished);
  });
});

describe('the same work', () => {
  it('is given again at the difficulty it had, so that no share can choose between two', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start();
    for (let id = 0; id < 60; id += 1) {
      miner.send(submitOf(id, jobOf(lines), { nonce: id.toString(16) }));
    }
    await miner.until('id', 59);
    test.clock.advance(30_000);
    const repeat = broadcast(test, 1, { time: 1_700_000_030 });
    expect((await miner.until('method', 'mining.notify')).map((line) => line['method'])).toEqual([
      'mining.notify',
    ]);
    miner.send(submitOf(100, repeat, { ntime: '6553f200' }));
    await miner.until('id', 100);
    expect(test.submissions.at(-1)!.assigned.difficulty).toBe(1024);
    broadcast(test, 1, { coinb2: Uint8Array.of(8) });
    expect((await miner.until('method', 'mining.notify'))[0]!['method']).toBe('mining.set_difficulty');
  });

  it('changes its difficulty only when it lasts, and then the jobs before it are void', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start();
    for (let id = 0; id < 60; id += 1) {
      miner.send(submitOf(id, jobOf(lines), { nonce: id.toString(16) }));
    }
    await miner.until('id', 59);
    for (const seconds of [60, 61]) {
      test.clock.advance(seconds * 1000);
      broadcast(test, 1, { time: 1_700_000_000 + seconds });
    }
    const after = [...(await miner.until('method', 'mining.notify')), ...(await miner.settled())];
    expect(after.map((line) => line['method'])).toEqual([
      'mining.notify',
      'mining.set_difficulty',
      'mining.notify',
    ]);
    expect(paramsOf(after[2])[8]).toBe(true);
    miner.send(submitOf(100, jobOf(lines)), submitOf(101, jobOf(after), { ntime: '6553f200' }));
    expect((await miner.until('id', 101)).map((line) => line['error'])).toEqual([
      [21, 'unknown job', null],
      null,
    ]);
  });
});
