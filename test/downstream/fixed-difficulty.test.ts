import { afterEach, describe, expect, it } from 'vitest';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { broadcast, HARD, startServer, stopServers, submitOf, type TestMiner } from './harness.ts';

afterEach(stopServers);

const FIXED = 512;

/** The difficulty in force and the job of the next notify. */
async function work(miner: TestMiner): Promise<{ difficulty: unknown; job: string }> {
  const lines = await miner.until('method', 'mining.notify');
  const set = lines.findLast((line) => line['method'] === 'mining.set_difficulty');
  const params = (line: (typeof lines)[number] | undefined) => line?.['params'] as unknown[] | undefined;
  return { difficulty: params(set)?.[0], job: params(lines.at(-1))![0] as string };
}

describe('work that is sold at one difficulty', () => {
  it('is asked for and credited at it, whatever the miner wishes, and only as long as it lasts', async () => {
    const test = await startServer({ verdict: () => 'accepted' });
    const now = test.clock.monotonicMs();
    test.jobs.add('pool', 'contract', plainWork(1, HARD), now, FIXED);
    const miner = test.miner();
    miner.send(
      { id: 1, method: 'mining.subscribe', params: ['test/1'] },
      { id: 2, method: 'mining.authorize', params: ['rig.1', 'd=65536'] },
    );
    const sold = await work(miner);
    expect(sold.difficulty).toBe(FIXED);
    miner.send(submitOf(3, sold.job));
    await test.submitted(1);
    expect(test.submissions[0]!.assigned.target).toBe(targetOfDifficulty(FIXED));

    broadcast(test, 2);
    expect((await work(miner)).difficulty).toBe(65_536);
  });

  it('keeps its difficulty when it is sent again with a later time', async () => {
    const test = await startServer();
    test.jobs.add('pool', 'contract', plainWork(1, HARD), test.clock.monotonicMs(), FIXED);
    test.clock.advance(30_000);
    expect(test.jobs.refresh('pool', test.clock.monotonicMs())?.fixedDifficulty).toBe(FIXED);
  });

  it('comes with a later time to a miner that has the same work for another contract', async () => {
    const test = await startServer({ verdict: () => 'accepted' });
    const now = test.clock.nowMs();
    test.jobs.add('pool', 'contract', plainWork(1, HARD), now, FIXED);
    const other = test.jobs.add('other', 'contract 2', plainWork(1, HARD), now, 2 * FIXED);
    const miner = test.miner();
    miner.send(
      { id: 1, method: 'mining.subscribe', params: ['test/1'] },
      { id: 2, method: 'mining.authorize', params: ['rig.1', 'x'] },
    );
    await work(miner);
    test.server.assign('all', 'other');
    const { difficulty, job } = await work(miner);
    expect(difficulty).toBe(2 * FIXED);
    const sent = test.jobs.current('other')!;
    expect([sent.wireId, sent.stream]).toEqual([job, 'contract 2']);
    expect(sent.time).toBeGreaterThan(other.time);
  });
});
