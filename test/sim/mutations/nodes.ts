import { MakerStore } from '../../../src/maker/maker-store.ts';
import { LadderWriter } from '../../../src/settlement/ladder-writer.ts';
import type { Mutations } from './mutation.ts';

/** What the second way out needs. */
export const OF_NODES: Mutations = {
  'first-node-only': {
    what: 'of several nodes the first alone is asked, and told',
    strategy: 'node-dies',
    seed: 1,
    apply: () => ({ minerNodes: 1 }),
  },
  'ladder-file-old': {
    what: 'the ladder file stays that of the first state',
    strategy: 'machine-dies-watched',
    seed: 1,
    apply: () => {
      const { write } = LadderWriter.prototype;
      LadderWriter.prototype.write = function once(request) {
        if (request.state.n === 0) write.call(this, request);
      };
      return {};
    },
  },
  'refund-not-kept': {
    what: 'the refund of the maker is in no file',
    strategy: 'makers-machine-dies-watched',
    seed: 1,
    apply: () => {
      LadderWriter.prototype.writeRefund = () => {};
      return {};
    },
  },
  'projection-off': {
    what: 'no clock says that the chain stands still',
    strategy: 'node-dies-alone',
    seed: 1,
    apply: () => ({ blockIntervalMs: { miner: 0 } }),
  },
  'maker-stall-ignored': {
    what: 'the maker takes work while no block is heard of',
    strategy: 'makers-node-dies',
    seed: 1,
    apply: () => {
      MakerStore.prototype.setStalled = () => {};
      return {};
    },
  },
  'makers-projection-off': {
    what: 'no clock tells the maker that the chain stands still, and it opens channels',
    strategy: 'opens-blindly',
    seed: 1,
    apply: () => ({ blockIntervalMs: { maker: 0 } }),
  },
  'never-renewed': {
    what: 'a daemon whose disk was full waits for a person',
    strategy: 'disk-full-for-a-while',
    seed: 1,
    apply: () => ({ renews: undefined }),
  },
};
