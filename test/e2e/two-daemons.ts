import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { fetchStatus, type ProxyStatusAnswer, readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { type Stage, type StageOptions, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';

type Role = 'proxy' | 'maker';
/** Miners of one machine. */
type Rigs = Parameters<typeof startAsics>[0];

/** A devnet with one proxy and one market maker as processes of their own, until the tests of a file end. */
export class TwoDaemons {
  readonly directory: string;
  stage!: Stage;
  maker!: DaemonProcess;
  proxy!: DaemonProcess;
  readonly #cleanups: (() => unknown)[] = [];

  /** @param name of the folder; to be made where a test file begins */
  constructor(name: string) {
    this.directory = mkdtempSync(join(tmpdir(), `${name}-`));
    this.#cleanups.push(() => rmSync(this.directory, { recursive: true, force: true }));
    afterAll(async () => {
      for (const cleanup of this.#cleanups.reverse()) await cleanup();
    });
  }

  /**
   * Starts the stage, then the maker and the proxy.
   * @param prepare changes what was written for them
   */
  async start(
    options: Partial<StageOptions> & Pick<StageOptions, 'blockIntervalMs'>,
    prepare: (stage: Stage) => void = () => {},
  ): Promise<Stage> {
    const { directory } = this;
    const usual = {
      ...{ directory, bits: DEVNET_BITS, stratum: { host: '127.0.0.1', port: 0 } },
      ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, stepHashes: DEVNET_STEP_HASHES },
      ...{ workTotalHashes: DEVNET_STEP_HASHES * 4000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 4n },
    };
    const deps = { clock: systemClock, random: systemRandom, log: silentLogger };
    this.stage = await startStage({ ...usual, ...options }, deps);
    this.#cleanups.push(() => this.stage.close());
    prepare(this.stage);
    this.maker = this.#daemon('maker');
    this.proxy = this.#daemon('proxy');
    await this.maker.start();
    await this.proxy.start();
    return this.stage;
  }

  /** Miners of the proxy. */
  async asics(rigs: readonly Omit<Rigs[number], 'host' | 'port'>[]): ReturnType<typeof startAsics> {
    const fleet = await startAsics(rigs.map((rig) => ({ ...this.stage.stratum, ...rig })));
    this.#cleanups.push(() => fleet.stop());
    return fleet;
  }

  /** What the proxy says of itself; undefined while it does not answer. */
  proxyStatus(): Promise<ProxyStatusAnswer | undefined> {
    return readStatus(this.stage.proxy.metricsUrl).catch(() => undefined);
  }

  /** What the maker says of itself. */
  async makerStatus(): Promise<MakerStatusAnswer> {
    return (await fetchStatus(this.stage.maker.metricsUrl)) as MakerStatusAnswer;
  }

  log(role: Role): string {
    return readFileSync(this.#logFile(role), 'utf8');
  }

  #logFile(role: Role): string {
    return join(this.directory, `${role}.log`);
  }

  #daemon(role: Role): DaemonProcess {
    const words = { role, configFile: this.stage[role].configFile, logFile: this.#logFile(role) };
    const daemon = new DaemonProcess(words, { timers: systemTimers });
    this.#cleanups.push(() => daemon.stop());
    return daemon;
  }
}
