import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { BenchChild } from './child.ts';
import { type IdleResult, measureIdle } from './idle-sessions.ts';
import { benchKernels, type KernelBenchRow, kernelTable } from './kernel-bench.ts';
import { measurePeerLink, type PeerLinkRow, peerLinkTable } from './peer-link.ts';
import { checkRules, shareCounters } from './rules-check.ts';
import { measureSelling, type SellingResult, sellingText } from './selling.ts';
import { serveProxy } from './served-proxy.ts';
import { benchSharedPort, sharedPortTable } from './shared-port.ts';
import { type SoakRow, soak } from './soak.ts';
import { measureStorm, STORM, stormText } from './storm.ts';
import { type LoadRow, measureLoad, type Ports, startProxyProcess } from './whole-proxy.ts';

const HELP = `usage: npm run bench -- [--json] [--seconds S] [--sessions N]
       npm run bench -- --processes N [--json] [--seconds S]
       npm run bench -- --soak MINUTES [--json]
       npm run bench -- --storm [--json]
       npm run bench -- serve [--port P] [--branches N] [--difficulty D] [--block-seconds S] [--reuse-port]

Without a command: checks the rules, then measures the kernels, the whole proxy under load, 10,000 idle sessions, and a
proxy that sells to a market maker; under three minutes. The proxy is the real one, with its ledger on disk and its
metrics, in a process of its own, and so are its upstream and the load: CPU time is what the operating system counts for
all threads of the proxy's process.

  --json           one JSON object as the last line of standard output
  --seconds S      length of each measurement under load (3)
  --sessions N     idle sessions (10000)
  --processes N    instead: one proxy, then N that share its port
  --soak MINUTES   instead: load for so long, with the resident memory of the proxy
  --storm          instead: 500 honest miners beside 5,000 connections that come and go, 2,000 that do not read and 1,000
                   that send nonsense

serve: the proxy alone, for a load generator from outside. Prints one line of JSON with its pid and ports; SIGTERM ends it.

  --port P           for miners; 0, the default, takes a free one
  --branches N       merkle branches of its jobs (12)
  --difficulty D     of all shares; the default, 2^-32, is the easiest there is: one hash in two meets it
  --block-seconds S  a new block's job this often (20); 0: never
  --reuse-port       share the port with other proxies
`;

/** Connections and submits in flight on each. */
const SHAPES = [
  { connections: 50, window: 8 },
  { connections: 500, window: 2 },
  { connections: 2000, window: 1 },
];
/** Its target is the easiest one a share can be assigned: half of all hashes. The load sends only those. */
const EASIEST = 2 ** -32;

export type BenchResult = {
  readonly date: string;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernels: readonly KernelBenchRow[];
  readonly rules: readonly string[];
  readonly load: readonly { readonly bare: LoadRow; readonly proxy: LoadRow }[];
  readonly shares: { readonly answeredTrue: number; readonly counted: number; readonly inLedger: number };
  readonly idle: IdleResult;
  readonly peerLink: readonly PeerLinkRow[];
  readonly selling: SellingResult;
};

type Say = (text: string) => void;

async function bench(seconds: number, sessions: number, say: Say): Promise<BenchResult> {
  const [processor] = cpus();
  const machine = {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: processor?.model ?? 'unknown',
    cores: cpus().length,
  };
  say(`${machine.date}, Node ${machine.node}, ${machine.cores} x ${machine.cpu}\n\n`);
  const kernels = benchKernels(100_000, 200);
  say(`${kernelTable(kernels)}\n`);
  const { rules, load, shares } = await benchLoad(seconds, say);
  const idle = await measureIdle(sessions);
  say(idleText(idle));
  const peerLink = await measurePeerLink();
  say(`\n${peerLinkTable(peerLink)}`);
  const selling = await measureSelling();
  say(`\n${sellingText(selling)}`);
  return { ...machine, kernels, rules, load, shares, idle, peerLink, selling };
}

async function benchLoad(
  seconds: number,
  say: Say,
): Promise<Pick<BenchResult, 'rules' | 'load' | 'shares'>> {
  const bare = BenchChild.start('bare-process.ts', []);
  const proxy = startProxyProcess({ port: 0, branches: 12, difficulty: EASIEST, blockSeconds: 0 });
  try {
    const ports = await proxy.ask<Ports>('ports');
    const rules = await checkRules(ports, () => proxy.ask('newBlock'));
    say(`rules hold and are counted: ${[...new Set(rules)].join(', ')}\n\n`);
    const load: { bare: LoadRow; proxy: LoadRow }[] = [];
    say(LOAD_HEAD);
    let answeredTrue = rules.filter((what) => what === 'accepted').length;
    for (const shape of SHAPES) {
      const row = {
        bare: await measureLoad([bare], shape, { seconds, isProxy: false }),
        proxy: await measureLoad([proxy], shape, { seconds, isProxy: true }),
      };
      load.push(row);
      answeredTrue += row.proxy.acceptedInAll;
      say(`${loadLine('bare', row.bare)}${loadLine('proxy', row.proxy, row.bare)}`);
    }
    const counted = (await shareCounters(ports.metricsPort)).get('accepted') ?? 0;
    const inLedger = await proxy.ask<number>('close');
    if (counted !== answeredTrue || inLedger !== answeredTrue) {
      throw new Error(`${answeredTrue} answered true, ${counted} counted, ${inLedger} in the ledger`);
    }
    say(`\n${answeredTrue} shares answered true, counted, and read back from the ledger\n`);
    return { rules, load, shares: { answeredTrue, counted, inLedger } };
  } finally {
    await bare.stop();
    await proxy.stop();
  }
}

