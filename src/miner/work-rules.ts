import { concat, equal, toHex } from '../base/bytes.ts';
import { decimalDifficultyOf, targetToHex } from '../bitcoin/target.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, hardestTarget } from '../contract/terms-access.ts';
import type { TermsV3 } from '../contract/terms-v3.ts';
import type { WorkJob } from '../peer/work-codecs.ts';
import { checkJob } from '../settlement/share-rules.ts';
import { ntimeInWindow, SELLER_FUTURE_SECONDS } from '../shares/rules.ts';
import { printJobId } from '../stratum/job-id.ts';
import type { JobRecord } from '../work/evidence.ts';

/** The binding of a contract whose jobs the maker gives. */
export type WorkBinding = Extract<TermsV3['binding'], { readonly type: 'work' }>;

/** The binding of these terms, where the maker gives the jobs; else undefined. */
export function workBindingOf({ binding }: ContractTerms): WorkBinding | undefined {
  return binding.type === 'work' ? binding : undefined;
}

/** What is wrong with a job, or a withdrawal, of the maker: one word to count by, and words to read. */
export type WorkFault = { readonly reason: WorkFaultReason; readonly detail: string };

export type WorkFaultReason =
  /** The target of its shares is out of the range of the terms, or no difficulty has it. */
  | 'target'
  /** It leaves too little extranonce2. */
  | 'extranonce'
  /** Its coinbase has no room for the extranonce where it is safe, or cannot be read. */
  | 'coinbase'
  /** Its time is ahead of the clock. */
  | 'time'
  /** It voids the jobs before it though the block before it is the same. */
  | 'clean'
  /** Its id was used before. */
  | 'id'
  /** It is work that is mined already. */
  | 'repeated'
  /** The own node does not know the block before it. */
  | 'unknown_block'
  /** The block before it was replaced too long ago to be paid for. */
  | 'stale'
  /** More jobs, or withdrawals of them, than were agreed. */
  | 'too_many';

/** Bytes of session id and of the miner's own extranonce2: what sessions vary of a job. */
const SESSION_BYTES = 8;

/**
 * What is wrong with a job by itself; undefined when good. A miner may mine no job that it would not be
 * paid for, by the same rules by which the maker pays. Pure.
 */
export function jobFault(
  terms: ContractTerms,
  binding: WorkBinding,
  job: WorkJob,
  nowMs: number,
): WorkFault | undefined {
  const { shareTarget, extranonce2Size } = job;
  const least = Math.max(binding.extranonce2Bytes, SESSION_BYTES);
  const isInRange = shareTarget <= easiestTarget(terms) && shareTarget >= hardestTarget(terms);
  if (!isInRange)
    return { reason: 'target', detail: `share target ${targetToHex(shareTarget)} is out of the range` };
  if (decimalDifficultyOf(shareTarget) === undefined)
    return { reason: 'target', detail: `no difficulty has share target ${targetToHex(shareTarget)}` };
  if (extranonce2Size < least)
    return { reason: 'extranonce', detail: `it leaves ${extranonce2Size} bytes, ${least} are agreed` };
  const code = checkJob(terms, recordOf(job));
  if (code !== undefined)
    return { reason: 'coinbase', detail: `shares of its coinbase would be refused: ${code}` };
  if (!ntimeInWindow(job.time, job.time, nowMs, SELLER_FUTURE_SECONDS))
    return { reason: 'time', detail: `its time ${job.time} is too far ahead` };
  return undefined;
}

/** The job as the maker judges it, for a session whose bytes are zeros. */
function recordOf(job: WorkJob): JobRecord {
  const { version, versionMask, prevHash, coinb2, branches, bits, time } = job;
  const pad = new Uint8Array(job.extranonce2Size - SESSION_BYTES);
  return {
    ...{ id: job.id, wireId: printJobId(job.id), stream: 'work', version, versionMask, prevHash },
    ...{ coinb1: concat(job.coinb1, job.extranonce1, pad), coinb2, branches, bits, time },
    ...{ extranonceSize: SESSION_BYTES, upstreamDifficulty: 0 },
  };
}

/** True for two jobs whose shares have the same headers, but for time and version: one work, given twice. */
export function isSameWork(a: WorkJob, b: WorkJob): boolean {
  return (
    equal(a.prevHash, b.prevHash) &&
    equal(a.coinb2, b.coinb2) &&
    equal(concat(a.coinb1, a.extranonce1), concat(b.coinb1, b.extranonce1)) &&
    a.branches.map(toHex).join() === b.branches.map(toHex).join()
  );
}

/** True for a job that is given again, unchanged, after the link was lost. */
export function isSameJob(a: WorkJob, b: WorkJob): boolean {
  const same = ['id', 'version', 'bits', 'time', 'extranonce2Size', 'versionMask', 'shareTarget'] as const;
  return isSameWork(a, b) && same.every((key) => a[key] === b[key]);
}
