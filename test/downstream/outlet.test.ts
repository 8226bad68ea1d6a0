import { afterEach, describe, expect, it } from 'vitest';
import { broadcast, paramsOf, stopServers, submitOf, type TestServer, withWork } from './harness.ts';

afterEach(stopServers);

/** With it a notify is 64 KiB. */
const LARGE = { coinb2: new Uint8Array(32_000) };

/** Sends jobs until one did not leave, since the miner has not read so many of those before. */
async function fill(test: TestServer): Promise<void> {
  while (test.server.stats.limitHits.sessionUnreadBytes === 0) {
    broadcast(test, 1, LARGE);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a miner that does not read', () => {
  it('misses the jobs that are stale by then, and gets the newest when it reads again', async () => {
    const test = await withWork({ options: { writeBytes: 2 ** 30 } });
    const [deaf, other] = [test.miner(), test.miner()];
    await deaf.start();
    await other.start();
    deaf.pauseReading();
    await fill(test);
    const missed = broadcast(test, 1, { ...LARGE, clean: true });
    const newest = broadcast(test, 1, LARGE);
    expect(test.server.stats).toMatchObject({ limitHits: { sessionUnreadBytes: 3 }, closed: {} });

    deaf.resumeReading();
    const ids: unknown[] = [];
    let last: unknown[] = [];
    while (last[0] !== newest) {
      last = paramsOf((await deaf.until('method', 'mining.notify')).at(-1));
      ids.push(last[0]);
    }
    expect(last.at(-1)).toBe(true);
    expect(ids).not.toContain(missed);
    const atOther = (await other.settled()).filter((line) => line['method'] === 'mining.notify');
    expect(atOther).toHaveLength(ids.length + 2);
    expect(paramsOf(atOther.at(-1)).at(-1)).toBe(false);

    deaf.send(submitOf(7, missed));
    expect(await deaf.next()).toMatchObject({ id: 7, error: [21, 'unknown job', null] });
    broadcast(test, 1);
    expect(paramsOf(await deaf.next()).at(-1)).toBe(false);
  });

  it('is cut off when it has not for a minute, whatever little waits for it', async () => {
    const test = await withWork({ options: { writeBytes: 2 ** 30 } });
    const miner = test.miner();
    await miner.start();
    miner.pauseReading();
    await fill(test);
    test.clock.advance(60_000);
    broadcast(test, 1, LARGE);
    expect(test.server.sessionCount).toBe(1);
    test.clock.advance(1);
    broadcast(test, 1, LARGE);
    expect(test.server.sessionCount).toBe(0);
    expect(test.server.stats).toMatchObject({
      closed: { slow_reader: 1 },
      limitHits: { sessionWriteBytes: 1 },
    });
  });
});
