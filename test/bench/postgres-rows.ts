import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandom } from '../../src/base/random.ts';
import { openPostgresLedger } from '../../src/ledger/postgres/postgres-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { PostgresProcess } from '../ledger/postgres/postgres-server.ts';
import { PostgresStand } from '../ledger/postgres/primary-and-standby.ts';
import type { BenchChild } from './child.ts';
import { EASIEST, SHAPES } from './honest-rows.ts';
import type { LoadShape } from './load-process.ts';
import { median } from './median.ts';
import type { ServeOptions } from './served-proxy.ts';
import { measureLoad, type Ports, startProxyProcess } from './whole-proxy.ts';

/** A proxy on PostgreSQL beside one on SQLite: medians of rounds in which they take turns. */
export type PostgresProxyRow = LoadShape & {
  readonly sqliteMicros: number;
  readonly postgresMicros: number;
  /** Of each round by itself. */
  readonly ratio: number;
  readonly answeredPerSecond: number;
  /** CPU of the primary and the standby together, for a share. */
  readonly serverMicros: number;
  readonly sharesPerCommit: number;
  readonly rowBytesPerShare: number;
  readonly walBytesPerShare: number;
};

/** What one primary with a standby commits, of so many chains at once. */
export type PrimaryRow = {
  readonly chains: number;
  /** Asked for; undefined where it is as many as go. */
  readonly wantedPerSecond: number | undefined;
  readonly sharesPerSecond: number;
  readonly commitsPerSecond: number;
  readonly walBytesPerShare: number;
  /** Of the log of the primary, each of which is a wait for its disk. */
  readonly syncsPerSecond: number;
  /** Of the servers together: so much of one core, in parts of it. */
  readonly serverCores: number;
  readonly connections: number;
};

export type PostgresResult = {
  readonly version: string;
  readonly proxies: readonly PostgresProxyRow[];
  readonly primary: readonly PrimaryRow[];
};

const OPTIONS: ServeOptions = { port: 0, branches: 12, difficulty: EASIEST, blockSeconds: 0 };
/** Chains and shares/s in all: 10^4 and 10^5 ASICs of twelve shares a minute, then as many as go. */
const LOADS = [
  { chains: 4, wantedPerSecond: 2_000 },
  { chains: 16, wantedPerSecond: 20_000 },
  { chains: 1, wantedPerSecond: undefined },
  { chains: 16, wantedPerSecond: undefined },
] as const;
/** Of a share in the journal, as the rows of the proxies have it. */
const SHARE_BYTES = 80;
/** Of one append, where as many go as can. */
const BATCH_SHARES = 512;
/** Of any append. */
const MOST_SHARES = 2048;
/** Appends that wait at once, of a chain. */
const LANES = 4;
const TURN_MS = 10;
const WARM_MS = 1_000;

export async function measurePostgres(sizes: {
  readonly seconds: number;
  readonly rounds: number;
  readonly shapes?: readonly LoadShape[];
}): Promise<PostgresResult> {
  const { seconds, rounds, shapes = SHAPES } = sizes;
  const stand = new PostgresStand();
  try {
    await stand.start('max_connections = 300');
    const proxies = await measureProxies(stand, { seconds, rounds, shapes });
    const primary: PrimaryRow[] = [];
    for (const load of LOADS) primary.push(await measurePrimary(stand, load, seconds * 2));
    const [row] = await stand.sql('SHOW server_version');
    return { version: String(row?.['server_version']), proxies, primary };
  } finally {
    await stand.stop();
  }
}

async function measureProxies(
  stand: PostgresStand,
  sizes: { readonly seconds: number; readonly rounds: number; readonly shapes: readonly LoadShape[] },
): Promise<readonly PostgresProxyRow[]> {
  const { url, instance } = stand.options();
  const onFile = startProxyProcess(OPTIONS);
  const { upstreamPort } = await onFile.ask<Ports>('ports');
  const onServer = startProxyProcess({ ...OPTIONS, upstreamPort, postgres: { url, instance } });
  const answered = { onFile: 0, onServer: 0 };
  const rows: PostgresProxyRow[] = [];
  try {
    for (const shape of sizes.shapes) {
      const samples: PostgresProxyRow[] = [];
      for (let round = 0; round < sizes.rounds; round += 1)
        samples.push(await takeTurns(stand, { onFile, onServer }, shape, sizes.seconds, answered));
      rows.push(middleOf(shape, samples));
    }
    for (const [child, accepted] of [
      [onFile, answered.onFile],
      [onServer, answered.onServer],
    ] as const) {
      const inLedger = await child.ask<number>('close');
      if (inLedger !== accepted) throw new Error(`${accepted} answered true, ${inLedger} in the ledger`);
    }
    return rows;
  } finally {
    await Promise.all([onFile.stop(), onServer.stop()]);
  }
}

