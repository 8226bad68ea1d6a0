import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { paramsOf, stopServers, submitOf, type TestMiner, until, withWork } from './harness.ts';

afterEach(stopServers);

const LADDER = { resendAfter: 3, reconnectAfter: 5, banAfter: 8 };
const LADDER_OF_THOUSANDS = { resendAfter: 1000, reconnectAfter: 1000, banAfter: 1000 };
const BANNED_MS = 60_000;

/** Submits that are refused, one after the other. */
async function annoy(miner: TestMiner, job: string, count: number, from = 0): Promise<void> {
  for (let id = from; id < from + count; id += 1) miner.send(submitOf(id, job, { ntime: 'x' }));
  await miner.until('id', from + count - 1);
}

describe('a miner that sends nothing valid', () => {
  it('gets new work, is sent away, then banned for a time', async () => {
    const test = await withWork({ options: { sanctions: LADDER, banMs: BANNED_MS } });
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    await annoy(miner, job, 2);
    expect(await miner.settled()).toEqual([]);
    await annoy(miner, job, 1, 2);
    const [fresh] = await miner.settled();
    expect(fresh).toMatchObject({ method: 'mining.notify' });
    expect([paramsOf(fresh)[0], paramsOf(fresh)[8]]).not.toEqual([job, false]);
    await annoy(miner, job, 2, 3);
    expect((await miner.settled()).map((line) => line['method'])).toEqual(['client.reconnect']);
    miner.send(...[5, 6, 7].map((id) => submitOf(id, job, { ntime: 'x' })));
    await miner.closed;
    expect(test.server.stats.closed.banned).toBe(1);

    await test.miner().closed;
    test.clock.advance(BANNED_MS);
    test.server.tick();
    await test.miner().start();
    expect(test.server.stats).toMatchObject({ bans: 1, refusedByAddress: { banned: 1 } });
  });

  it('starts anew with each share that counts', async () => {
    const verdict = (submission: { readonly nonce: number }) =>
      submission.nonce === 1 ? ('accepted' as const) : ('low_difficulty' as const);
    const test = await withWork({ options: { sanctions: LADDER }, verdict });
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    for (let round = 0; round < 20; round += 1) {
      miner.send(
        submitOf('a', job, { nonce: '2' }),
        submitOf('b', job, { nonce: '3' }),
        submitOf('c', job),
      );
      await miner.until('id', 'c');
    }
    expect(miner.isClosed).toBe(false);
    expect(await miner.settled()).toEqual([]);
  });

  it('is not judged by stale shares, which are the fault of nobody', async () => {
    const test = await withWork({ options: { sanctions: LADDER }, verdict: () => 'stale' });
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    for (let id = 0; id < 30; id += 1) miner.send(submitOf(id, job), submitOf(id, 'abc'));
    await miner.until('id', 29);
    expect(await miner.settled()).toHaveLength(1);
  });

  it('is banned as well when it comes back each time it is sent away', async () => {
    const test = await withWork({ options: { sanctions: LADDER, banMs: BANNED_MS } });
    for (let visit = 0; visit < 5; visit += 1) {
      const miner = test.miner();
      const { lines } = await miner.start();
      miner.send(
        ...[0, 1, 2, 3, 4].map((id) => submitOf(id, paramsOf(lines.at(-1))[0] as string, { ntime: 'x' })),
      );
      if (visit < 4) await miner.until('method', 'client.reconnect');
      else await miner.closed;
      miner.destroy();
      await miner.closed;
    }
    await test.miner().closed;
    expect(test.server.stats.refusedByAddress.banned).toBe(1);
  });

  it('does not get its address banned while others behind it had no time to earn yet', async () => {
    const test = await withWork({ options: { sanctions: LADDER }, verdict: () => 'low_difficulty' });
    const [young, bad] = [test.miner(), test.miner()];
    await young.start('young');
    const work = paramsOf((await bad.start('bad')).lines.at(-1))[0] as string;
    const beBad = async (miner: TestMiner, job: string): Promise<void> => {
      for (let id = 0; id < 8; id += 1) miner.send(submitOf(id, job, { worker: 'bad', nonce: String(id) }));
      await miner.closed;
    };
    await beBad(bad, work);
    const third = test.miner();
    const again = paramsOf((await third.start('bad')).lines.at(-1))[0] as string;
    expect(young.isClosed).toBe(false);
    // Who has not earned after ten minutes does not vouch for anybody.
    test.clock.advance(10 * 60_000);
    test.server.tick();
    third.send(submitOf(99, again, { worker: 'bad', ntime: 'x' }));
    await beBad(third, again);
    await test.miner().closed;
    test.server.tick();
    expect(test.server.stats.bans).toBe(1);
  });

  it('does not cost others behind its address their place', async () => {
    const test = await withWork({
      options: { sanctions: LADDER },
      verdict: (submission) => (submission.workerName === 'good' ? 'accepted' : 'low_difficulty'),
    });
    const [good, bad] = [test.miner(), test.miner()];
    const job = paramsOf((await good.start('good')).lines.at(-1))[0] as string;
    good.send(submitOf(1, job, { worker: 'good' }));
    await good.until('id', 1);
    const work = paramsOf((await bad.start('bad')).lines.at(-1))[0] as string;
    for (let id = 0; id < 8; id += 1) bad.send(submitOf(id, work, { worker: 'bad', nonce: String(id) }));
    await bad.closed;
    await test.miner().start();
    expect(good.isClosed).toBe(false);
  });
});

