import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { systemTimers } from '../../../src/base/system-timers.ts';
import { DaemonProcess } from '../../../src/daemon/child.ts';
import { fetchStatus, type ProxyStatusAnswer, readStatus } from '../../../src/daemon/status-client.ts';
import { startAsics } from '../../../src/devnet/asic/asic.ts';
import { DEVNET_BITS, DEVNET_PRICE_MSAT_PER_EH } from '../../../src/devnet/devnet.ts';
import { freePorts } from '../../../src/devnet/net/free-ports.ts';
import { type Stage, startStage } from '../../../src/devnet/stage.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import type { MakerStatusAnswer } from '../../api/all-operations.ts';
import { until } from '../../e2e/evidence.ts';

/** Of a share of the contract, and of the pool of its maker. */
const SHARE_DIFFICULTY = 2 ** -17;
const STEP_HASHES = 2n ** 21n;
export const MAX_UNPAID_HASHES = 5n * STEP_HASHES;

export type FleetProxy = {
  readonly name: string;
  readonly daemon: DaemonProcess;
  readonly configFile: string;
  readonly stratumPort: number;
  readonly metricsUrl: string;
};

/** Proxies of one miner on one database, a maker, and simulated machines, as processes of their own. */
export class FleetStand {
  readonly #directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-fleet-'));
  readonly #cleanups: (() => unknown)[] = [];
  readonly proxies: FleetProxy[] = [];
  stage!: Stage;
  maker!: DaemonProcess;

  /** @param urlOf the database as one proxy of this name is told of it */
  async start(names: readonly string[], urlOf: (name: string) => string, lease: string): Promise<void> {
    const directory = this.#directory;
    this.#cleanups.push(() => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
    this.stage = await startStage(
      {
        ...{ directory, bits: DEVNET_BITS, blockIntervalMs: 5_000 },
        ...{ stratum: { host: '127.0.0.1', port: 0 }, shareDifficulty: SHARE_DIFFICULTY },
        ...{ stepHashes: STEP_HASHES, workTotalHashes: STEP_HASHES * 20_000n },
        ...{ priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 16n, makerPoolDifficulty: SHARE_DIFFICULTY * 2 },
      },
      { clock: systemClock, random: systemRandom, log: silentLogger },
    );
    this.#cleanups.push(() => this.stage.close());
    const { maker } = this.stage;
    this.maker = this.#daemon('maker', 'maker', maker.configFile);
    await this.maker.start();
    const ports = await freePorts(2 * names.length, systemRandom);
    for (const [at, name] of names.entries())
      this.proxies.push(this.#proxy(name, urlOf(name), lease, ports[2 * at]!, ports[2 * at + 1]!));
    await Promise.all(this.proxies.map(({ daemon }) => daemon.start()));
  }

  /** So many machines at each proxy. */
  async asics(each: number, hashesPerSecond: number): ReturnType<typeof startAsics> {
    const rigs = this.proxies.flatMap(({ name, stratumPort: port }) =>
      Array.from({ length: each }, (_, at) => ({
        ...{ host: '127.0.0.1', port, worker: `farm.${name}-${at}`, hashesPerSecond },
      })),
    );
    const asics = await startAsics(rigs);
    this.#cleanups.push(() => asics.stop());
    return asics;
  }

  /** What a proxy says of itself; undefined while it does not answer. */
  statusOf({ metricsUrl }: FleetProxy): Promise<ProxyStatusAnswer | undefined> {
    return readStatus(metricsUrl).catch(() => undefined);
  }

  /** The contract as its maker has it. */
  async bought(): Promise<MakerStatusAnswer['contracts'][number] | undefined> {
    const { contracts } = (await fetchStatus(this.stage.maker.metricsUrl)) as MakerStatusAnswer;
    return contracts[0];
  }

  /** States are signed, and so many proxies deliver. Default: all. */
  async goesOn(what: string, live = this.proxies.length): Promise<void> {
    const from = (await this.bought())?.n ?? 0;
    await until(
      `it goes on after ${what}`,
      async () => {
        const row = await this.bought();
        const statuses = await Promise.all(this.proxies.map((each) => this.statusOf(each)));
        const areLive = statuses.filter((status) => status?.shared_contracts[0]?.live === true).length;
        return areLive === live && (row?.n ?? 0) >= from + 2 ? true : undefined;
      },
      120_000,
    );
  }

  /** The last lines of the log of a daemon, or all. */
  logOf(name: string): string {
    return fs.readFileSync(path.join(this.#directory, `${name}.log`), 'utf8');
  }

  async stop(): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }

  #daemon(role: 'proxy' | 'maker', name: string, configFile: string): DaemonProcess {
    const logFile = path.join(this.#directory, `${name}.log`);
    const daemon = new DaemonProcess({ role, configFile, logFile }, { timers: systemTimers });
    this.#cleanups.push(async () => {
      if (daemon.pid !== undefined) signal(daemon, 'SIGCONT');
      await daemon.stop();
    });
    return daemon;
  }

  /** With the keys of the one that the stage was made for. */
  #proxy(name: string, url: string, lease: string, stratumPort: number, metricsPort: number): FleetProxy {
    const { proxy } = this.stage;
    const folder = path.join(this.#directory, name);
    fs.mkdirSync(folder, { mode: 0o700 });
    for (const file of ['seed', 'rpc-password'])
      fs.copyFileSync(path.join(proxy.dataDir, file), path.join(folder, file));
    const configFile = path.join(folder, 'config.toml');
    const toml = fs
      .readFileSync(proxy.configFile, 'utf8')
      .replace(/(\[stratum\]\nlisten = ).*/, `$1"127.0.0.1:${stratumPort}"`)
      .replace(/(\[metrics\]\nlisten = ).*/, `$1"127.0.0.1:${metricsPort}"`)
      .replace('[contract]\n', `[contract]\nlease = "${lease}"\n`);
    fs.writeFileSync(configFile, `${toml}\n[ledger]\nurl = "${url}"\ninstance = "${name}"\n`);
    const daemon = this.#daemon('proxy', name, configFile);
    return { name, daemon, configFile, stratumPort, metricsUrl: `http://127.0.0.1:${metricsPort}` };
  }
}

export function signal({ pid }: DaemonProcess, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
