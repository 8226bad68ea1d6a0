import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Ledger } from '../ledger/ledger.ts';

const RUN_KIND = 'meta';
const RUN_ID = 'run';

/** How long a share stays a known duplicate over a restart: longer than any job can be worked on. */
export const REMEMBERED_MS = 2 * LIMITS.jobAgeMs;

/** The number of this run of the program: job ids carry it, so that none is used twice over restarts. */
export async function nextRun(ledger: Ledger): Promise<number> {
  const last = await ledger.get(RUN_KIND, RUN_ID);
  const run = last === undefined ? 1 : Number(last) + 1;
  if (!Number.isSafeInteger(run)) throw new CodedError('ledger_corrupt', 'the run number cannot be read');
  await ledger.appendNow([{ type: 'put', kind: RUN_KIND, id: RUN_ID, body: run.toString() }]);
  return run;
}
