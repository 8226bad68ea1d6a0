import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Transaction } from 'bitcoinjs-lib';
import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { CRASH_ENV } from '../../src/daemon/crash-points.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { makerJobKey } from '../../src/maker/maker-store.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import { loadContract, type StoredContract } from '../../src/settlement/records.ts';
import { evidenceOf, until } from './evidence.ts';
import { payOf } from './recompute.ts';

export type Daemon = 'proxy' | 'maker';

const PRICE = 2n * 10n ** 18n;
const SHARE_DIFFICULTY = 2 ** -20;
const STEP_HASHES = 2n ** 14n;
const MINER_RESERVE_SAT = 6000n;
/** Until a daemon reaches its point: a contract is opened, paid or closed meanwhile. */
const POINT_TIMEOUT_MS = 60_000;

/** A stage with a proxy and a maker as processes that are killed at named points, and miners that go on. */
export class CrashLife {
  #lives = 1;
  readonly stage: Stage;
  /** The points at which a daemon has died, in order. */
  readonly died: string[] = [];
  readonly #daemons: Readonly<Record<Daemon, DaemonProcess>>;
  readonly #fleet: AsicFleet;
  readonly #process: (daemon: Daemon, logFile?: string) => DaemonProcess;

  private constructor(
    stage: Stage,
    processOf: (daemon: Daemon, logFile?: string) => DaemonProcess,
    fleet: AsicFleet,
  ) {
    this.stage = stage;
    this.#process = processOf;
    this.#daemons = { proxy: processOf('proxy'), maker: processOf('maker') };
    this.#fleet = fleet;
  }

  /** @param edit changes the configuration of the proxy before it starts */
  static async start(
    directory: string,
    undo: (step: () => Promise<unknown>) => void,
    edit: (toml: string) => string = (toml) => toml,
  ): Promise<CrashLife> {
    mkdirSync(directory);
    const stage = await startStage(
      {
        directory,
        stratum: { host: '127.0.0.1', port: 0 },
        bits: compactOfTarget((1n << 256n) / 2n ** 16n),
        blockIntervalMs: 1_000,
        shareDifficulty: SHARE_DIFFICULTY,
        stepHashes: STEP_HASHES,
        workTotalHashes: STEP_HASHES * 100_000n,
        priceMsatPerEh: PRICE,
      },
      {
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
      },
    );
    undo(() => stage.close());
    const { configFile: edited } = stage.proxy;
    writeFileSync(edited, edit(readFileSync(edited, 'utf8')));
    const daemon = (role: Daemon, logFile = join(directory, `${role}.log`)): DaemonProcess => {
      const { configFile } = stage[role];
      const child = new DaemonProcess({ role, configFile, logFile }, { timers: systemTimers });
      undo(() => child.kill());
      return child;
    };
    const miner = (worker: string) => ({ ...stage.stratum, worker, hashesPerSecond: 20_000 });
    const fleet = await startAsics([miner('farm.one'), miner('farm.two')], { trackAccepted: true });
    undo(() => fleet.stop());
    return new CrashLife(stage, daemon, fleet);
  }

  /** Both daemons die at their points, each in its order; the other lives or dies as it may. */
  async strikeAll(points: Readonly<Record<Daemon, readonly string[]>>): Promise<void> {
    const strikes = (['maker', 'proxy'] as const).map(async (daemon) => {
      for (const point of points[daemon]) await this.#strike(daemon, point);
      await this.#daemons[daemon].start();
    });
    await Promise.all(strikes);
  }

  /** Until a state is signed and acked over a live channel. */
  async earn(): Promise<void> {
    await until('a state', async () => {
      const status = await readStatus(this.stage.proxy.metricsUrl);
      const isPaid = status?.contract?.live === true && status.contract.channel.state_number > 0;
      return isPaid ? true : undefined;
    });
  }

