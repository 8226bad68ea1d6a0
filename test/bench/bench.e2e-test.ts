import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestMiner } from '../downstream/harness.ts';
import { BenchChild } from './child.ts';
import { measureHonestRows } from './honest-rows.ts';
import type { LoadTotals } from './load-process.ts';
import { measurePeerLink, peerLinkTable } from './peer-link.ts';
import { measureSelling, sellingText } from './selling.ts';
import type { ServeOptions } from './served-proxy.ts';
import { type Ports, startProxyProcess } from './whole-proxy.ts';

const running: BenchChild[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) await child.stop();
});

const OPTIONS: ServeOptions = { port: 0, branches: 12, difficulty: 2 ** -32, blockSeconds: 0 };

async function startProxy(changes: Partial<ServeOptions> = {}) {
  const proxy = startProxyProcess({ ...OPTIONS, ...changes });
  running.push(proxy);
  return { proxy, ...(await proxy.ask<Ports>('ports')) };
}

/** As its own metrics tell. */
async function sessionsOf({ metricsPort }: Ports): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return Number(/^sharestream_downstream_sessions (\d+)$/m.exec(text)?.[1]);
}

describe('the proxy that is measured', () => {
  it('holds the rules, and has on disk every share it answered true', async () => {
    const shapes = [{ connections: 20, window: 4 }];
    const { rows, rules, shares } = await measureHonestRows({ seconds: 0.3, rounds: 1, shapes });
    expect(rules.filter((what) => what === 'duplicate')).toHaveLength(2 * rows.length);
    expect(shares.answeredTrue).toBeGreaterThan(100);
    expect(shares).toMatchObject({ counted: shares.answeredTrue, inLedger: shares.answeredTrue });
    for (const row of rows) {
      expect(row.p99Ms).toBeGreaterThanOrEqual(row.p50Ms);
      expect(row.hashMicros).toBeGreaterThan(0);
      expect(row.proxyMicros).toBeGreaterThan(row.hashMicros);
      expect(row.timesFloor).toBeCloseTo(row.proxyMicros / (row.bareMicros + row.hashMicros), 6);
    }
  });

  it('is served alone for a load from outside', async () => {
    const file = new URL('bench.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [file, 'serve', '--branches', '3'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    const [text] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const line = JSON.parse(text) as { pid: number; port: number; metrics_port: number };
    expect(line.pid).toBe(child.pid);
    expect(line.port).toBeGreaterThan(0);
    expect(line.metrics_port).toBeGreaterThan(0);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });
});

describe('proxies that share a port', () => {
  beforeEach(({ skip }) => skip(process.platform !== 'linux', 'only Linux shares a port among processes'));

  it('all serve miners, each with a ledger of its own', async () => {
    const first = await startProxy({ reusePort: true });
    const second = await startProxy({ reusePort: true, port: first.port });
    expect(second.port).toBe(first.port);

    const load = BenchChild.start('load-process.ts', []);
    running.push(load);
    await load.ask('connect', { port: first.port, connections: 64, window: 2 });
    await load.ask('start');
    for (let answered = 0; answered < 1_000; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { submitted, unanswered } = await load.ask<LoadTotals>('totals');
      answered = submitted - unanswered;
    }
    const { accepted } = await load.ask<{ accepted: number }>('stop');
    await load.ask('disconnect');

    const inLedgers = await Promise.all([first, second].map(({ proxy }) => proxy.ask<number>('close')));
    expect(inLedgers.every((shares) => shares > 0)).toBe(true);
    expect(inLedgers[0]! + inLedgers[1]!).toBe(accepted);
  });

  it('never hand out the same work, since each has an upstream connection of its own', async () => {
    const first = await startProxy({ reusePort: true });
    const { port, upstreamPort } = first;
    const second = await startProxy({ reusePort: true, port, upstreamPort });
    const miners: TestMiner[] = [];
    const given = new Set<string>();
    const upstreams = new Set<string>();
    for (let count = 0; count < 200 && upstreams.size < 2; count += 1) {
      const miner = new TestMiner(port);
      miners.push(miner);
      const { extranonce1, lines } = await miner.start();
      const [, , coinb1] = lines.at(-1)!['params'] as string[];
      given.add(coinb1!.slice(-8) + extranonce1);
      upstreams.add(coinb1!.slice(-8));
    }
    expect(upstreams.size).toBe(2);
    expect(given.size).toBe(miners.length);
    const sessions = await Promise.all([first, second].map(sessionsOf));
    expect(sessions.every((count) => count > 0)).toBe(true);
    expect(sessions[0]! + sessions[1]!).toBe(miners.length);
    for (const miner of miners) miner.destroy();
  });

  it('are refused a port that was not meant to be shared', async () => {
    const { port } = await startProxy();
    const second = startProxyProcess({ ...OPTIONS, port, reusePort: true });
    running.push(second);
    await expect(second.ask('ports')).rejects.toThrow('address_in_use');
  });
});

describe('the peer link that is measured', () => {
  it('credits every share in both formats, the packed one in a sixth of the bytes', async () => {
    const rows = await measurePeerLink({ shares: 1_500, rounds: 1 });
    const [packed, listed] = rows;
    expect(rows.map(({ format }) => format)).toEqual(['packed', 'listed']);
    expect(packed!.bytes).toBeLessThan(30);
    expect(listed!.bytes).toBeGreaterThan(6 * packed!.bytes);
    expect(peerLinkTable(rows).split('\n')).toHaveLength(4);
  });
});

describe('the proxy that sells while it is measured', () => {
  it('sells: the maker credits its shares, and has its solutions', async () => {
    const result = await measureSelling(1, 0.5);
    const { aloneMicros, sellingMicros, makerMicros, bareMicros, hashMicros } = result;
    for (const micros of [aloneMicros, sellingMicros, makerMicros, bareMicros, hashMicros])
      expect(micros).toBeGreaterThan(0);
    expect(result.sharesPerSecond).toBeGreaterThan(0);
    expect(sellingText(result).split('\n')).toHaveLength(4);
  });
});