describe('lines that are not Stratum', () => {
  const junk = '{"id":1,"method":7}';
  const nearly = new Array<string>(LIMITS.downstreamGarbageLines - 1).fill(junk);

  it('are each answered with a code, and end the connection when nothing else comes between them', async () => {
    const test = await withWork({ options: { sanctions: LADDER_OF_THOUSANDS, banMs: BANNED_MS } });
    for (let visit = 0; visit < 5; visit += 1) {
      const miner = test.miner();
      miner.send(...nearly, junk, junk);
      for (let count = 0; count <= nearly.length; count += 1)
        expect((await miner.next())['error']).toEqual([20, 'malformed', null]);
      await miner.closed;
      await expect(miner.next()).rejects.toThrow('closed');
    }
    await test.miner().closed;
    expect(test.server.stats.limitHits.downstreamGarbageLines).toBe(5);
    test.server.tick();
    expect(test.server.stats.refused.malformed).toBe(5 * LIMITS.downstreamGarbageLines);
    expect(test.server.stats).toMatchObject({ bans: 1, refusedByAddress: { banned: 1 } });
  });

  it('are borne from a miner that also says something else', async () => {
    const options = { sanctions: LADDER_OF_THOUSANDS };
    const test = await withWork({ options, verdict: () => 'low_difficulty' });
    const miner = test.miner();
    const job = paramsOf((await miner.start()).lines.at(-1))[0] as string;
    for (let round = 0; round < 3; round += 1) {
      miner.send(...nearly, { id: 'sign of life', method: 'mining.ping', params: [] });
      await miner.until('id', 'sign of life');
      miner.send(...nearly, submitOf('share', job, { nonce: round.toString() }));
      await miner.until('id', 'share');
    }
    expect(miner.isClosed).toBe(false);
  });
});

describe('rates', () => {
  it('of all are not used up by one address that is over its own', async () => {
    const test = await withWork({
      options: {
        acceptRate: { perSecond: 1, burst: 4 },
        acceptRatePerAddress: { perSecond: 1, burst: 2 },
      },
    });
    const { port } = test.server.addresses()[0]!;
    for (let count = 0; count < 10; count += 1) {
      const stormer = test.miner();
      if (count < 2) await stormer.start();
      else await stormer.closed;
    }
    const elsewhere = test.miner(connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' }));
    await elsewhere.start();
    expect(test.server.stats.limitHits).toMatchObject({
      acceptsPerSecond: 0,
      acceptsPerSecondPerAddress: 8,
    });
  });

  it('bound the connections taken, in all and per address', async () => {
    const test = await withWork({ options: { acceptRatePerAddress: { perSecond: 1, burst: 2 } } });
    await test.miner().start();
    await test.miner().start();
    await test.miner().closed;
    test.clock.advance(1000);
    test.server.tick();
    await test.miner().start();
    expect(test.server.stats.limitHits.acceptsPerSecondPerAddress).toBe(1);
    const all = await withWork({ options: { acceptRate: { perSecond: 1, burst: 1 } } });
    await all.miner().start();
    await all.miner().closed;
    expect(all.server.stats.limitHits.acceptsPerSecond).toBe(1);
    expect(all.server.stats.connectionsRefused).toBe(1);
  });

  it('slow down a miner that sends too much, and lose nothing of it', async () => {
    const test = await withWork({
      options: { lineRate: { perSecond: 10, burst: 20 } },
      verdict: () => 'accepted',
    });
    const [fast, calm] = [test.miner(), test.miner()];
    const job = paramsOf((await fast.start()).lines.at(-1))[0] as string;
    for (let id = 0; id < 100; id += 1) fast.send(submitOf(id, job, { nonce: id.toString(16) }));
    await until(() => test.server.stats.limitHits.sessionLinesPerSecond === 1);
    const before = test.submissions.length;
    fast.send({ id: 'late', method: 'mining.ping', params: [] });
    await calm.start();
    await calm.settled();
    expect(test.submissions.length).toBe(before);
    let pongs = 0;
    for (let second = 0; second < 30 && pongs === 0; second += 1) {
      test.clock.advance(1000);
      test.server.tick();
      await new Promise((resolve) => setTimeout(resolve, 5));
      pongs = test.server.stats.lines >= 2 + 100 + 1 + 3 ? 1 : 0;
    }
    expect((await fast.until('id', 'late')).filter((line) => line['result'] === true)).toHaveLength(100);
  });

  it('count long lines for what they cost', async () => {
    const test = await withWork({ options: { lineRate: { perSecond: 1, burst: 50 } } });
    const miner = test.miner();
    await miner.start();
    const text = `{"id":1,"method":"mining.ping","params":["${'x'.repeat(15_000)}"]}`;
    miner.send(text, text);
    await until(() => test.server.stats.limitHits.sessionLinesPerSecond > 0);
    expect(test.server.stats.lines).toBeLessThan(50);
  });
});
