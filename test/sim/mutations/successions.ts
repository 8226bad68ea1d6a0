import { type Mutations, without } from './mutation.ts';

const EXPOSURE = 'miner/exposure-total.ts';
const course = without('contract/succession.ts');

/** Each rule of contracts that follow each other, undone. */
export const OF_SUCCESSIONS: Mutations = {
  'top-up-forgotten': course(
    'a contract that is used up is followed by none',
    'tops-up',
    '!(isOver || first.takesOver))',
    '!first.takesOver)',
  ),
  'goes-on-too-soon': course(
    'hashrate moves to a contract whose channel is not deep',
    'withdraws-and-goes-on',
    'if (current === undefined || first?.isDeep !== true || ',
    'if (current === undefined || first === undefined || ',
  ),
  'exposure-of-each-alone': {
    ...{ what: 'each contract may owe as much as if it were alone', seed: 1 },
    strategy: 'signs-the-next-and-pays-no-more',
    edits: [
      { file: EXPOSURE, from: 'if (this.#msat >= this.#maxMsat) return false;', to: '' },
      { file: EXPOSURE, from: ': this.#msat >= this.#maxMsat;', to: ': this.#msat < 0n;' },
    ],
  },
};
