import { afterEach, describe, expect, it } from 'vitest';
import { broadcast, paramsOf, stopServers, submitOf, type TestMiner, until, withWork } from './harness.ts';

afterEach(stopServers);

const MINUTE_MS = 60_000;
const SETTINGS = [
  ['20 minutes forwards', 20 * MINUTE_MS],
  ['20 minutes backwards', -20 * MINUTE_MS],
  ['a day forwards', 24 * 60 * MINUTE_MS],
] as const;

const jobOf = (lines: Awaited<ReturnType<TestMiner['start']>>['lines']): string =>
  paramsOf(lines.at(-1))[0] as string;

describe.each(SETTINGS)('a wall clock that is set %s', (_by, byMs) => {
  it('closes no miner, and asks none for a sign of life', async () => {
    const test = await withWork();
    const [fresh, subscribed, working] = [test.miner(), test.miner(), test.miner()];
    subscribed.send({ id: 1, method: 'mining.subscribe', params: ['test/1'] });
    await subscribed.until('id', 1);
    await working.start();
    await until(() => test.server.sessionCount === 3);
    test.clock.advance(2_000);
    test.clock.setWall(byMs);
    test.server.tick();
    expect(await working.settled()).toEqual([]);
    expect(test.server.sessionCount).toBe(3);
    expect(test.server.stats.closed).toEqual({});
    expect(test.server.stats.keepAlives).toBe(0);
    // The time-outs stand where they were.
    test.clock.advance(14_000);
    test.server.tick();
    await fresh.closed;
    expect(test.server.sessionCount).toBe(2);
    test.clock.advance(15 * MINUTE_MS);
    test.server.tick();
    await Promise.all([subscribed.closed, working.closed]);
    expect(test.server.stats.closed).toEqual({ idle_timeout: 3 });
  });

  it('ends no ban, and makes none longer', async () => {
    const test = await withWork({
      options: { banMs: 10 * MINUTE_MS, sanctions: { resendAfter: 1, reconnectAfter: 2, banAfter: 3 } },
    });
    const miner = test.miner();
    const job = jobOf((await miner.start()).lines);
    miner.send(...[1, 2, 3].map((id) => submitOf(id, job, { ntime: 'x' })));
    await miner.closed;
    expect(test.server.stats.closed).toEqual({ banned: 1 });
    test.clock.setWall(byMs);
    test.clock.advance(9 * MINUTE_MS);
    test.server.tick();
    const early = test.miner();
    await early.closed;
    test.clock.advance(MINUTE_MS);
    test.server.tick();
    await test.miner().start();
  });

  it('neither forgets a session that may come back, nor keeps it', async () => {
    const test = await withWork({ options: { resumeMs: 5 * MINUTE_MS } });
    const first = test.miner();
    const { session, extranonce1 } = await first.start();
    first.destroy();
    await until(() => test.server.sessionCount === 0);
    test.clock.setWall(byMs);
    for (let tick = 0; tick < 5; tick += 1) test.server.tick();
    test.clock.advance(4 * MINUTE_MS);
    test.server.tick();
    const second = test.miner();
    expect((await second.start('rig.1', 'x', session)).extranonce1).toBe(extranonce1);
    second.destroy();
    await until(() => test.server.sessionCount === 0);
    test.clock.setWall(-byMs);
    test.clock.advance(6 * MINUTE_MS);
    test.server.tick();
    expect((await test.miner().start('rig.1', 'x', session)).extranonce1).not.toBe(extranonce1);
  });

  it('changes no difficulty', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start();
    let job = jobOf(lines);
    // As many shares a minute as are wanted, for long enough to have settled.
    for (let minute = 0; minute < 12; minute += 1) {
      test.clock.advance(MINUTE_MS);
      for (let share = 0; share < 12; share += 1) {
        miner.send(
          submitOf(`${minute}.${share}`, job, {
            nonce: (minute * 100 + share).toString(16).padStart(8, '0'),
          }),
        );
      }
      await miner.settled();
      job = broadcast(test, 100 + minute);
      await miner.until('method', 'mining.notify');
    }
    const { vardiffUp, vardiffDown } = test.server.stats;
    test.clock.advance(30_000);
    test.clock.setWall(byMs);
    test.server.tick();
    broadcast(test, 200);
    await miner.until('method', 'mining.notify');
    expect(test.server.stats).toMatchObject({ vardiffUp, vardiffDown });
  });

  it('refills no budget of lines or connections', async () => {
    const test = await withWork({
      options: { acceptRate: { perSecond: 1, burst: 2 }, lineRate: { perSecond: 1, burst: 10 } },
    });
    const miner = test.miner();
    await miner.start();
    await test.miner().start();
    test.clock.setWall(byMs);
    test.server.tick();
    await test.miner().closed;
    expect(test.server.stats.limitHits.acceptsPerSecond).toBe(1);
    miner.send(
      ...Array.from({ length: 9 }, (_, index) => ({ id: index, method: 'mining.ping', params: [] })),
    );
    await until(() => test.server.stats.limitHits.sessionLinesPerSecond === 1);
    test.clock.advance(20_000);
    test.server.tick();
    await miner.settled();
  });

  it('ends no job and keeps none', async () => {
    const test = await withWork({ table: { jobAgeMs: 10 * MINUTE_MS, retainMs: MINUTE_MS } });
    const miner = test.miner();
    const job = test.jobs.byId(Number.parseInt(jobOf((await miner.start()).lines), 16))!;
    test.clock.setWall(byMs);
    test.jobs.expire(test.clock.monotonicMs());
    expect(test.jobs.isStale(job, test.clock.monotonicMs())).toBe(false);
    expect(test.jobs.isKnown(job)).toBe(true);
    // What is sent again moves its time by what passed.
    test.clock.advance(55_000);
    test.server.tick();
    const [again] = await miner.settled();
    expect(Number.parseInt(paramsOf(again)[7] as string, 16)).toBe(job.time + 55);
  });
});
