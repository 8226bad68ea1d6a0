import { concat, equal } from '../base/bytes.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import type { KernelJob } from '../shares/kernel/kernel.ts';
import { bitsWithin } from '../stratum/version-rolling.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * True where each share of a miner's job is a share of the maker's: the same block, coinbase and branches
 * around an extranonce that begins with zeros, versions that differ in bits that may be rolled alone, and
 * no earlier time.
 */
export function isMadeOf(own: WorkJob, job: JobRecord): boolean {
  const padSize = own.extranonce2Size - job.extranonceSize;
  return (
    padSize >= 0 &&
    job.bits === own.bits &&
    job.time >= own.time &&
    bitsWithin(job.versionMask, own.versionMask) &&
    bitsWithin(job.version ^ own.version, own.versionMask) &&
    equal(job.prevHash, own.prevHash) &&
    equal(job.coinb2, own.coinb2) &&
    equal(job.coinb1, concat(own.coinb1, own.extranonce1, new Uint8Array(padSize))) &&
    job.branches.length === own.branches.length &&
    job.branches.every((branch, index) => equal(branch, own.branches[index]!))
  );
}

/** A job of the maker as the kernel takes it, whose shares name the whole extranonce2. */
export function kernelJobOf(own: WorkJob): KernelJob {
  const { coinb1, extranonce1, coinb2, branches, prevHash, bits, extranonce2Size } = own;
  return {
    ...{ coinb2, branches, prevHash, bits },
    coinb1: concat(coinb1, extranonce1),
    extranonceSize: extranonce2Size,
  };
}
