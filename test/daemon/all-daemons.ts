import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ConfigInForce } from '../../src/config/in-force.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startAuditor } from '../../src/daemon/auditor.ts';
import { startMaker } from '../../src/daemon/maker.ts';
import { startProxy } from '../../src/daemon/proxy.ts';
import { startWatch } from '../../src/daemon/watch.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { METRIC_PREFIX, type MetricRole } from '../../src/metrics/catalogue.ts';

type Running = { readonly ready: Readonly<Record<string, unknown>>; close(): Promise<void> };

/** A daemon of every kind in this process, with a miner and a contract that is delivered to. */
export class AllDaemons {
  readonly directory = mkdtempSync(join(tmpdir(), 'daemons-'));
  readonly urls = new Map<MetricRole, string>();
  stage!: Stage;
  readonly #closers: (() => unknown)[] = [() => rmSync(this.directory, { recursive: true })];

  /** @returns what stops the maker, once */
  async start(log: Logger = silentLogger): Promise<() => Promise<void>> {
    const { directory } = this;
    this.stage = await startStage(
      {
        ...{ directory, bits: DEVNET_BITS, stratum: { host: '127.0.0.1', port: 0 }, blockIntervalMs: 500 },
        ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, stepHashes: DEVNET_STEP_HASHES },
        ...{ workTotalHashes: DEVNET_STEP_HASHES * 4000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 4n },
        makerPoolDifficulty: DEVNET_SHARE_DIFFICULTY * 2,
      },
      { clock: systemClock, random: systemRandom, log: silentLogger },
    );
    this.#closers.push(() => this.stage.close());
    const config = <R extends 'proxy' | 'maker'>(role: R) =>
      loadConfig(role, { file: this.stage[role].configFile, env: {} });
    const source = <R extends 'proxy' | 'maker'>(role: R) =>
      new ConfigInForce(role, { file: this.stage[role].configFile, env: {} });
    const stopMaker = this.#serve('maker', await startMaker(config('maker'), log, source('maker')));
    this.#serve('proxy', await startProxy(config('proxy'), log, source('proxy')));
    const { network, chain, closeDir } = config('maker');
    const watched = { network, chain: chain!, paths: [closeDir], readMs: 200, maxAgeMs: 60_000 };
    this.#serve('watch', await startWatch(watched, { host: '127.0.0.1', port: 0 }, log));
    const file = join(directory, 'auditor.toml');
    const peer = '[peer]\nlisten = "127.0.0.1:0"\n[peers]\nallow = []\n[metrics]\nlisten = "127.0.0.1:0"\n';
    writeFileSync(file, `network = "regtest"\ndata_dir = "${join(directory, 'auditor')}"\n${peer}`);
    this.#serve(
      'auditor',
      await startAuditor(
        loadConfig('auditor', { file, env: {} }),
        log,
        new ConfigInForce('auditor', { file, env: {} }),
      ),
    );
    const fleet = await startAsics([{ ...this.stage.stratum, worker: 'one' }]);
    this.#closers.push(() => fleet.stop());
    return stopMaker;
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  #serve(role: MetricRole, daemon: Running): () => Promise<void> {
    this.urls.set(role, `http://${String(daemon.ready['http'])}`);
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => (closed ??= daemon.close());
    this.#closers.push(close);
    return close;
  }

  async page(role: MetricRole, path: string): Promise<string> {
    return (await fetch(`${this.urls.get(role)}${path}`)).text();
  }

  async metric(role: MetricRole, series: string): Promise<number> {
    const line = (await this.page(role, '/metrics'))
      .split('\n')
      .find((candidate) => candidate.startsWith(`${METRIC_PREFIX}${series} `));
    return Number(line?.split(' ').at(-1) ?? Number.NaN);
  }

  /** Waits until a series is at least so much. */
  async comes(role: MetricRole, series: string, value: number): Promise<void> {
    const isThere = async (): Promise<boolean> => (await this.metric(role, series)) >= value;
    const endMs = performance.now() + 60_000;
    const isLate = (): boolean => performance.now() > endMs;
    while (!((await isThere()) || isLate())) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await this.metric(role, series), series).toBeGreaterThanOrEqual(value);
  }
}
