import type { Mutation, Mutations } from './mutation.ts';

const forgotten = (strategy: string, what: string): Mutation => ({
  what,
  strategy,
  seed: 1,
  edits: [
    {
      file: 'channel/lifecycle.ts',
      from: 'const watch = { ...UNSIGNED.watch, ...bids, isOver };',
      to: 'const watch = { ...UNSIGNED.watch, isOver };',
    },
  ],
});

/** Of processes that start anew at every block. */
export const OF_RESTARTS: Mutations = {
  'bids-of-miner-forgotten': forgotten(
    'miner-anew-each-block',
    'a miner that starts anew bids from the start',
  ),
  'bids-of-maker-forgotten': forgotten(
    'maker-anew-each-block',
    'a maker that starts anew bids from the start',
  ),
  'pushes-forgotten': forgotten(
    'funding-anew-each-block',
    'a maker that starts anew has waited for no funding before',
  ),
  'watch-forgets': {
    what: 'a watch that starts anew takes what waits for the transaction of another',
    strategy: 'watch-anew-each-block',
    seed: 1,
    edits: [
      {
        file: 'operator/ladder-watch.ts',
        from: 'if (this.#state.close !== undefined) return true;',
        to: 'if (this.#rung >= 0) return true;',
      },
    ],
  },
  'watch-without-children': {
    what: 'a watch has the rungs of a ladder alone',
    strategy: 'watched-at-1200',
    seed: 1,
    edits: [{ file: 'operator/ladder-watch.ts', from: '[...rungs, ...children]', to: 'rungs' }],
  },
  'returns-forgotten': {
    what: 'a bond that comes back waits since the start of the process',
    strategy: 'returns-anew-each-block',
    seed: 1,
    edits: [
      {
        file: 'settlement/stake-settlement.ts',
        from: 'waitsFrom(known, waiting?.waitingSince)',
        to: 'known',
      },
    ],
  },
};
