import { concat } from '../base/bytes.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { checkMetadata, committedBinding, METADATA_FAULTS } from '../settlement/bead-rules.ts';
import { jobCoinbase } from '../settlement/job-coinbase.ts';

type Judged = { readonly terms: ContractTerms; readonly why: string | undefined };

/** Jobs are asked about with each change of hashrate, and their metadata may be long. */
const JUDGED = new WeakMap<UpstreamJob, Judged>();

/**
 * Why the buyer of beads would not pay for a job, in words, by the rules of the maker; undefined where it
 * would, and for beads that only statistics judge.
 */
export function unpaidBead(terms: ContractTerms, job: UpstreamJob): string | undefined {
  const known = JUDGED.get(job);
  if (known?.terms === terms) return known.why;
  const why = judge(terms, job);
  JUDGED.set(job, { terms, why });
  return why;
}

function judge(terms: ContractTerms, job: UpstreamJob): string | undefined {
  const binding = committedBinding(terms);
  if (binding === undefined) return undefined;
  const coinb1 = concat(job.coinb1, job.extranonce1);
  const coinbase = jobCoinbase({ ...job, coinb1, extranonceSize: job.extranonce2Size });
  if (coinbase === undefined)
    return 'the coinbase cannot be read, or its extranonce is in a place that is not safe';
  const fault = checkMetadata(binding, terms.network, job, coinbase.outputs);
  if (fault === undefined) return undefined;
  return fault === 'missing' && job.metadataFault !== undefined
    ? job.metadataFault
    : METADATA_FAULTS[fault];
}