  /** The contract is closed while both die at their points. Resolves to its id. */
  async close(points: Readonly<Record<Daemon, readonly string[]>>): Promise<string> {
    const id = await until('the contract', async () => {
      const status = await readStatus(this.stage.proxy.metricsUrl);
      return status?.contract?.id;
    });
    const asked = new AbortController();
    const asking = this.#askToClose(id, asked.signal);
    await Promise.all(
      (['maker', 'proxy'] as const).map(async (daemon) => {
        if (points[daemon].length === 0) return;
        await this.#daemons[daemon].kill();
        for (const point of points[daemon]) await this.#strike(daemon, point);
        await this.#daemons[daemon].start();
      }),
    );
    await until('the close on both disks', async () => {
      const both = await Promise.all([this.#stored('proxy', id), this.#stored('maker', id)]);
      return both.every((stored) => stored?.channel?.status === 'closed') || undefined;
    });
    asked.abort();
    await asking;
    return id;
  }

  pidOf(daemon: Daemon): number {
    return this.#daemons[daemon].pid!;
  }

  kill(daemon: Daemon): Promise<void> {
    return this.#daemons[daemon].kill();
  }

  /** One more process of the same configuration, which logs elsewhere. */
  another(daemon: Daemon, logFile: string): DaemonProcess {
    return this.#process(daemon, logFile);
  }

  /** Resolves with what it says when it is ready. */
  begin(daemon: Daemon): Promise<Record<string, unknown>> {
    return this.#daemons[daemon].start();
  }

  async restart(daemon: Daemon): Promise<void> {
    await this.#daemons[daemon].kill();
    await this.#daemons[daemon].start();
  }

  async acceptedCount(): Promise<number> {
    return (await this.#fleet.refresh()).reduce((sum, { accepted }) => sum + accepted, 0);
  }

  async submittedCount(): Promise<number> {
    return (await this.#fleet.refresh()).reduce((sum, { submitted }) => sum + submitted, 0);
  }

  /** A new start after a close: under another name the proxy offers another contract. */
  async renew(): Promise<void> {
    const { configFile } = this.stage.proxy;
    const text = readFileSync(configFile, 'utf8').replace(/^name = "life-[0-9]+"\n/m, '');
    this.#lives += 1;
    const named = `[contract]\nname = "life-${this.#lives}"\n`;
    writeFileSync(configFile, text.replace('[contract]\n', named));
    await this.restart('proxy');
  }

  /** With both ended: no acknowledged share is lost, none credited twice, and each contract was paid. */
  async check(contracts: readonly string[]): Promise<void> {
    await this.#fleet.stop();
    expect(await this.#daemons.proxy.stop()).toBe(0);
    expect(await this.#daemons.maker.stop()).toBe(0);
    const own = await evidenceOf(this.stage.proxy.dataDir);
    const bought = await evidenceOf(this.stage.maker.dataDir, { jobKey: makerJobKey });
    const hashes = [...own.values()].flatMap((stream) => stream.hashes);
    const credited = new Set(hashes);
    expect(credited.size).toBe(hashes.length);
    const acknowledged = this.#fleet.acceptedHashes();
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(acknowledged.filter((hash) => !credited.has(hash))).toEqual([]);
    const sold = [...bought.values()].flatMap((stream) => stream.hashes);
    expect(new Set(sold).size).toBe(sold.length);
    expect(sold.filter((hash) => !credited.has(hash))).toEqual([]);
    for (const id of contracts) await this.#checkContract(id, bought.get(id)?.workHashes ?? 0n);
  }

  async #checkContract(id: string, boughtHashes: bigint): Promise<void> {
    const miner = (await this.#stored('proxy', id))!;
    expect(miner.last?.workHashes).toBe(boughtHashes);
    const [mine, theirs] = [await this.#states('proxy', id), await this.#states('maker', id)];
    expect(mine.length).toBe(miner.last!.n + 1);
    expect(theirs).toEqual(mine);
    const paid = mine.map((body) => BigInt((JSON.parse(body) as { paid_sat: string }).paid_sat));
    expect(paid).toEqual([...paid].sort((a, b) => (a < b ? -1 : 1)));
    expect(paid.at(-1)).toBe(payOf(boughtHashes, PRICE));
    const { closeTx, closeFeeSat } = (await this.#stored('maker', id))!.channel!;
    const [output] = Transaction.fromHex(closeTx!).outs;
    expect(output!.value).toBe(MINER_RESERVE_SAT + paid.at(-1)! - closeFeeSat!);
    expect(this.stage.chain.transaction(Transaction.fromHex(closeTx!).getId())?.block).toBeDefined();
  }

  /** Starts a daemon that will die at a point, and waits until it has, by its own hand. */
  async #strike(daemon: Daemon, point: string): Promise<void> {
    const child = this.#daemons[daemon];
    const startMs = performance.now();
    // It may die before it is ready.
    let said = '';
    await child.start(POINT_TIMEOUT_MS, { [CRASH_ENV]: point }).catch((error: unknown) => {
      said = String(error);
    });
    const late = new AbortController();
    const outcome = await Promise.race([
      child.exited,
      sleep(POINT_TIMEOUT_MS, 'late' as const, { signal: late.signal }).catch(() => 'late' as const),
    ]);
    late.abort();
    // Null: ended by a signal, and nobody else sends one here.
    expect(outcome, `${point} after ${this.died.join(' ')}: ${said}`).toBe(null);
    expect(performance.now() - startMs, `${point} was reached`).toBeLessThan(POINT_TIMEOUT_MS);
    this.died.push(point);
  }

  async #askToClose(contract: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { metricsUrl, dataDir } = this.stage.proxy;
      await requestAction(metricsUrl, dataDir, 'channel/close', { contract }).catch(() => {});
      await sleep(300);
    }
  }

  async #stored(daemon: Daemon, id: string): Promise<StoredContract | undefined> {
    return this.#read(daemon, (ledger) => loadContract(ledger, id));
  }

  async #states(daemon: Daemon, id: string): Promise<string[]> {
    const documents = await this.#read(daemon, (ledger) => ledger.list('state', `${id}:`));
    return documents.map(({ body }) => body);
  }

  /** Beside the running daemon: readers are let in. */
  async #read<T>(daemon: Daemon, look: (ledger: Ledger) => Promise<T>): Promise<T> {
    const path = join(this.stage[daemon].dataDir, 'ledger.sqlite');
    const ledger = await openSqliteLedger({ path, readOnly: true }, { log: silentLogger });
    try {
      return await look(ledger);
    } finally {
      await ledger.close();
    }
  }
}
