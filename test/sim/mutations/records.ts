import { codeOf } from '../../../src/base/errors.ts';
import { MonotoneSigner } from '../../../src/channel/monotone-signer.ts';
import { parseSignedState } from '../../../src/channel/states.ts';
import { MakerStore } from '../../../src/maker/maker-store.ts';
import { OpeningBudget } from '../../../src/maker/opening-budget.ts';
import { MinerStore } from '../../../src/miner/miner-store.ts';
import { ContractStore } from '../../../src/settlement/contract-store.ts';
import { STATE_KIND } from '../../../src/settlement/records.ts';
import { early, type Mutations, without } from './mutation.ts';

/** What is on disk before another party relies on it. */
export const OF_RECORDS: Mutations = {
  'proposals-for-ever': {
    what: 'a proposal holds its budget for ever',
    strategy: 'proposes-and-leaves',
    seed: 1,
    apply: () => ({ maker: { proposalTimeoutMs: Number.POSITIVE_INFINITY } }),
  },
  'proposals-are-kept': without('maker/openings.ts')(
    'a proposal that nobody opened is never forgotten',
    'proposes-again',
    '        this.#forget();\n',
  ),
  'openings-for-ever': {
    what: 'an opening that is not signed holds its coins for ever',
    strategy: 'opens-again',
    seed: 1,
    apply: () => ({ maker: { openingTimeoutMs: Number.POSITIVE_INFINITY } }),
  },
  'openings-without-budget': {
    what: 'who never signed an opening may ask for the next one at once',
    strategy: 'opens-again',
    seed: 1,
    apply: () => {
      OpeningBudget.prototype.assertFree = () => {};
      return {};
    },
  },
  'miner-disk-lies': {
    what: 'the ledger of the miner answers before it is durable',
    strategy: 'chance',
    seed: 1,
    apply: () => ({ disks: { miner: 'lies' } }),
  },
  'maker-disk-lies': {
    what: 'the ledger of the maker answers before it is durable',
    strategy: 'chance',
    seed: 1,
    apply: () => ({ disks: { maker: 'lies' } }),
  },
  'ack-before-persist': {
    what: 'the miner acks a state whose write is under way',
    strategy: 'chance',
    seed: 20,
    apply: () => {
      const { takeState } = MinerStore.prototype;
      MinerStore.prototype.takeState = function early(state) {
        takeState.call(this, state).catch(() => {});
        return Promise.resolve();
      };
      return {};
    },
  },
  'credit-before-persist': {
    what: 'the maker answers for a batch whose write is under way',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      const { credit } = MakerStore.prototype;
      MakerStore.prototype.credit = function early(each) {
        credit.call(this, each).catch(() => {});
        return Promise.resolve(0);
      };
      return {};
    },
  },
  'signer-forgets': {
    what: 'the signer of states signs whatever work it is asked for, also less than before',
    strategy: 'chance',
    seed: 3,
    apply: () => {
      const { sign } = MonotoneSigner.prototype;
      MonotoneSigner.prototype.sign = function less(n, workHashes) {
        return sign.call(this, n, n > 1 && n % 2 === 1 ? workHashes + 1n : workHashes);
      };
      return {};
    },
  },
  'old-state-restored': {
    what: 'the miner starts with a state that is not its newest',
    strategy: 'chance',
    seed: 8,
    apply: () => {
      const { load } = MinerStore;
      MinerStore.load = async (options, deps) => {
        const store = await load(options, deps);
        const [first] = await deps.ledger.list(STATE_KIND, `${store.contractId}:`);
        if (store.last !== undefined) {
          Object.defineProperty(store, 'last', { value: parseSignedState(JSON.parse(first!.body)) });
        }
        return store;
      };
      return {};
    },
  },
  'close-unsaved': {
    what: 'the miner signs a close without a record of it',
    strategy: 'chance',
    seed: 2,
    apply: () => {
      const { commit } = MinerStore.prototype;
      MinerStore.prototype.commit = function unsaved(event, ...rest) {
        return event.type === 'close_signed' ? Promise.resolve() : commit.call(this, event, ...rest);
      };
      return {};
    },
  },
  'state-0-after-signature': {
    what: 'the miner signs the funding while state 0 is written',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      MinerStore.prototype.saveAcceptance = early(MinerStore.prototype.saveAcceptance);
      return {};
    },
  },
  'refused-write-forgotten': {
    what: 'what a full queue refused to write is taken for written',
    strategy: 'opening-write-refused',
    seed: 10,
    apply: () => {
      const write = ContractStore.prototype['write'];
      ContractStore.prototype['write'] = async function careless(...words) {
        await write.apply(this, words).catch((error: unknown) => {
          if (codeOf(error) !== 'overload') throw error;
        });
      };
      return {};
    },
  },
  'funding-unsaved': {
    what: 'the maker gives its signatures of the funding while that is written',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      MakerStore.prototype.saveFunding = early(MakerStore.prototype.saveFunding);
      return {};
    },
  },
  'common-close-unsaved': {
    what: 'the maker gives its signature of the close while that is written',
    strategy: 'chance',
    seed: 2,
    apply: () => {
      const { commit } = ContractStore.prototype;
      MakerStore.prototype.commit = function atOnce(event, ...rest) {
        const written = commit.call(this, event, ...rest);
        if (event.type !== 'close_built') return written;
        written.catch(() => {});
        return Promise.resolve();
      };
      return {};
    },
  },
  'claims-forgotten': {
    what: 'the maker pays without a claim of the seal, after a start',
    strategy: 'chance',
    seed: 8,
    apply: () => {
      const { load } = MakerStore;
      MakerStore.load = async (contractId, deps) => {
        const store = await load.call(MakerStore, contractId, deps);
        if (store?.channel !== undefined) store.apply({ type: 'claim_stored', n: 1_000 });
        return store;
      };
      return {};
    },
  },
};
