import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { compareHashes } from '../../src/bitcoin/header.ts';
import { targetOfCompact, targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { beadFault } from '../../src/devnet/braidpool/bead.ts';
import {
  type BraidpoolNode,
  type BraidpoolNodeOptions,
  startBraidpoolNode,
} from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain, type DevnetChainOptions } from '../../src/devnet/chain/chain.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { mine, submitParams } from './mining.ts';
import { type Message, RawClient } from './raw-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function setUp(
  options: BraidpoolNodeOptions = {},
  chainOptions: DevnetChainOptions = {},
): Promise<{ chain: DevnetChain; node: BraidpoolNode; client: RawClient }> {
  const clock = systemClock;
  const chain = new DevnetChain({ bits: 0x1f7fffff, ...chainOptions }, { clock });
  const node = await startBraidpoolNode(options, { chain, log: silentLogger, clock, random: systemRandom });
  const client = await RawClient.connect(node.port);
  closers.push(
    () => client.close(),
    () => node.close(),
  );
  return { chain, node, client };
}

async function handshake(
  client: RawClient,
  mask = true,
): Promise<{ extranonce1: string; notify: Message }> {
  if (mask) {
    const values = { 'version-rolling.mask': 'ffffffff' };
    await client.call(1, 'mining.configure', [['version-rolling'], values]);
  }
  const subscribed = await client.call(2, 'mining.subscribe', ['test']);
  await client.call(3, 'mining.authorize', ['bcrt1qworker.rig', 'x']);
  const notify = await client.first((message) => message['method'] === 'mining.notify');
  return { extranonce1: (subscribed['result'] as [unknown, string])[1], notify };
}

const network = targetOfCompact(0x1f7fffff);

