import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type BraidpoolNode, startBraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { noFaults } from '../../src/devnet/net/reply-faults.ts';
import { seededRandom } from '../../src/devnet/net/seeded-random.ts';
import { type DevnetPool, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type FaultEvent, type FaultOptions, faultPlan, startFaults } from './faults.ts';
import { RawClient } from './raw-client.ts';
import { callRpc } from './rpc-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const log = silentLogger;
const clock = systemClock;

async function world(): Promise<{ chain: DevnetChain; node: BraidpoolNode; pool: DevnetPool }> {
  const chain = new DevnetChain({ bits: 0x1f7fffff }, { clock });
  const faultRandom = seededRandom(1);
  const node = await startBraidpoolNode({ faultRandom }, { chain, log, clock, random: systemRandom });
  const pool = await startDevnetPool({ faultRandom }, { chain, log, clock });
  closers.push(
    () => node.close(),
    () => pool.close(),
  );
  return { chain, node, pool };
}

async function connect(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  closers.push(() => client.close());
  return client;
}

const both = ['node', 'pool'] as const;

describe.each(both)('a fault of the %s', (which) => {
  it('drops new connections and leaves the old ones', async () => {
    const server = (await world())[which];
    const old = await connect(server.port);
    await old.call(1, 'mining.subscribe', []);
    server.faults.refusing = true;
    const refused = await RawClient.connect(server.port);
    await refused.untilClosed();
    await old.call(2, 'mining.authorize', ['w', 'x']);
    expect(old.closed).toBe(false);
  });

  it('makes answers late', async () => {
    const server = (await world())[which];
    const client = await connect(server.port);
    server.faults.delayMs = 150;
    const began = performance.now();
    await client.call(1, 'mining.subscribe', []);
    expect(performance.now() - began).toBeGreaterThanOrEqual(145);
  });

  it('loses answers although the request was acted upon, or reads nothing at all', async () => {
    const server = (await world())[which];
    const client = await connect(server.port);
    server.faults.missing = 1;
    client.send({ id: 1, method: 'mining.subscribe', params: [] });
    client.send({ id: 2, method: 'mining.authorize', params: ['w', 'x'] });
    await client.first((message) => message['method'] === 'mining.notify');
    expect(client.messages.some((message) => message['id'] === 1 || message['id'] === 2)).toBe(false);
    server.faults.missing = 0;
    server.faults.silent = true;
    client.send({ id: 3, method: 'mining.subscribe', params: [] });
    while (server.stats.unanswered === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    server.faults.silent = false;
    await client.call(4, 'mining.authorize', ['w', 'x']);
    expect(client.messages.some((message) => message['id'] === 3)).toBe(false);
  });

  it('answers twice, or drops the connection in place of an answer', async () => {
    const server = (await world())[which];
    const client = await connect(server.port);
    server.faults.duplicate = 1;
    await client.call(1, 'mining.subscribe', []);
    server.faults.duplicate = 0;
    await client.call(2, 'mining.authorize', ['w', 'x']);
    expect(client.messages.filter((message) => message['id'] === 1)).toHaveLength(2);
    server.faults.dropped = 1;
    client.send({ id: 3, method: 'mining.subscribe', params: [] });
    await client.untilClosed();
  });

  it('restarts it on the same port, with other extranonces', async () => {
    const server = (await world())[which];
    const { port } = server;
    const client = await connect(port);
    const before = (await client.call(1, 'mining.subscribe', []))['result'] as unknown[];
    const restarted = server.restart(50);
    await client.untilClosed();
    await expect(RawClient.connect(port)).rejects.toThrow('ECONNREFUSED');
    await restarted;
    expect(server.port).toBe(port);
    const again = await connect(port);
    const after = (await again.call(1, 'mining.subscribe', []))['result'] as unknown[];
    expect(after[1]).not.toBe(before[1]);
    expect(server.stats.restarts).toBe(1);
  });
});

describe('a restart of the node', () => {
  it('loses its jobs, begins their ids anew, keeps the braid, and takes the RPC port along', async () => {
    const { node, chain } = await world();
    const { rpcPort } = node;
    chain.generate(3);
    const tips = node.tips();
    await node.restart(10);
    expect(node.rpcPort).toBe(rpcPort);
    expect(await callRpc(node.rpcUrl, 'gettips')).toEqual(tips);
    const client = await connect(node.port);
    await client.call(1, 'mining.subscribe', []);
    await client.call(2, 'mining.authorize', ['w', 'x']);
    const notify = await client.first((message) => message['method'] === 'mining.notify');
    expect((notify['params'] as unknown[])[0]).toBe('1');
  });

  it('has an RPC port with faults of its own', async () => {
    const { node } = await world();
    node.rpcFaults.dropped = 1;
    await expect(callRpc(node.rpcUrl, 'gettips')).rejects.toThrow('fetch failed');
    node.rpcFaults.dropped = 0;
    node.rpcFaults.delayMs = 50;
    const began = performance.now();
    await callRpc(node.rpcUrl, 'gettips');
    expect(performance.now() - began).toBeGreaterThanOrEqual(45);
  });
});

const rates: Omit<FaultOptions, 'seed'> = {
  restartsPerMinute: 2,
  dropsPerMinute: 4,
  ibdPerMinute: 1,
  slowPerMinute: 3,
  silentPerMinute: 1,
  missingPerMinute: 2,
  duplicatePerMinute: 2,
};

function take(options: FaultOptions, targets: number, untilMs: number): FaultEvent[] {
  const events: FaultEvent[] = [];
  for (const event of faultPlan(options, targets)) {
    if (event.atMs > untilMs) break;
    events.push(event);
  }
  return events;
}

describe('a fault schedule', () => {
  it('is the same for the same seed, in order, and as frequent as asked for', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 5 }), (seed, targets) => {
        const hours = 4;
        const events = take({ seed, ...rates }, targets, hours * 3_600_000);
        expect(take({ seed, ...rates }, targets, hours * 3_600_000)).toEqual(events);
        const times = events.map((event) => event.atMs);
        expect(times).toEqual([...times].sort((a, b) => a - b));
        const expected = 15 * 60 * hours * targets;
        expect(Math.abs(events.length - expected)).toBeLessThan(6 * Math.sqrt(expected));
        expect(new Set(events.map((event) => event.kind)).size).toBe(7);
        expect(new Set(events.map((event) => event.target)).size).toBe(targets);
      }),
      { numRuns: 20 },
    );
    expect(take({ seed: 1 }, 2, 1e9)).toEqual([]);
  });

  it('plays on nodes and pools, prints its seed, and leaves them well', async () => {
    const { node, pool } = await world();
    const lines: string[] = [];
    const perMinute = Object.fromEntries(Object.keys(rates).map((name) => [name, 200]));
    const schedule = startFaults(
      { seed: 42, ...perMinute, downMs: [5, 20], spellMs: [20, 60], slowMs: [5, 20] },
      [node, pool],
      { log, print: (line) => lines.push(line) },
    );
    expect(lines).toEqual(['fault schedule: seed 42, targets braidpool, pool']);
    while (new Set(schedule.events.map((event) => event.kind)).size < 7) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await schedule.stop();
    expect([node.faults, pool.faults]).toEqual([noFaults(), noFaults()]);
    const kinds = schedule.events.filter((event) => event.kind === 'restart');
    expect(node.stats.restarts + pool.stats.restarts).toBeLessThanOrEqual(kinds.length);
    expect(node.stats.restarts + pool.stats.restarts).toBeGreaterThan(0);
    for (const { port } of [node, pool]) {
      const client = await connect(port);
      expect((await client.call(1, 'mining.subscribe', []))['error']).toBeNull();
    }
    const played = schedule.events.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(schedule.events.length).toBe(played);
  });
});
