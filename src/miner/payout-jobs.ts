import { concat } from '../base/bytes.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { TemplateWatch } from '../chain/template-watch.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { UpstreamJob } from '../jobs/job.ts';
import { hasContractTag, needsContractTag } from '../settlement/contract-tag.ts';
import { blockClaim } from '../settlement/job-coinbase.ts';
import { checkPayout, PAYOUT_FAULTS } from '../settlement/payout-rules.ts';
import { checkJob } from '../settlement/share-rules.ts';
import { unpaidBead } from './bead-jobs.ts';

/**
 * Why the buyer would not pay for a job of the miner's own node or pool, in words; undefined where nothing
 * says so. The rules are the maker's, by what the own node knows: on a block that it never mined on, whom
 * the coinbase pays is all that is judged. Of beads: `unpaidBead`. Jobs of other bindings are none of its
 * business.
 */
export function unpaidReason(
  contractId: string,
  terms: ContractTerms,
  upstream: UpstreamJob,
  templates: Pick<TemplateWatch, 'seenFactsOf'> | undefined,
): string | undefined {
  const { binding, network } = terms;
  if (binding.type === 'bead') return unpaidBead(terms, upstream);
  if (binding.type !== 'payout') return undefined;
  const { coinb1, extranonce1, extranonce2Size, ...job } = upstream;
  const parts = { ...job, coinb1: concat(coinb1, extranonce1), extranonceSize: extranonce2Size };
  if (needsContractTag(terms) && !hasContractTag(parts, contractId))
    return 'the coinbase does not name the contract, which its seal needs';
  const claim = blockClaim(parts);
  if (claim === undefined)
    return 'the coinbase cannot be read, or its extranonce is in a place that is not safe';
  if (checkJob(terms, parts) !== undefined) return PAYOUT_FAULTS.payees;
  const facts = templates?.seenFactsOf(displayHash(job.prevHash));
  const fault =
    facts === undefined ? undefined : checkPayout(network, binding.minFeesPpm, job, claim, facts);
  return fault === undefined ? undefined : PAYOUT_FAULTS[fault];
}
