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
  const handles: KernelJobHandle[] = [];
  try {
    for (const job of jobs) handles.push(kernel.addJob(job));
    const hashes = new Uint8Array(shares.length * 32);
    for (let first = 0; first < shares.length; first += kernel.capacity) {
      const count = Math.min(kernel.capacity, shares.length - first);
      for (let slot = 0; slot < count; slot += 1) {
        const share = shares[first + slot]!;
        const size = jobs[share.job]?.extranonceSize;
        if (share.extranonce.length !== size) {
          throw new CodedError(
            'share_bad',
            `extranonce of ${share.extranonce.length} bytes, job has ${size}`,
          );
        }
        const handle = handles[share.job]!;
        kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
      }
      kernel.run(count);
      hashes.set(kernel.hashes.subarray(0, count * 32), first * 32);
    }
    return hashes;
  } finally {
    for (const handle of handles) kernel.removeJob(handle);
  }
}
