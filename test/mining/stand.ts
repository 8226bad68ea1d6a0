import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock, type Timers } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import type { ProxyConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type RunningProxy, startProxy } from '../../src/daemon/proxy.ts';
import { type ProxyStatusAnswer, readStatus } from '../../src/daemon/status-client.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type DevnetPool, type DevnetPoolOptions, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { DestinationWork } from '../../src/mining/destination-work.ts';
import { Mining } from '../../src/mining/mining.ts';
import { DuplicateSet } from '../../src/shares/duplicates.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { Meters } from '../../src/work/meters.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

/** Of every share here: 16,384 hashes. */
export const DIFFICULTY = 2 ** -18;

const BITS = 0x1e00ffff;

type Closers = (() => unknown)[];

/** A folder, pools and proxies that end with the test. */
export class Stand {
  readonly directory = mkdtempSync(join(tmpdir(), 'daemon-test-'));
  readonly #closers: Closers = [() => rmSync(this.directory, { recursive: true })];

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  onClose(close: () => unknown): void {
    this.#closers.push(close);
  }

  async pool({ bits = BITS, ...options }: DevnetPoolOptions & { bits?: number } = {}): Promise<DevnetPool> {
    const chain = new DevnetChain({ bits }, { clock: systemClock });
    const pool = await startDevnetPool(
      { difficulty: DIFFICULTY, ...options },
      { chain, log: silentLogger, clock: systemClock },
    );
    this.onClose(() => pool.close());
    return pool;
  }

  file(name: string, text: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  config(toml: string): ProxyConfig {
    const head = 'network = "regtest"\ndata_dir = "."\n';
    const metrics = '[metrics]\nlisten = "127.0.0.1:0"\n';
    const file = this.file('proxy.toml', `${head}${toml}\n${metrics}`);
    return loadConfig('proxy', { file, env: {} });
  }

  /** The whole proxy in this process, by its configuration file. */
  async proxy(toml: string): Promise<ProxyStand> {
    const proxy = await startProxy(this.config(toml), silentLogger);
    this.onClose(() => proxy.close());
    return new ProxyStand(proxy);
  }

  /** Its mining side alone, so that a contract can be made up. */
  async mining(
    toml: string,
    clock: Clock = systemClock,
    timers: Timers = systemTimers,
  ): Promise<MiningStand> {
    const config = this.config(toml);
    const ledger = new MemoryLedger({}, { clock });
    const meters = new Meters({ extranonce1Size: 4 });
    const work = new DestinationWork(
      { contract: config.destinations.find(({ role }) => role === 'contract')?.name },
      { clock, meters },
    );
    const mining = new Mining(config, 1, {
      timers,
      kernel: createKernel(1024),
      duplicates: new DuplicateSet(),
      ...{ clock, random: systemRandom, log: silentLogger, env: {} },
      commit: async (shares) => {
        const { parts } = await meters.commit(ledger, shares);
        for (const part of parts) work.add(part);
      },
      observeBatch: () => {},
      observeAck: () => {},
    });
    await mining.start();
    this.onClose(async () => {
      await mining.stop();
      await ledger.close();
    });
    return { config, mining, meters, ledger, work };
  }
}

export type MiningStand = {
  readonly config: ProxyConfig;
  readonly mining: Mining;
  readonly meters: Meters;
  readonly ledger: MemoryLedger;
  readonly work: DestinationWork;
};

export class ProxyStand {
  readonly #proxy: RunningProxy;

  constructor(proxy: RunningProxy) {
    this.#proxy = proxy;
  }

  get port(): number {
    return portOf(this.#proxy.ready['stratum']);
  }

  /** Of its status and metrics. */
  get url(): string {
    return `http://${String(this.#proxy.ready['http'])}`;
  }

  /** Of the ports beside the plain one. */
  get ports(): readonly number[] {
    return (this.#proxy.ready['listeners'] as readonly unknown[]).map(portOf);
  }

  async status(): Promise<ProxyStatusAnswer> {
    return (await readStatus(`http://${String(this.#proxy.ready['http'])}`))!;
  }

  /** What `/readyz` says of the upstreams. */
  async upstreamCheck(): Promise<string> {
    const url = `http://${String(this.#proxy.ready['http'])}/readyz?verbose`;
    const text = await (await fetch(url)).text();
    return /upstream:? (.*)/.exec(text)?.[1] ?? text;
  }

  /** The value of a series, written as Prometheus does: `upstream_up{target="own"}`. */
  async metric(series: string): Promise<number> {
    const text = await (await fetch(`http://${String(this.#proxy.ready['http'])}/metrics`)).text();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`sharestream_${series} `));
    return Number(line?.split(' ')[1] ?? Number.NaN);
  }
}

function portOf(address: unknown): number {
  return Number(/:(\d+)$/.exec(String(address))![1]);
}

/** One `[[destination]]`. */
export function destinationToml(pool: DevnetPool, name: string, more = ''): string {
  const url = `stratum+tcp://${pool.host}:${pool.port}`;
  return `[[destination]]\nname = "${name}"\nurl = "${url}"\nworker = "${name}.farm"\n${more}\n`;
}

export const STRATUM_TOML = `[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = ${DIFFICULTY}, min = ${DIFFICULTY} }
`;

/** Polls until it is so; fails after a minute. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}
