import { afterEach, describe, expect, it } from 'vitest';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { broadcast, DIFFICULTY, HARD, paramsOf, startServer, stopServers, withWork } from './harness.ts';

afterEach(stopServers);

describe('the first messages', () => {
  it('come in order: replies, difficulty, clean job', async () => {
    const test = await withWork();
    const { lines, extranonce1 } = await test.miner().start();
    expect(lines.map((line) => line['method'] ?? line['id'])).toEqual([
      1,
      2,
      'mining.set_difficulty',
      'mining.notify',
    ]);
    expect(extranonce1).toBe('10111213');
    expect(paramsOf(lines[2])).toEqual([1024]);
    expect(paramsOf(lines[3])).toHaveLength(9);
    expect(paramsOf(lines[3])[0]).toBe('100000000');
    expect(paramsOf(lines[3])[8]).toBe(true);
  });

  it('tell the mask of a job that allows fewer bits, before the difficulty', async () => {
    const test = await startServer();
    test.jobs.add('pool', 's', plainWork(1, { ...HARD, versionMask: 0x00ffe000 }), 0);
    const miner = test.miner();
    miner.send({ id: 0, method: 'mining.configure', params: [['version-rolling'], {}] });
    const { lines } = await miner.start();
    expect(lines.map((line) => line['method'] ?? line['id'])).toEqual([
      0,
      1,
      2,
      'mining.set_version_mask',
      'mining.set_difficulty',
      'mining.notify',
    ]);
    expect(paramsOf(lines[3])).toEqual(['00ffe000']);
  });

  it('wait for work when there is none yet', async () => {
    const test = await startServer();
    const miner = test.miner();
    miner.send(
      { id: 1, method: 'mining.subscribe', params: ['test/1'] },
      { id: 2, method: 'mining.authorize', params: ['a', ''] },
    );
    await miner.until('id', 2);
    expect(await miner.settled()).toEqual([]);
    broadcast(test, 1, { clean: false });
    const lines = await miner.until('method', 'mining.notify');
    expect(paramsOf(lines.at(-1))[8]).toBe(true);
  });

  it('start at the difficulty of the password or of a suggestion in the same packet', async () => {
    const test = await withWork();
    const fixed = await test.miner().start('a', 'x,d=3000');
    expect(paramsOf(fixed.lines[2])).toEqual([3000]);
    const miner = test.miner();
    miner.send(
      { id: 1, method: 'mining.subscribe', params: [] },
      { id: 2, method: 'mining.authorize', params: ['a', ''] },
      { id: 3, method: 'mining.suggest_difficulty', params: [0.2] },
    );
    const lines = await miner.until('method', 'mining.notify');
    expect(lines.map((line) => line['method'] ?? line['id'])).toEqual([
      1,
      2,
      3,
      'mining.set_difficulty',
      'mining.notify',
    ]);
    expect(paramsOf(lines[3])).toEqual([0.25]);
  });

  it('keep to the minimum a miner named', async () => {
    const test = await withWork();
    const miner = test.miner();
    const options = { 'minimum-difficulty.value': 5000 };
    miner.send({ id: 0, method: 'mining.configure', params: [['minimum-difficulty'], options] });
    const { lines } = await miner.start();
    expect((paramsOf(lines[3])[0] as number) >= 5000).toBe(true);
  });

  it('never assign more than the upstream wants, so that none of its shares is lost', async () => {
    const test = await startServer();
    test.jobs.add('pool', 's', plainWork(1, { ...HARD, target: targetOfDifficulty(700) }), 0);
    const { lines } = await test.miner().start('a', 'd=100000');
    expect(paramsOf(lines[2])).toEqual([512]);
  });

  it('differ by listener', async () => {
    const rental = { ...DIFFICULTY, start: 2 ** 20, floor: 2 ** 19 };
    const test = await withWork({
      options: {
        listeners: [DIFFICULTY, rental].map((difficulty) => ({ host: '127.0.0.1', port: 0, difficulty })),
      },
    });
    expect(paramsOf((await test.miner(0).start()).lines[2])).toEqual([1024]);
    expect(paramsOf((await test.miner(1).start()).lines[2])).toEqual([2 ** 20]);
    expect(paramsOf((await test.miner(1).start('a', 'd=1')).lines[2])).toEqual([2 ** 19]);
    expect(test.server.sessions().map((session) => session.listener)).toEqual([0, 1, 1]);
  });
});
