import { BeadBinding, type BeadBindingDeps, type BeadSource, NO_BEAD_NODE } from './bead-binding.ts';
import { CommittedBeadsBinding } from './committed-beads.ts';
import { coinbaseBinding, type JobBinding } from './job-binding.ts';
import type { MakerStore } from './maker-store.ts';
import { PayoutBinding, type PayoutBindingDeps } from './payout-binding.ts';
import { WorkBinding, type WorkBindingDeps } from './work-binding.ts';

export type BindingDeps = WorkBindingDeps &
  Omit<BeadBindingDeps, 'node'> & {
    /** The own Braidpool node. Default: none, and no beads are bought. */
    readonly beads?: BeadSource;
  } & Omit<PayoutBindingDeps, 'templates'> & {
    /** Begins to watch what the own node would mine. */
    readonly templates: () => PayoutBindingDeps['templates'];
  };

/** The binding of a contract's work, by its terms. */
export function bindingFor(store: MakerStore, deps: BindingDeps): JobBinding {
  const { terms } = store;
  const { binding } = terms;
  if (binding.type === 'work') return new WorkBinding(store, deps);
  if (binding.type === 'payout')
    return new PayoutBinding(store.contractId, terms, binding, { ...deps, templates: deps.templates() });
  if (binding.type !== 'bead') return coinbaseBinding(terms);
  const node = deps.beads ?? NO_BEAD_NODE;
  if (binding.profile !== 'spec') return new BeadBinding(store, binding, { ...deps, node });
  return new CommittedBeadsBinding(store.contractId, terms, binding.scriptHex, { ...deps, node });
}
