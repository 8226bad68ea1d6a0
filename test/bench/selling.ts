import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { type ProxyStatusAnswer, readStatus } from '../../src/daemon/status-client.ts';
import { startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BenchChild, type Usage } from './child.ts';
import { type HashedShape, ShaProbe } from './floor.ts';
import type { LoadSample } from './load-process.ts';
import { median } from './median.ts';
import { type Ports, startProxyProcess } from './whole-proxy.ts';

/** A proxy that sells: what a share costs it beside one that only mines, and what it costs the maker. */
export type SellingResult = {
  readonly connections: number;
  readonly window: number;
  /** CPU time per share, medians: a proxy alone, one that sells, the maker's daemon. */
  readonly aloneMicros: number;
  readonly sellingMicros: number;
  readonly makerMicros: number;
  /** The same of a server that only answers, and of the hashing alone, of shares as these are. */
  readonly bareMicros: number;
  readonly hashMicros: number;
  /** Of each round by itself: what selling adds; the proxy that sells over bare and hash together. */
  readonly addedMicros: number;
  readonly timesFloor: number;
  /** The maker, from the link to the signed state, over the hash. */
  readonly makerTimesHash: number;
  readonly sharesPerSecond: number;
  /** From a share that solves the pool's target to the verdict of the maker's pool, both ways; ms. */
  readonly solutionP50Ms: number;
  readonly solutionP99Ms: number;
  readonly solutions: number;
};

/** The easiest target there is: one hash in two meets it. */
const EASIEST = 2 ** -32;
const STEP_HASHES = 2n ** 19n;
const STEPS = 4000n;
const PRICE_MSAT_PER_EH = 4n * 10n ** 19n;
/** Blocks are found by true work: the load finds one each half a minute, the clock the rest. */
const BLOCK_HASHES = 2n ** 22n;
const BLOCK_INTERVAL_MS = 5000;
/** One share in 4,096 is one for the maker's pool. */
const POOL_DIFFICULTY = EASIEST * 4096;
const SHAPE = { connections: 50, window: 8, findsNonces: true } as const;
const WARM_MS = 1500;
const OPEN_MS = 60_000;
/** Rounds of `npm run bench`, and the time of each measurement in them. */
const ROUNDS = 5;
const SECONDS = 2;

type Status = ProxyStatusAnswer;

/**
 * Rounds in which a proxy alone and one that sells take turns, at the same load: both with jobs without
 * branches, ledgers on disk and metrics on, the maker a process of its own with a pool of its own.
 */
