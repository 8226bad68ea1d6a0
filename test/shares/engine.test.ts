import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../src/base/assert.ts';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Job } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { DuplicateSet, generationOf } from '../../src/shares/duplicates.ts';
import { ShareEngine, type ShareEngineOptions } from '../../src/shares/engine.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import type { AcceptedShare, ShareTarget, Submission, Verdict } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { EASY, EVEN, IMPOSSIBLE, makeJob, makeSubmission } from './jobs.ts';

type Commit = {
  readonly shares: readonly AcceptedShare[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

type RigOptions = ShareEngineOptions & {
  /** What a look at the clock costs. */
  tickMs?: number;
  maxHashes?: number;
  capacity?: number;
  admits?: (submission: Submission) => boolean;
};

function makeRig(options: RigOptions = {}) {
  const events: string[] = [];
  const commits: Commit[] = [];
  const turns: (() => void)[] = [];
  const batches: number[] = [];
  const seconds: number[] = [];
  /** How many events there were when answers could leave. */
  const flushes: number[] = [];
  const clock = new ManualClock();
  const ticking = {
    nowMs: clock.nowMs,
    monotonicMs: (): number => {
      clock.advance(options.tickMs ?? 0);
      return clock.monotonicMs();
    },
  };
  const stale = new Set<Job>();
  const duplicates = new DuplicateSet(
    options.maxHashes === undefined ? {} : { maxHashes: options.maxHashes },
  );
  const label = (submission: Submission): string => `${submission.job.wireId}/${submission.nonce}`;
  const engine = new ShareEngine<Submission>(options, {
    kernel: createKernel(options.capacity ?? 8),
    duplicates,
    clock: ticking,
    log: silentLogger,
    isStale: (job) => stale.has(job),
    ...(options.admits === undefined ? {} : { admits: options.admits }),
    forward: (submission, hash) => {
      expect(toHex(hash)).toBe(toHex(hashOf(submission)));
      events.push(`forward ${label(submission)}`);
    },
    commit: (shares) =>
      new Promise((resolve, reject) => {
        commits.push({ shares, resolve, reject });
      }),
    settle: (submission, verdict) => events.push(`${verdict} ${label(submission)}`),
    onSettled: () => void flushes.push(events.length),
    timers: { afterTurn: (run) => void turns.push(run) },
    observeBatch: (shares, took) => {
      batches.push(shares);
      seconds.push(took);
    },
  });
  /** Lets one turn of the event loop pass, and the promises settled in it. */
  const turn = async (): Promise<void> => {
    turns.shift()?.();
    await new Promise(setImmediate);
  };
  return { engine, events, flushes, commits, turns, batches, seconds, stale, duplicates, turn };
}

function hashOf(submission: Submission): Uint8Array {
  return verifyShares(createKernel(1, 'portable'), [submission.job], [{ ...submission, job: 0 }]);
}

describe('ShareEngine', () => {
  it('answers an accepted share when it is durable, not before', async () => {
    const { engine, events, commits, turn } = makeRig();
    const job = makeJob();
    const share = makeSubmission(job, 1);
    engine.submit(share);
    expect(commits).toHaveLength(0);
    await turn();
    expect(events).toEqual([]);
    expect(engine.stats).toMatchObject({ queued: 0, uncommitted: 1, sharesAccepted: 0 });
    expect(commits[0]!.shares[0]!.submission).toBe(share);
    expect(toHex(commits[0]!.shares[0]!.hash)).toBe(toHex(hashOf(share)));
    commits[0]!.resolve();
    await turn();
    expect(events).toEqual([`accepted ${job.wireId}/1`]);
    expect(engine.stats).toMatchObject({ uncommitted: 0, sharesAccepted: 1, batches: 1 });
  });

  it('takes what arrived in one turn as one batch, at most a kernel full a turn', async () => {
    const { engine, batches, turns, turn } = makeRig();
    const job = makeJob();
    for (let nonce = 0; nonce < 19; nonce += 1) engine.submit(makeSubmission(job, nonce, IMPOSSIBLE));
    expect(turns).toHaveLength(1);
    await turn();
    expect(turns).toHaveLength(1);
    await turn();
    engine.submit(makeSubmission(job, 19, IMPOSSIBLE));
    expect(turns).toHaveLength(1);
    await turn();
    expect(batches).toEqual([8, 8, 4]);
    expect(turns).toHaveLength(0);
    expect(engine.stats.rejected.low_difficulty).toBe(20);
  });

  it('hashes the next batch while a commit is under way', async () => {
    const { engine, events, commits, turn } = makeRig();
    const job = makeJob();
    for (const nonce of [1, 2]) {
      engine.submit(makeSubmission(job, nonce));
      await turn();
    }
    expect(commits).toHaveLength(2);
    commits[1]!.resolve();
    commits[0]!.resolve();
    await turn();
    expect(events).toEqual([`accepted ${job.wireId}/2`, `accepted ${job.wireId}/1`]);
  });

  it('asks once for each share that it would credit, in order, and credits no other', async () => {
    const asked: number[] = [];
    const admits = ({ nonce }: Submission): boolean => asked.push(nonce) <= 2;
    const { engine, events, commits, duplicates, turn } = makeRig({ admits });
    const job = makeJob();
    for (const nonce of [1, 1, 2, 3]) engine.submit(makeSubmission(job, nonce));
    engine.submit(makeSubmission(job, 4, IMPOSSIBLE));
    await turn();
    expect(asked).toEqual([1, 2, 3]);
    expect(commits[0]!.shares.map(({ submission }) => submission.nonce)).toEqual([1, 2]);
    expect(events).toContain(`stale ${job.wireId}/3`);
    // What is not sold is nothing to be remembered.
    expect(duplicates.size).toBe(2);
  });

  it('judges stale before low difficulty before duplicate', async () => {
    const { engine, events, commits, stale, turn } = makeRig();
    const job = makeJob();
    engine.submit(makeSubmission(job, 1));
    engine.submit(makeSubmission(job, 1));
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(events).toEqual([`duplicate ${job.wireId}/1`, `low_difficulty ${job.wireId}/1`]);
    stale.add(job);
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(events.at(-1)).toBe(`stale ${job.wireId}/1`);
    expect(commits).toHaveLength(1);
    expect(engine.stats.rejected).toEqual({ stale: 1, low_difficulty: 1, duplicate: 1, overload: 0 });
  });

  it('remembers only valid shares, so that a low one may come again under an easier target', async () => {
    const { engine, commits, duplicates, turn } = makeRig();
    const job = makeJob();
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(duplicates.size).toBe(0);
    engine.submit(makeSubmission(job, 1, EASY));
    await turn();
    expect(commits[0]!.shares).toHaveLength(1);
  });
});

describe('answers', () => {
  it('may leave once for a batch that has any, and once for each commit, however it ends', async () => {
    const { engine, events, flushes, commits, turn } = makeRig();
    const job = makeJob();
    for (const nonce of [1, 2]) engine.submit(makeSubmission(job, nonce));
    await turn();
    expect([events, flushes]).toEqual([[], []]);
    commits[0]!.resolve();
    await turn();
    expect(flushes).toEqual([2]);
    for (const nonce of [2, 3]) engine.submit(makeSubmission(job, nonce));
    await turn();
    expect(flushes).toEqual([2, 3]);
    commits[1]!.reject(new CodedError('overload'));
    await turn();
    expect(flushes).toEqual([2, 3, 4]);
    await turn();
    expect([flushes, commits.length]).toEqual([[2, 3, 4], 2]);
  });

  it('to a job are stale by the batch in which they are judged, be it the first of the job or not', async () => {
    const { engine, events, stale, turn } = makeRig();
    const jobs = [makeJob(), makeJob(), makeJob()];
    for (const job of jobs) {
      engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
      await turn();
      stale.add(job);
      engine.submit(makeSubmission(job, 1));
      await turn();
    }
    const gone = makeJob();
    stale.add(gone);
    engine.submit(makeSubmission(gone, 1));
    await turn();
    expect(events).toEqual([
      ...jobs.flatMap(({ wireId }) => [`low_difficulty ${wireId}/1`, `stale ${wireId}/1`]),
      `stale ${gone.wireId}/1`,
    ]);
  });

  it('of a job that was stale before its first share are stale, in any batch', async () => {
    for (let before = 0; before < 3; before += 1) {
      const { engine, events, stale, turn } = makeRig();
      const other = makeJob();
      for (let nonce = 0; nonce < before; nonce += 1) {
        engine.submit(makeSubmission(other, nonce, IMPOSSIBLE));
        await turn();
      }
      const job = makeJob();
      stale.add(job);
      engine.submit(makeSubmission(job, 1));
      await turn();
      expect(events.at(-1)).toBe(`stale ${job.wireId}/1`);
    }
  });

  it('are measured: how many, and how long a batch took', async () => {
    const { engine, batches, seconds, turn } = makeRig({ tickMs: 40 });
    const job = makeJob();
    for (const nonce of [1, 2, 3]) engine.submit(makeSubmission(job, nonce, IMPOSSIBLE));
    await turn();
    expect([batches, seconds]).toEqual([[3], [0.04]]);
    expect(engine.stats).toMatchObject({ batches: 1, sharesSubmitted: 3, sharesAccepted: 0 });
  });
});

describe('forwarding', () => {
  it.each(['upstreamTarget', 'networkTarget'] as const)('goes by the %s, first of all', async (which) => {
    const { engine, events, turn } = makeRig();
    const job = makeJob({ [which]: EASY.target });
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(events).toEqual([`forward ${job.wireId}/1`, `low_difficulty ${job.wireId}/1`]);
  });

  it('sends a stale solution too, and every hash once', async () => {
    const { engine, events, commits, duplicates, stale, turn } = makeRig();
    const job = makeJob({ upstreamTarget: EASY.target });
    engine.submit(makeSubmission(job, 1));
    engine.submit(makeSubmission(job, 1));
    await turn();
    commits[0]!.reject(new CodedError('ledger_io'));
    await turn();
    engine.submit(makeSubmission(job, 1));
    await turn();
    stale.add(job);
    for (const nonce of [1, 2, 2]) engine.submit(makeSubmission(job, nonce));
    await turn();
    expect(events.filter((event) => event.startsWith('forward'))).toEqual([
      `forward ${job.wireId}/1`,
      `forward ${job.wireId}/2`,
    ]);
    expect(engine.stats.sharesForwarded).toBe(2);
    engine.submit(makeSubmission(makeJob(), 9));
    await turn();
    expect(duplicates.size).toBe(2);
    engine.dropGeneration(generationOf(job));
    expect(duplicates.size).toBe(0);
    engine.submit(makeSubmission(job, 2));
    await turn();
    expect(engine.stats.sharesForwarded).toBe(3);
  });
});

describe('a hash that was not committed', () => {
  /** Jobs that give the same headers, under which a hash is worth the sending or not. */
  const twins = (wanted: Partial<Job>): [Job, Job] => {
    const coinb1 = new Uint8Array(50).fill(200);
    return [makeJob({ coinb1 }), makeJob({ coinb1, ...wanted })];
  };

  it.each(['upstreamTarget', 'networkTarget'] as const)(
    'is sent once it meets the %s, once',
    async (which) => {
      const { engine, events, commits, turn } = makeRig();
      const [plain, wanted] = twins({ [which]: EASY.target });
      const fail = async (job: Job): Promise<void> => {
        engine.submit(makeSubmission(job, 1));
        await turn();
        commits.pop()!.reject(new CodedError('overload'));
        await turn();
      };
      for (const job of [plain, wanted, wanted]) await fail(job);
      expect(events).toEqual([
        `overload ${plain.wireId}/1`,
        `forward ${wanted.wireId}/1`,
        `overload ${wanted.wireId}/1`,
        `overload ${wanted.wireId}/1`,
      ]);
    },
  );

  it('but credited is a duplicate, and is not sent either', async () => {
    const { engine, events, turn } = makeRig();
    const [plain, wanted] = twins({ upstreamTarget: EASY.target });
    engine.submit(makeSubmission(plain, 1));
    engine.submit(makeSubmission(wanted, 1));
    await turn();
    expect(events).toEqual([`duplicate ${wanted.wireId}/1`]);
    expect(engine.stats.sharesForwarded).toBe(0);
  });
});

describe('failure and overload', () => {
  it('has its bounds from the limits, where none are given', () => {
    const { engine, events } = makeRig();
    const share = makeSubmission(makeJob(), 1);
    for (let count = 0; count < LIMITS.queuedShares; count += 1) engine.submit(share);
    expect(events).toEqual([]);
    engine.submit(share);
    expect(events).toEqual([`overload ${share.job.wireId}/1`]);
  });

  it('answers overload and forgets the hashes when the commit fails', async () => {
    const { engine, events, commits, duplicates, turn } = makeRig();
    const job = makeJob();
    engine.submit(makeSubmission(job, 1));
    await turn();
    commits[0]!.reject(new CodedError('overload'));
    await turn();
    expect(events).toEqual([`overload ${job.wireId}/1`]);
    expect(duplicates.size).toBe(0);
    expect(engine.stats).toMatchObject({ commitFailures: 1, uncommitted: 0 });
    engine.submit(makeSubmission(job, 1));
    await turn();
    commits[1]!.resolve();
    await turn();
    expect(events.at(-1)).toBe(`accepted ${job.wireId}/1`);
  });

  it('does not catch a broken invariant', async () => {
    const { engine, commits, turns } = makeRig();
    const escaped: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (error) => escaped.push(error));
    engine.submit(makeSubmission(makeJob(), 1));
    turns.shift()!();
    commits[0]!.reject(new InvariantError('test'));
    await expect(engine.drain()).rejects.toThrow('invariant broken: test');
    await new Promise(setImmediate);
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
    expect(escaped).toHaveLength(1);
  });

  it('answers overload at once when the queue is full', () => {
    const { engine, events } = makeRig({ maxQueued: 2 });
    const job = makeJob();
    for (const nonce of [1, 2, 3]) engine.submit(makeSubmission(job, nonce));
    expect(events).toEqual([`overload ${job.wireId}/3`]);
    expect(engine.stats.limitHits.queuedShares).toBe(1);
  });

  it('credits nothing beyond the bound on uncommitted shares, but still forwards', async () => {
    const { engine, events, turn } = makeRig({ maxUncommitted: 2 });
    const job = makeJob({ upstreamTarget: EASY.target });
    for (const nonce of [1, 2, 3]) engine.submit(makeSubmission(job, nonce));
    await turn();
    expect(events.slice(-2)).toEqual([`forward ${job.wireId}/3`, `overload ${job.wireId}/3`]);
    expect(engine.stats.limitHits.uncommittedShares).toBe(1);
  });

  it('credits nothing that it could not recognise again', async () => {
    const { engine, events, turn } = makeRig({ maxHashes: 1 });
    const job = makeJob();
    for (const nonce of [1, 2, 1]) engine.submit(makeSubmission(job, nonce));
    await turn();
    expect(events).toEqual([`overload ${job.wireId}/2`, `duplicate ${job.wireId}/1`]);
    expect(engine.stats.limitHits.duplicateHashes).toBe(1);
  });
});

describe('jobs in the kernel', () => {
  it('come with their first share and go when retired, after what is queued', async () => {
    const { engine, events, turn } = makeRig();
    const [first, second] = [makeJob(), makeJob()];
    engine.retire(first);
    expect(engine.stats.kernelJobs).toBe(0);
    engine.submit(makeSubmission(second, 1, IMPOSSIBLE));
    engine.retire(second);
    expect(engine.stats.kernelJobs).toBe(1);
    await turn();
    expect(engine.stats.kernelJobs).toBe(0);
    engine.submit(makeSubmission(first, 1, IMPOSSIBLE));
    await turn();
    engine.retire(second);
    expect(engine.stats.kernelJobs).toBe(0);
    expect(events).toHaveLength(2);
  });

  it('stay while they are alive', async () => {
    const { engine, turn } = makeRig();
    const job = makeJob();
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(engine.stats.kernelJobs).toBe(1);
    engine.retire(job);
    expect(engine.stats.kernelJobs).toBe(0);
  });
});

describe('drain', () => {
  it('hashes all that is queued and waits for every commit', async () => {
    const { engine, events, commits } = makeRig();
    const job = makeJob();
    for (let nonce = 0; nonce < 20; nonce += 1) engine.submit(makeSubmission(job, nonce));
    const drained = engine.drain();
    expect(commits.map(({ shares }) => shares.length)).toEqual([8, 8, 4]);
    for (const { resolve } of commits) resolve();
    await drained;
    expect(events).toHaveLength(20);
  });

  it('is done at once when there is nothing to do', async () => {
    await expect(makeRig().engine.drain()).resolves.toBeUndefined();
  });
});

const step = fc.oneof(
  fc.record({
    kind: fc.constant('submit' as const),
    job: fc.nat(2),
    nonce: fc.nat(12),
    assigned: fc.constantFrom<ShareTarget>(EASY, EVEN, IMPOSSIBLE),
  }),
  fc.record({ kind: fc.constant('turn' as const) }),
  fc.record({ kind: fc.constantFrom('resolve' as const, 'reject' as const), which: fc.nat(5) }),
  fc.record({ kind: fc.constantFrom('stale' as const, 'retire' as const), job: fc.nat(2) }),
);

it('settles every submission once and credits no hash twice, whatever happens in between', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const rig = makeRig({ capacity: 4, maxQueued: 10 });
      const jobs = [makeJob(), makeJob({ upstreamTarget: EVEN.target }), makeJob()];
      const pending: Commit[] = [];
      const credited = new Map<string, number>();
      let submitted = 0;
      const finish = ({ shares, resolve, reject }: Commit, isGood: boolean): void => {
        if (!isGood) {
          reject(new CodedError('ledger_io'));
          return;
        }
        for (const { submission, hash } of shares) {
          expect(meets(hash, 0, submission.assigned.words)).toBe(true);
          credited.set(toHex(hash), (credited.get(toHex(hash)) ?? 0) + 1);
        }
        resolve();
      };
      for (const event of steps) {
        if (event.kind === 'submit') {
          rig.engine.submit(makeSubmission(jobs[event.job]!, event.nonce, event.assigned));
          submitted += 1;
        } else if (event.kind === 'turn') await rig.turn();
        else if ('job' in event) {
          if (event.kind === 'stale') rig.stale.add(jobs[event.job]!);
          else rig.engine.retire(jobs[event.job]!);
        } else {
          pending.push(...rig.commits.splice(0));
          const [commit] = pending.splice(event.which, 1);
          if (commit !== undefined) finish(commit, event.kind === 'resolve');
        }
      }
      const drained = rig.engine.drain();
      for (const commit of [...pending, ...rig.commits]) finish(commit, true);
      await drained;
      const verdicts = rig.events.filter((event) => !event.startsWith('forward'));
      expect(verdicts).toHaveLength(submitted);
      const forwards = rig.events.filter((event) => event.startsWith('forward'));
      expect(new Set(forwards).size).toBe(forwards.length);
      expect([...credited.values()].every((times) => times === 1)).toBe(true);
      expect(rig.duplicates.size).toBe(credited.size);
      const { rejected, sharesAccepted } = rig.engine.stats;
      const settled = Object.values(rejected).reduce((sum, count) => sum + count, sharesAccepted);
      expect(settled).toBe(submitted);
      expect(sharesAccepted).toBe(credited.size);
      expect(rig.engine.stats).toMatchObject({ queued: 0, uncommitted: 0 });
    }),
    { numRuns: 60 },
  );
});

it('serves verdicts of the product only', () => {
  const verdicts: Record<Verdict, true> = {
    accepted: true,
    stale: true,
    low_difficulty: true,
    duplicate: true,
    overload: true,
  };
  const { engine } = makeRig();
  expect(['accepted', ...Object.keys(engine.stats.rejected)].sort()).toEqual(Object.keys(verdicts).sort());
});