async function takeTurns(
  stand: PostgresStand,
  { onFile, onServer }: { readonly onFile: BenchChild; readonly onServer: BenchChild },
  shape: LoadShape,
  seconds: number,
  answered: { onFile: number; onServer: number },
): Promise<PostgresProxyRow> {
  const options = { seconds, isProxy: true };
  const file = await measureLoad([onFile], shape, options);
  const before = await usageOf(stand);
  const server = await measureLoad([onServer], shape, options);
  const after = await usageOf(stand);
  answered.onFile += file.acceptedInAll;
  answered.onServer += server.acceptedInAll;
  const shares = server.acceptedInAll;
  const [sqliteMicros, postgresMicros] = [file.cpuMicrosPerShare, server.cpuMicrosPerShare];
  return {
    ...{ ...shape, sqliteMicros, postgresMicros, ratio: postgresMicros / sqliteMicros },
    answeredPerSecond: server.answeredPerSecond,
    serverMicros: (after.cpuMicros - before.cpuMicros) / shares,
    sharesPerCommit: shares / (after.commits - before.commits),
    rowBytesPerShare: (after.rowBytes - before.rowBytes) / shares,
    walBytesPerShare: (after.walBytes - before.walBytes) / shares,
  };
}

function middleOf(shape: LoadShape, samples: readonly PostgresProxyRow[]): PostgresProxyRow {
  const middle = (name: Exclude<keyof PostgresProxyRow, keyof LoadShape>): number =>
    median(samples.map((sample) => sample[name]));
  return {
    ...shape,
    ...{ sqliteMicros: middle('sqliteMicros'), postgresMicros: middle('postgresMicros') },
    ...{ ratio: middle('ratio'), answeredPerSecond: middle('answeredPerSecond') },
    ...{ serverMicros: middle('serverMicros'), sharesPerCommit: middle('sharesPerCommit') },
    ...{ rowBytesPerShare: middle('rowBytesPerShare'), walBytesPerShare: middle('walBytesPerShare') },
  };
}

type Usage = {
  readonly atMs: number;
  readonly cpuMicros: number;
  readonly commits: number;
  readonly rowBytes: number;
  readonly walBytes: number;
  readonly syncs: number;
};

async function usageOf(stand: PostgresStand): Promise<Usage> {
  const [row] = await stand.sql(
    `SELECT (SELECT count(*) FROM sharestream.batch) AS commits,
        (SELECT coalesce(sum(length(rows)), 0) FROM sharestream.batch) AS row_bytes,
        pg_current_wal_lsn() - '0/0'::pg_lsn AS wal_bytes, (SELECT wal_sync FROM pg_stat_wal) AS syncs`,
  );
  const numberOf = (name: string): number => Number(row?.[name]);
  return {
    atMs: performance.now(),
    cpuMicros: (await cpuMicrosOf(stand.primary)) + (await cpuMicrosOf(stand.standby)),
    ...{ commits: numberOf('commits'), rowBytes: numberOf('row_bytes') },
    ...{ walBytes: numberOf('wal_bytes'), syncs: numberOf('syncs') },
  };
}

/** Linux counts in hundredths of a second. */
const MICROS_PER_TICK = 10_000;

/** Of a server and its processes, also those that have ended. */
async function cpuMicrosOf(server: PostgresProcess): Promise<number> {
  const pids = await server.pids();
  return pids.reduce((sum, pid, index) => sum + MICROS_PER_TICK * ticksOf(pid, index === 0), 0);
}

function ticksOf(pid: number, withChildren: boolean): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // From the third field on: names may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
  return user! + system! + (withChildren ? childUser! + childSystem! : 0);
}

