import { expect, it } from 'vitest';
import {
  MAX_TARGET,
  MIN_DIFFICULTY,
  targetOfCompact,
  targetOfDifficulty,
} from '../../src/bitcoin/target.ts';
import { PreparedJob } from '../../src/downstream/session/prepared-job.ts';
import { SentJobs } from '../../src/downstream/session/sent-jobs.ts';
import { SessionWork } from '../../src/downstream/session/session-work.ts';
import { emptyStats } from '../../src/downstream/session/stats.ts';
import type { Job } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import { type ShareTarget, shareTargetOf } from '../../src/shares/share.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';

const table = new JobTable({
  ...{ run: 0, sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: 0, staleGraceMs: 0 },
});
const WORK = { key: 'w', isRepeat: false };
const jobWith = (target: bigint, bits = 0x17034219): Job =>
  table.add('pool', 's', plainWork(1, { target, bits }), 0);

it('remembers the newest 64 jobs', () => {
  const target = shareTargetOf(1);
  const sent = new SentJobs();
  const jobs = Array.from({ length: 200 }, () => jobWith(targetOfDifficulty(1)));
  for (const [index, job] of jobs.entries()) {
    sent.add({ job, target, work: 'w' });
    for (const [other, candidate] of jobs.entries()) {
      const known = other <= index && other > index - 64;
      if (other > index - 70 && other < index + 3)
        expect(sent.find(candidate.id)?.job).toBe(known ? candidate : undefined);
    }
  }
});

it('caps the difficulty so that every share the upstream wants is asked for', () => {
  const cap = (target: bigint, bits?: number): number => {
    const { upstreamDifficulty, networkDifficulty } = new PreparedJob(jobWith(target, bits), WORK);
    return Math.min(upstreamDifficulty, networkDifficulty);
  };
  expect(cap(targetOfDifficulty(1024))).toBe(1024);
  expect(cap(targetOfDifficulty(1024) + 1n)).toBe(512);
  expect(cap(targetOfDifficulty(1024) - 1n)).toBe(1024);
  expect(cap(targetOfDifficulty(1638))).toBe(1024);
  expect(cap(targetOfDifficulty(0.3))).toBe(0.25);
  expect(cap(targetOfDifficulty(1024), 0x1d00ffff)).toBe(1);
  expect(cap(2n ** 256n - 1n)).toBe(MIN_DIFFICULTY);
});

it('never goes below the floor for an easy network, and tells what is judged', () => {
  const regtest = 0x207fffff;
  const assigned = (least: number, target?: bigint, floor = least): ShareTarget => {
    const job = jobWith(target ?? targetOfCompact(regtest), regtest);
    const context = {
      ...{ nowMs: 0, monotonicMs: 0, stats: emptyStats(), sentBefore: () => undefined },
      shareTarget: shareTargetOf,
    };
    const work = new SessionWork(
      { sharesPerMinute: 12, start: 1, least, floor, ceiling: 2 ** 40 },
      context,
    );
    return work.assignJob(new PreparedJob(job, WORK), false).target;
  };
  expect(assigned(0.5).difficulty).toBe(0.5);
  expect(assigned(512).difficulty).toBe(512);
  expect(assigned(0.5, undefined, 4).difficulty).toBe(0.5);
  // What a pool asks for is not made harder: it would go unpaid.
  expect(assigned(512, targetOfDifficulty(16)).difficulty).toBe(16);
  for (const least of [2 ** -40, 2 ** -32, 2 ** -31, 2 ** -20]) {
    const { difficulty, target } = assigned(least);
    expect(difficulty).toBe(Math.max(least, 2 ** -31));
    // A clamped target would be another than the one that was told.
    expect(target).toBe(targetOfDifficulty(difficulty));
    expect(target).toBeLessThan(MAX_TARGET);
  }
});

it('gives all sessions of a target the same record', () => {
  const prepared = new PreparedJob(jobWith(targetOfDifficulty(1)), WORK);
  const target = shareTargetOf(4);
  expect(prepared.sentWith(target)).toBe(prepared.sentWith(target));
  expect(prepared.sentWith(shareTargetOf(8)).target.difficulty).toBe(8);
  const [clean, plain] = [prepared.cleanNotify.toString(), prepared.plainNotify.toString()];
  expect(clean.replace(',true]', ',false]')).toBe(plain);
});
