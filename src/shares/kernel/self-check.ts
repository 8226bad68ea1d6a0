import { equal } from '../../base/bytes.ts';
import { type ShareInput, verifyShares } from '../verify.ts';
import type { KernelJob, ShareKernel } from './kernel.ts';
import { createPortableKernel } from './portable-kernel.ts';

/**
 * Bytes of coinb1 and coinb2, and branches: they bring every stage of a kernel, an extranonce that lies in
 * two blocks, and lanes that differ.
 */
const SHAPES = [
  [20, 30, 0],
  [60, 160, 1],
  [77, 150, 12],
  [130, 600, 3],
] as const;
const EXTRANONCE_SIZE = 8;
const SHARES = 32;

/**
 * True when its hashes are those of `node:crypto`: shares of one job, then of several in one batch, and a
 * tree's.
 */
export function hashesRight(kernel: ShareKernel): boolean {
  const reference = createPortableKernel(SHARES);
  const count = Math.min(SHARES - 3, kernel.capacity);
  for (const size of [32, 64] as const) {
    const inputs = bytesOf(size, size * count);
    const [ours, theirs] = [kernel, reference].map((each) => {
      const digests = new Uint8Array(32 * count);
      each.hashTree(inputs, size, digests);
      return digests;
    });
    if (!equal(ours!, theirs!)) return false;
  }
  const jobs = SHAPES.map(([coinb1, coinb2, branches], seed) => jobOf(seed, coinb1, coinb2, branches));
  const batches = [...jobs.map((job) => [job]), jobs];
  return batches.every((batch) => {
    const shares = Array.from({ length: SHARES }, (_, index) => shareOf(index, index % batch.length));
    return equal(verifyShares(kernel, batch, shares), verifyShares(reference, batch, shares));
  });
}

function shareOf(seed: number, job: number): ShareInput {
  const [ntime, nonce, version] = new Uint32Array(bytesOf(seed + 100, 12).buffer);
  return {
    job,
    extranonce: bytesOf(seed, EXTRANONCE_SIZE),
    ntime: ntime!,
    nonce: nonce!,
    version: version!,
  };
}

function jobOf(seed: number, coinb1: number, coinb2: number, branches: number): KernelJob {
  return {
    coinb1: bytesOf(seed, coinb1),
    coinb2: bytesOf(seed + 10, coinb2),
    branches: Array.from({ length: branches }, (_, index) => bytesOf(seed + index, 32)),
    prevHash: bytesOf(seed + 20, 32),
    bits: 0x1d00ffff - seed,
    extranonceSize: EXTRANONCE_SIZE,
  };
}

/** The same for the same seed, and of no pattern that a wrong hash could share. */
function bytesOf(seed: number, size: number): Uint8Array {
  return Uint8Array.from(
    { length: size },
    (_, at) => Math.imul(at + 1, 0x9e3779b1 + seed * 0x85ebca6b) >>> 13,
  );
}