describe('as it is', () => {
  it('answers configure as the node does: two parameters, the mask cut, min-bit-count a string', async () => {
    const { client } = await setUp();
    const good = await client.call(1, 'mining.configure', [
      ['version-rolling'],
      { 'version-rolling.mask': 'ffffffff', 'version-rolling.min-bit-count': '00000002' },
    ]);
    expect(good).toEqual({
      id: 1,
      result: {
        'minimum-difficulty': false,
        'version-rolling': true,
        'version-rolling.mask': '1fffe000',
        'version-rolling.min-bit-count': 0,
      },
      error: null,
    });
    const numeric = { 'version-rolling.mask': '1fffe000', 'version-rolling.min-bit-count': 2 };
    const integer = await client.call(2, 'mining.configure', [['version-rolling'], numeric]);
    expect(integer).toEqual({ id: 2, result: null, error: expect.any(String) });
    const one = await client.call(3, 'mining.configure', [['version-rolling']]);
    expect(one).toEqual({ id: 3, result: null, error: expect.any(String) });
  });

  it('is silent to ids that are not unsigned integers and to requests without params', async () => {
    const { client, node } = await setUp();
    for (const id of [null, 'one', -1, 1.5]) client.send({ id, method: 'mining.subscribe', params: [] });
    client.send({ id: 5, method: 'mining.subscribe' });
    client.sendText('not json\n');
    await client.call(9, 'mining.subscribe', []);
    expect(client.messages).toHaveLength(1);
    expect(node.stats.unanswered).toBe(6);
  });

  it('gives eight and eight bytes of extranonce, another extranonce1 to each', async () => {
    const { client, node } = await setUp();
    const other = await RawClient.connect(node.port);
    closers.push(() => other.close());
    const replies = [
      await client.call(1, 'mining.subscribe', []),
      await other.call(1, 'mining.subscribe', []),
    ];
    const seen = replies.map((reply) => {
      const [subscriptions, extranonce1, size] = reply['result'] as [unknown, string, number];
      expect(subscriptions).toEqual([
        ['mining.set_difficulty', '34'],
        ['mining.notify', '12'],
      ]);
      expect(extranonce1).toMatch(/^[0-9a-f]{16}$/);
      expect(size).toBe(8);
      return extranonce1;
    });
    expect(new Set(seen).size).toBe(2);
  });

  it('authorises anybody, repeats the notify after every request, and never says clean', async () => {
    const { client, chain } = await setUp();
    await handshake(client);
    await client.call(4, 'mining.authorize', ['', '']);
    client.send({ id: 5, method: 'mining.suggest_difficulty', params: [512] });
    await client.until(() => client.notifications('mining.notify').length === 3);
    chain.generate(1);
    await client.until(() => client.notifications('mining.notify').length === 4);
    const params = client.notifications('mining.notify').map((notify) => notify['params'] as unknown[]);
    expect(params.map((list) => list[0])).toEqual(['1', '1', '1', '2']);
    expect(params.map((list) => list[8])).toEqual([false, false, false, false]);
    expect(params[3]![1]).not.toBe(params[2]![1]);
    expect((params[0]![4] as string[]).length).toBeGreaterThanOrEqual(4);
  });

  it('answers suggest_difficulty with a bare set_difficulty, and refuses a fraction', async () => {
    const { client } = await setUp();
    client.send({ id: 1, method: 'mining.suggest_difficulty', params: [512] });
    const fraction = await client.call(2, 'mining.suggest_difficulty', [0.5]);
    expect(client.messages[0]).toEqual({ method: 'mining.set_difficulty', params: [512] });
    expect(fraction).toEqual({ id: 2, result: null, error: expect.any(String) });
  });

  it('knows no other method', async () => {
    const { client } = await setUp();
    const error = 'InvalidMethod { method: "mining.extranonce.subscribe" }';
    const reply = await client.call(7, 'mining.extranonce.subscribe', []);
    expect(reply).toEqual({ id: 7, result: null, error });
  });

  it('makes a block of the chain of a hash that meets nBits, and a bead of the worker', async () => {
    const { client, chain, node } = await setUp();
    const { extranonce1, notify } = await handshake(client, false);
    const found = mine(notify, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash <= network,
    });
    const reply = await client.call(10, 'mining.submit', submitParams('bcrt1qworker.rig', found));
    expect(reply).toEqual({ id: 10, result: true, error: null });
    await client.until(() => client.notifications('mining.notify').length === 2);
    expect(chain.tip()).toMatchObject({ height: 2, hash: found.hash });
    expect(chain.blockAt(2)!.transactions.length).toBeGreaterThanOrEqual(9);
    expect(node.beads()).toMatchObject([
      { hash: found.hash, payoutAddress: 'bcrt1qworker.rig', parents: node.braid.genesis(), weak: false },
    ]);
    const again = await client.call(11, 'mining.submit', submitParams('bcrt1qworker.rig', found));
    expect(again['result']).toBe(true);
    expect(chain.height).toBe(2);
    expect(node.tips()).toEqual([found.hash]);
  });

  it('says false to a hash above nBits and a string to everything else', async () => {
    const { client, chain } = await setUp();
    const early = await client.call(1, 'mining.submit', ['w', '1', '', '', '']);
    expect(early).toEqual({ id: 1, result: null, error: expect.any(String) });
    const { extranonce1, notify } = await handshake(client);
    const extranonce2 = '00'.repeat(8);
    const low = mine(notify, { extranonce1, extranonce2, fits: (hash) => hash > network });
    const submit = (id: number, params: readonly unknown[]): Promise<Message> =>
      client.call(id, 'mining.submit', params);
    expect(await submit(10, submitParams('w', low, '00000000'))).toEqual({
      id: 10,
      result: false,
      error: null,
    });
    const refused = { result: null, error: expect.any(String) };
    expect(await submit(11, submitParams('w', low))).toEqual({ id: 11, ...refused });
    expect(await submit(12, submitParams('w', low, '00000001'))).toEqual({ id: 12, ...refused });
    const unknownJob = submitParams('w', { ...low, jobId: '77' }, '00000000');
    expect(await submit(13, unknownJob)).toEqual({ id: 13, ...refused });
    const short = submitParams('w', { ...low, extranonce2: '00' }, '00000000');
    expect(await submit(14, short)).toEqual({ id: 14, ...refused });
    expect(chain.height).toBe(1);
  });

  it('rolls the version by replacing the bits of the mask', async () => {
    const { client, chain } = await setUp();
    const { extranonce1, notify } = await handshake(client);
    const found = mine(notify, {
      extranonce1,
      extranonce2: '0000000000000001',
      version: '2123a000',
      fits: (hash) => hash <= network,
    });
    const reply = await client.call(10, 'mining.submit', submitParams('w', found, '0123a000'));
    expect(reply['result']).toBe(true);
    await client.until(() => chain.height === 2);
    expect(chain.blockAt(2)!.header.version).toBe(0x2123a000);
  });

  it('keeps ninety templates', async () => {
    const { client, chain } = await setUp({ minTransactions: 0 }, { bits: 0x207fffff });
    await handshake(client, false);
    chain.generate(89);
    const params = ['w', '1', '00'.repeat(8), '00000000', '00000000'];
    const known = await client.call(10, 'mining.submit', params);
    expect(known['error']).toBeNull();
    chain.generate(1);
    const forgotten = await client.call(11, 'mining.submit', params);
    expect(forgotten['error']).toBe('MiningJobNotFound { job_id: "1" }');
  });

  it('drops connections during the initial block download and over-long lines at any time', async () => {
    const { client, node } = await setUp();
    node.faults.refusing = true;
    const dropped = await RawClient.connect(node.port);
    await dropped.untilClosed();
    expect(client.closed).toBe(false);
    client.sendText('x'.repeat(65_537));
    await client.untilClosed();
  });
});

