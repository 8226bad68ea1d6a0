import { PeerBudget } from '../../../src/peer/overruns.ts';
import { type Mutations, without } from './mutation.ts';

/** Of what a peer is served without end. */
export const OF_FLOODS: Mutations = {
  'blobs-without-rate': without('settlement/peer-blobs.ts')(
    'a blob may be replaced at any time',
    'miner-floods-storage',
    'this.#writing.has(contractId) || !this.#rateOf(contractId).take(clock.monotonicMs())',
    'this.#writing.has(contractId)',
  ),
  'refusals-without-budget': without('maker/batch-verifier.ts')(
    'what is refused is written whatever it costs',
    'miner-floods-refusals',
    'if (!this.#refusedBytes.spend(0, monotonicMs))',
    'if (!this.#refusedBytes.spend(0, monotonicMs) && monotonicMs < 0)',
  ),
  'requests-without-budget': {
    what: 'a peer is served whatever it asks for, as often as it asks',
    strategy: 'miner-floods-requests',
    seed: 1,
    apply: () => {
      PeerBudget.prototype.guard = (handlers) => handlers;
      return {};
    },
  },
};
