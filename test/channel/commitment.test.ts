import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigToBe, bigToLe, concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { sha256, taggedHash } from '../../src/base/hash.ts';
import {
  commitmentHash,
  type StateCommitment,
  signCommitment,
  verifyCommitment,
} from '../../src/channel/commitment.ts';
import {
  EMPTY_JOB_SET,
  type EvidencePoint,
  EvidenceSegment,
  jobLeaf,
  noEvidence,
} from '../../src/channel/evidence-point.ts';
import { EMPTY_FAULT_LOG } from '../../src/channel/fault-log.ts';
import { channelIdOf } from '../../src/channel/params.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { type JobRecord, parseJobDocument } from '../../src/work/evidence.ts';
import { code, EH, makeParams, makerSigner, minerSigner, seedOf, strangerSigner } from './fixtures.ts';

const params = makeParams();
const commitment: StateCommitment = {
  n: 3,
  workHashes: 5n * EH,
  shareRoot: seedOf('shares'),
  jobSetRoot: seedOf('jobs'),
  faultLogHead: EMPTY_FAULT_LOG,
  nextSeq: 77,
};

const job: JobRecord = {
  id: 2 ** 32 + 10,
  wireId: '10000000a',
  stream: 'pool',
  version: 0x20000000,
  versionMask: 0x1fffe000,
  prevHash: seedOf('block'),
  coinb1: Uint8Array.of(1, 2),
  coinb2: Uint8Array.of(3),
  branches: [seedOf('branch')],
  bits: 0x1d00ffff,
  time: 1_700_000_000,
  extranonceSize: 8,
  upstreamDifficulty: 0.5,
};

describe('a commitment', () => {
  it('is of the channel, the contract, the state and the roots, in their layout', () => {
    const bytes = concat(
      fromHex(channelIdOf(params)),
      fromHex(params.contractId),
      bigToLe(3n, 8),
      bigToBe(5n * EH, 32),
      ...[commitment.shareRoot, commitment.jobSetRoot, EMPTY_FAULT_LOG],
      bigToLe(77n, 8),
    );
    expect(commitmentHash(params, commitment)).toEqual(taggedHash('sharestream/commitment/1', bytes));
  });

  it('is signed by each side with its own node key, and for nothing else', () => {
    const maker = signCommitment(params, commitment, makerSigner);
    const miner = signCommitment(params, commitment, minerSigner);
    expect(signCommitment(params, commitment, makerSigner)).toBe(maker);
    verifyCommitment(params, commitment, 'maker', maker);
    verifyCommitment(params, commitment, 'miner', miner);
    const others: StateCommitment[] = [
      { ...commitment, n: 4 },
      { ...commitment, workHashes: 5n * EH + 1n },
      { ...commitment, shareRoot: seedOf('other') },
      { ...commitment, jobSetRoot: seedOf('other') },
      { ...commitment, faultLogHead: seedOf('other') },
      { ...commitment, nextSeq: 78 },
    ];
    const refused = (of: StateCommitment, signature: string, by: 'miner' | 'maker' = 'maker'): string =>
      code(() => verifyCommitment(params, of, by, signature));
    for (const other of others) expect(refused(other, maker)).toBe('bad_signature');
    expect(refused(commitment, miner)).toBe('bad_signature');
    expect(refused(commitment, maker, 'miner')).toBe('bad_signature');
    expect(refused(commitment, '')).toBe('bad_signature');
    const elsewhere = makeParams({ funding: { txid: '11'.repeat(32), vout: 0 } });
    expect(code(() => verifyCommitment(elsewhere, commitment, 'maker', maker))).toBe('bad_signature');
    expect(code(() => signCommitment(params, commitment, strangerSigner))).toBe('bad_key_file');
  });

  it('is of some work, some share, and roots of their size', () => {
    const refused = (changes: Partial<StateCommitment>): string =>
      code(() => commitmentHash(params, { ...commitment, ...changes }));
    expect(refused({ n: 1, nextSeq: 1 })).toBe('nothing thrown');
    expect(refused({ n: 0 })).toBe('wrong_state_number');
    expect(refused({ n: 1.5 })).toBe('wrong_state_number');
    expect(refused({ workHashes: 0n })).toBe('bad_amount');
    expect(refused({ workHashes: 1n << 256n })).toBe('bad_amount');
    expect(refused({ nextSeq: 0 })).toBe('bad_sequence');
    expect(refused({ shareRoot: new Uint8Array(31) })).toBe('bad_commitment');
  });

  it('has constants and a leaf that never change', () => {
    expect(toHex(EMPTY_JOB_SET)).toBe('370f7fe804a6b0db7e7b63074b79c7bfdc9272702e6d218ff72a630798c738d9');
    expect(toHex(EMPTY_FAULT_LOG)).toBe('81b6e2dc56356ebb9b78917a6ed6dd0fcb27234242cfa740c4de1cbfee386d03');
    expect(toHex(jobLeaf(job))).toBe('810426e5afa6b44ad4872410718186b06f474416dfa664a7110a3772028c92e4');
  });

  it('leaf is another for any field of the job', () => {
    const others: Partial<JobRecord>[] = [
      { wireId: '10000000b' },
      { stream: 'other' },
      { version: 1 },
      { versionMask: 0 },
      { prevHash: seedOf('x') },
      { coinb1: Uint8Array.of(1) },
      { coinb2: Uint8Array.of(2, 3) },
      { branches: [] },
      { bits: 1 },
      { time: 1 },
      { extranonceSize: 7 },
      { upstreamDifficulty: 1 },
    ];
    const leaves = [{}, ...others].map((change) => toHex(jobLeaf({ ...job, ...change })));
    expect(new Set(leaves).size).toBe(others.length + 1);
    expect(jobLeaf(parseJobDocument(JSON.stringify(JSON.parse(JSON.stringify(documentOf())))))).toEqual(
      jobLeaf(job),
    );
  });
});

