import { LIMITS } from '../base/limits.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { integer, listOf, nullable, object } from '../peer/codec.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';

/** The ledger kind of the samples of a contract's jobs; the id is the contract's. */
const SAMPLES_KIND = 'payout_samples';

const whole = integer(0, Number.MAX_SAFE_INTEGER);
const ids = listOf(whole, LIMITS.payoutSamples);

const samplesCodec = object({
  version: ['version', integer(1, 1)],
  /** Null: all. */
  owed: ['owed', nullable(whole)],
  forgiven: ['forgiven', whole],
  drawn: ['drawn', ids],
  ended: ['ended', ids],
  good: ['good', ids],
});

/** What the samples of a contract's jobs came to. */
export type SampleRecord = {
  /** Jobs to come that are credited only once their sample is good; infinity for all. */
  readonly owed: number;
  /** Samples that were not to be had. */
  readonly forgiven: number;
  /** The newest jobs that were drawn, and whose sample came to nothing yet. */
  readonly drawn: readonly JobId[];
  /** The newest jobs whose credit ended by their sample, and those whose sample was good. */
  readonly ended: readonly JobId[];
  readonly good: readonly JobId[];
};

export const NO_SAMPLES: SampleRecord = { owed: 0, forgiven: 0, drawn: [], ended: [], good: [] };

/** The ledger entry of a contract's samples. */
export function samplesEntry(contractId: string, { owed, ...rest }: SampleRecord): LedgerEntry {
  const record = { version: 1, owed: Number.isFinite(owed) ? owed : undefined, ...rest };
  return { type: 'put', kind: SAMPLES_KIND, id: contractId, body: bodyOf(samplesCodec, record) };
}

/** Loads what the ledger holds of a contract's samples. Throws `ledger_corrupt`. */
export async function loadSamples(ledger: Pick<Ledger, 'get'>, contractId: string): Promise<SampleRecord> {
  const body = await ledger.get(SAMPLES_KIND, contractId);
  if (body === undefined) return NO_SAMPLES;
  const { version: _version, owed, ...rest } = parseBody(SAMPLES_KIND, samplesCodec, body);
  return { owed: owed ?? Number.POSITIVE_INFINITY, ...rest };
}

/** The list with a job more, the oldest beyond the bound left out. */
export function withJob(jobs: readonly JobId[], id: JobId): readonly JobId[] {
  return jobs.includes(id) ? jobs : [...jobs, id].slice(-LIMITS.payoutSamples);
}
