import { describe, expect, it } from 'vitest';
import { concat, toHex } from '../../src/base/bytes.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { randomJob, randomShare, seededBytes, straightforwardHash } from '../bench/kernel-bench.ts';

const bytes = seededBytes(11);
const jobs = [2, 9].map((branches) =>
  randomJob(bytes, { coinb1: 60, coinb2: 99, extranonce: 8, branches }),
);

describe('verifyShares', () => {
  it('hashes any number of shares of several jobs, in order', () => {
    const shares = Array.from({ length: 37 }, (_, index) => ({
      ...randomShare(bytes, jobs[index % 2]!),
      job: index % 2,
    }));
    const wanted = shares.map((share) => straightforwardHash({ ...share, job: jobs[share.job]! }));
    for (const kernel of [createKernel(8), createKernel(64), createKernel(8, 'portable')]) {
      expect(toHex(verifyShares(kernel, jobs, shares))).toBe(toHex(concat(...wanted)));
    }
    expect(verifyShares(createKernel(8), jobs, [])).toHaveLength(0);
  });

  it('refuses what does not fit its job, and leaves no job behind', () => {
    const kernel = createKernel(8);
    const share = { ...randomShare(bytes, jobs[0]!), job: 0 };
    const first = kernel.addJob(jobs[0]!);
    kernel.removeJob(first);
    expect(() => verifyShares(kernel, jobs, [{ ...share, extranonce: new Uint8Array(7) }])).toThrow(
      'share_bad',
    );
    expect(() => verifyShares(kernel, jobs, [{ ...share, job: 2 }])).toThrow('share_bad');
    expect(() => verifyShares(kernel, [jobs[0]!, { ...jobs[1]!, extranonceSize: 40 }], [])).toThrow(
      'malformed',
    );
    expect(kernel.addJob(jobs[0]!)).toBe(first);
  });
});
