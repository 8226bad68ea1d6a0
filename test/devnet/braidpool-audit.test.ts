import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { compareHashes } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import { compositeHash } from '../../src/devnet/braidpool/bead.ts';
import type { BraidpoolAuditOptions } from '../../src/devnet/braidpool/braidpool-audit.ts';
import {
  type BraidpoolNode,
  type BraidpoolNodeOptions,
  startBraidpoolNode,
} from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPool, type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type Found, mine, submitParams } from './mining.ts';
import { type Message, RawClient } from './raw-client.ts';
import { callRpc } from './rpc-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const MINER = 1e-7;
const UPSTREAM = 1e-6;
const minerTarget = targetOfDifficulty(MINER);
const upstreamTarget = targetOfDifficulty(UPSTREAM);
const WORKER = 'addr.ess.rig1';

type World = { readonly pool: DevnetPool; readonly node: BraidpoolNode; readonly chain: DevnetChain };

async function setUp(
  options: BraidpoolNodeOptions = {},
  poolOptions: DevnetPoolOptions = {},
  audit: Partial<BraidpoolAuditOptions> = {},
): Promise<World> {
  const clock = systemClock;
  const log = silentLogger;
  const chain = new DevnetChain({ bits: 0x1d00ffff, easyBlocks: 3 }, { clock });
  while (chain.height < 3) chain.generate(1);
  const pool = await startDevnetPool({ difficulty: UPSTREAM, ...poolOptions }, { chain, log, clock });
  closers.push(() => pool.close());
  const upstream = { host: pool.host, port: pool.port, username: 'node.audit' };
  const node = await startBraidpoolNode(
    { audit: { upstream, minerDifficulty: MINER, ...audit }, ...options },
    { chain, log, clock, random: systemRandom },
  );
  closers.push(() => node.close());
  return { pool, node, chain };
}

async function connect(node: BraidpoolNode): Promise<RawClient> {
  const client = await RawClient.connect(node.port);
  closers.push(() => client.close());
  return client;
}

async function handshake(client: RawClient): Promise<{ extranonce1: string; notify: Message }> {
  const values = { 'version-rolling.mask': 'ffffffff' };
  await client.call(1, 'mining.configure', [['version-rolling'], values]);
  const subscribed = await client.call(2, 'mining.subscribe', ['test']);
  const [, extranonce1, size] = subscribed['result'] as [unknown, string, number];
  expect(size).toBe(1);
  await client.call(3, 'mining.authorize', [WORKER, 'x']);
  const notify = await client.first((message) => message['method'] === 'mining.notify');
  return { extranonce1, notify };
}

const params = (client: RawClient, method: string): unknown[][] =>
  client.notifications(method).map((message) => message['params'] as unknown[]);

/** Good enough for the miner only. */
const small = (hash: bigint): boolean => hash <= minerTarget && hash > upstreamTarget;

const submit = async (client: RawClient, id: number, found: Found): Promise<unknown> =>
  (await client.call(id, 'mining.submit', submitParams(WORKER, found, '00000000')))['result'];

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const sha256d = (bytes: Uint8Array): Buffer => {
  const inner = createHash('sha256').update(bytes).digest();
  return createHash('sha256').update(inner).digest();
};

