import { CodedError } from '../../src/base/errors.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import { type AcceptedShare, type ShareTarget, shareTargetOf } from '../../src/shares/share.ts';
import { SharePacker } from '../../src/work/evidence.ts';

const fill = (size: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, index) => (index * 7 + seed) % 256);

/** A job with made-up content, all of it depending on its id. */
export function sampleJob(id: number, stream = 'own:pool', changes: Partial<Job> = {}): Job {
  const upstream: UpstreamJob = {
    upstreamJobId: `u${id}`,
    prevHash: fill(32, id),
    coinb1: fill(50, id + 1),
    coinb2: fill(60, id + 2),
    branches: [fill(32, id + 3), fill(32, id + 4)],
    version: 0x20000000,
    bits: 0x1d00ffff,
    time: 1_700_000_000 + id,
    clean: true,
    extranonce1: fill(4, id + 5),
    extranonce2Size: 8,
    target: shareTargetOf(1024).target,
    versionMask: 0x1fffe000,
  };
  return {
    id,
    wireId: id.toString(16),
    destination: 'pool',
    fixedDifficulty: undefined,
    stream,
    prevHash: upstream.prevHash,
    coinb1: upstream.coinb1,
    coinb2: upstream.coinb2,
    branches: upstream.branches,
    version: upstream.version,
    versionMask: upstream.versionMask,
    bits: upstream.bits,
    time: upstream.time,
    clean: true,
    extranonceSize: 8,
    networkTarget: shareTargetOf(1).target,
    upstreamTarget: upstream.target,
    upstream,
    createdAtMonotonicMs: 0,
    ...changes,
  };
}

/** A share of a job, all of it depending on its number. */
export function sampleShare(job: Job, assigned: ShareTarget, number: number): AcceptedShare {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, number);
  return {
    submission: {
      job,
      assigned,
      extranonce: fill(job.extranonceSize, number),
      ntime: job.time + (number % 100),
      nonce: (number * 2_654_435_761) % 2 ** 32,
      version: job.version + (number % 8) * 0x2000,
    },
    hash,
  };
}

export const overload = (): CodedError => new CodedError('overload');

/** One share as an 80-byte record. */
export function packShare(share: AcceptedShare, extranonce1Size: number): Uint8Array {
  const packer = new SharePacker(1, extranonce1Size);
  packer.add(share);
  return packer.bytes;
}
