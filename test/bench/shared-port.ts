import { type LoadRow, measureLoad, type Ports, startProxyProcess } from './whole-proxy.ts';

export type SharedPortRow = LoadRow & {
  readonly processes: number;
  /** Read back from the ledger of each. */
  readonly sharesOfEach: readonly number[];
};

const SHAPE = { connections: 500, window: 2 };

/**
 * One proxy, then several on one port: each with an upstream connection, a ledger and metrics of its own.
 * The kernel spreads the connections. Processes beyond the cores that the generator leaves add nothing.
 */
export async function benchSharedPort(processes: number, seconds: number): Promise<SharedPortRow[]> {
  const rows: SharedPortRow[] = [];
  for (const count of new Set([1, processes])) rows.push(await measureTogether(count, seconds));
  return rows;
}

async function measureTogether(processes: number, seconds: number): Promise<SharedPortRow> {
  const options = { branches: 12, difficulty: 2 ** -32, blockSeconds: 0, reusePort: true };
  const first = startProxyProcess({ ...options, port: 0 });
  const { port } = await first.ask<Ports>('ports');
  const others = Array.from({ length: processes - 1 }, () => startProxyProcess({ ...options, port }));
  const all = [first, ...others] as const;
  try {
    for (const proxy of others) await proxy.ask<Ports>('ports');
    const row = await measureLoad(all, SHAPE, { seconds, isProxy: true });
    const sharesOfEach = await Promise.all(all.map((proxy) => proxy.ask<number>('close')));
    const inLedgers = sharesOfEach.reduce((sum, shares) => sum + shares, 0);
    if (inLedgers !== row.acceptedInAll)
      throw new Error(`${row.acceptedInAll} answered true, ${inLedgers} in the ledgers`);
    return { ...row, processes, sharesOfEach };
  } finally {
    await Promise.all(all.map((proxy) => proxy.stop()));
  }
}

export function sharedPortTable(rows: readonly SharedPortRow[]): string {
  const lines = rows.map(
    (row) =>
      `${row.processes.toString().padStart(9)} ${row.answeredPerSecond.toFixed(0).padStart(11)} ` +
      `${row.p99Ms.toFixed(1).padStart(7)} ${row.cpuMicrosPerShare.toFixed(2).padStart(13)}  ` +
      `${row.sharesOfEach.join(' + ')}`,
  );
  return ['processes  answered/s  p99 ms  CPU us/share  shares of each', ...lines, ''].join('\n');
}