describe('as specified', () => {
  it('sends its weak target, takes weak shares as beads, and links each to the tips', async () => {
    const difficulty = 1e-6;
    const weak = targetOfDifficulty(difficulty);
    const { client, chain, node } = await setUp({ profile: 'spec', weakTargetDifficulty: difficulty });
    const { extranonce1, notify } = await handshake(client, false);
    expect(client.notifications('mining.set_difficulty')[0]!['params']).toEqual([difficulty]);
    const hard = network < weak ? network : 0n;
    const found = mine(notify, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash <= weak && hash > hard,
    });
    expect((await client.call(10, 'mining.submit', submitParams('w', found)))['result']).toBe(true);
    const again = await client.call(11, 'mining.submit', submitParams('w', found));
    expect(again['error']).toEqual([22, 'Duplicate share', null]);
    const low = mine(notify, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash > weak && hash > network,
    });
    const above = await client.call(12, 'mining.submit', submitParams('w', low));
    expect((above['error'] as unknown[])[0]).toBe(23);
    chain.generate(1);
    await client.until(() => client.notifications('mining.notify').length === 2);
    const [, clean] = client.notifications('mining.notify');
    expect((clean!['params'] as unknown[])[8]).toBe(true);
    const next = mine(clean!, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash <= weak,
    });
    await client.call(13, 'mining.submit', submitParams('w', next));
    expect(node.beads().map((bead) => bead.parents)).toEqual([node.braid.genesis(), [found.hash]]);
  });

  it('answers any id, and takes one configure parameter', async () => {
    const { client } = await setUp({ profile: 'spec' });
    client.send({ id: 'text', method: 'mining.configure', params: [['version-rolling']] });
    const reply = await client.first((message) => message['id'] === 'text');
    expect(reply['error']).toBeNull();
  });
});

describe('with tips that move all the time', () => {
  it('sends templates that are not clean, and grows a braid with branches and cohorts', async () => {
    const difficulty = 1e-7;
    const weak = targetOfDifficulty(difficulty);
    const { client, node } = await setUp({
      profile: 'spec',
      weakTargetDifficulty: difficulty,
      tipIntervalMs: 20,
      peerBeadsPerTip: 2,
    });
    const { extranonce1 } = await handshake(client, false);
    const notifies = (): Message[] => client.notifications('mining.notify');
    await client.until(() => notifies().length >= 4);
    const seen = notifies().map((notify) => notify['params'] as unknown[]);
    expect(new Set(seen.map((params) => params[1])).size).toBe(1);
    expect(seen.slice(1).map((params) => params[8])).toEqual(seen.slice(1).map(() => false));
    const found = mine(notifies()[1]!, {
      extranonce1,
      extranonce2: '00'.repeat(8),
      fits: (hash) => hash <= weak && hash > network,
    });
    expect((await client.call(10, 'mining.submit', submitParams('w', found)))['result']).toBe(true);
    const { bead } = node.bead(found.hash)!;
    const { parents, weak_target } = bead.committed_metadata;
    expect(parents.length).toBeGreaterThanOrEqual(2);
    expect(parents).toEqual([...parents].sort(compareHashes));
    expect(targetOfCompact(weak_target) >= weak).toBe(true);
    expect(node.beads().every((entry) => beadFault(entry.bead, 'weak') === undefined)).toBe(true);
    expect(node.stats.peerBeads).toBeGreaterThanOrEqual(6);
    expect(node.braid.cohortCount).toBeLessThan(node.braid.size);
    expect(node.braid.orphanCount).toBe(0);
  });
});

describe('to all its miners', () => {
  it('says why it closes, and sends a template when asked', async () => {
    const { client, node } = await setUp();
    await handshake(client);
    node.announce();
    await client.until(() => client.notifications('mining.notify').length === 2);
    node.disconnectAllWithMessage('going down');
    await client.untilClosed();
    expect(client.messages.at(-1)).toEqual({ id: null, result: null, error: [20, 'going down', null] });
  });
});

describe('without miners', () => {
  it('mines a block by itself, in another thread, when none came for the interval', async () => {
    const { chain } = await setUp({ blockIntervalMs: 20 }, { bits: 0x1e7fffff });
    while (chain.height < 3) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(chain.blockAt(3)!.header.bits).toBe(0x1e7fffff);
  });
});
