import { CodedError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KernelJob } from './kernel.ts';

/** Longest extranonce (session id and the miner's part) a kernel slot holds. */
export const MAX_EXTRANONCE_SIZE = 32;

/** Bytes of the coinbase as hashed. */
export function coinbaseSize(job: KernelJob): number {
  return job.coinb1.length + job.extranonceSize + job.coinb2.length;
}

/**
 * Throws `malformed` for a job that no kernel takes: every bound that the kernels' memory layout rests
 * on.
 */
export function checkKernelJob(job: KernelJob): void {
  const { extranonceSize } = job;
  if (!Number.isInteger(extranonceSize) || extranonceSize < 0 || extranonceSize > MAX_EXTRANONCE_SIZE) {
    throw new CodedError(
      'malformed',
      `extranonce of ${extranonceSize} bytes, at most ${MAX_EXTRANONCE_SIZE}`,
    );
  }
  if (job.prevHash.length !== 32) throw new CodedError('malformed', 'prevHash must have 32 bytes');
  if (job.branches.length > LIMITS.merkleBranches) {
    throw new CodedError('malformed', `${job.branches.length} branches, at most ${LIMITS.merkleBranches}`);
  }
  if (job.branches.some((branch) => branch.length !== 32)) {
    throw new CodedError('malformed', 'a merkle branch must have 32 bytes');
  }
  if (coinbaseSize(job) > LIMITS.coinbaseBytes) {
    throw new CodedError(
      'malformed',
      `coinbase of ${coinbaseSize(job)} bytes, at most ${LIMITS.coinbaseBytes}`,
    );
  }
}
