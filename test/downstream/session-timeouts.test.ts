import { afterEach, describe, expect, it } from 'vitest';
import { broadcast, paramsOf, stopServers, until, withWork } from './harness.ts';

afterEach(stopServers);

const timeOf = (line: { readonly [key: string]: unknown } | undefined): number =>
  Number.parseInt(paramsOf(line)[7] as string, 16);

describe('keep-alive', () => {
  it('sends the same work with a later time to who heard nothing for 55 s', async () => {
    const test = await withWork();
    const miner = test.miner();
    const { lines } = await miner.start();
    test.clock.advance(54_000);
    test.server.tick();
    expect(await miner.settled()).toEqual([]);
    test.clock.advance(1000);
    test.server.tick();
    const [notify, ...rest] = await miner.settled();
    expect(rest).toEqual([]);
    const [first, second] = [paramsOf(lines.at(-1)), paramsOf(notify)];
    expect(second[0]).not.toBe(first[0]);
    expect([second[1], second[2], second[3], second[4]]).toEqual([first[1], first[2], first[3], first[4]]);
    expect(timeOf(notify)).toBe(timeOf(lines.at(-1)) + 55);
    expect(second[8]).toBe(false);
    expect(test.server.stats.keepAlives).toBe(1);
  });

  it('makes one job for all sessions of a destination, however they came', async () => {
    const test = await withWork();
    const miners = [];
    for (let second = 0; second < 50; second += 10) {
      const miner = test.miner();
      await miner.start();
      miners.push(miner);
      test.clock.advance(10_000);
    }
    const jobs = test.jobs.stats.jobsAdded;
    for (let second = 0; second < 110; second += 1) {
      test.server.tick();
      test.clock.advance(1000);
    }
    expect(test.jobs.stats.jobsAdded - jobs).toBe(2);
    for (const miner of miners) expect(await miner.settled()).toHaveLength(2);
  });

  it('waits while there are jobs, and is silent when there is no work', async () => {
    const test = await withWork();
    const miner = test.miner();
    await miner.start();
    for (let count = 0; count < 4; count += 1) {
      test.clock.advance(50_000);
      broadcast(test, 2 + count);
      test.server.tick();
    }
    expect(test.server.stats.keepAlives).toBe(0);
    test.jobs.endDestination('pool', test.clock.monotonicMs());
    test.clock.advance(200_000);
    test.server.tick();
    expect(test.server.stats.keepAlives).toBe(0);
  });

  it('never lets miners push the time of the work ahead of the clock', async () => {
    const test = await withWork();
    test.jobs.add('backup', 's', test.jobs.current('pool')!.upstream, test.clock.monotonicMs());
    const miner = test.miner();
    await miner.start();
    for (let move = 0; move < 200; move += 1) test.server.assign('all', move % 2 === 0 ? 'backup' : 'pool');
    const lines = await miner.settled();
    expect(lines.length).toBeGreaterThanOrEqual(200);
    expect(
      Math.max(...lines.filter((line) => line['method'] === 'mining.notify').map(timeOf)),
    ).toBeLessThan(1_700_000_000 + 10);
    expect(test.jobs.stats.jobsAdded).toBeLessThan(20);
  });
});

describe('what the server asks and says', () => {
  it('asks a miner without a name for it', async () => {
    const test = await withWork();
    const miner = test.miner();
    miner.send(
      { id: 1, method: 'mining.subscribe', params: [] },
      { id: 2, method: 'mining.authorize', params: ['a', ''] },
    );
    await miner.until('method', 'mining.notify');
    expect(await miner.next()).toEqual({ id: 'version', method: 'client.get_version', params: [] });
    miner.send({ id: 'version', result: 'cgminer/4.12.1', error: null });
    await miner.settled();
    expect(test.server.sessions()[0]).toMatchObject({
      userAgent: 'cgminer/4.12.1',
      userAgentClass: 'cgminer',
    });
    miner.send({ id: 'version', result: 'other', error: null });
    await miner.settled();
    expect(test.server.sessions()[0]!.userAgent).toBe('cgminer/4.12.1');
  });

  it('asks a silent miner for a sign of life once, before it gives it up', async () => {
    const test = await withWork({ options: { idleTimeoutMs: 60_000, keepAliveMs: 10 ** 9 } });
    const [alive, dead] = [test.miner(), test.miner()];
    await alive.start();
    await dead.start();
    for (let second = 0; second < 50; second += 1) {
      test.clock.advance(1000);
      test.server.tick();
    }
    expect(await alive.next()).toEqual({ id: 'ping', method: 'mining.ping', params: [] });
    alive.send('{"id":"ping","method":"pong","params":[]}');
    expect(await alive.settled()).toEqual([]);
    test.clock.advance(11_000);
    test.server.tick();
    await dead.closed;
    expect(alive.isClosed).toBe(false);
  });

  it('shows messages to one or to all', async () => {
    const test = await withWork();
    const [one, two] = [test.miner(), test.miner()];
    await one.start();
    await two.start();
    test.server.showMessage('all', 'maintenance at noon');
    test.server.showMessage(test.server.session(test.server.sessions()[1]!.id)!, 'only you: ü');
    const all = { id: null, method: 'client.show_message', params: ['maintenance at noon'] };
    expect(await one.settled()).toEqual([all]);
    expect((await two.settled()).map((line) => paramsOf(line)[0])).toEqual([
      'maintenance at noon',
      'only you: ü',
    ]);
  });

  it('sends miners away when it closes, if told so', async () => {
    const test = await withWork({ options: { reconnectAtClose: true } });
    const miner = test.miner();
    await miner.start();
    await test.server.close();
    expect(await miner.next()).toEqual({ id: null, method: 'client.reconnect', params: [] });
    const silent = await withWork();
    const other = silent.miner();
    await other.start();
    await silent.server.close();
    await until(() => other.isClosed);
    await expect(other.next()).rejects.toThrow(/closed/);
  });
});