describe('audit mode', () => {
  it('lays extranonce1 out as upstream || prefix || commitment and leaves one byte', async () => {
    const { node } = await setUp();
    const clients = [await connect(node), await connect(node)];
    const seen = await Promise.all(clients.map((client) => handshake(client)));
    const genesis = node.bead(node.tips()[0]!)!.bead;
    const commitment = sha256d(compositeHash(genesis)).toString('hex').slice(0, 10);
    expect(node.audit!.commitment).toBe(commitment);
    expect(seen.map(({ extranonce1 }) => extranonce1)).toEqual([
      `000000010001${commitment}`,
      `000000010002${commitment}`,
    ]);
    expect(params(clients[0]!, 'mining.set_difficulty')[0]).toEqual([MINER]);
    clients[0]!.close();
    await until(() => node.stats.connections === 2 && clients[0]!.closed);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const third = await connect(node);
    expect((await handshake(third)).extranonce1).toBe(`000000010001${commitment}`);
  });

  it('asks the upstream about version rolling and passes its answer on', async () => {
    const { node } = await setUp({}, { versionMask: 0x00ffe000 });
    const client = await connect(node);
    const values = { 'version-rolling.mask': 'ffffffff' };
    const reply = await client.call(1, 'mining.configure', [['version-rolling'], values]);
    expect(reply['result']).toEqual({ 'version-rolling': true, 'version-rolling.mask': '00ffe000' });
  });

  it('takes shares at the miner’s difficulty as weak beads, says false to the rest and to repeats', async () => {
    const { node, pool } = await setUp();
    const client = await connect(node);
    const { extranonce1, notify } = await handshake(client);
    const share = mine(notify, { extranonce1, extranonce2: '07', fits: small });
    expect(await submit(client, 10, share)).toBe(true);
    expect(await submit(client, 11, share)).toBe(false);
    const low = mine(notify, { extranonce1, extranonce2: '08', fits: (hash) => hash > minerTarget });
    expect(await submit(client, 12, low)).toBe(false);
    const bead = node.bead(share.hash)!.bead;
    expect(bead.committed_metadata).toMatchObject({
      payout_address: 'addr.ess',
      transaction_ids: [],
      parents: node.braid.genesis(),
    });
    expect(bead.uncommitted_metadata).toMatchObject({
      extra_nonce_1: 1n,
      extra_nonce_2: BigInt(`0x${extranonce1.slice(8)}07`),
    });
    expect(await callRpc(node.rpcUrl, 'gettips')).toEqual([share.hash]);
    expect(node.audit!.records()).toMatchObject([
      { shareId: share.hash, workerName: WORKER, upstreamEligible: false, upstreamAccepted: undefined },
    ]);
    expect([node.audit!.stats.forwarded, pool.stats.shares]).toEqual([0, 0]);
  });

  it('forwards what the upstream would take, and does not wait for its answer', async () => {
    const { node, pool } = await setUp();
    const client = await connect(node);
    const { extranonce1, notify } = await handshake(client);
    pool.faults.delayMs = 100;
    const fits = (hash: bigint): boolean => hash <= upstreamTarget;
    const share = mine(notify, { extranonce1, extranonce2: 'ff', fits });
    expect(await submit(client, 10, share)).toBe(true);
    expect(node.audit!.stats).toMatchObject({ forwarded: 1, upstreamAccepted: 0 });
    await until(() => node.audit!.stats.upstreamAccepted === 1);
    expect(node.audit!.records()[0]!.upstreamAccepted).toBe(true);
    expect(pool.credits().get('node.audit')!.shares).toBe(1);
  });

  it('commits the next job to the shares of the last, tells everyone, and refuses the commitment before', async () => {
    const { node, pool } = await setUp({ quirks: { repeatedSetExtranonce: false } });
    const client = await connect(node);
    const idle = await connect(node);
    const { extranonce1, notify } = await handshake(client);
    const shares = ['01', '02'].map((extranonce2) =>
      mine(notify, { extranonce1, extranonce2, fits: small }),
    );
    for (const [index, share] of shares.entries()) await submit(client, 10 + index, share);
    pool.announce(false);
    await client.until(() => params(client, 'mining.notify').length === 2);
    const composites = shares.map(({ hash }) => Buffer.from(compositeHash(node.bead(hash)!.bead)));
    const generation = sha256d(Buffer.concat(composites.sort(Buffer.compare)));
    const next = extranonce1.slice(0, 12) + generation.toString('hex').slice(0, 10);
    expect(params(client, 'mining.set_extranonce')).toEqual([[next, 1]]);
    await idle.until(() => params(idle, 'mining.set_extranonce').length === 1);
    const lines = client.messages.map((message) => message['method']);
    expect(lines.lastIndexOf('mining.set_extranonce')).toBeLessThan(lines.lastIndexOf('mining.notify'));
    const late = mine(notify, { extranonce1, extranonce2: '03', fits: small });
    expect(await submit(client, 20, late)).toBe(false);
    expect(node.audit!.stats.stale).toBe(1);
    const fresh = client.notifications('mining.notify').at(-1)!;
    const good = mine(fresh, { extranonce1: next, extranonce2: '03', fits: small });
    expect(await submit(client, 21, good)).toBe(true);
    const parents = shares.map(({ hash }) => hash).sort(compareHashes);
    expect(node.bead(good.hash)!.parents).toEqual(parents);
    expect(await callRpc(node.rpcUrl, 'getcohortcount')).toBe(3);
  });

  it('repeats set_extranonce at each job, as the node does, unless told otherwise', async () => {
    for (const repeatedSetExtranonce of [true, false]) {
      const { node, pool } = await setUp({ quirks: { repeatedSetExtranonce } });
      const client = await connect(node);
      const { extranonce1 } = await handshake(client);
      const before = params(client, 'mining.notify').length;
      pool.announce(false);
      await client.until(() => params(client, 'mining.notify').length > before);
      const sent = params(client, 'mining.set_extranonce');
      expect(sent).toEqual(repeatedSetExtranonce ? [[extranonce1, 1]] : []);
    }
  });

  it('sends everybody away with a word when the upstream is lost, and none in until it is back', async () => {
    const { node, pool } = await setUp();
    const client = await connect(node);
    await handshake(client);
    const down = pool.restart(300);
    await client.untilClosed();
    const last = client.messages.at(-1);
    expect(last).toEqual({ id: null, result: null, error: [20, 'Upstream pool connection lost', null] });
    const refused = await RawClient.connect(node.port);
    await refused.untilClosed();
    await down;
    await until(() => node.audit!.ready);
    const back = await connect(node);
    expect((await handshake(back)).extranonce1.slice(0, 8)).toBe('00000002');
  });

  it('takes eight bytes of upstream extranonce1, and nobody where less than eight are left', async () => {
    const wide = await setUp({}, { extranonce1Size: 8 });
    const client = await connect(wide.node);
    const { extranonce1, notify } = await handshake(client);
    expect(extranonce1).toMatch(/^00000000000000010001[0-9a-f]{10}$/);
    const share = mine(notify, { extranonce1, extranonce2: '07', fits: small });
    expect(await submit(client, 10, share)).toBe(true);
    expect(wide.node.bead(share.hash)!.bead.uncommitted_metadata.extra_nonce_1).toBe(1n);
    const narrow = await setUp({}, { extranonce2Size: 7 });
    const refused = await RawClient.connect(narrow.node.port);
    await refused.untilClosed();
  });

  it('with the node’s own rules counts a difficulty below 1 as 1', async () => {
    const { node } = await setUp({}, {}, { clampDifficulty: true });
    const client = await connect(node);
    const { extranonce1, notify } = await handshake(client);
    const share = mine(notify, { extranonce1, extranonce2: '07', fits: small });
    expect(await submit(client, 10, share)).toBe(false);
  });

  it('with the node’s own rules pays to mainnet addresses only', async () => {
    const { node } = await setUp({}, {}, { mainnetAddresses: true });
    const client = await connect(node);
    const { extranonce1, notify } = await handshake(client);
    const share = mine(notify, { extranonce1, extranonce2: '07', fits: small });
    const refused = await client.call(10, 'mining.submit', submitParams(WORKER, share, '00000000'));
    expect(refused['error']).toMatch(/invalid payout address/);
    await client.call(11, 'mining.authorize', ['bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig', 'x']);
    expect(await submit(client, 12, share)).toBe(true);
  });
});
