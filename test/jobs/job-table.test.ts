import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { displayHash, headerHash, parseHeader, serializeHeader } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { hashToNumber } from '../../src/bitcoin/target.ts';
import type { Job } from '../../src/jobs/job.ts';
import { JobTable, type JobTableOptions } from '../../src/jobs/job-table.ts';
import { blockVector, blockVectors } from '../vectors.ts';
import { plainWork, upstreamJobOf } from './upstream-jobs.ts';

const OPTIONS: JobTableOptions = {
  run: 3,
  sessionIdSize: 4,
  minerExtranonce2Size: 4,
  versionMask: 0x1fffe000,
  staleGraceMs: 0,
};

function table(changes: Partial<JobTableOptions> = {}): { jobs: JobTable; retired: Job[] } {
  const retired: Job[] = [];
  const jobs = new JobTable({ ...OPTIONS, ...changes }, { onRetired: (job) => retired.push(job) });
  return { jobs, retired };
}

describe('JobTable', () => {
  it('gives ids that are unique over runs, and finds jobs by them', () => {
    const { jobs } = table();
    const first = jobs.add('pool', 'own:pool', plainWork(), 0);
    const second = jobs.add('pool', 'own:pool', plainWork(), 0);
    expect([first.wireId, second.wireId]).toEqual(['300000000', '300000001']);
    expect(jobs.byId(0x300000001)).toBe(second);
    expect(jobs.byId(0x300000002)).toBeUndefined();
    expect(jobs.current('pool')).toBe(second);
    expect(jobs.current('elsewhere')).toBeUndefined();
  });

  it('builds what the miner sees', () => {
    const work = plainWork(1, { extranonce2Size: 10, version: 0x3fffffff, versionMask: 0x1fff0000 });
    const job = table().jobs.add('pool', 'own:pool', work, 5);
    expect(toHex(job.coinb1)).toBe('010203aabb0000');
    expect(job.extranonceSize).toBe(8);
    expect(job.versionMask).toBe(0x1fff0000);
    expect(job.version).toBe(0x2000ffff);
    expect(job.clean).toBe(true);
    expect(job.networkTarget).toBe(0xffffn << 208n);
  });

  it('gives one session the whole extranonce2, as far as it is not more than anyone takes', () => {
    const { jobs } = table();
    const own = { minerExtranonce1Size: 2 };
    const job = jobs.add('pool#1', 's', plainWork(1, { extranonce2Size: 1 }), 0, undefined, own);
    expect([toHex(job.coinb1), job.extranonceSize, job.minerExtranonce1Size]).toEqual(['010203aabb', 1, 2]);
    const wide = plainWork(1, { extranonce2Size: 9 });
    expect(() => jobs.add('pool#1', 's', wide, 0, undefined, own)).toThrow(/malformed/);
    expect(jobs.current('pool#1')).toBe(job);
  });

  it('is clean on another previous block, whatever the upstream says', () => {
    const { jobs } = table();
    jobs.add('pool', 's', plainWork(1), 0);
    expect(jobs.add('pool', 's', plainWork(1), 0).clean).toBe(false);
    expect(jobs.add('pool', 's', plainWork(2), 0).clean).toBe(true);
    expect(jobs.add('pool', 's', plainWork(2, { clean: true }), 0).clean).toBe(true);
  });

  it('ends earlier jobs of the destination when a clean one comes, after a grace', () => {
    const { jobs } = table({ staleGraceMs: 100, staleGraceMsOf: { slow: 500 } });
    const old = jobs.add('pool', 's', plainWork(1), 0);
    const kept = jobs.add('pool', 's', plainWork(1), 0);
    const slow = jobs.add('slow', 's', plainWork(1), 0);
    const other = jobs.add('other', 's', plainWork(1), 0);
    for (const destination of ['pool', 'slow']) jobs.add(destination, 's', plainWork(2), 1000);
    expect([old, kept, slow, other].map((job) => jobs.isStale(job, 1100))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([old, kept, slow, other].map((job) => jobs.isStale(job, 1101))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(jobs.isStale(slow, 1501)).toBe(true);
  });

  it('keeps the end of a job when more clean jobs come', () => {
    const { jobs } = table({ staleGraceMs: 100 });
    const old = jobs.add('pool', 's', plainWork(1), 0);
    jobs.add('pool', 's', plainWork(2), 1000);
    jobs.add('pool', 's', plainWork(3), 1090);
    expect(jobs.isStale(old, 1150)).toBe(true);
  });

  it('retires an ended job after a while, and tells only when no share of it can be waiting', () => {
    const { jobs, retired } = table({ retainMs: 1000 });
    const old = jobs.add('pool', 's', plainWork(1), 0);
    const next = jobs.add('pool', 's', plainWork(2), 10);
    jobs.expire(1010);
    expect(jobs.isKnown(old)).toBe(true);
    jobs.expire(1011);
    expect([jobs.isKnown(old), jobs.byId(old.id), jobs.isStale(old, 1011)]).toEqual([
      false,
      undefined,
      true,
    ]);
    expect(retired).toEqual([]);
    jobs.expire(6010);
    expect(retired).toEqual([]);
    jobs.expire(6011);
    jobs.expire(9000);
    expect(retired).toEqual([old]);
    expect(jobs.current('pool')).toBe(next);
    expect([old, next].map((job) => jobs.hasPrevHash(job.prevHash))).toEqual([false, true]);
    expect(jobs.stats.jobsRetired).toBe(1);
  });

  it('ends jobs by age, the current one too', () => {
    const { jobs, retired } = table({ jobAgeMs: 1000, retainMs: 0 });
    const job = jobs.add('pool', 's', plainWork(1), 0);
    expect(jobs.isStale(job, 999)).toBe(false);
    expect(jobs.isStale(job, 1000)).toBe(true);
    jobs.expire(1001);
    expect(jobs.current('pool')).toBeUndefined();
    jobs.expire(7000);
    expect(retired).toEqual([job]);
    expect(jobs.size).toBe(0);
  });

  it('is bounded per destination', () => {
    const { jobs, retired } = table({ jobsPerDestination: 3 });
    const added = Array.from({ length: 10 }, () => jobs.add('pool', 's', plainWork(1), 0));
    expect(jobs.size).toBe(3);
    expect(added.map((job) => jobs.isKnown(job)).indexOf(true)).toBe(7);
    expect(jobs.stats.limitHits.jobsPerDestination).toBe(7);
    jobs.expire(6000);
    expect(retired).toEqual(added.slice(0, 7));
  });

  it('ends a destination', () => {
    const { jobs } = table();
    const job = jobs.add('pool', 's', plainWork(1), 0);
    jobs.endDestination('pool', 100);
    jobs.endDestination('nowhere', 100);
    expect(jobs.current('pool')).toBeUndefined();
    expect(jobs.isStale(job, 101)).toBe(true);
    expect(jobs.add('pool', 's', plainWork(1), 200).clean).toBe(true);
  });

  it('ends the jobs made of one upstream job, refreshed ones too, and no others', () => {
    const { jobs } = table();
    const bought = { jobId: 9, difficulty: 4 };
    const other = jobs.add('pool', 's', plainWork(1), 0);
    const gone = { ...plainWork(1), upstreamJobId: '9', bought };
    const first = jobs.add('pool', 's', gone, 0, 4);
    const again = jobs.refresh('pool', 30_000)!;
    expect([again.upstream.bought, again.fixedDifficulty]).toEqual([bought, 4]);
    jobs.endJobs('pool', new Set(['9']), 31_000);
    expect([other, first, again].map((job) => jobs.isStale(job, 31_001))).toEqual([false, true, true]);
    expect(jobs.current('pool')).toBeUndefined();
    expect(jobs.add('pool', 's', plainWork(1), 32_000).clean).toBe(true);
  });

  it('never refreshes beyond the last ntime of 32 bits', () => {
    const { jobs } = table();
    jobs.add('pool', 's', plainWork(1, { time: 0xffffffff - 5 }), 0);
    expect(jobs.refresh('pool', 3_000)?.time).toBe(0xffffffff - 2);
    expect(jobs.refresh('pool', 60_000)?.time).toBe(0xffffffff);
    expect(jobs.refresh('pool', 61_000)).toBeUndefined();
  });

  it('refreshes the current job with a later ntime', () => {
    const { jobs } = table();
    expect(jobs.refresh('pool', 0)).toBeUndefined();
    const job = jobs.add('pool', 's', plainWork(1, { clean: true }), 0);
    const again = jobs.refresh('pool', 30_500)!;
    expect([again.time - job.time, again.clean, again.stream]).toEqual([30, false, 's']);
    expect(again.upstream.upstreamJobId).toBe(job.upstream.upstreamJobId);
    expect(jobs.refresh('pool', 30_500)!.time).toBe(again.time + 1);
    expect(jobs.isStale(job, 30_501)).toBe(false);
  });

  const bad: readonly [what: string, work: Parameters<typeof plainWork>[1], code: RegExp][] = [
    ['an extranonce2 too small to share', { extranonce2Size: 7 }, /extranonce_too_small/],
    [
      '33 branches',
      { branches: Array.from({ length: 33 }, () => new Uint8Array(32)) },
      /malformed.*branches/,
    ],
    ['a huge coinbase', { coinb2: new Uint8Array(33_000) }, /malformed.*coinbase/],
    ['nbits that are no target', { bits: 0 }, /malformed.*nbits/],
    ['a short branch', { branches: [new Uint8Array(31)] }, /malformed/],
  ];
  it.each(bad)('refuses %s and stays as it was', (_what, changes, code) => {
    const { jobs } = table();
    const job = jobs.add('pool', 's', plainWork(1), 0);
    expect(() => jobs.add('pool', 's', plainWork(2, changes), 1)).toThrow(code);
    expect([jobs.size, jobs.current('pool'), jobs.isStale(job, 1000)]).toEqual([1, job, false]);
    expect(jobs.add('pool', 's', plainWork(1), 1).id).toBe(job.id + 1);
  });
});

/** The header a miner hashes for a job, by the plain functions. */
function headerOf(job: Job, extranonce: Uint8Array, ntime: number, nonce: number): Uint8Array {
  const txid = sha256d(concat(job.coinb1, extranonce, job.coinb2));
  return serializeHeader({
    version: job.version,
    prevHash: job.prevHash,
    merkleRoot: merkleRootFromBranches(txid, job.branches),
    time: ntime,
    bits: job.bits,
    nonce,
  });
}

describe('mainnet blocks', () => {
  it.each([blockVector('genesis'), blockVector('block 413567')])('gives the header of $name', (block) => {
    const upstream = upstreamJobOf(block.notify, block.extranonce1, block.extranonce2Size);
    const job = table().jobs.add('pool', 's', upstream, 0);
    const [, , extranonce2, ntime, nonce] = block.submit;
    const extranonce = fromHex(extranonce2, job.extranonceSize);
    const header = headerOf(job, extranonce, Number.parseInt(ntime, 16), Number.parseInt(nonce, 16));
    expect(toHex(header)).toBe(block.header);
    const hash = headerHash(parseHeader(header));
    expect(displayHash(hash)).toBe(block.hash);
    expect(hashToNumber(hash) <= job.networkTarget).toBe(true);
  });

  it.each(blockVectors())('gives the hash of $name', (block) => {
    const { extranonce1, extranonce2Size, submit } = block;
    const upstream = upstreamJobOf(block.notify, extranonce1, extranonce2Size);
    const half = { sessionIdSize: extranonce2Size / 2, minerExtranonce2Size: extranonce2Size / 2 };
    const job = table(half).jobs.add('pool', 's', upstream, 0);
    const header = headerOf(
      job,
      fromHex(submit[2]),
      Number.parseInt(submit[3], 16),
      Number.parseInt(submit[4], 16),
    );
    expect(toHex(header)).toBe(block.header);
    expect(displayHash(headerHash(parseHeader(header)))).toBe(block.hash);
  });
});
