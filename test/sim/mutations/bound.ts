import { BeadBinding } from '../../../src/maker/bead-binding.ts';
import { PayoutBinding } from '../../../src/maker/payout-binding.ts';
import { WorkBinding } from '../../../src/maker/work-binding.ts';
import { BY_WORK } from '../terms.ts';
import { type Mutations, without } from './mutation.ts';

/** What makes work worth something to its buyer. */
export const OF_BOUND: Mutations = {
  'any-output-enough': {
    what: 'the maker takes terms by which any output to it is enough',
    strategy: 'pays-itself',
    seed: 1,
    apply: () => ({ isOld: true }),
  },
  'block-unchecked': {
    what: 'the maker asks no node what the block of a job would be',
    strategy: 'invents-height',
    seed: 1,
    apply: () => {
      PayoutBinding.prototype.judgeNow = async () => undefined;
      return {};
    },
  },
  'payee-unchecked': {
    what: 'the maker does not look at what a coinbase pays',
    strategy: 'pays-elsewhere',
    seed: 1,
    apply: () => {
      PayoutBinding.prototype.judgeJob = () => undefined;
      PayoutBinding.prototype.judgeNow = async () => undefined;
      return {};
    },
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
  ...Object.fromEntries(
    [10, 50].map((percent) => [
      `stolen-beads-missing-${percent}`,
      without('maker/bead-credit.ts')(
        'a bead that pays another is taken for one that nobody saw',
        `redirects-beads-${percent}`,
        'state: { ...closed, stolen: state.stolen ?? stolen },',
        'state: { ...closed, missingBeads: state.missingBeads + (stolen.hash === hash ? 1 : 0) },',
      ),
    ]),
  ),
  'foreign-jobs-paid': {
    what: 'the maker pays for jobs that it did not give',
    strategy: 'sells-foreign-shares',
    seed: 1,
    apply: () => {
      WorkBinding.prototype.judgeJob = () => undefined;
      WorkBinding.prototype.judgeNow = async () => undefined;
      return {};
    },
  },
  'solutions-unseen': {
    what: 'the maker looks for no solution in a batch',
    strategy: 'withholds-solutions',
    seed: 1,
    apply: () => {
      WorkBinding.prototype.judgeShares = async () => {};
      return {};
    },
  },
  'foreign-chain-mined': {
    what: 'the miner takes jobs on a block that its node does not know',
    strategy: 'gives-foreign-chain',
    seed: 1,
    apply: () => ({ termsV3: { binding: { ...BY_WORK, foreignChain: true } } }),
  },
};
