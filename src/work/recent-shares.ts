import { CodedError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { JobId } from '../stratum/job-id.ts';
import { corruptUnlessRead, eachShareHash, JOB_KIND, parseJobDocument, SHARE_KIND } from './evidence.ts';

const ROWS_PER_READ = 1024;
/** Last rows of the journal that are read whatever their dates say: some five minutes at fifty a second. */
const CERTAIN_ROWS = 16_384;

export type RememberOptions = {
  /** How long before the newest share; by the dates of the ledger alone. */
  readonly memoryMs: number;
  /** Last rows of the journal that count whatever their dates: a wall clock that was set would empty it. */
  readonly certainRows?: number;
  /** Shares at most, the newest; default all. */
  readonly maxShares?: number;
  /** Where the ledger keeps a job of a stream. */
  readonly jobKey: (stream: string, jobId: JobId) => string;
};

/** A share that is remembered: 32 bytes of `bytes` from `hashAt` on are its hash, valid during the call. */
export type Remember = (generation: string, bytes: Uint8Array, hashAt: number, stream: string) => void;

/**
 * Fills duplicate detection after a restart, so that no share is credited twice across it: shares in the
 * order in which they were credited. A bounded number of rows is read. Resolves to the number of shares, and
 * whether older ones were left out for want of room. Throws `ledger_corrupt` when the job of one is missing.
 */
export async function rememberShares(
  ledger: Ledger,
  options: RememberOptions,
  remember: Remember,
): Promise<{ readonly shares: number; readonly isCut: boolean }> {
  const { memoryMs, certainRows = CERTAIN_ROWS, maxShares = Number.MAX_SAFE_INTEGER } = options;
  const bounds = { memoryMs, certainRows, maxItems: maxShares };
  const { afterSeq, isCut } = await ledger.recentLog(SHARE_KIND, bounds);
  const generations = new Map<string, string>();
  let shares = 0;
  for (let seq = afterSeq; ; ) {
    const rows = await ledger.readLogSince(SHARE_KIND, 0, { afterSeq: seq, maxRows: ROWS_PER_READ });
    for (const { body, stream } of rows) {
      const unknown = new Set<JobId>();
      let seen: JobId | undefined;
      corruptUnlessRead(() =>
        eachShareHash(body, (jobId) => {
          if (jobId !== seen && !generations.has(nameOf(stream, jobId))) unknown.add(jobId);
          seen = jobId;
        }),
      );
      for (const jobId of unknown)
        generations.set(nameOf(stream, jobId), await generationIn(ledger, options.jobKey(stream, jobId)));
      let last: JobId | undefined;
      let generation = '';
      eachShareHash(body, (jobId, hashAt) => {
        if (jobId !== last) generation = generations.get(nameOf(stream, jobId))!;
        last = jobId;
        remember(generation, body, hashAt, stream);
        shares += 1;
      });
    }
    if (rows.length < ROWS_PER_READ) return { shares, isCut };
    seq = rows.at(-1)!.seq;
  }
}

function nameOf(stream: string, jobId: JobId): string {
  return `${jobId} ${stream}`;
}

async function generationIn(ledger: Ledger, key: string): Promise<string> {
  const body = await ledger.get(JOB_KIND, key);
  if (body === undefined) throw new CodedError('ledger_corrupt', `job ${key} of a share is missing`);
  return generationOf(corruptUnlessRead(() => parseJobDocument(body)));
}
