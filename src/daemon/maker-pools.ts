import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { MakerConfig } from '../config/config.ts';
import type { Logger } from '../log/logger.ts';
import { PoolBook, type PoolFigures } from '../maker/pool-book.ts';
import type { OwnWork } from '../maker/work-binding.ts';
import { workFilesIn } from '../maker/work-files.ts';
import type { OpenPool } from '../maker/work-relay.ts';
import type { MetricSources } from '../metrics/metrics.ts';
import { verdictMatrixCounts } from '../mining/destination-status.ts';
import { upstreamOptions } from '../mining/upstream-options.ts';
import { FAILOVER_OPTIONS } from '../upstream/failover.ts';
import { PoolDestination } from '../upstream/pool-destination.ts';

/** The pools of a maker, and what it keeps of the jobs that it gives. Throws for a password file. */
export function ownWorkOf(
  { pools, dataDir }: Pick<MakerConfig, 'pools' | 'dataDir'>,
  deps: { readonly log: Logger; readonly observe: (seconds: number) => void },
): OwnWork {
  const opens = pools.map((row): OpenPool => {
    const options = {
      ...upstreamOptions(row, process.env),
      // Its sessions share each connection: a pool that leaves too little for that gives no work.
      sharing: { sessionIdSize: 0, minerExtranonce2Size: 0 },
    };
    const log = deps.log.child({ part: 'pool', pool: row.name });
    return (listener) =>
      new PoolDestination(options, {
        ...{ clock: systemClock, timers: systemTimers, random: systemRandom, log },
        listener,
      });
  });
  return {
    ...{ pools: opens, failover: FAILOVER_OPTIONS, files: workFilesIn(join(dataDir, 'work')) },
    book: new PoolBook(
      pools.map(({ name }) => name),
      deps.observe,
    ),
  };
}

/** Where the metrics of pools are read at a scrape. */
export function poolSources(book: PoolBook) {
  const byName =
    <T>(read: (figures: PoolFigures) => T): (() => Record<string, T>) =>
    () =>
      Object.fromEntries(book.figures.map((figures) => [figures.name, read(figures)]));
  return {
    upstream_shares_total: byName(({ solutions }) => solutions),
    upstream_combinations_total: byName(verdictMatrixCounts),
    upstream_work_hashes_total: byName(({ creditedWorkHashes }) => Number(creditedWorkHashes)),
    upstream_accepted_work_hashes_total: byName(({ acceptedWorkHashes }) => Number(acceptedWorkHashes)),
    upstream_late_solutions_total: byName(({ lateSolutions }) => lateSolutions),
    upstream_connections: byName(({ connections }) => connections),
  } satisfies MetricSources<'maker'>;
}
