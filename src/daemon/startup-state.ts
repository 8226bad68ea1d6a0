import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type DuplicateSet, generationOf } from '../shares/duplicates.ts';
import { JOB_KIND, jobDocumentId, parseJobDocument } from '../work/evidence.ts';
import { recentShareHashes } from '../work/meters.ts';

const RUN_KIND = 'meta';
const RUN_ID = 'run';

/** How long a share stays a known duplicate over a restart: longer than any job can be worked on. */
const REMEMBERED_MS = 2 * LIMITS.jobAgeMs;

/** The number of this run of the program: job ids carry it, so that none is used twice over restarts. */
export async function nextRun(ledger: Ledger): Promise<number> {
  const last = await ledger.get(RUN_KIND, RUN_ID);
  const run = last === undefined ? 1 : Number(last) + 1;
  if (!Number.isSafeInteger(run)) throw new CodedError('ledger_corrupt', 'the run number cannot be read');
  await ledger.appendNow([{ op: 'put', kind: RUN_KIND, id: RUN_ID, body: run.toString() }]);
  return run;
}

/** Fills duplicate detection with what was credited before a restart. Resolves to the number of shares. */
export async function rememberShares(
  ledger: Ledger,
  duplicates: DuplicateSet,
  clock: Clock,
): Promise<number> {
  const generations = new Map<number, string>();
  let count = 0;
  for await (const { jobId, hash } of recentShareHashes(ledger, clock.nowMs() - REMEMBERED_MS)) {
    let generation = generations.get(jobId);
    if (generation === undefined) {
      const body = await ledger.get(JOB_KIND, jobDocumentId(jobId));
      if (body === undefined) throw new CodedError('ledger_corrupt', `job ${jobId} of a share is missing`);
      generation = generationOf(parseJobDocument(body));
      generations.set(jobId, generation);
    }
    duplicates.add(generation, hash);
    count += 1;
  }
  return count;
}
