import { afterEach, describe, expect, it } from 'vitest';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { DEVICES } from './devices.ts';
import { HARD, type Line, paramsOf, type TestMiner, until } from './harness.ts';
import { codesOf, everyShare, Stand, stopStands, submitLine } from './stand.ts';

afterEach(stopStands);

/** The easiest there is: every other hash is a share. */
const TRIVIAL = 2 ** -32;

describe('acceptance case 5: every device of the field reaches mining', () => {
  it.each(DEVICES)('$who', async ({ says, submit, reply }) => {
    const stand = await Stand.start({ difficulty: TRIVIAL });
    stand.give(plainWork(1, HARD));
    const miner = stand.miner();
    miner.send(...says);
    const lines = [...(await miner.until('method', 'mining.notify')), ...(await miner.settled())];
    let notify = lines.find((line) => line['method'] === 'mining.notify');
    for (let seed = 2; stand.total().seq === 0; seed += 1) {
      expect(seed).toBeLessThan(40);
      miner.send(submit(paramsOf(notify)[0] as string));
      const answer = await miner.nextText();
      if (answer !== reply) expect(answer).toMatch(/"error":\[23,/);
      stand.give(plainWork(seed, HARD));
      notify = (await miner.until('method', 'mining.notify')).at(-1);
    }
  });

  const quirks: readonly [what: string, line: string, reply: object | undefined][] = [
    ['a pong with a method', '{"id":"ping","method":"pong","params":[]}', undefined],
    ['an answer nobody asked for', '{"id":17,"result":true,"error":null}', undefined],
    ['capabilities', '{"id":null,"method":"mining.capabilities","params":[{}]}', undefined],
    [
      'a suggestion without an id',
      '{"id":null,"method":"mining.suggest_difficulty","params":[8]}',
      undefined,
    ],
    [
      'a suggestion in the method',
      '{"id":4,"method":"mining.suggest_difficulty(512)"}',
      { id: 4, error: null },
    ],
    ['a string id', '{"id":"x/é","method":"mining.ping"}', { id: 'x/é', result: 'pong' }],
    ['a null id', '{"id":null,"method":"mining.ping"}', { id: null, result: 'pong' }],
    ['no id', '{"method":"mining.ping","params":[]}', { id: null, result: 'pong' }],
    ['a large id', '{"id":18446744073709551615,"method":"mining.ping"}', { result: 'pong' }],
    [
      'a question for transactions',
      '{"id":"txlist1","method":"mining.get_transactions","params":["1"]}',
      { result: [] },
    ],
    ['multi_version', '{"id":5,"method":"mining.multi_version","params":[4]}', { id: 5, result: null }],
    ['a method of a pool', '{"id":6,"method":"mining.passthrough","params":[]}', { id: 6, result: null }],
    ['a method nobody knows', '{"id":7,"method":"eth_submitWork","params":[]}', { id: 7, result: null }],
  ];
  it.each(quirks)('and none is upset by %s', async (_what, line, reply) => {
    const stand = await Stand.start({ difficulty: TRIVIAL });
    stand.give(plainWork(1, HARD));
    const miner = stand.miner();
    miner.send(line);
    await miner.start('rig.1').catch(() => expect.fail('no work'));
    miner.send(line);
    const answers = await miner.settled();
    if (reply === undefined) expect(answers).toEqual([]);
    else expect(answers).toEqual([expect.objectContaining(reply)]);
    expect(miner.isClosed).toBe(false);
  });

  it('with one id for all its submits', async () => {
    const stand = await Stand.start({ difficulty: TRIVIAL });
    stand.give(plainWork(1, HARD));
    const miner = stand.miner();
    const { lines, extranonce1 } = await miner.start();
    const shares = everyShare(lines.at(-1)!, extranonce1, { target: targetOfDifficulty(TRIVIAL) }, 64);
    for (const at of [0, 1, 2, 2]) miner.send(submitLine(4, shares[at]!));
    const replies = [await miner.next(), await miner.next(), await miner.next(), await miner.next()];
    expect(replies.map((line) => line['id'])).toEqual([4, 4, 4, 4]);
    expect(replies.filter((line) => line['result'] === true)).toHaveLength(3);
  });
});

const subscribe = { id: 1, method: 'mining.subscribe', params: ['test/1'] };

async function extranonceOf(
  miner: TestMiner,
  session?: string,
): Promise<[session: string, extranonce1: string]> {
  miner.send(session === undefined ? subscribe : { ...subscribe, params: ['test/1', session] });
  const [[[, id]], extranonce1, size] = (await miner.next())['result'] as [
    [[string, string]],
    string,
    number,
  ];
  expect(size).toBe(4);
  return [id, extranonce1];
}

describe('acceptance case 6: what a session may rely on', () => {
  it('the subscribe reply is the next line, whatever else is asked and going on', async () => {
    const stand = await Stand.start({ difficulty: TRIVIAL });
    stand.give(plainWork(1, HARD));
    const miner = stand.miner();
    miner.send({ id: 9, method: 'mining.authorize', params: ['rig.1', 'x'] }, subscribe);
    stand.give(plainWork(2, HARD));
    const lines = await miner.until('method', 'mining.notify');
    expect(lines.map((line) => line['method'] ?? line['id'])).toEqual([
      9,
      1,
      'mining.set_difficulty',
      'mining.notify',
    ]);
    stand.give(plainWork(3, HARD));
    await miner.next();
    miner.send(subscribe);
    expect(await miner.next()).toMatchObject({ id: 1 });
  });

  it('the configure reply has the keys that were asked for', async () => {
    const stand = await Stand.start();
    const extensions = [
      'version-rolling',
      'minimum-difficulty',
      'subscribe-extranonce',
      'info',
      'unheard-of',
    ];
    for (let asked = 0; asked < 2 ** extensions.length; asked += 1) {
      const names = extensions.filter((_, index) => (asked & (1 << index)) !== 0);
      const miner = stand.miner();
      miner.send({ id: 1, method: 'mining.configure', params: [names, { 'minimum-difficulty.value': 1 }] });
      const keys = Object.keys((await miner.next())['result'] as object);
      const mask = names.includes('version-rolling') ? ['version-rolling.mask'] : [];
      expect(keys.toSorted()).toEqual([...names, ...mask].toSorted());
      miner.destroy();
    }
  });

  it('no two live sessions have one extranonce1, nor does another get it while it may be resumed', async () => {
    const stand = await Stand.start();
    stand.give(plainWork(1, HARD));
    const owner = new Map<string, string>();
    const sessions: { miner: TestMiner; id: string; extranonce1: string }[] = [];
    const gone: string[] = [];
    for (let step = 0; step < 300; step += 1) {
      const leaving = step % 3 === 2 ? sessions.splice((step * 7) % sessions.length, 1)[0] : undefined;
      if (leaving !== undefined) {
        leaving.miner.destroy();
        await leaving.miner.closed;
        await until(() => stand.server.sessionCount === sessions.length);
        gone.push(leaving.id);
        stand.clock.advance(5000);
        stand.server.tick();
        continue;
      }
      const miner = stand.miner();
      const wanted = step % 5 === 1 ? gone.splice(0, 1)[0] : undefined;
      const [id, extranonce1] = await extranonceOf(miner, wanted);
      miner.send({ id: 2, method: 'mining.authorize', params: ['rig.1', 'x'] });
      await miner.until('id', 2);
      expect(sessions.map((session) => session.extranonce1)).not.toContain(extranonce1);
      expect(owner.get(extranonce1) ?? id).toBe(id);
      owner.set(extranonce1, id);
      sessions.push({ miner, id, extranonce1 });
    }
  });

  it('job ids are never used again', async () => {
    const stand = await Stand.start({ difficulty: TRIVIAL });
    stand.give(plainWork(1, HARD));
    const miner = stand.miner();
    const seen: Line[] = [(await miner.start()).lines.at(-1)!];
    for (let count = 0; count < 200; count += 1) {
      stand.clock.advance(30_000);
      if (count % 3 === 0) stand.give(plainWork(1 + (count % 4), HARD));
      if (count % 5 === 0) stand.server.assign('all', count % 2 === 0 ? 'pool' : 'backup');
      if (count % 7 === 0) stand.give(plainWork(1, HARD), 'backup');
      stand.jobs.expire(stand.clock.monotonicMs());
      stand.server.tick();
      seen.push(...(await miner.settled()));
    }
    const ids = seen.filter((line) => line['method'] === 'mining.notify').map((line) => paramsOf(line)[0]);
    expect(ids.length).toBeGreaterThan(100);
    expect(new Set(ids).size).toBe(ids.length);
    const old = ids[0] as string;
    expect(await codesOf(miner, [['rig.1', old, '00000001', '6553f100', '1']])).toEqual([21]);
  });
});
