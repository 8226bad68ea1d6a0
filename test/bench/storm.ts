import { setTimeout as sleep } from 'node:timers/promises';
import { BenchChild, type Usage } from './child.ts';
import type { LoadSample, LoadTotals } from './load-process.ts';
import type { StormCounts, StormShape } from './storm-process.ts';
import { type Ports, startProxyProcess } from './whole-proxy.ts';

export type StormOptions = {
  readonly honest: number;
  readonly storm: number;
  readonly slow: number;
  readonly garbage: number;
  readonly aloneSeconds: number;
  readonly stormSeconds: number;
  readonly seed: number;
  /** The storm goes on, up to five times as long, until the counters of the proxy show enough. */
  readonly isEnough?: (counters: ReadonlyMap<string, number>) => boolean;
};

/** As the acceptance of the product has it. */
export const STORM: Omit<StormOptions, 'seed' | 'isEnough'> = {
  honest: 500,
  storm: 5_000,
  slow: 2_000,
  garbage: 1_000,
  aloneSeconds: 5,
  stormSeconds: 15,
};

export type StormResult = {
  /** Of the honest miners, before and while the others came. */
  readonly alone: LoadSample;
  readonly inStorm: LoadSample;
  readonly honest: {
    readonly submitted: number;
    readonly accepted: number;
    readonly rejected: number;
    readonly unanswered: number;
    readonly inLedger: number;
  };
  readonly crowds: StormCounts;
  /** Counters of the proxy, by their names and labels. */
  readonly metrics: ReadonlyMap<string, number>;
  readonly residentMiB: { readonly before: number; readonly most: number };
};

/** Between an answer and the next submit: each miner sends some two shares a second. */
const PAUSE_MS = 500;
/** A job for everybody, so that who does not read has something not to read. */
const JOB_MS = 2_000;
const LOOK_MS = 500;
const WARM_MS = 2_000;

/**
 * Honest miners at a steady rate, first alone and then beside crowds that mean no good. The proxy, its
 * upstream, the honest and the others are processes of their own; every crowd has an address of its own.
 */
export async function measureStorm(options: StormOptions): Promise<StormResult> {
  const served = { port: 0, branches: 12, difficulty: 2 ** -32, blockSeconds: 0, isLimited: true };
  const proxy = startProxyProcess(served);
  const { port, metricsPort } = await proxy.ask<Ports>('ports');
  const { storm, slow, garbage, seed } = options;
  const shape: StormShape = { port, storm, slow, garbage, seed };
  const load = BenchChild.start('load-process.ts', []);
  const crowd = BenchChild.start('storm-process.ts', [JSON.stringify(shape)]);
  const jobs = setInterval(() => void proxy.ask('newJob').catch(() => {}), JOB_MS);
  try {
    const honest = { connections: options.honest, window: 1, pauseMs: PAUSE_MS, findsNonces: true };
    await load.ask('connect', { port, ...honest });
    await load.ask('start');
    await sleep(WARM_MS);
    const warm = await load.ask<LoadSample>('sample');
    await sleep(options.aloneSeconds * 1000);
    const alone = await load.ask<LoadSample>('sample');
    const before = (await proxy.ask<Usage>('usage')).residentBytes;
    await crowd.ask('start');
    let most = await mostResident(proxy, options.stormSeconds * 1000);
    const { isEnough = () => true } = options;
    const endMs = performance.now() + options.stormSeconds * 4000;
    while (!isEnough(await countersOf(metricsPort)) && performance.now() < endMs)
      most = Math.max(most, await mostResident(proxy, JOB_MS));
    const inStorm = await load.ask<LoadSample>('sample');
    const metrics = await countersOf(metricsPort);
    const crowds = await crowd.ask<StormCounts>('stop');
    const rest = await load.ask<LoadSample>('stop');
    const { submitted, unanswered } = await load.ask<LoadTotals>('totals');
    await load.ask('disconnect');
    clearInterval(jobs);
    const samples = [warm, alone, inStorm, rest];
    return {
      ...{ alone, inStorm, crowds, metrics },
      honest: {
        submitted,
        unanswered,
        accepted: samples.reduce((sum, { accepted }) => sum + accepted, 0),
        rejected: samples.reduce((sum, { rejected }) => sum + rejected, 0),
        inLedger: await proxy.ask<number>('close'),
      },
      residentMiB: { before: before / 2 ** 20, most: most / 2 ** 20 },
    };
  } finally {
    clearInterval(jobs);
    await Promise.all([load.stop(), crowd.stop()]);
    await proxy.stop();
  }
}

async function mostResident(proxy: BenchChild, forMs: number): Promise<number> {
  const endMs = performance.now() + forMs;
  let most = 0;
  while (performance.now() < endMs) {
    most = Math.max(most, (await proxy.ask<Usage>('usage')).residentBytes);
    await sleep(LOOK_MS);
  }
  return most;
}

async function countersOf(metricsPort: number): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counters = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^sharestream_((?:downstream|limit|errors|shares)_\S+) (\d+)$/.exec(line) ?? [];
    if (name !== undefined && value !== '0') counters.set(name, Number(value));
  }
  return counters;
}

export function stormText(result: StormResult): string {
  const { alone, inStorm, honest, crowds, residentMiB } = result;
  const latency = ({ p50Ms, p99Ms }: LoadSample): string =>
    `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`;
  const row = (role: 'storm' | 'slow' | 'garbage'): string =>
    `${crowds.tried[role]} came, ${crowds.opened[role]} opened, ${crowds.served[role]} served, ` +
    `${crowds.closed[role]} closed`;
  return `honest alone     ${latency(alone)}
honest in storm  ${latency(inStorm)}
honest shares    ${honest.submitted} sent, ${honest.accepted} answered true, ${honest.inLedger} in the ledger
storm            ${row('storm')}
slow readers     ${row('slow')}
garbage senders  ${row('garbage')}
resident         ${residentMiB.before.toFixed(0)} MiB before, ${residentMiB.most.toFixed(0)} MiB at most
`;
}
