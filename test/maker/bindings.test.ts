import { expect, it } from 'vitest';
import type { BindingV3 } from '../../src/contract/binding.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BeadBinding } from '../../src/maker/bead-binding.ts';
import { type BindingDeps, bindingFor } from '../../src/maker/bindings.ts';
import { CommittedBeadsBinding } from '../../src/maker/committed-beads.ts';
import type { MakerStore } from '../../src/maker/maker-store.ts';
import { PayoutBinding } from '../../src/maker/payout-binding.ts';
import { NO_POOLS, WorkBinding } from '../../src/maker/work-binding.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { workTerms } from './work-stand.ts';

const scriptHex = `0014${'ab'.repeat(20)}`;
const bead = { type: 'bead', scriptHex, stopPpb: 1000, maxLossSat: 1n } as const;
const payout: BindingV3 = {
  ...{ type: 'payout', outputs: [{ scriptHex, ppm: 1_000_000 }], minFeesPpm: 0 },
  ...{ samplePpm: 0, sampleSeconds: 10 },
};

it('each binding of the terms has its own way to judge jobs, and watches what that needs alone', () => {
  const { clock, timers } = new VirtualTime();
  const watched: string[] = [];
  const beads = {
    getBead: async () => undefined,
    onBead: () => {
      watched.push('beads');
      return () => void watched.push('no beads');
    },
  };
  const made = (terms: ContractTerms, hasBeads = true) => {
    watched.length = 0;
    const deps = {
      ...{ clock, timers, log: silentLogger, ledger: new MemoryLedger(), ...NO_POOLS() },
      ...{ kernel: createPortableKernel(4), backlogWindowMs: 1, knows: () => false },
      ...(hasBeads ? { beads } : {}),
      templates: () => {
        watched.push('templates');
        return {};
      },
    } as unknown as BindingDeps;
    const binding = bindingFor({ contractId: 'c', terms } as MakerStore, deps);
    const seen = [...watched];
    binding.stop?.();
    return [binding.constructor, seen];
  };
  const of = (binding: BindingV3) => makeTermsV3({ binding });
  expect(made(of(payout))).toEqual([PayoutBinding, ['templates']]);
  expect(made(workTerms())).toEqual([WorkBinding, []]);
  for (const profile of ['weak', 'as_is'] as const)
    expect(made(of({ ...bead, profile }))).toEqual([BeadBinding, ['beads']]);
  expect(made(of({ ...bead, profile: 'spec' }))).toEqual([CommittedBeadsBinding, ['beads']]);
  // Without a node of its own nothing is heard of any bead.
  expect(made(of({ ...bead, profile: 'spec' }), false)).toEqual([CommittedBeadsBinding, []]);
  expect(made(of({ type: 'none' }))).toEqual([Object, []]);
});
