import { existsSync } from 'node:fs';
import type { KernelKind } from '../../src/shares/kernel/create-kernel.ts';
import { NATIVE_KERNEL_FILE } from '../../src/shares/kernel/native-hasher.ts';
import { BenchChild } from './child.ts';
import { ShaProbe } from './floor.ts';
import type { LoadShape } from './load-process.ts';
import { median } from './median.ts';
import { checkRules, shareCounters } from './rules-check.ts';
import type { ServeOptions } from './served-proxy.ts';
import { type LoadRow, measureLoad, type Ports, startProxyProcess } from './whole-proxy.ts';

/** What a share costs a proxy, against what it must cost. Each number is the median of the rounds. */
export type HonestRow = LoadShape & {
  readonly kernel: KernelKind;
  readonly answeredPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time per share: a server that only answers, the hashing alone, and the whole proxy. */
  readonly bareMicros: number;
  readonly hashMicros: number;
  readonly proxyMicros: number;
  /** The proxy's over the sum of the other two, of each round by itself. */
  readonly timesFloor: number;
};

export type HonestRows = {
  /** What each share of the check was answered, of each proxy. */
  readonly rules: readonly string[];
  /** The kernel that `hashMicros` are of. */
  readonly hashedBy: string;
  readonly rounds: number;
  readonly rows: readonly HonestRow[];
  readonly shares: { readonly answeredTrue: number; readonly counted: number; readonly inLedger: number };
};

/** Connections and submits in flight on each. */
export const SHAPES: readonly LoadShape[] = [
  { connections: 50, window: 8 },
  { connections: 500, window: 2 },
  { connections: 2000, window: 1 },
];
/** Of the first round, in which code is compiled, and of the others. */
const WARM_MS = 1500;
const WARMED_MS = 500;
/** Its target is the easiest one a share can be assigned: half of all hashes. The load sends only those. */
export const EASIEST = 2 ** -32;
const OPTIONS: ServeOptions = { port: 0, branches: 12, difficulty: EASIEST, blockSeconds: 0 };

/** A proxy with a kernel of one kind, and what it has answered `true`. */
type Measured = { readonly kernel: KernelKind; readonly child: BenchChild; answeredTrue: number };
type Sample = { readonly bare: LoadRow; readonly hashMicros: number; readonly proxy: LoadRow };

/**
 * Rounds in which a bare server, the hashing alone and the proxy take turns, once with the native kernel too
 * where that was built. Throws where what was answered `true` is not what was counted and what is on disk.
 */
export async function measureHonestRows(
  options: { readonly seconds: number; readonly rounds: number; readonly shapes?: readonly LoadShape[] },
  onRow: (row: HonestRow) => void = () => {},
): Promise<HonestRows> {
  const { shapes = SHAPES, rounds } = options;
  const probe = new ShaProbe();
  const bare = BenchChild.start('bare-process.ts', []);
  const kinds: KernelKind[] = existsSync(NATIVE_KERNEL_FILE) ? ['simd', 'native'] : ['simd'];
  const proxies: Measured[] = kinds.map((kernel) => ({
    kernel,
    child: startProxyProcess({ ...OPTIONS, kernel }),
    answeredTrue: 0,
  }));
  try {
    const rules: string[] = [];
    for (const proxy of proxies) rules.push(...(await checkedRules(proxy)));
    const rows: HonestRow[] = [];
    for (const shape of shapes) {
      const samples = proxies.map((): Sample[] => []);
      for (let round = 0; round < rounds; round += 1)
        for (const [index, sample] of (
          await takeTurns(bare, proxies, probe, shape, options, round)
        ).entries())
          samples[index]!.push(sample);
      for (const [index, { kernel }] of proxies.entries()) {
        const row = rowOf(kernel, shape, samples[index]!);
        rows.push(row);
        onRow(row);
      }
    }
    const shares = await sumsOf(proxies);
    return { rules, hashedBy: probe.name, rounds, rows, shares };
  } finally {
    await bare.stop();
    for (const { child } of proxies) await child.stop();
  }
}

async function checkedRules(proxy: Measured): Promise<readonly string[]> {
  const ports = await proxy.child.ask<Ports>('ports');
  const rules = await checkRules(ports, () => proxy.child.ask('newBlock'));
  proxy.answeredTrue += rules.filter((what) => what === 'accepted').length;
  return rules;
}

/** One round of one shape: of each proxy a pair, the server that is bare measured once for all. */
async function takeTurns(
  bare: BenchChild,
  proxies: readonly Measured[],
  probe: ShaProbe,
  shape: LoadShape,
  { seconds }: { readonly seconds: number },
  round: number,
): Promise<Sample[]> {
  const warmMs = round === 0 ? WARM_MS : WARMED_MS;
  const bareRow = await measureLoad([bare], shape, { seconds, isProxy: false, warmMs });
  const samples: Sample[] = [];
  for (const proxy of proxies) {
    const row = await measureLoad([proxy.child], shape, { seconds, isProxy: true, warmMs });
    proxy.answeredTrue += row.acceptedInAll;
    samples.push({ bare: bareRow, hashMicros: probe.microsOf(row.hashed), proxy: row });
  }
  return samples;
}

function rowOf(
  kernel: KernelKind,
  { connections, window }: LoadShape,
  samples: readonly Sample[],
): HonestRow {
  const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
  return {
    ...{ connections, window, kernel },
    answeredPerSecond: middle(({ proxy }) => proxy.answeredPerSecond),
    p50Ms: middle(({ proxy }) => proxy.p50Ms),
    p99Ms: middle(({ proxy }) => proxy.p99Ms),
    bareMicros: middle(({ bare }) => bare.cpuMicrosPerShare),
    hashMicros: middle(({ hashMicros }) => hashMicros),
    proxyMicros: middle(({ proxy }) => proxy.cpuMicrosPerShare),
    timesFloor: middle(
      ({ bare, hashMicros, proxy }) => proxy.cpuMicrosPerShare / (bare.cpuMicrosPerShare + hashMicros),
    ),
  };
}

async function sumsOf(proxies: readonly Measured[]): Promise<HonestRows['shares']> {
  const sums = { answeredTrue: 0, counted: 0, inLedger: 0 };
  for (const { child, answeredTrue } of proxies) {
    const { metricsPort } = await child.ask<Ports>('ports');
    const counted = (await shareCounters(metricsPort)).get('accepted') ?? 0;
    const inLedger = await child.ask<number>('close');
    if (counted !== answeredTrue || inLedger !== answeredTrue)
      throw new Error(`${answeredTrue} answered true, ${counted} counted, ${inLedger} in the ledger`);
    sums.answeredTrue += answeredTrue;
    sums.counted += counted;
    sums.inLedger += inLedger;
  }
  return sums;
}

export const HONEST_HEAD =
  'load     kernel  answered/s  p50 ms  p99 ms  proxy us/share  bare us  hash us  times floor\n';

export function honestLine(row: HonestRow): string {
  const cells = [
    row.answeredPerSecond.toFixed(0).padStart(11),
    row.p50Ms.toFixed(1).padStart(7),
    row.p99Ms.toFixed(1).padStart(7),
    row.proxyMicros.toFixed(2).padStart(15),
    row.bareMicros.toFixed(2).padStart(8),
    row.hashMicros.toFixed(2).padStart(8),
    row.timesFloor.toFixed(2).padStart(12),
  ];
  return `${`${row.connections}x${row.window}`.padEnd(8)} ${row.kernel.padEnd(6)}${cells.join(' ')}\n`;
}
