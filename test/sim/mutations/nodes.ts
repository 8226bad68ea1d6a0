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
    apply: () => ({ blockIntervalMs: 0 }),
  },
};
