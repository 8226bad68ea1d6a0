import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProxyConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startProxy } from '../../src/daemon/proxy.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { createLogger } from '../../src/log/pino-logger.ts';
import { type LedgerPlace, openLedgerForReading } from '../../src/operator/ledger-place.ts';
import { chooseKernelKind, KERNEL_CACHE } from '../../src/shares/kernel/choose-kernel.ts';
import type { KernelKind } from '../../src/shares/kernel/create-kernel.ts';
import { Meters } from '../../src/work/meters.ts';
import { BenchChild } from './child.ts';

export type ServeOptions = {
  /** 0 takes a free one. */
  readonly port: number;
  readonly branches: number;
  readonly difficulty: number;
  /** 0: only when asked. */
  readonly blockSeconds: number;
  /** Shares the port with other proxies of the bench. */
  readonly reusePort?: boolean;
  /** The limits on rates as a farm has them; without, a load from one address may do what it can. */
  readonly isLimited?: boolean;
  /** Default: the fastest that works here. */
  readonly kernel?: KernelKind;
  /** A PostgreSQL for its ledger, and its name there, instead of a file. */
  readonly postgres?: { readonly url: string; readonly instance: string };
  /** The upstream of another proxy of the bench instead of one of its own. */
  readonly upstreamPort?: number;
};

export type ServedProxy = {
  readonly pid: number;
  readonly port: number;
  readonly metricsPort: number;
  readonly upstreamPort: number;
  /** When the new block's job left the upstream, in ms of `hrtime`. */
  newBlock(): Promise<number>;
  /** The same for a job that ends no other. */
  newJob(): Promise<number>;
  /** Stops in order. @returns the shares in its ledger, counted anew from the file */
  close(): Promise<number>;
};

/**
 * The proxy as `sharestream proxy` runs it, in this process: upstream client, job table, sessions, share
 * engine, SQLite ledger on disk, metrics. Its upstream is a process of its own.
 */
export async function serveProxy(options: ServeOptions): Promise<ServedProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'sharestream-bench-'));
  const pool = startPool(options);
  const upstreamPort = options.upstreamPort ?? (await pool!.ask<number>('port'));
  const log = createLogger({ level: 'error', output: 'stderr' });
  if (options.kernel !== undefined) await settleKernel(directory, options.kernel);
  const proxy = await startProxy(configOf(options, directory, upstreamPort), log).catch(
    (error: unknown) => {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    },
  );
  const timer =
    options.blockSeconds > 0
      ? setInterval(() => void pool?.ask('newBlock'), options.blockSeconds * 1000)
      : undefined;
  return {
    pid: process.pid,
    port: portOf(proxy.ready['stratum']),
    metricsPort: portOf(proxy.ready['http']),
    upstreamPort,
    newBlock: () => pool!.ask<number>('newBlock'),
    newJob: () => pool!.ask<number>('newJob'),
    close: async () => {
      clearInterval(timer);
      await proxy.close();
      await pool?.stop();
      try {
        return await sharesInLedger({
          path: join(directory, 'ledger.sqlite'),
          postgres: postgresOf(options),
        });
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

/** A proxy takes the kernel that was found to work here before. */
async function settleKernel(directory: string, kernel: KernelKind): Promise<void> {
  await chooseKernelKind(join(directory, KERNEL_CACHE), {
    log: silentLogger,
    tryKernel: async (kind) =>
      kind === kernel ? { outcome: 'works' } : { outcome: 'fails', detail: 'another one is measured' },
  });
}

function startPool({ branches, upstreamPort }: ServeOptions): BenchChild | undefined {
  return upstreamPort === undefined
    ? BenchChild.start('pool-process.ts', [branches.toString()])
    : undefined;
}

function postgresOf({ postgres }: ServeOptions): LedgerPlace['postgres'] {
  if (postgres === undefined) return undefined;
  return {
    ...postgres,
    site: '',
    passwordFile: undefined,
    tlsCaFile: undefined,
    singleServer: false,
    standbyMs: undefined,
  };
}

async function sharesInLedger(place: LedgerPlace): Promise<number> {
  const ledger = await openLedgerForReading(place, { log: silentLogger });
  const meters = await Meters.load(ledger);
  await ledger.close();
  return meters.streams().reduce((sum, stream) => sum + meters.total(stream).seq, 0);
}

function portOf(address: unknown): number {
  return Number(String(address).split(':').at(-1));
}

const NO_LIMITS = `[stratum.limits]
max_sessions_per_address = 60000
accepts_per_second = 100000
accepts_per_second_per_address = 100000
lines_per_second = 100000`;

function configOf(options: ServeOptions, directory: string, upstreamPort: number): ProxyConfig {
  const file = join(directory, 'proxy.toml');
  const { port, difficulty, reusePort = false, postgres } = options;
  writeFileSync(
    file,
    `network = "regtest"
data_dir = ${JSON.stringify(directory)}
[stratum]
listen = "127.0.0.1:${port}"
reuse_port = ${reusePort}
max_sessions = 60000
${options.isLimited === true ? '' : NO_LIMITS}
[stratum.difficulty]
mode = "fixed"
start = ${difficulty}
min = ${difficulty}
max = ${difficulty}
[[destination]]
name = "bench"
url = "stratum+tcp://127.0.0.1:${upstreamPort}"
worker = "bench"
[metrics]
listen = "127.0.0.1:0"
${postgres === undefined ? '' : `[ledger]\nurl = "${postgres.url}"\ninstance = "${postgres.instance}"`}
`,
  );
  return loadConfig('proxy', { file, env: {} });
}