const LOAD_HEAD = 'load     server  answered/s  p50 ms  p99 ms  CPU us/share  times bare\n';

function loadLine(server: string, row: LoadRow, bare?: LoadRow): string {
  const ratio = bare === undefined ? '' : (row.cpuMicrosPerShare / bare.cpuMicrosPerShare).toFixed(1);
  return (
    `${`${row.connections}x${row.window}`.padEnd(8)} ${server.padEnd(6)} ` +
    `${row.answeredPerSecond.toFixed(0).padStart(11)} ${row.p50Ms.toFixed(1).padStart(7)} ` +
    `${row.p99Ms.toFixed(1).padStart(7)} ${row.cpuMicrosPerShare.toFixed(2).padStart(13)} ${ratio.padStart(11)}\n`
  );
}

function idleText({ sessions, residentBytesEach, lastNotifiedMs, fanoutCpuMs }: IdleResult): string {
  const times = lastNotifiedMs.map((ms) => ms.toFixed(0)).join(', ');
  return (
    `${sessions} idle sessions: ${(residentBytesEach / 1024).toFixed(1)} KiB resident each; the last of them has a new ` +
    `block's job after ${times} ms (${fanoutCpuMs.toFixed(0)} ms of CPU)\n`
  );
}

function soakLine({ minute, answeredPerSecond, cpuMicrosPerShare, residentMiB }: SoakRow): string {
  return (
    `${minute.toFixed(2).padStart(6)} min ${answeredPerSecond.toFixed(0).padStart(8)} shares/s ` +
    `${cpuMicrosPerShare.toFixed(2).padStart(6)} CPU us/share ${residentMiB.toFixed(1).padStart(7)} MiB resident\n`
  );
}

async function serve(values: Record<string, string | boolean | undefined>, say: Say): Promise<void> {
  const ended = new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  const served = await serveProxy({
    port: Number(values['port'] ?? 0),
    branches: Number(values['branches'] ?? 12),
    difficulty: Number(values['difficulty'] ?? EASIEST),
    blockSeconds: Number(values['block-seconds'] ?? 20),
    reusePort: values['reuse-port'] === true,
  });
  const { pid, port, metricsPort, upstreamPort } = served;
  say(`${JSON.stringify({ pid, port, metrics_port: metricsPort, upstream_port: upstreamPort })}\n`);
  await ended;
  await served.close();
}

async function main(words: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      ...{
        json: flag,
        help: flag,
        seconds: text,
        sessions: text,
        processes: text,
        soak: text,
        storm: flag,
      },
      ...{ port: text, branches: text, difficulty: text, 'block-seconds': text, 'reuse-port': flag },
    },
  });
  const say: Say = (line) => void process.stdout.write(line);
  const tell: Say = values.json === true ? () => {} : say;
  const rows: SoakRow[] = [];
  if (values.help === true) say(HELP);
  else if (positionals[0] === 'serve') await serve(values, say);
  else if (values.soak !== undefined) {
    await soak(Number(values.soak), (row) => {
      rows.push(row);
      tell(soakLine(row));
    });
    if (values.json === true) say(`${JSON.stringify(rows)}\n`);
  } else if (values.processes !== undefined) {
    const results = await benchSharedPort(Number(values.processes), Number(values.seconds ?? 3));
    tell(sharedPortTable(results));
    if (values.json === true) say(`${JSON.stringify(results)}\n`);
  } else if (values.storm === true) {
    const result = await measureStorm({ ...STORM, seed: Date.now() % 2 ** 32 });
    tell(stormText(result));
    const metrics = Object.fromEntries(result.metrics);
    if (values.json === true) say(`${JSON.stringify({ ...result, metrics })}\n`);
  } else {
    const result = await bench(Number(values.seconds ?? 3), Number(values.sessions ?? 10_000), tell);
    if (values.json === true) say(`${JSON.stringify(result)}\n`);
  }
}

if (import.meta.main) await main(process.argv.slice(2));
