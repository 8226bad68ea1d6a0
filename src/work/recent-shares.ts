import { CodedError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { JobId } from '../stratum/job-id.ts';
import { corruptUnlessRead, JOB_KIND, parseJobDocument, SHARE_KIND, unpackShares } from './evidence.ts';

export type RecentShare = { readonly stream: string; readonly jobId: JobId; readonly hash: Uint8Array };

const ROWS_PER_READ = 256;
/** Last rows of the journal that are read whatever their dates say: some five minutes at fifty a second. */
const CERTAIN_ROWS = 16_384;

/**
 * Everything credited in the last `memoryMs` before the newest share, header hashes in internal order, in
 * bounded memory. By the dates of the ledger alone, and the last rows of its journal whatever their dates:
 * a wall clock that was set meanwhile would empty it.
 */
export async function* recentShares(
  ledger: Ledger,
  memoryMs: number,
  certainRows = CERTAIN_ROWS,
): AsyncGenerator<RecentShare> {
  const newest = await newestRow(ledger);
  if (newest === undefined) return;
  const certainFrom = Math.max(0, newest.seq - certainRows);
  let sinceMs = newest.atMs - memoryMs;
  let afterSeq = 0;
  for (;;) {
    const rows = await ledger.readLogSince(SHARE_KIND, sinceMs, { afterSeq, maxRows: ROWS_PER_READ });
    const isDated = sinceMs > 0;
    for (const row of isDated ? rows.filter(({ seq }) => seq <= certainFrom) : rows) {
      const shares = corruptUnlessRead(() => unpackShares(row.body));
      for (const { jobId, hash } of shares) yield { stream: row.stream, jobId, hash };
      afterSeq = row.seq;
    }
    const isDone = rows.length < ROWS_PER_READ;
    if (isDated && (isDone || rows.at(-1)!.seq > certainFrom)) {
      sinceMs = 0;
      afterSeq = certainFrom;
    } else if (isDone) return;
  }
}

/** The newest row of shares: halving finds it, since the journal is read forwards alone. */
async function newestRow(
  ledger: Ledger,
): Promise<{ readonly seq: number; readonly atMs: number } | undefined> {
  const next = async (afterSeq: number) =>
    (await ledger.readLogSince(SHARE_KIND, 0, { afterSeq, maxRows: 1 }))[0];
  let newest = await next(0);
  if (newest === undefined) return undefined;
  let step = 1;
  for (;;) {
    const later = await next(newest.seq + step - 1);
    if (later !== undefined) {
      newest = later;
      step *= 2;
    } else if (step > 1) step = Math.floor(step / 2);
    else return newest;
  }
}

/**
 * Fills duplicate detection after a restart, so that no share is credited twice across it. Resolves to the
 * number of shares. Throws `ledger_corrupt` when the job of one is missing.
 * @param memoryMs see `recentShares`
 * @param jobKey where the ledger keeps a job of a stream
 */
export async function rememberShares(
  ledger: Ledger,
  memoryMs: number,
  jobKey: (stream: string, jobId: JobId) => string,
  remember: (generation: string, hash: Uint8Array, stream: string) => void,
): Promise<number> {
  const generations = new Map<string, string>();
  let count = 0;
  for await (const { stream, jobId, hash } of recentShares(ledger, memoryMs)) {
    const key = jobKey(stream, jobId);
    let generation = generations.get(key);
    if (generation === undefined) {
      const body = await ledger.get(JOB_KIND, key);
      if (body === undefined) throw new CodedError('ledger_corrupt', `job ${key} of a share is missing`);
      generation = generationOf(corruptUnlessRead(() => parseJobDocument(body)));
      generations.set(key, generation);
    }
    remember(generation, hash, stream);
    count += 1;
  }
  return count;
}
