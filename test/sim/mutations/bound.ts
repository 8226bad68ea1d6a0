import { BeadBinding } from '../../../src/maker/bead-binding.ts';
import type { Mutations } from './mutation.ts';

/** What makes work worth something to its buyer. */
export const OF_BOUND: Mutations = {
  'any-output-enough': {
    what: 'the maker takes terms by which any output to it is enough',
    strategy: 'pays-itself',
    seed: 1,
    apply: () => ({ isOld: true }),
  },
  'beads-unasked': {
    what: 'the maker asks for no bead of the shares that it pays',
    strategy: 'withholds-beads-100',
    seed: 1,
    apply: () => {
      BeadBinding.prototype.judgeShares = async () => {};
      return {};
    },
  },
};
