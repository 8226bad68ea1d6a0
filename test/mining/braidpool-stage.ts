import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type RunningProxy, startProxy } from '../../src/daemon/proxy.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import type { AsicFleet } from '../../src/devnet/asic/asic.ts';
import type { AsicReport } from '../../src/devnet/asic/asic-spec.ts';
import {
  type BraidpoolNode,
  type BraidpoolNodeOptions,
  startBraidpoolNode,
} from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPool, type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';

const deps = {
  clock: systemClock,
  log: silentLogger,
  random: systemRandom,
};

const closers: (() => unknown)[] = [];

/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export function onClose(close: () => unknown): void {
  closers.push(close);
}

export type ProxyUnderTest = {
  readonly running: RunningProxy;
  readonly dataDir: string;
  /** Of the Stratum port. */
  readonly port: number;
  readonly status: () => Promise<NonNullable<Awaited<ReturnType<typeof readStatus>>>>;
  /** The value of one series; NaN when it is not there. */
  readonly metric: (series: string) => Promise<number>;
};

/** The program's own proxy with a configuration of these lines, in this process. */
export async function runProxy(toml: string): Promise<ProxyUnderTest> {
  const dataDir = mkdtempSync(join(tmpdir(), 'sharestream-braidpool-test-'));
  onClose(() => rmSync(dataDir, { recursive: true }));
  const file = join(dataDir, 'config.toml');
  const head = `network = "regtest"\ndata_dir = "."\n[metrics]\nlisten = "127.0.0.1:0"\n`;
  writeFileSync(file, head + toml);
  const running = await startProxy(loadConfig('proxy', { file, env: {} }), silentLogger);
  onClose(() => running.close());
  const url = `http://${String(running.ready['http'])}`;
  return {
    running,
    dataDir,
    port: Number(String(running.ready['stratum']).split(':').at(-1)),
    status: async () => (await readStatus(url))!,
    metric: async (series) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const line = text.split('\n').find((candidate) => candidate.startsWith(`sharestream_${series} `));
      return Number(line?.split(' ').at(-1) ?? Number.NaN);
    },
  };
}

/** A block takes 16 million hashes, so that the miners of a test find few. */
const BITS = 0x1e00ffff;

export async function startPool(
  options: DevnetPoolOptions = {},
  bits = BITS,
): Promise<{ readonly pool: DevnetPool; readonly chain: DevnetChain }> {
  const chain = new DevnetChain({ bits }, { clock: systemClock });
  const pool = await startDevnetPool({ trackAccepted: true, ...options }, { ...deps, chain });
  onClose(() => pool.close());
  return { pool, chain };
}

export async function startNode(options: BraidpoolNodeOptions, chain: DevnetChain): Promise<BraidpoolNode> {
  const node = await startBraidpoolNode(options, { ...deps, chain });
  onClose(() => node.close());
  return node;
}

/** Waits for a condition; says which one when it takes too long. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 60_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** No more hashes; resolves when every share is answered. */
export async function quiet(fleet: AsicFleet): Promise<readonly AsicReport[]> {
  for (const index of fleet.reports().keys()) fleet.setRate(index, 0);
  let reports = await fleet.refresh();
  await until(async () => {
    reports = await fleet.refresh();
    return reports.every(({ pending }) => pending === 0);
  }, 'the last answers');
  return reports;
}