async function measurePrimary(
  stand: PostgresStand,
  { chains, wantedPerSecond }: { readonly chains: number; readonly wantedPerSecond: number | undefined },
  seconds: number,
): Promise<PrimaryRow> {
  const ledgers = await Promise.all(
    Array.from({ length: chains }, () => openPostgresLedger(stand.options(), { log: silentLogger })),
  );
  // Nothing of it is compressed: shares are, by a third.
  const noise = systemRandom.bytes(MOST_SHARES * SHARE_BYTES);
  const load = { shares: 0, isOver: false };
  const appending = ledgers.map(async (ledger) => {
    let next = 0;
    const append = async (shares: number): Promise<void> => {
      const first = next;
      next += shares;
      const body = noise.subarray(0, shares * SHARE_BYTES);
      await ledger.append([
        { type: 'log', kind: 'share', stream: 's', first, count: shares, body },
        { type: 'put', kind: 'stream', id: 's', body: String(next) },
      ]);
      load.shares += shares;
    };
    if (wantedPerSecond === undefined) {
      const lane = async (): Promise<void> => {
        while (!load.isOver) await append(BATCH_SHARES);
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      return;
    }
    const startMs = performance.now();
    const waiting = new Set<Promise<void>>();
    while (!load.isOver) {
      const due = Math.floor(((performance.now() - startMs) * wantedPerSecond) / chains / 1000);
      if (due > next) {
        const one: Promise<void> = append(Math.min(due - next, MOST_SHARES)).finally(() =>
          waiting.delete(one),
        );
        waiting.add(one);
      }
      await sleep(TURN_MS);
    }
    await Promise.all(waiting);
  });
  await sleep(WARM_MS);
  const [before, sharesBefore] = [await usageOf(stand), load.shares];
  await sleep(seconds * 1000);
  const [after, shares] = [await usageOf(stand), load.shares - sharesBefore];
  const connections = await connectionsOf(stand);
  load.isOver = true;
  await Promise.all(appending);
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  const took = (after.atMs - before.atMs) / 1000;
  return {
    ...{ chains, wantedPerSecond, connections, sharesPerSecond: shares / took },
    commitsPerSecond: (after.commits - before.commits) / took,
    walBytesPerShare: (after.walBytes - before.walBytes) / shares,
    syncsPerSecond: (after.syncs - before.syncs) / took,
    serverCores: (after.cpuMicros - before.cpuMicros) / 1e6 / took,
  };
}

async function connectionsOf(stand: PostgresStand): Promise<number> {
  const [row] = await stand.sql(
    "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'sharestream %'",
  );
  return Number(row?.['n']);
}

export function postgresText({ version, proxies, primary }: PostgresResult): string {
  const lines = [
    `PostgreSQL ${version}, a primary and a synchronous standby on loopback`,
    'load     answered/s  sqlite us/share  postgres us/share  ratio  servers us/share  shares/commit  row B/share  WAL B/share',
    ...proxies.map((row) =>
      [
        `${row.connections}x${row.window}`.padEnd(8),
        row.answeredPerSecond.toFixed(0).padStart(10),
        row.sqliteMicros.toFixed(2).padStart(16),
        row.postgresMicros.toFixed(2).padStart(18),
        row.ratio.toFixed(2).padStart(6),
        row.serverMicros.toFixed(2).padStart(17),
        row.sharesPerCommit.toFixed(0).padStart(14),
        row.rowBytesPerShare.toFixed(1).padStart(12),
        row.walBytesPerShare.toFixed(1).padStart(12),
      ].join(' '),
    ),
    '',
    'chains  wanted/s  shares/s  commits/s  WAL B/share  syncs/s  server cores  connections',
    ...primary.map((row) =>
      [
        String(row.chains).padEnd(7),
        (row.wantedPerSecond?.toString() ?? 'all').padStart(8),
        row.sharesPerSecond.toFixed(0).padStart(9),
        row.commitsPerSecond.toFixed(0).padStart(10),
        row.walBytesPerShare.toFixed(1).padStart(12),
        row.syncsPerSecond.toFixed(0).padStart(8),
        row.serverCores.toFixed(2).padStart(13),
        String(row.connections).padStart(12),
      ].join(' '),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