export async function measureSelling(rounds = ROUNDS, seconds = SECONDS): Promise<SellingResult> {
  const directory = mkdtempSync(join(tmpdir(), 'sharestream-selling-'));
  const alone = startProxyProcess({ port: 0, branches: 0, difficulty: EASIEST, blockSeconds: 0 });
  const undo: (() => unknown)[] = [
    () => rmSync(directory, { recursive: true, force: true }),
    () => alone.stop(),
  ];
  try {
    const market = await startMarket(directory, undo);
    const bare = BenchChild.start('bare-process.ts', []);
    undo.push(() => bare.stop());
    const probe = new ShaProbe();
    const samples: SellingSample[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const bareMicros = await sampleAlone(bare, seconds);
      const aloneMicros = await sampleAlone(alone, seconds);
      const sold = await sampleSelling(market, seconds);
      samples.push({ ...sold, bareMicros, aloneMicros, hashMicros: probe.microsOf(sold.hashed) });
    }
    const { work } = (await market.status()).contract!;
    const middle = (of: (sample: SellingSample) => number): number => median(samples.map(of));
    return {
      ...{ connections: SHAPE.connections, window: SHAPE.window },
      aloneMicros: middle((each) => each.aloneMicros),
      sellingMicros: middle((each) => each.sellingMicros),
      makerMicros: middle((each) => each.makerMicros),
      bareMicros: middle((each) => each.bareMicros),
      hashMicros: middle((each) => each.hashMicros),
      addedMicros: middle((each) => each.sellingMicros - each.aloneMicros),
      timesFloor: middle((each) => each.sellingMicros / (each.bareMicros + each.hashMicros)),
      makerTimesHash: middle((each) => each.makerMicros / each.hashMicros),
      sharesPerSecond: middle((each) => each.sharesPerSecond),
      solutionP50Ms: work?.solution_ms.p50 ?? Number.NaN,
      solutionP99Ms: work?.solution_ms.p99 ?? Number.NaN,
      solutions: market.solutions(),
    };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

type SellingSample = Awaited<ReturnType<typeof sampleSelling>> & {
  readonly bareMicros: number;
  readonly aloneMicros: number;
  readonly hashMicros: number;
};

type Market = {
  readonly port: number;
  readonly proxyPid: number;
  readonly makerPid: number;
  readonly makerUrl: string;
  readonly status: () => Promise<Status>;
  /** Shares that the maker's pool took. */
  readonly solutions: () => number;
};

/** A proxy and a maker with an open channel, the proxy selling. @param undo what ends them is added */
async function startMarket(directory: string, undo: (() => unknown)[]): Promise<Market> {
  const stage = await startStage(
    {
      ...{ directory, stratum: { host: '127.0.0.1', port: 0 } },
      ...{ bits: compactOfTarget((1n << 256n) / BLOCK_HASHES), blockIntervalMs: BLOCK_INTERVAL_MS },
      ...{ shareDifficulty: EASIEST, makerPoolDifficulty: POOL_DIFFICULTY },
      ...{ stepHashes: STEP_HASHES, workTotalHashes: STEP_HASHES * STEPS },
      priceMsatPerEh: PRICE_MSAT_PER_EH,
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  undo.push(() => stage.close());
  const file = stage.proxy.configFile;
  writeFileSync(
    file,
    `${readFileSync(file, 'utf8')}\n[contract.work_binding]\nhardest_share = ${EASIEST}\n`,
  );
  const daemonOf = async (role: 'proxy' | 'maker'): Promise<DaemonProcess> => {
    const daemon = new DaemonProcess(
      { role, configFile: stage[role].configFile, logFile: join(directory, `${role}.log`) },
      { timers: systemTimers },
    );
    undo.push(() => daemon.stop());
    await daemon.start();
    return daemon;
  };
  const maker = await daemonOf('maker');
  const proxy = await daemonOf('proxy');
  const status = async (): Promise<Status> => (await readStatus(stage.proxy.metricsUrl))!;
  await until(async () => (await status()).contract?.work?.up === true);
  return {
    port: stage.stratum.port,
    ...{ proxyPid: proxy.pid!, makerPid: maker.pid! },
    makerUrl: stage.maker.metricsUrl,
    status,
    solutions: () => stage.makerPool!.stats.shares,
  };
}

async function sampleAlone(server: BenchChild, seconds: number): Promise<number> {
  const { port } = await server.ask<Ports>('ports');
  const cpuMicros = async (): Promise<number> => (await server.ask<Usage>('usage')).cpuMicros;
  const { micros, answered } = await underLoad(port, seconds, cpuMicros);
  return micros / answered;
}

async function sampleSelling(market: Market, seconds: number) {
  let verified = 0;
  let makerMicros = 0;
  const sold = await underLoad(market.port, seconds, async () => {
    const [credited, used] = [await creditedShares(market.makerUrl), cpuMicrosOf(market.makerPid)];
    // The first call gives what there was before, the second the difference.
    [verified, makerMicros] = [credited - verified, used - makerMicros];
    return cpuMicrosOf(market.proxyPid);
  });
  return {
    sellingMicros: sold.micros / sold.answered,
    makerMicros: makerMicros / verified,
    sharesPerSecond: sold.answered / sold.seconds,
    hashed: sold.hashed,
  };
}

/** Load on a port, and the difference of what `measure` gives before and after. */
async function underLoad(port: number, seconds: number, measure: () => Promise<number>) {
  const load = BenchChild.start('load-process.ts', []);
  try {
    await load.ask('connect', { ...SHAPE, port });
    await load.ask('start');
    await sleep(WARM_MS);
    const [before, beganMs] = [await measure(), performance.now()];
    await load.ask<LoadSample>('sample');
    await sleep(seconds * 1000);
    const { accepted, rejected } = await load.ask<LoadSample>('sample');
    const [after, endedMs] = [await measure(), performance.now()];
    const hashed = await load.ask<HashedShape>('hashed');
    await load.ask('stop');
    await load.ask('disconnect');
    if (rejected > accepted / 100) throw new Error(`${rejected} shares of ${accepted} were rejected`);
    const answered = accepted + rejected;
    return { micros: after - before, answered, seconds: (endedMs - beganMs) / 1000, hashed };
  } finally {
    await load.stop();
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + OPEN_MS;
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > endMs) throw new Error('the channel did not open');
    await sleep(100);
  }
}

/** CPU time of all threads of a process so far, in the system's ticks of 10 ms (Linux). */
function cpuMicrosOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function creditedShares(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^sharestream_shares_accepted_total(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]);
}

/** The result, for people. */
export function sellingText(result: SellingResult): string {
  const { connections, window, aloneMicros, sellingMicros, makerMicros } = result;
  const { addedMicros, bareMicros, hashMicros } = result;
  return (
    `selling, ${connections}x${window}: ${sellingMicros.toFixed(2)} CPU us/share where a proxy alone takes ` +
    `${aloneMicros.toFixed(2)} (${addedMicros.toFixed(2)} more); ${result.timesFloor.toFixed(2)} times the floor of ` +
    `${bareMicros.toFixed(2)} (bare) and ${hashMicros.toFixed(2)} (hash)\n` +
    `the maker, from the link to the signed state: ${makerMicros.toFixed(2)} CPU us/share, ` +
    `${result.makerTimesHash.toFixed(1)} times the hash; ${result.sharesPerSecond.toFixed(0)} shares/s\n` +
    `a solution has the verdict of the maker's pool after ${result.solutionP50Ms.toFixed(1)} ms (p50), ` +
    `${result.solutionP99Ms.toFixed(1)} ms (p99), of ${result.solutions}\n`
  );
}

if (import.meta.main) process.stdout.write(sellingText(await measureSelling()));
