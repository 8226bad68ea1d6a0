import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Leases } from '../ledger/lease.ts';
import type { Ledger } from '../ledger/ledger.ts';

const RUN_KIND = 'meta';
const RUN_ID = 'run';
/** A lease of no time, which counts runs. */
const RUN_RESOURCE = 'run';

/** How long a share stays a known duplicate over a restart: longer than any job can be worked on. */
export const REMEMBERED_MS = 2 * LIMITS.jobAgeMs;

/**
 * The same where several programs share a database: no two of them have one number, so that no two jobs have
 * one id. The table of leases counts it: each time one is taken its token is a higher one.
 */
export async function nextSharedRun(
  ledger: Ledger,
  leases: Leases,
  documents: (kind: string, id: string) => Promise<readonly (string | undefined)[]>,
): Promise<number> {
  const bodies = await documents(RUN_KIND, RUN_ID);
  const newest = Math.max(0, ...bodies.map((body) => Number(body ?? 0)));
  for (;;) {
    const answer = await leases.take(RUN_RESOURCE, 0);
    if (answer.type === 'held' || answer.lease.token <= newest) continue;
    const { token: run } = answer.lease;
    await ledger.appendNow([{ type: 'put', kind: RUN_KIND, id: RUN_ID, body: run.toString() }]);
    return run;
  }
}

/** The number of this run of the program: job ids carry it, so that none is used twice over restarts. */
export async function nextRun(ledger: Ledger): Promise<number> {
  const last = await ledger.get(RUN_KIND, RUN_ID);
  const run = last === undefined ? 1 : Number(last) + 1;
  if (!Number.isSafeInteger(run)) throw new CodedError('ledger_corrupt', 'the run number cannot be read');
  await ledger.appendNow([{ type: 'put', kind: RUN_KIND, id: RUN_ID, body: run.toString() }]);
  return run;
}
