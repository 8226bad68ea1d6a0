import { HASHES_PER_EH } from '../base/units.ts';
import { targetOfCompact, workOfTarget } from '../bitcoin/target.ts';
import { mostLostBeads } from '../contract/bead-odds.ts';
import type { BindingV3 } from '../contract/binding.ts';
import { refuseTerm } from '../contract/fields.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { easiestTarget, mostMsatPerEh } from '../contract/terms-access.ts';

/** How a Braidpool node says whom a share pays. */
export type BeadProfile = Extract<BindingV3, { readonly type: 'bead' }>['profile'];

/** The limits of a maker for contracts that are bound by beads. */
export type BeadPolicy = {
  /** The script that beads pay. */
  readonly scriptHex: string;
  readonly profiles: readonly BeadProfile[];
  /** The least `stop_ppb`: the smaller, the later theft is stopped. */
  readonly minStopPpb: number;
  /** The most that a thief may earn where statistics judge, sats. */
  readonly maxLossSat: bigint;
};

/** Judges the binding of terms by beads; others are none of its business. Throws `bad_terms`. */
export function judgeBeadTerms(
  policy: BeadPolicy | undefined,
  terms: ContractTerms,
  tipBits: number | undefined,
): void {
  const { binding } = terms;
  if (binding.type !== 'bead') return;
  if (policy === undefined) refuseTerm('binding.type', 'is not taken here: no beads are judged');
  const { profile, stopPpb, maxLossSat } = binding;
  if (!policy.profiles.includes(profile))
    refuseTerm('binding.profile', `must be ${policy.profiles.join(' or ')}`);
  if (binding.scriptHex !== policy.scriptHex) refuseTerm('binding.script', 'must be that of the maker');
  if (profile === 'spec') return;
  if (stopPpb < policy.minStopPpb) refuseTerm('binding.stop_ppb', `must be at least ${policy.minStopPpb}`);
  if (maxLossSat > policy.maxLossSat)
    refuseTerm('binding.bead_max_loss_sat', `may be at most ${policy.maxLossSat}`);
  if (profile === 'as_is' && tipBits === undefined)
    refuseTerm('binding.profile', 'cannot be judged: the bitcoin node does not tell its difficulty');
  const target = profile === 'weak' ? easiestTarget(terms) : targetOfCompact(tipBits!);
  const msatTimesHashes = mostLostBeads(stopPpb) * workOfTarget(target) * mostMsatPerEh(terms);
  if (msatTimesHashes > maxLossSat * 1000n * HASHES_PER_EH) {
    const needed = msatTimesHashes / (1000n * HASHES_PER_EH) + 1n;
    refuseTerm('binding.bead_max_loss_sat', `is less than the ${needed} sat that a thief can earn now`);
  }
}
