import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { identity, startStage } from '../../src/devnet/stage.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { Stand } from '../auditor/stand.ts';
import { BenchChild } from '../bench/child.ts';
import { type Ports, startProxyProcess } from '../bench/whole-proxy.ts';
import { AuditorStage, writeAuditor } from '../e2e/auditor-stage.ts';

export type Role = 'proxy' | 'maker' | 'auditor';
export type Urls = Readonly<Record<Role, string>>;

/** What a test file starts, undone in reverse when its tests are over. */
export class Undo {
  readonly #steps: (() => unknown)[] = [];

  constructor() {
    afterAll(async () => {
      for (const step of this.#steps.splice(0).reverse()) await step();
    });
  }

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** A folder that is gone at the end. */
  folder(name: string): string {
    const directory = mkdtempSync(join(tmpdir(), `page-${name}-`));
    this.add(() => rmSync(directory, { recursive: true, force: true }));
    return directory;
  }
}

/** All daemons, and nobody who wants anything of them: no miner, no contract, no case. */
export async function startEmpty(
  undo: Undo,
): Promise<{ readonly urls: Urls; readonly stratum: { readonly host: string; readonly port: number } }> {
  const directory = undo.folder('empty');
  const stage = await startStage(
    {
      ...{ directory, bits: DEVNET_BITS, stratum: { host: '127.0.0.1', port: 0 } },
      ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, stepHashes: DEVNET_STEP_HASHES },
      ...{ workTotalHashes: DEVNET_STEP_HASHES * 4000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH },
      ...{ makerPoolDifficulty: DEVNET_SHARE_DIFFICULTY * 2, blockIntervalMs: 86_400_000 },
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  undo.add(() => stage.close());
  const auditor = await writeAuditor(directory, stage);
  const { configFile } = stage.proxy;
  const alone = readFileSync(configFile, 'utf8').replace(/\[contract\].*?(?=\[payout\])/s, '');
  writeFileSync(configFile, alone, { mode: 0o600 });
  const files = { proxy: configFile, maker: stage.maker.configFile, auditor: auditor.configFile };
  for (const role of ['auditor', 'maker', 'proxy'] as const) {
    const logFile = join(directory, `${role}.log`);
    const daemon = new DaemonProcess({ role, configFile: files[role], logFile }, { timers: systemTimers });
    undo.add(() => daemon.kill());
    await daemon.start();
  }
  const urls = { proxy: stage.proxy.metricsUrl, maker: stage.maker.metricsUrl, auditor: auditor.url };
  return { urls, stratum: stage.stratum };
}

/** The daemons of a contract that is delivered to, with an auditor that is told of it. */
export async function startDemo(undo: Undo): Promise<{ readonly urls: Urls; readonly life: AuditorStage }> {
  const directory = undo.folder('demo');
  const life = await AuditorStage.start({ directory, csvBlocks: 2016, hashesPerSecond: 60_000 }, (step) =>
    undo.add(step),
  );
  const { proxy, maker } = life.stage;
  return { urls: { proxy: proxy.metricsUrl, maker: maker.metricsUrl, auditor: life.auditorUrl }, life };
}

/** A proxy with connections that each had a share judged, and more to come. */
export type Crowd = {
  readonly url: string;
  /** Connects so many more, each a worker of its own; resolves when each has had its shares answered. */
  readonly grow: (miners: number) => Promise<void>;
};

const SHARES_EACH = 2;

export async function startCrowd(undo: Undo): Promise<Crowd> {
  // Each hash in two meets the target: what is rejected is so by chance, and counted all the same.
  const proxy = startProxyProcess({ port: 0, branches: 0, difficulty: 2 ** -32, blockSeconds: 0 });
  undo.add(() => proxy.stop());
  const { port, metricsPort } = await proxy.ask<Ports>('ports');
  let firstIndex = 0;
  return {
    url: `http://127.0.0.1:${metricsPort}`,
    grow: async (miners) => {
      const load = BenchChild.start('load-process.ts', []);
      undo.add(() => load.stop());
      const shape = { connections: miners, window: SHARES_EACH, findsNonces: true };
      await load.ask('connect', { port, firstIndex, ...shape });
      firstIndex += miners;
      await load.ask('start');
      await load.ask('stop');
    },
  };
}

/** An hour that the ledger of `startRuled` has. */
export const RULED_HOUR = {
  ...{ sequence: 490_000, at_ms: 490_001 * 3_600_000, contracts: 3, minutes: 180, connections: 2 },
  in_default: 1,
} as const;

/** An auditor that starts from its disk, with a case in which the miner delivered nothing for hours. */
export async function startRuled(undo: Undo): Promise<string> {
  const directory = undo.folder('ruled');
  const stand = new Stand();
  await stand.start();
  stand.run(60, { shares: 12n });
  stand.run(140, { shares: 0n, miner: 'idle' });
  await stand.write();
  await stand.tell();
  const [port] = await freePorts(1, systemRandom);
  identity(join(directory, 'seed'), systemRandom);
  const configFile = join(directory, 'auditor.toml');
  writeFileSync(
    configFile,
    `network = "regtest"
data_dir = ${JSON.stringify(directory)}
[peer]
listen = "127.0.0.1:0"
[peers]
allow = []
[metrics]
listen = "127.0.0.1:${port}"
`,
    { mode: 0o600 },
  );
  const path = join(directory, 'ledger.sqlite');
  const ledger = await openSqliteLedger({ path }, { log: silentLogger });
  for (const kind of ['audited', 'audited_channel', 'minutes'])
    for (const { id, body } of await stand.auditorLedger.list(kind))
      await ledger.appendNow([{ type: 'put', kind, id, body }]);
  const body = JSON.stringify({ version: 1, ...RULED_HOUR });
  await ledger.appendNow([{ type: 'put', kind: 'history_hour', id: '0007', body }]);
  await ledger.close();
  await stand.stop();
  const logFile = join(directory, 'auditor.log');
  const daemon = new DaemonProcess({ role: 'auditor', configFile, logFile }, { timers: systemTimers });
  undo.add(() => daemon.kill());
  await daemon.start();
  return `http://127.0.0.1:${port}`;
}
