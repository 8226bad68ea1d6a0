import type { Job } from '../../jobs/job.ts';
import { ntimeInWindow, SELLER_FUTURE_SECONDS } from '../../shares/rules.ts';
import { NO_VERSION_BITS, type SubmitFields } from '../../stratum/submit-parser.ts';
import { bitsWithin } from '../../stratum/version-rolling.ts';
import type { SentJob } from './prepared-job.ts';
import type { SessionContext } from './session-context.ts';
import type { SubmitCode } from './submit-errors.ts';

type SubmitContext = Pick<SessionContext<never>, 'extranonce2Size' | 'jobs' | 'nowMs'>;

/** In place of the version bits a miner may roll. */
export const NOT_SUBSCRIBED = -1;

/**
 * Bytes that the miner puts into a coinbase itself. Where the work is shared the session id stands before
 * them; in a job of its own everything else is in coinb1.
 */
function extranonce2SizeOf(job: Job, context: SubmitContext): number {
  return job.minerExtranonce1Size === undefined ? context.extranonce2Size : job.extranonceSize;
}

/**
 * Everything that can be known before the hash, in the order most pools answer (`WIRE.md`). Undefined when
 * nothing is wrong.
 * @param sent the job as this session was sent it
 * @param versionMask that its miner may roll, or NOT_SUBSCRIBED
 */
export function refusalOf(
  fields: SubmitFields,
  isWorker: boolean,
  sent: SentJob | undefined,
  versionMask: number,
  context: SubmitContext,
): SubmitCode | undefined {
  const { ntime, nonce, versionBits, extranonce2Size } = fields;
  if (ntime < 0 || nonce < 0) return 'malformed';
  if (versionMask === NOT_SUBSCRIBED) return 'not_subscribed';
  if (!isWorker) return 'not_authorized';
  if (sent === undefined || !context.jobs.isKnown(sent.job)) return 'unknown_job';
  const { job } = sent;
  if (extranonce2Size !== extranonce2SizeOf(job, context)) return 'bad_extranonce2';
  if (!ntimeInWindow(ntime, job.time, context.nowMs, SELLER_FUTURE_SECONDS)) return 'bad_ntime';
  if (versionBits === NO_VERSION_BITS) return undefined;
  return versionBits >= 0 && bitsWithin(versionBits, versionMask & job.versionMask)
    ? undefined
    : 'bad_version';
}

/**
 * What lies between coinb1 and coinb2 of the job.
 * @param identityId of the session; its bytes, big-endian, come first where the job has room for them
 * @param fields with an extranonce2 of the right size
 */
export function extranonceOf(job: Job, identityId: number, fields: SubmitFields): Uint8Array {
  const extranonce = new Uint8Array(job.extranonceSize);
  const { extranonce2, extranonce2Size } = fields;
  const extranonce1Size = extranonce.length - extranonce2Size;
  for (let at = 0; at < extranonce1Size; at += 1) {
    extranonce[at] = identityId >>> (8 * (extranonce1Size - 1 - at));
  }
  for (let at = 0; at < extranonce2Size; at += 1) extranonce[extranonce1Size + at] = extranonce2[at]!;
  return extranonce;
}
