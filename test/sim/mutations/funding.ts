import { minerSees } from './closes.ts';
import { type Mutations, without } from './mutation.ts';

/** Of a funding that leaves the chain, and of two of its outputs that one block spends. */
export const OF_FUNDING: Mutations = {
  'depth-only-grows': {
    what: 'a funding that was deep once is deep for good',
    strategy: 'funding-comes-and-goes',
    seed: 1,
    apply: () => {
      let deepest: number | undefined;
      minerSees((view) => {
        if (view.coinDepth === undefined) return view;
        deepest = Math.max(deepest ?? 0, view.coinDepth);
        return { ...view, coinDepth: deepest };
      });
      return {};
    },
  },
  'undone-counts': {
    what: 'a funding that left the chain is as deep as it was',
    strategy: 'maker-spends-its-coin',
    seed: 1,
    apply: () => {
      let depth: number | undefined;
      minerSees((view) => {
        depth = view.coinDepth ?? depth;
        const isAway = view.coinDepth === undefined && view.spendDepth === undefined;
        return isAway && depth !== undefined ? { ...view, coinDepth: depth } : view;
      });
      return {};
    },
  },
  'gone-is-only-missing': without('chain/watcher.ts')(
    'a funding that is gone, and nothing spends it, is waited for while work was sold on it',
    'miner-spends-its-coin',
    'spendDepth !== undefined || wasThere',
    'spendDepth !== undefined',
  ),
  'spend-of-other-output': without('settlement/stake-settlement.ts')(
    'what spends the channel is taken for what spends the seal, where one block has both',
    'close-and-claim-at-once',
    'this.#deps.chain.spender(funding.txid, seal!.vout, SEARCH_BLOCKS)',
    'this.#deps.chain.spender(funding.txid, funding.vout, SEARCH_BLOCKS)',
  ),
};
