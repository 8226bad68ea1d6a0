import type { ErrorCode } from '../base/errors.ts';
import { targetOfDifficulty, targetToLe, workOfTarget } from '../bitcoin/target.ts';
import type { Job } from '../jobs/job.ts';

/** A difficulty with everything derived from it, made once and shared by every share assigned it. */
export type ShareTarget = {
  readonly difficulty: number;
  readonly target: bigint;
  /** Eight u32, least significant first: compared with a hash without bigint. */
  readonly words: Uint32Array;
  /** What one share earns: `floor(2^256/(T+1))`. */
  readonly workHashes: bigint;
};

/** The share target of a Stratum difficulty. Throws `malformed` unless positive and finite. */
export function shareTargetOf(difficulty: number): ShareTarget {
  const target = targetOfDifficulty(difficulty);
  return { difficulty, target, words: wordsOfTarget(target), workHashes: workOfTarget(target) };
}

/** A target as eight u32, least significant first, for `meets`. */
export function wordsOfTarget(target: bigint): Uint32Array {
  const view = new DataView(targetToLe(target).buffer);
  return Uint32Array.from({ length: 8 }, (_, index) => view.getUint32(index * 4, true));
}

/** A submit that passed every check but the hash. `version` is as hashed. */
export type Submission = {
  readonly job: Job;
  /** The target this session was given the job with. */
  readonly assigned: ShareTarget;
  /** Session id || the miner's extranonce2, exactly `job.extranonceSize` bytes. */
  readonly extranonce: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  readonly version: number;
};

/** The verdict on a share. `accepted` is credited at `assigned`; everything else is credited nothing. */
export type Verdict =
  | 'accepted'
  | Extract<ErrorCode, 'stale' | 'low_difficulty' | 'duplicate' | 'overload'>;

/** A share to be made durable: the submission and its header hash, internal order. */
export type AcceptedShare<S extends Submission = Submission> = {
  readonly submission: S;
  readonly hash: Uint8Array;
  /** The same 32 bytes, from `hashAt` on in those of a whole batch: read without a view for each share. */
  readonly hashes?: Uint8Array;
  readonly hashAt?: number;
};
