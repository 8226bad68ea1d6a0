import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { targetOfCompact, targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { DevnetChain } from '../../src/devnet/chain.ts';
import { type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { mine, submitParams } from './mining.ts';
import { type Message, RawClient } from './raw-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const DIFFICULTY = 1e-7;
const shareTarget = targetOfDifficulty(DIFFICULTY);
const blockTarget = targetOfCompact(0x1f7fffff);

async function setUp(options: DevnetPoolOptions = {}) {
  const chain = new DevnetChain({ bits: 0x1f7fffff }, { clock: systemClock });
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
