import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import { blockClaim } from '../settlement/job-coinbase.ts';
import type { ShareTarget } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * True where a share that is good by the rules of evidence cannot have been refused with this code by a
 * maker that keeps to the terms. Where its own node, clock, pools or other contracts have a say, nothing is
 * refuted.
 */
export type Refutation = (code: string, job: JobRecord, target: ShareTarget) => boolean;

/** The refutations under these terms, as far as the bindings of `src/maker` go by evidence alone. */
export function refutationOf(terms: ContractTerms): Refutation {
  const { type } = terms.binding;
  const easiest = easiestTarget(terms);
  const isByCoinbase = type === 'none' || type === 'coinbase';
  return (code, job, { target }) => {
    switch (code) {
      case 'share_bad':
        // `payout` wants a coinbase that says of which block it is; `bead` knows which bits may follow.
        if (type === 'payout') return blockClaim(job) !== undefined;
        return isByCoinbase || type === 'work';
      case 'share_unbound':
        return isByCoinbase;
      case 'share_low':
        // A maker may want every share at the easiest target; jobs of its own have each their own.
        return type !== 'work' && target === easiest;
      default:
        return false;
    }
  };
}
