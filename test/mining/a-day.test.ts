import { expect, it } from 'vitest';
import { systemTimers } from '../../src/base/system-timers.ts';
import { REMEMBERED_MS } from '../../src/daemon/startup-state.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { DuplicateSet } from '../../src/shares/duplicates.ts';
import { ShareEngine } from '../../src/shares/engine.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { RestingGenerations } from '../../src/shares/resting-generations.ts';
import { type Submission, shareTargetOf, type Verdict } from '../../src/shares/share.ts';
import { jobDocumentId } from '../../src/work/evidence.ts';
import { Meters } from '../../src/work/meters.ts';
import { rememberShares } from '../../src/work/recent-shares.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

/** One share stands for a thousand, here and in what is remembered: 2,000 shares/s, room for 8,000,000. */
const SCALE = 1_000;
const SHARES_PER_SECOND = 2_000 / SCALE;
const MAX_HASHES = new DuplicateSet().maxHashes / SCALE;
const STEP_S = 10;
const HOUR_S = 3600;
const kernel = createKernel(256);

/** A life of the proxy: what judges shares and what it remembers, on a ledger that outlives it. */
class Life {
  readonly verdicts: Partial<Record<Verdict, number>> = {};
  readonly duplicates: DuplicateSet;
  readonly jobs: JobTable;
  readonly engine: ShareEngine<Submission>;
  readonly resting: RestingGenerations;
  readonly rowsRead: number;

  private constructor(
    clock: ManualClock,
    ledger: Ledger,
    meters: Meters,
    run: number,
    memory: { readonly duplicates: DuplicateSet; readonly rowsRead: number },
  ) {
    this.duplicates = memory.duplicates;
    this.rowsRead = memory.rowsRead;
    const options = { sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: 0, staleGraceMs: 5_000 };
    this.jobs = new JobTable(
      { run, ...options },
      {
        onRetired: (job) => {
          this.engine.retire(job);
          this.resting.retired(job, clock.monotonicMs());
        },
      },
    );
    this.engine = new ShareEngine<Submission>(
      {},
      {
        ...{ kernel, duplicates: this.duplicates, clock, timers: systemTimers, log: silentLogger },
        isStale: (job) => this.jobs.isStale(job, clock.monotonicMs()),
        forward: () => {},
        commit: async (shares) => void (await meters.commit(ledger, shares)),
        settle: (_submission, verdict) => {
          this.verdicts[verdict] = (this.verdicts[verdict] ?? 0) + 1;
        },
      },
    );
    this.resting = new RestingGenerations(
      {
        duplicates: this.duplicates,
        isLive: (prevHash) => this.jobs.hasPrevHash(prevHash),
        drop: (generation) => this.engine.dropGeneration(generation),
      },
      clock.monotonicMs(),
    );
  }

  static async start(clock: ManualClock, ledger: MemoryLedger, run: number): Promise<Life> {
    const duplicates = new DuplicateSet({ maxHashes: MAX_HASHES });
    let rowsRead = 0;
    const readLogSince: Ledger['readLogSince'] = async (...words) => {
      const rows = await ledger.readLogSince(...words);
      rowsRead += rows.length;
      return rows;
    };
    const counted = {
      get: ledger.get.bind(ledger),
      recentLog: ledger.recentLog.bind(ledger),
      readLogSince,
    };
    await rememberShares(
      counted as unknown as Ledger,
      {
        ...{ memoryMs: REMEMBERED_MS, certainRows: 0, maxShares: MAX_HASHES / 2 },
        jobKey: (_stream, jobId) => jobDocumentId(jobId),
      },
      (generation, bytes, hashAt) => duplicates.add(generation, bytes, hashAt),
    );
    return new Life(clock, ledger, await Meters.load(ledger), run, { duplicates, rowsRead });
  }
}

it('a day of 2,000 shares/s on blocks of an hour never says overload; a restart reads half an hour', async () => {
  const clock = new ManualClock();
  const ledger = new MemoryLedger({}, { clock });
  const assigned = shareTargetOf(2 ** -32);
  // Five minutes into a block, in the middle of one, and shortly before its end.
  const restarts = new Set([7 * HOUR_S + 300, 12 * HOUR_S + 1800, 18 * HOUR_S + 3500]);
  const lives = [await Life.start(clock, ledger, 1)];
  let nonce = 0;
  for (let second = 0; second < 24 * HOUR_S; second += STEP_S) {
    if (restarts.has(second)) lives.push(await Life.start(clock, ledger, lives.length + 1));
    const { jobs, engine, resting } = lives.at(-1)!;
    const block = Math.floor(second / HOUR_S);
    if (second % 30 === 0 || jobs.current('pool') === undefined) {
      const work = plainWork(block + 1, { clean: second % HOUR_S === 0, time: 1_700_000_000 + second });
      jobs.add('pool', 'own:pool', work, clock.monotonicMs());
    }
    const job = jobs.current('pool')!;
    // One in two meets the easiest target there is.
    for (let share = 0; share < 2 * STEP_S * SHARES_PER_SECOND; share += 1) {
      nonce += 1;
      const extranonce = new Uint8Array(job.extranonceSize);
      engine.submit({ job, assigned, extranonce, ntime: job.time, nonce, version: job.version });
    }
    await engine.drain();
    clock.advance(STEP_S * 1000);
    jobs.expire(clock.monotonicMs());
    resting.sweep(clock.monotonicMs());
  }
  const count = (verdict: Verdict): number =>
    lives.reduce((sum, { verdicts }) => sum + (verdicts[verdict] ?? 0), 0);
  expect([count('overload'), count('duplicate'), count('stale')]).toEqual([0, 0, 0]);
  expect(count('accepted') / (24 * HOUR_S * SHARES_PER_SECOND)).toBeCloseTo(1, 1);
  const rowsOfMemory = REMEMBERED_MS / 1000 / STEP_S;
  for (const { rowsRead } of lives.slice(1)) {
    expect(rowsRead).toBeGreaterThan(rowsOfMemory - 2);
    expect(rowsRead).toBeLessThan(rowsOfMemory + 3);
  }
}, 120_000);
