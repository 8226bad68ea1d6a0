import { setTimeout as sleep } from 'node:timers/promises';
import { BenchChild, type Usage } from './child.ts';
import type { HashedShape } from './floor.ts';
import type { LoadSample, LoadShape } from './load-process.ts';
import type { ServeOptions } from './served-proxy.ts';

export type LoadRow = LoadShape & {
  readonly answeredPerSecond: number;
  readonly accepted: number;
  readonly rejected: number;
  /** Also before and after what is timed. */
  readonly acceptedInAll: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the whole server process over the answers of the same time. */
  readonly cpuMicrosPerShare: number;
  /** Of the generator, to see that it is not what limits. */
  readonly generatorMicrosPerShare: number;
  /** What its shares are made of. */
  readonly hashed: HashedShape;
};

export type Ports = { readonly port: number; readonly metricsPort: number; readonly upstreamPort: number };

export function startProxyProcess(options: ServeOptions, nodeFlags: readonly string[] = []): BenchChild {
  return BenchChild.start('proxy-process.ts', [JSON.stringify(options)], nodeFlags);
}

/** Until the hot code is compiled. */
const WARM_MS = 1500;
/** Submits made ready per second of load: above what any server here answers. */
const PREPARED_PER_SECOND = 130_000;

/**
 * A closed loop over loopback: the servers and the generator are processes of their own.
 * @param servers of one port
 */
export async function measureLoad(
  servers: readonly [BenchChild, ...BenchChild[]],
  shape: LoadShape,
  options: { readonly seconds: number; readonly isProxy: boolean; readonly warmMs?: number },
): Promise<LoadRow> {
  const { port } = await servers[0].ask<Ports>('ports');
  const { seconds, isProxy, warmMs = WARM_MS } = options;
  const load = BenchChild.start('load-process.ts', []);
  try {
    await load.ask('connect', { ...shape, port });
    const shares = Math.ceil(PREPARED_PER_SECOND * (seconds + warmMs / 1000));
    if (isProxy) await load.ask('prepare', { shares });
    await load.ask('start');
    await sleep(warmMs);
    const before = await snapshot(servers, load);
    await sleep(seconds * 1000);
    const after = await snapshot(servers, load);
    const rest = await load.ask<LoadSample>('stop');
    const hashed = await load.ask<HashedShape>('hashed');
    await load.ask('disconnect');
    const { accepted, rejected, p50Ms, p99Ms } = after.sample;
    const answered = accepted + rejected;
    return {
      ...shape,
      answeredPerSecond: (answered * 1000) / (after.atMs - before.atMs),
      ...{ accepted, rejected, p50Ms, p99Ms, hashed },
      acceptedInAll: before.sample.accepted + accepted + rest.accepted,
      cpuMicrosPerShare: (after.cpuMicros - before.cpuMicros) / answered,
      generatorMicrosPerShare: (after.load.cpuMicros - before.load.cpuMicros) / answered,
    };
  } finally {
    await load.stop();
  }
}

async function snapshot(servers: readonly BenchChild[], load: BenchChild) {
  const [used, sample, loadUsed] = await Promise.all([
    Promise.all(servers.map((server) => server.ask<Usage>('usage'))),
    load.ask<LoadSample>('sample'),
    load.ask<Usage>('usage'),
  ]);
  const cpuMicros = used.reduce((sum, usage) => sum + usage.cpuMicros, 0);
  return { atMs: performance.now(), cpuMicros, sample, load: loadUsed };
}
