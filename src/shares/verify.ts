import { CodedError } from '../base/errors.ts';
import type { KernelJob, KernelJobHandle, ShareKernel } from './kernel/kernel.ts';

/** A share as evidence holds it. */
export type ShareInput = {
  /** Index into the jobs given with it. */
  readonly job: number;
  /** Session id || the miner's extranonce2, exactly the job's extranonceSize bytes. */
  readonly extranonce: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  /** As hashed. */
  readonly version: number;
};

/**
 * The header hashes of shares, recomputed through the kernel that judges miners' shares, so that both ends
 * of a contract and an auditor run the same code. Compare them with targets by `meets(hashes, index * 32,
 * words)`.
 * @param shares any number; hashed `kernel.capacity` at a time
 * @returns 32 bytes a share, internal order, in the order of `shares`
 * @throws CodedError `malformed` for a job no kernel takes, `share_bad` for a share that does not fit its job
 */
export function verifyShares(
  kernel: ShareKernel,
  jobs: readonly KernelJob[],
  shares: readonly ShareInput[],
): Uint8Array {
  return hashBatches(kernel, jobs, shares.length, (slot, at, handles) => {
    const { job, extranonce, ntime, nonce, version } = shares[at]!;
    const size = jobs[job]?.extranonceSize;
    if (extranonce.length !== size)
      throw new CodedError('share_bad', `extranonce of ${extranonce.length} bytes, job has ${size}`);
    kernel.setShare(slot, handles[job]!, extranonce, ntime, nonce, version);
  });
}

/**
 * The header hashes of `count` shares, `kernel.capacity` at a time.
 * @param fill fills a slot of the kernel with the share at an index; the handles are those of `jobs`
 * @returns 32 bytes a share, internal order
 * @throws CodedError `malformed` for a job no kernel takes, and what `fill` throws
 */
export function hashBatches(
  kernel: ShareKernel,
  jobs: readonly KernelJob[],
  count: number,
  fill: (slot: number, at: number, handles: readonly KernelJobHandle[]) => void,
): Uint8Array {
  const handles: KernelJobHandle[] = [];
  try {
    for (const job of jobs) handles.push(kernel.addJob(job));
    const hashes = new Uint8Array(count * 32);
    for (let first = 0; first < count; first += kernel.capacity) {
      const size = Math.min(kernel.capacity, count - first);
      for (let slot = 0; slot < size; slot += 1) fill(slot, first + slot, handles);
      kernel.run(size);
      hashes.set(kernel.hashes.subarray(0, size * 32), first * 32);
    }
    return hashes;
  } finally {
    for (const handle of handles) kernel.removeJob(handle);
  }
}
