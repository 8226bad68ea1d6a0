import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { descriptorLimit } from '../../src/operator/config-check.ts';
import {
  EASIEST,
  HONEST_HEAD,
  type HonestRows,
  honestLine,
  measureHonestRows,
  SHAPES,
} from './honest-rows.ts';
import { type IdleResult, measureIdle } from './idle-sessions.ts';
import { benchKernels, type KernelBenchRow, kernelTable } from './kernel-bench.ts';
import { measurePeerLink, type PeerLinkRow, peerLinkTable } from './peer-link.ts';
import { measurePostgres, postgresText } from './postgres-rows.ts';
import { measureParts, partsTable } from './profile.ts';
import { measureSelling, type SellingResult, sellingText } from './selling.ts';
import { serveProxy } from './served-proxy.ts';
import { benchSharedPort, sharedPortTable } from './shared-port.ts';
import { type SoakRow, soak } from './soak.ts';
import { measureStorm, STORM, stormText } from './storm.ts';

const HELP = `usage: npm run bench -- [--json] [--seconds S] [--rounds N] [--sessions N]
       npm run bench -- --processes N [--json] [--seconds S]
       npm run bench -- --profile [--json] [--seconds S]
       npm run bench -- --postgres [--json] [--seconds S] [--rounds N]
       npm run bench -- --soak MINUTES [--json]
       npm run bench -- --storm [--json]
       npm run bench -- serve [--port P] [--branches N] [--difficulty D] [--block-seconds S] [--reuse-port]

Without a command: checks the rules, then measures the kernels, the whole proxy under load, idle sessions, and a proxy
that sells to a market maker; under six minutes. The proxy is the real one, with its ledger on disk and its metrics, in a
process of its own, and so are its upstream and the load: CPU time is what the operating system counts for all threads
of the proxy's process. Rows are medians of rounds in which what is compared takes turns. The floor is a server that only
answers, plus the hashing of a share by the SHA instructions of the processor (compiled where a compiler is). Where the
native kernel was built (npm run build:native) there are rows with it and with WebAssembly.

  --json           one JSON object as the last line of standard output
  --seconds S      length of each measurement under load (2)
  --rounds N       of which the medians are (5)
  --sessions N     idle sessions (10000, and 50000 where a process may have so many files open)
  --processes N    instead: one proxy, then N that share its port
  --profile        instead: what a share costs the proxy and both ends of the peer link, by part
  --postgres       instead: the proxy on a PostgreSQL with a standby against the one on SQLite, in turns, and what one
                   primary commits
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

/** Of the rows that are medians. */
const ROUNDS = 5;
const SESSIONS = [10_000, 50_000];
/** Of a process beside its connections. */
const SPARE_FILES = 200;

export type BenchResult = {
  readonly date: string;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  /** As the bench began: what others had this machine do. */
  readonly loadAverages: readonly number[];
  readonly kernels: readonly KernelBenchRow[];
  readonly load: HonestRows;
  readonly idle: readonly IdleResult[];
  readonly peerLink: readonly PeerLinkRow[];
  readonly selling: SellingResult;
};

type Say = (text: string) => void;

type Sizes = { readonly seconds: number; readonly rounds: number; readonly sessions: readonly number[] };

async function bench({ seconds, rounds, sessions }: Sizes, say: Say): Promise<BenchResult> {
  const [processor] = cpus();
  const machine = {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: processor?.model ?? 'unknown',
    cores: cpus().length,
    loadAverages: loadavg(),
  };
  const busy = machine.loadAverages.map((load) => load.toFixed(1)).join(', ');
  say(
    `${machine.date}, Node ${machine.node}, ${machine.cores} x ${machine.cpu}, load averages ${busy}\n\n`,
  );
  const kernels = benchKernels(100_000, 200);
  say(`${kernelTable(kernels)}\n${HONEST_HEAD}`);
  const load = await measureHonestRows({ seconds, rounds }, (row) => say(honestLine(row)));
  say(loadText(load));
  const idle: IdleResult[] = [];
  for (const count of sessions) {
    const needed = count + SPARE_FILES;
    if ((descriptorLimit() ?? 0) < needed) {
      say(`${count} idle sessions: not measured, a process may have ${descriptorLimit()} files open\n`);
      continue;
    }
    idle.push(await measureIdle(count));
    say(idleText(idle.at(-1)!));
  }
  const peerLink = await measurePeerLink();
  say(`\n${peerLinkTable(peerLink)}`);
  const selling = await measureSelling(rounds);
  say(`\n${sellingText(selling)}`);
  return { ...machine, kernels, load, idle, peerLink, selling };
}

function loadText({ rounds, hashedBy, shares, rules }: HonestRows): string {
  return (
    `medians of ${rounds} rounds in which all take turns; floor: bare + hash, which is by the ${hashedBy} kernel\n` +
    `${shares.answeredTrue} shares answered true, counted, and read back from the ledgers; ` +
    `rules hold and are counted: ${[...new Set(rules)].join(', ')}\n\n`
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
        rounds: text,
        sessions: text,
        processes: text,
        soak: text,
        storm: flag,
        profile: flag,
        postgres: flag,
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
  } else if (values.profile === true) {
    const costs = await measureParts(SHAPES, Number(values.seconds ?? 3));
    tell(partsTable(costs));
    if (values.json === true) say(`${JSON.stringify(costs)}\n`);
  } else if (values.postgres === true) {
    const sizes = { seconds: Number(values.seconds ?? 2), rounds: Number(values.rounds ?? ROUNDS) };
    const result = await measurePostgres(sizes);
    tell(postgresText(result));
    if (values.json === true) say(`${JSON.stringify(result)}\n`);
  } else if (values.storm === true) {
    const result = await measureStorm({ ...STORM, seed: Date.now() % 2 ** 32 });
    tell(stormText(result));
    const metrics = Object.fromEntries(result.metrics);
    if (values.json === true) say(`${JSON.stringify({ ...result, metrics })}\n`);
  } else {
    const sessions = values.sessions === undefined ? SESSIONS : [Number(values.sessions)];
    const sizes = {
      seconds: Number(values.seconds ?? 2),
      rounds: Number(values.rounds ?? ROUNDS),
      sessions,
    };
    const result = await bench(sizes, tell);
    if (values.json === true) say(`${JSON.stringify(result)}\n`);
  }
}

if (import.meta.main) await main(process.argv.slice(2));
