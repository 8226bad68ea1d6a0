import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvariantError } from '../../src/base/assert.ts';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
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
  maxHashes?: number;
  capacity?: number;
  admits?: (submission: Submission) => boolean;
};

function makeRig(options: RigOptions = {}) {
  const events: string[] = [];
  const commits: Commit[] = [];
  const turns: (() => void)[] = [];
  const batches: number[] = [];
  const stale = new Set<Job>();
  const duplicates = new DuplicateSet(
    options.maxHashes === undefined ? {} : { maxHashes: options.maxHashes },
  );
  const label = (submission: Submission): string => `${submission.job.wireId}/${submission.nonce}`;
  const engine = new ShareEngine<Submission>(options, {
    kernel: createKernel(options.capacity ?? 8),
    duplicates,
    clock: new ManualClock(),
    log: silentLogger,
    isStale: (job) => stale.has(job),
    ...(options.admits === undefined ? {} : { admits: options.admits }),
    forward: (submission) => events.push(`forward ${label(submission)}`),
    commit: (shares) =>
      new Promise((resolve, reject) => {
        commits.push({ shares, resolve, reject });
      }),
    settle: (submission, verdict) => events.push(`${verdict} ${label(submission)}`),
    timers: { afterTurn: (run) => void turns.push(run) },
    observeBatch: (shares) => batches.push(shares),
  });
  /** Lets one turn of the event loop pass, and the promises settled in it. */
  const turn = async (): Promise<void> => {
    turns.shift()?.();
    await new Promise(setImmediate);
  };
  return { engine, events, commits, turns, batches, stale, duplicates, turn };
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

describe('forwarding', () => {
  it.each(['upstreamTarget', 'networkTarget'] as const)('goes by the %s, first of all', async (which) => {
    const { engine, events, turn } = makeRig();
    const job = makeJob({ [which]: EASY.target });
    engine.submit(makeSubmission(job, 1, IMPOSSIBLE));
    await turn();
    expect(events).toEqual([`forward ${job.wireId}/1`, `low_difficulty ${job.wireId}/1`]);
  });

  it('sends a stale solution too, and every hash once', async () => {
    const { engine, events, commits, stale, turn } = makeRig();
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
    engine.dropGeneration(generationOf(job));
    engine.submit(makeSubmission(job, 2));
    await turn();
    expect(engine.stats.sharesForwarded).toBe(3);
  });
});

describe('failure and overload', () => {
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