function documentOf(): object {
  return {
    job: job.wireId,
    version: '20000000',
    prevhash: toHex(swapped(job.prevHash)),
    coinb1: '0102',
    coinb2: '03',
    merkle_branches: job.branches.map(toHex),
    nbits: '1d00ffff',
    ntime: '6553f100',
    stream: 'pool',
    version_mask: '1fffe000',
    extranonce_size: 8,
    upstream_difficulty: 0.5,
  };
}

function swapped(bytes: Uint8Array): Uint8Array {
  return bytes.map((_, index) => bytes[(index & ~3) + 3 - (index & 3)]!);
}

type Share = { readonly jobId: number; readonly hash: Uint8Array };

/** The point after these shares, by one segment or by several that end where it is said. */
function pointOf(shares: readonly Share[], ends: readonly number[]): EvidencePoint {
  let point = noEvidence();
  let segment = new EvidenceSegment(point);
  shares.forEach(({ jobId, hash }, index) => {
    if (ends.includes(index)) {
      point = segment.end(index);
      segment = new EvidenceSegment(point);
    }
    if (segment.lacksJob(jobId)) segment.addJob(jobId, sha256(Uint8Array.of(jobId)));
    segment.credit(jobId, hash, 10n);
  });
  return segment.end(shares.length);
}

const anyShares = fc.array(
  fc.record({
    jobId: fc.nat({ max: 5 }),
    hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((each) => Uint8Array.from(each)),
  }),
  { minLength: 1, maxLength: 40 },
);

