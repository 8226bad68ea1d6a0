import type { Job } from '../jobs/job.ts';
import { NO_VERSION_BITS, type SubmitFields } from '../stratum/submit-parser.ts';
import type { SentJob } from './prepared-job.ts';
import type { SessionHost } from './session-host.ts';
import type { SubmitCode } from './stats.ts';

const NO_BYTES = new Uint8Array(0);
/** In place of the version bits a miner may roll. */
export const NOT_SUBSCRIBED = -1;

/** What the proxy put between coinb1 and the miner's extranonce2; in a job of its own that is in coinb1. */
function prefixOf(job: Job, extranonce1: Uint8Array): Uint8Array {
  return job.minerExtranonce1Size === undefined ? extranonce1 : NO_BYTES;
}

/**
 * Everything that can be known before the hash, in the order most pools answer (`stratum.md` 1.8). Undefined
 * when nothing is wrong.
 * @param sent the job as this session was sent it
 * @param extranonce1 of the session's identity
 * @param versionMask that its miner may roll, or NOT_SUBSCRIBED
 */
export function refusalOf(
  fields: SubmitFields,
  isWorker: boolean,
  sent: SentJob | undefined,
  extranonce1: Uint8Array,
  versionMask: number,
  host: SessionHost,
): SubmitCode | undefined {
  const { ntime, nonce, versionBits, extranonce2Size } = fields;
  if (ntime < 0 || nonce < 0) return 'malformed';
  if (versionMask === NOT_SUBSCRIBED) return 'not_subscribed';
  if (!isWorker) return 'not_authorized';
  if (sent === undefined || !host.jobs.isKnown(sent.job)) return 'unknown_job';
  const { job } = sent;
  if (extranonce2Size !== job.extranonceSize - prefixOf(job, extranonce1).length) return 'bad_extranonce2';
  const latest = Math.max(job.time, Math.floor(host.nowMs / 1000)) + host.ntimeAheadSeconds;
  if (ntime < job.time || ntime > latest) return 'bad_ntime';
  if (versionBits === NO_VERSION_BITS) return undefined;
  const mask = versionMask & job.versionMask;
  return versionBits < 0 || (versionBits & ~mask) !== 0 ? 'bad_version' : undefined;
}

/** What lies between coinb1 and coinb2 of the job. @param fields with an extranonce2 of the right size */
export function extranonceOf(job: Job, extranonce1: Uint8Array, fields: SubmitFields): Uint8Array {
  const extranonce = new Uint8Array(job.extranonceSize);
  const prefix = prefixOf(job, extranonce1);
  const prefixSize = prefix.length;
  for (let at = 0; at < prefixSize; at += 1) extranonce[at] = prefix[at]!;
  for (let at = prefixSize; at < extranonce.length; at += 1) {
    extranonce[at] = fields.extranonce2[at - prefixSize]!;
  }
  return extranonce;
}
