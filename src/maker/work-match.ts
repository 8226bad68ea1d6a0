import { concat, equal } from '../base/bytes.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import type { KernelJob } from '../shares/kernel/kernel.ts';
import { bitsWithin } from '../stratum/version-rolling.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * In what a miner's job differs from the maker's that it is said to be made of, in words; undefined where
 * each of its shares is a share of that: the same block, coinbase and branches around an extranonce that
 * begins with zeros, versions that differ in bits that may be rolled alone, and no earlier time.
 */
export function differenceOf(own: WorkJob, job: JobRecord): string | undefined {
  const padSize = own.extranonce2Size - job.extranonceSize;
  if (!equal(job.prevHash, own.prevHash)) return 'another block before it';
  const isCoinbase =
    padSize >= 0 &&
    equal(job.coinb2, own.coinb2) &&
    equal(job.coinb1, concat(own.coinb1, own.extranonce1, new Uint8Array(padSize)));
  if (!isCoinbase) return 'another coinbase';
  const areBranches =
    job.branches.length === own.branches.length &&
    job.branches.every((branch, index) => equal(branch, own.branches[index]!));
  if (!areBranches) return 'other merkle branches';
  if (job.bits !== own.bits) return 'other nbits';
  const isVersion =
    bitsWithin(job.versionMask, own.versionMask) && bitsWithin(job.version ^ own.version, own.versionMask);
  if (!isVersion) return 'version bits that may not be rolled';
  return job.time < own.time ? 'an earlier time' : undefined;
}

/** The parts of a job that its shares are hashed of. */
export type HashableJob = Pick<
  WorkJob,
  'coinb1' | 'coinb2' | 'branches' | 'prevHash' | 'bits' | 'extranonce1' | 'extranonce2Size'
>;

/** A job of the maker as the kernel takes it, whose shares name the whole extranonce2. */
export function kernelJobOf(own: HashableJob): KernelJob {
  const { coinb1, extranonce1, coinb2, branches, prevHash, bits, extranonce2Size } = own;
  return {
    ...{ coinb2, branches, prevHash, bits },
    coinb1: concat(coinb1, extranonce1),
    extranonceSize: extranonce2Size,
  };
}
