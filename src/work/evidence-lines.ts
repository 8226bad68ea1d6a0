import { toHex, u32hex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { memo } from '../base/memo.ts';
import { displayHash } from '../bitcoin/header.ts';
import { targetOfDifficulty, targetToHex, workOfTarget } from '../bitcoin/target.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { JobId } from '../stratum/job-id.ts';
import {
  corruptUnlessRead,
  JOB_KIND,
  type JobRecord,
  jobDocumentId,
  jobRecordToJson,
  parseJobDocument,
  SHARE_KIND,
  SHARE_RECORD_SIZE,
  type ShareRecord,
  unpackShares,
} from './evidence.ts';

export type EvidenceOptions = {
  /** First share, by seq. Default: the first that was not let go of. */
  readonly fromSeq?: number;
  /** The share to stop before. Default: the end of the stream. */
  readonly toSeq?: number;
  /** Where the ledger keeps a job of a stream; default `jobDocumentId(jobId)`. */
  readonly jobKey?: (stream: string, jobId: JobId) => string;
};

/** A share of a stream with its place in it. */
export type SequencedShare = { readonly seq: number; readonly share: ShareRecord };

const ROWS_PER_READ = 64;
/** Targets kept while reading: a stream uses few difficulties at a time. */
const WEIGHTS_KEPT = 1024;

/**
 * The lines of a stream's `evidence.jsonl`, without their newlines: each job before the first share that
 * uses it. Throws `ledger_corrupt` when a record is missing or cannot be read.
 */
export async function* evidenceLines(
  ledger: Ledger,
  stream: string,
  options: EvidenceOptions = {},
): AsyncGenerator<string> {
  const jobKey = options.jobKey ?? ((_stream: string, jobId: JobId) => jobDocumentId(jobId));
  const wireIds = new Map<number, string>();
  const weigh = memo(WEIGHTS_KEPT, weightOf);
  const { first: letGo } = await ledger.logRange(SHARE_KIND, stream);
  for await (const { seq, share } of readShares(ledger, stream, { fromSeq: letGo, ...options })) {
    let wireId = wireIds.get(share.jobId);
    if (wireId === undefined) {
      const key = jobKey(stream, share.jobId);
      const body = await ledger.get(JOB_KIND, key);
      // The job of the first shares may have gone with those before them.
      if (body === undefined && wireIds.size === 0 && letGo > 0) continue;
      if (body === undefined) throw new CodedError('ledger_corrupt', `job ${key} of ${stream} is missing`);
      const job = corruptUnlessRead(() => parseJobDocument(body));
      wireId = job.wireId;
      wireIds.set(share.jobId, wireId);
      yield jobLine(job);
    }
    yield shareLine(seq, wireId, share, weigh(share.difficulty));
  }
}

/**
 * The shares of a stream in order of their seq, in bounded memory. Throws `ledger_corrupt` when a share is
 * missing or cannot be read.
 */
export async function* readShares(
  ledger: Ledger,
  stream: string,
  options: { readonly fromSeq?: number; readonly toSeq?: number } = {},
): AsyncGenerator<SequencedShare> {
  const toSeq = options.toSeq ?? Number.POSITIVE_INFINITY;
  let next = options.fromSeq ?? 0;
  while (next < toSeq) {
    const rows = await ledger.readLog(SHARE_KIND, stream, next, ROWS_PER_READ);
    if (rows.length === 0) return;
    for (const row of rows) {
      if (next >= toSeq) return;
      if (row.first > next || row.body.length !== row.count * SHARE_RECORD_SIZE) {
        throw new CodedError('ledger_corrupt', `shares of ${stream} are not whole at ${row.first}`);
      }
      const shares = corruptUnlessRead(() => unpackShares(row.body));
      for (; next < row.first + row.count && next < toSeq; next += 1) {
        yield { seq: next, share: shares[next - row.first]! };
      }
    }
  }
}

/** The `job` line of a job, as in the `mining.notify` its miners got. */
export function jobLine(job: JobRecord): string {
  const { job: id, version, prevhash, coinb1, coinb2, merkle_branches, nbits } = jobRecordToJson(job);
  return JSON.stringify({
    type: 'job',
    job: id,
    version,
    prevhash,
    coinb1,
    coinb2,
    merkle_branches,
    nbits,
  });
}

type ShareWeight = { readonly targetHex: string; readonly work: string };

function shareLine(seq: number, wireId: string, share: ShareRecord, weight: ShareWeight): string {
  return JSON.stringify({
    type: 'share',
    seq,
    job: wireId,
    extranonce1: toHex(share.extranonce1),
    extranonce2: toHex(share.extranonce2),
    ntime: u32hex(share.ntime),
    nonce: u32hex(share.nonce),
    version: u32hex(share.version),
    target: weight.targetHex,
    work: weight.work,
    hash: displayHash(share.hash),
  });
}

function weightOf(difficulty: number): ShareWeight {
  const target = targetOfDifficulty(difficulty);
  return { targetHex: targetToHex(target), work: workOfTarget(target).toString() };
}
