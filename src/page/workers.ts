import type { Answer } from './api.ts';

type Miner = Answer<'proxy', 'listMiners'>;

/** What the table has of a worker: its connections together, and its rates while the page was open. */
export type WorkerRow = {
  readonly name: string;
  readonly sessions: readonly Miner[];
  readonly rate: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly lastShareMs: number;
  readonly connectedMs: number;
  readonly seen: readonly number[];
};

/** Rates that a trend is drawn of. */
const SEEN_MOST = 40;

/** Connections by the name they authorised with, in the order of their names. */
export function workersOf(miners: readonly Miner[], seen: Map<string, number[]>): readonly WorkerRow[] {
  const byName = Map.groupBy(
    miners.flatMap((session) =>
      (session.workers.length === 0 ? [undefined] : session.workers).map((worker) => ({ session, worker })),
    ),
    ({ worker }) => worker?.name ?? '',
  );
  for (const name of seen.keys()) if (!byName.has(name)) seen.delete(name);
  return [...byName].map(([name, all]) => {
    const workers = all.flatMap(({ worker }) => worker ?? []);
    const rate = workers.reduce((sum, each) => sum + each.hashes_per_second, 0);
    const rates = [...(seen.get(name) ?? []), rate].slice(-SEEN_MOST);
    seen.set(name, rates);
    return {
      ...{ name, rate, seen: rates, sessions: all.map(({ session }) => session) },
      accepted: workers.reduce((sum, each) => sum + each.accepted, 0),
      rejected: workers.reduce((sum, each) => sum + each.rejected, 0),
      lastShareMs: Math.max(0, ...workers.map((each) => each.last_share_at_ms)),
      connectedMs: Math.min(...all.map(({ session }) => session.connected_at_ms)),
    };
  });
}
