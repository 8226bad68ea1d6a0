import { MAX_TARGET } from '../../src/bitcoin/target.ts';
import type { Job } from '../../src/jobs/job.ts';
import { type ShareTarget, type Submission, wordsOfTarget } from '../../src/shares/share.ts';

let lastId = 0;

/** A job whose shares nearly all meet no target but an assigned one. */
export function makeJob(changes: Partial<Job> = {}): Job {
  lastId += 1;
  const id = lastId;
  const coinb1 = new Uint8Array(50).fill(id);
  const coinb2 = new Uint8Array(60).fill(2);
  const prevHash = new Uint8Array(32).fill(3);
  const shared = {
    prevHash,
    coinb1,
    coinb2,
    branches: [],
    version: 0x20000000,
    bits: 0x1d00ffff,
    time: 1000,
  };
  return {
    ...shared,
    id,
    wireId: id.toString(16),
    destination: 'pool',
    fixedDifficulty: undefined,
    stream: 'own:pool',
    versionMask: 0,
    clean: false,
    extranonceSize: 8,
    networkTarget: 0n,
    upstreamTarget: 0n,
    upstream: {
      ...shared,
      upstreamJobId: `u${id}`,
      clean: false,
      extranonce1: new Uint8Array(0),
      extranonce2Size: 8,
      target: 0n,
      versionMask: 0,
    },
    createdAtMonotonicMs: 0,
    ...changes,
  };
}

export function targetOf(target: bigint): ShareTarget {
  return { difficulty: 1, target, words: wordsOfTarget(target), workHashes: 1n };
}

/** Met by every hash, by none, and by about one in two. */
export const EASY = targetOf((1n << 256n) - 1n);
export const IMPOSSIBLE = targetOf(0n);
export const EVEN = targetOf(MAX_TARGET);

/** Shares of one job with different nonces have different hashes. */
export function makeSubmission(job: Job, nonce: number, assigned: ShareTarget = EASY): Submission {
  return { job, assigned, extranonce: new Uint8Array(8), ntime: 1000, nonce, version: job.version };
}