describe('an evidence point', () => {
  it('has the tree of all shares whatever the segments, and the chain of their job sets', () => {
    fc.assert(
      fc.property(anyShares, fc.array(fc.nat({ max: 40 }), { maxLength: 4 }), (shares, cuts) => {
        const ends = [...new Set(cuts.filter((cut) => cut > 0 && cut < shares.length))].toSorted(
          (a, b) => a - b,
        );
        const whole = new ShareTree();
        for (const { hash } of shares) whole.append(hash);
        const point = pointOf(shares, ends);
        expect(point.tree.root()).toEqual(whole.root());
        expect(point).toMatchObject({ nextSeq: shares.length, workHashes: 10n * BigInt(shares.length) });
        let root = EMPTY_JOB_SET;
        for (const [index, end] of [...ends, shares.length].entries()) {
          const part = shares.slice(ends[index - 1] ?? 0, end);
          const jobs = new ShareTree();
          for (const jobId of new Set(part.map((each) => each.jobId)))
            jobs.append(sha256(Uint8Array.of(jobId)));
          root = taggedHash('sharestream/job-set/1', concat(root, jobs.root()));
        }
        expect(point.jobSetRoot).toEqual(root);
      }),
    );
  });

  it('is another for other jobs, another order of jobs and another share', () => {
    const [a, b] = [seedOf('a'), seedOf('b')];
    const shares = [
      { jobId: 1, hash: a },
      { jobId: 2, hash: b },
    ];
    const point = pointOf(shares, []);
    const jobs = pointOf([shares[0]!, { jobId: 3, hash: b }], []);
    expect(jobs.tree.root()).toEqual(point.tree.root());
    expect(jobs.jobSetRoot).not.toEqual(point.jobSetRoot);
    const turned = pointOf(
      [
        { jobId: 2, hash: a },
        { jobId: 1, hash: b },
      ],
      [],
    );
    expect(turned.jobSetRoot).not.toEqual(point.jobSetRoot);
    expect(pointOf([shares[0]!, { jobId: 2, hash: a }], []).tree.root()).not.toEqual(point.tree.root());
  });

  it('leaves what it builds on as it was', () => {
    const base = pointOf([{ jobId: 1, hash: seedOf('a') }], []);
    const before = JSON.stringify(base.tree.toJson());
    const segment = new EvidenceSegment(base);
    segment.addJob(1, seedOf('leaf'));
    segment.credit(1, seedOf('b'), 1n);
    segment.end(2);
    expect(JSON.stringify(base.tree.toJson())).toBe(before);
  });

  it('counts what it has, and takes many shares at once for what they are one by one', () => {
    const base = pointOf([{ jobId: 1, hash: seedOf('a') }], []);
    const hashes = ['b', 'c', 'd'].map(seedOf);
    const [single, many] = [new EvidenceSegment(base), new EvidenceSegment(base)];
    expect(many.workHashes).toBe(10n);
    for (const segment of [single, many]) segment.addJob(2, seedOf('leaf'));
    for (const hash of hashes) single.credit(2, hash, 4n);
    const kernel = createKernel(64);
    many.creditAll(concat(...hashes), 4n, kernel);
    expect([single.workHashes, many.workHashes]).toEqual([22n, 22n]);
    const [one, other] = [single.end(4), many.end(4)];
    expect(other.tree.root()).toEqual(one.tree.root());
    expect(other).toMatchObject({ workHashes: 22n, jobSetRoot: one.jobSetRoot });
    expect(other.weightsHead).toEqual(one.weightsHead);
  });

  it('has each job once, before its first share, and never ends before it began', () => {
    const segment = new EvidenceSegment(pointOf([{ jobId: 1, hash: seedOf('a') }], []));
    expect(segment.lacksJob(1)).toBe(true);
    expect(() => segment.credit(1, seedOf('b'), 1n)).toThrow('segment_job_before_share');
    segment.addJob(1, seedOf('leaf'));
    expect(segment.lacksJob(1)).toBe(false);
    expect(() => segment.addJob(1, seedOf('leaf'))).toThrow('segment_job_twice');
    expect(() => segment.end(0)).toThrow('segment_goes_forward');
    expect(segment.end(1).nextSeq).toBe(1);
  });
});
