import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { targetOfCompact, targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import type { PoolErrorShape } from '../../src/devnet/pool/pool-errors.ts';
import { PoolVardiff } from '../../src/devnet/pool/pool-vardiff.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { type Found, mine, submitParams } from './mining.ts';
import { type Message, RawClient } from './raw-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const DIFFICULTY = 1e-7;
const shareTarget = targetOfDifficulty(DIFFICULTY);
const blockTarget = targetOfCompact(0x1f07ffff);

async function setUp(options: DevnetPoolOptions = {}) {
  const chain = new DevnetChain({ bits: 0x1f07ffff }, { clock: systemClock });
  const deps = { chain, log: silentLogger, clock: systemClock };
  const pool = await startDevnetPool({ difficulty: DIFFICULTY, ...options }, deps);
  const client = await RawClient.connect(pool.port);
  closers.push(
    () => client.close(),
    () => pool.close(),
  );
  return { chain, pool, client };
}

async function handshake(client: RawClient): Promise<{ extranonce1: string; notify: Message }> {
  const asked = [['version-rolling'], { 'version-rolling.mask': '1fffe000' }];
  const configured = await client.call(1, 'mining.configure', asked);
  expect(configured['result']).toEqual({ 'version-rolling': true, 'version-rolling.mask': '1fffe000' });
  const subscribed = await client.call(2, 'mining.subscribe', ['test']);
  const [, extranonce1, size] = subscribed['result'] as [unknown, string, number];
  expect([extranonce1.length, size]).toEqual([8, 8]);
  await client.call(3, 'mining.authorize', ['user.rig', 'x']);
  const notify = await client.first((message) => message['method'] === 'mining.notify');
  expect(client.notifications('mining.set_difficulty')[0]!['params']).toEqual([DIFFICULTY]);
  return { extranonce1, notify };
}

const code = (reply: Message): unknown => (reply['error'] as unknown[])[0];
const EXTRANONCE2 = '00'.repeat(8);
const all = (client: RawClient, method: string): unknown[][] =>
  client.notifications(method).map((message) => message['params'] as unknown[]);

/** A share of a job that is no block. */
function shareOf(notify: Message, extranonce1: string, target = shareTarget): Found {
  return mine(notify, {
    extranonce1,
    extranonce2: EXTRANONCE2,
    fits: (hash) => hash <= target && hash > blockTarget,
  });
}

const submit = (client: RawClient, id: number, found: Found): Promise<Message> =>
  client.call(id, 'mining.submit', submitParams('user.rig', found));

describe('the ordinary pool', () => {
  it('credits a share at the difficulty of its job and answers the rest with numbers', async () => {
    const { client, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const extranonce2 = '00'.repeat(8);
    const share = mine(notify, {
      extranonce1,
      extranonce2,
      fits: (hash) => hash <= shareTarget && hash > blockTarget,
    });
    const low = mine(notify, { extranonce1, extranonce2, fits: (hash) => hash > shareTarget });
    const submit = (id: number, params: readonly unknown[]): Promise<Message> =>
      client.call(id, 'mining.submit', params);
    expect((await submit(10, submitParams('user.rig', share)))['result']).toBe(true);
    expect(code(await submit(11, submitParams('user.rig', share)))).toBe(22);
    expect(code(await submit(12, submitParams('user.rig', low)))).toBe(23);
    expect(code(await submit(13, submitParams('user.rig', { ...share, jobId: 'ff' })))).toBe(21);
    expect(code(await submit(14, submitParams('other', share)))).toBe(20);
    expect(code(await submit(15, submitParams('user.rig', share, '00000001')))).toBe(20);
    expect(code(await submit(16, submitParams('user.rig', { ...share, ntime: '00000000' })))).toBe(20);
    expect(pool.credits().get('user.rig')).toEqual({
      shares: 1,
      workHashes: workOfTarget(shareTarget),
      rejected: { 20: 3, 21: 1, 22: 1, 23: 1 },
    });
  });

  it('finds blocks, says clean on a new tip and forgets the jobs before it', async () => {
    const { client, chain, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const block = mine(notify, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash <= blockTarget,
    });
    expect((await client.call(10, 'mining.submit', submitParams('user.rig', block)))['result']).toBe(true);
    expect(chain.tip().hash).toBe(block.hash);
    expect(pool.stats.blocks).toBe(1);
    expect(
      client.notifications('mining.notify').map((message) => (message['params'] as unknown[])[8]),
    ).toEqual([true, true]);
    expect(code(await client.call(11, 'mining.submit', submitParams('user.rig', block)))).toBe(21);
  });

  it('wants a worker first', async () => {
    const { client } = await setUp({ acceptsWorker: (worker) => worker === 'user' });
    expect(code(await client.call(1, 'mining.submit', []))).toBe(24);
    expect((await client.call(2, 'mining.authorize', ['nobody', 'x']))['result']).toBe(false);
    await client.call(3, 'mining.authorize', ['user', 'x']);
    expect(code(await client.call(4, 'mining.submit', []))).toBe(25);
    expect(code(await client.call(5, 'mining.nothing', []))).toBe(20);
  });

  it('sends work again at its pace, not clean', async () => {
    const { client } = await setUp({ notifyMs: 30 });
    await handshake(client);
    await client.until(() => client.notifications('mining.notify').length >= 3);
    const [, second] = client.notifications('mining.notify');
    expect((second!['params'] as unknown[])[8]).toBe(false);
  });
});

describe('difficulty', () => {
  it('is for the jobs after it: older ones keep theirs, and their credit', async () => {
    const { client, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const hard = targetOfDifficulty(1e-6);
    // Jobs of one second are the same work: a share of the first that were hard enough would be the hard one.
    const easyOf = (job: Message): Found =>
      mine(job, {
        extranonce1,
        extranonce2: EXTRANONCE2,
        fits: (hash) => hash <= shareTarget && hash > hard && hash > blockTarget,
      });
    pool.setDifficulty(1e-6, { notify: false });
    expect((await submit(client, 10, easyOf(notify)))['result']).toBe(true);
    pool.announce(false);
    await client.until(() => all(client, 'mining.notify').length === 2);
    const [, next] = client.notifications('mining.notify');
    expect(code(await submit(client, 11, easyOf(next!)))).toBe(23);
    expect((await submit(client, 12, shareOf(next!, extranonce1, hard)))['result']).toBe(true);
    expect(all(client, 'mining.set_difficulty')).toEqual([[1e-7], [1e-6]]);
    expect(pool.credits().get('user.rig')).toMatchObject({
      shares: 2,
      workHashes: workOfTarget(shareTarget) + workOfTarget(hard),
    });
  });

  it('of a miner that comes in between two jobs is what it is told', async () => {
    const { client, pool } = await setUp({ difficulty: 1e-6 });
    pool.setDifficulty(DIFFICULTY, { notify: false });
    const { extranonce1, notify } = await handshake(client);
    const share = mine(notify, {
      extranonce1,
      extranonce2: EXTRANONCE2,
      fits: (hash) => hash <= shareTarget && hash > targetOfDifficulty(1e-6),
    });
    expect((await submit(client, 10, share))['result']).toBe(true);
  });

  it('changes in steps at set times', async () => {
    const { client } = await setUp({ difficultySteps: [{ afterMs: 50, difficulty: 0.25 }] });
    await handshake(client);
    await client.until(() => all(client, 'mining.notify').length === 2);
    expect(all(client, 'mining.set_difficulty')).toEqual([[DIFFICULTY], [0.25]]);
  });

  it('follows the rate of shares, like ckpool’s: 0.3 a second within a band', () => {
    const options = { min: 1, max: 1e9 };
    const vardiff = new PoolVardiff(options, 0);
    let difficulty = 42;
    const changes: number[] = [];
    const rate = 10_000;
    for (let nowMs = 0; nowMs < 3_600_000; ) {
      nowMs += (difficulty / rate) * 1000;
      const next = vardiff.onShare(difficulty, difficulty, nowMs);
      if (next === undefined) continue;
      changes.push(next);
      difficulty = next;
    }
    const ideal = rate / 0.3;
    expect(difficulty).toBeGreaterThan(ideal * 0.6);
    expect(difficulty).toBeLessThan(ideal * 1.7);
    expect(changes.length).toBeLessThan(10);
    const capped = new PoolVardiff({ min: 1, max: 64, checkShares: 3 }, 0);
    const given = [1, 2, 3].map((nowMs) => capped.onShare(42, 42, nowMs));
    expect(given).toEqual([undefined, undefined, 64]);
  });

  it('is sent alone when the session’s rate asks for it, and bites at the next job', async () => {
    const { client, pool } = await setUp({ vardiff: { min: 1e-8, max: 1e-6, checkShares: 2 } });
    const { extranonce1, notify } = await handshake(client);
    await submit(client, 10, shareOf(notify, extranonce1));
    const other = mine(notify, {
      extranonce1,
      extranonce2: `${'00'.repeat(7)}01`,
      fits: (hash) => hash <= shareTarget && hash > blockTarget,
    });
    await submit(client, 11, other);
    await client.until(() => all(client, 'mining.set_difficulty').length === 2);
    expect(all(client, 'mining.set_difficulty')[1]).toEqual([1e-6]);
    expect(all(client, 'mining.notify')).toHaveLength(1);
    const third = mine(notify, {
      extranonce1,
      extranonce2: `${'00'.repeat(7)}02`,
      fits: (hash) => hash <= shareTarget && hash > targetOfDifficulty(1e-6),
    });
    expect((await submit(client, 12, third))['result']).toBe(true);
    expect(pool.stats.shares).toBe(3);
  });
});

describe('sessions', () => {
  it('are resumed by their id with the same extranonce1, and dedupe across it', async () => {
    const { client, pool } = await setUp();
    const first = await client.call(2, 'mining.subscribe', ['test']);
    const [[[, id]], extranonce1] = first['result'] as [[[string, string]], string];
    await client.call(3, 'mining.authorize', ['user.rig', 'x']);
    const notify = await client.first((message) => message['method'] === 'mining.notify');
    const share = shareOf(notify, extranonce1);
    expect((await submit(client, 4, share))['result']).toBe(true);
    client.close();
    const again = await RawClient.connect(pool.port);
    closers.push(() => again.close());
    const resumed = await again.call(5, 'mining.subscribe', ['test', id]);
    expect((resumed['result'] as unknown[])[1]).toBe(extranonce1);
    await again.call(6, 'mining.authorize', ['user.rig', 'x']);
    expect(code(await submit(again, 7, share))).toBe(22);
    expect(pool.stats.resumed).toBe(1);
    const thief = await RawClient.connect(pool.port);
    closers.push(() => thief.close());
    const other = await thief.call(1, 'mining.subscribe', ['test', id]);
    expect((other['result'] as unknown[])[1]).not.toBe(extranonce1);
  });

  it('are not resumed after their time, nor after a restart on the same port', async () => {
    const clock = new ManualClock();
    const chain = new DevnetChain({ bits: 0x1f07ffff }, { clock });
    const pool = await startDevnetPool({ resumeMs: 1000 }, { chain, log: silentLogger, clock });
    closers.push(() => pool.close());
    const subscribe = async (id?: string): Promise<string> => {
      const client = await RawClient.connect(pool.port);
      const reply = await client.call(1, 'mining.subscribe', ['test', id]);
      client.close();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return (reply['result'] as [[[string, string]]])[0][0][1];
    };
    const first = await subscribe();
    clock.advance(999);
    expect(await subscribe(first)).toBe(first);
    clock.advance(1000);
    const second = await subscribe(first);
    expect(second).not.toBe(first);
    const { port } = pool;
    await pool.restart(10);
    expect(pool.port).toBe(port);
    expect(await subscribe(second)).not.toBe(second);
  });

  it('get another extranonce1 unasked, in force from the next job', async () => {
    const { client, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    pool.changeExtranonces({ notify: false });
    await client.until(() => all(client, 'mining.set_extranonce').length === 1);
    const [next, size] = all(client, 'mining.set_extranonce')[0] as [string, number];
    expect([next === extranonce1, size]).toEqual([false, 8]);
    expect((await submit(client, 10, shareOf(notify, extranonce1)))['result']).toBe(true);
    pool.announce(false);
    await client.until(() => all(client, 'mining.notify').length === 2);
    const [, fresh] = client.notifications('mining.notify');
    expect((await submit(client, 11, shareOf(fresh!, next)))['result']).toBe(true);
    expect(code(await submit(client, 12, shareOf(fresh!, extranonce1)))).toBe(23);
  });

  it('are told of another version mask and sent elsewhere', async () => {
    const { client, pool } = await setUp({ pushVersionMask: true });
    await handshake(client);
    expect(all(client, 'mining.set_version_mask')).toEqual([['1fffe000']]);
    pool.setVersionMask(0x00ffe000);
    pool.sendReconnect();
    pool.sendReconnect({ host: 'evil.example', port: 3333, waitSeconds: 5 });
    await client.until(() => all(client, 'client.reconnect').length === 2);
    expect(all(client, 'mining.set_version_mask')[1]).toEqual(['00ffe000']);
    expect(all(client, 'client.reconnect')).toEqual([[], ['evil.example', 3333, 5]]);
  });

  it('may have several workers, each with its own credit', async () => {
    const { client, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const share = shareOf(notify, extranonce1);
    expect(code(await client.call(10, 'mining.submit', submitParams('user.two', share)))).toBe(20);
    await client.call(11, 'mining.authorize', ['user.two', 'x']);
    const reply = await client.call(12, 'mining.submit', submitParams('user.two', share));
    expect(reply['result']).toBe(true);
    expect(pool.credits().get('user.two')!.shares).toBe(1);
    expect(pool.credits().get('user.rig')!.shares).toBe(0);
  });
});

describe('refusals', () => {
  it('take every shape met in the field', async () => {
    const { client, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const unknown = { ...shareOf(notify, extranonce1), jobId: 'ff' };
    const shapes: readonly (readonly [PoolErrorShape, object])[] = [
      ['array', { result: null, error: [21, 'Invalid JobID', null] }],
      ['string', { result: null, error: 'Invalid JobID' }],
      ['object', { result: null, error: { code: 21, message: 'Invalid JobID' } }],
      ['string_codes', { result: null, error: ['21', 'Invalid JobID'] }],
      ['reject_reason', { result: false, error: null, 'reject-reason': 'Invalid JobID' }],
    ];
    for (const [index, [shape, body]] of shapes.entries()) {
      pool.setErrorShape(shape);
      expect(await submit(client, 10 + index, unknown)).toEqual({ id: 10 + index, ...body });
    }
  });

  it('say stale of the block before, and the solution of a block goes to the chain all the same', async () => {
    const { client, chain, pool } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const stale = shareOf(notify, extranonce1);
    const block = mine(notify, {
      extranonce1,
      extranonce2: EXTRANONCE2,
      fits: (hash) => hash <= blockTarget,
    });
    chain.generate(1);
    const refusedBefore = chain.stats.blocksRefused;
    expect((await submit(client, 10, stale))['error']).toEqual([21, 'Stale', null]);
    expect((await submit(client, 11, block))['error']).toEqual([21, 'Stale', null]);
    await client.call(12, 'mining.suggest_difficulty', [1]);
    expect(chain.stats.blocksRefused).toBe(refusedBefore + 1);
    expect(pool.stats.blocks).toBe(0);
  });

  it('never touch the list of accepted shares', async () => {
    const { client, pool } = await setUp({ trackAccepted: true });
    const { extranonce1, notify } = await handshake(client);
    const share = shareOf(notify, extranonce1);
    await submit(client, 10, share);
    await submit(client, 11, share);
    const workHashes = workOfTarget(shareTarget);
    expect(pool.acceptedShares()).toEqual([{ hash: share.hash, worker: 'user.rig', workHashes }]);
  });
});
