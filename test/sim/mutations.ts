import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { parseSignedState } from '../../src/channel/states.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { MinerStore } from '../../src/miner/miner-store.ts';
import { STATE_KIND } from '../../src/settlement/records.ts';
import type { WorldOptions } from './world.ts';

export type Mutation = {
  /** What is broken, in words. */
  readonly what: string;
  /** Where it is found. */
  readonly strategy: string;
  readonly seed: number;
  /** Breaks it, for the rest of the process, and says what else is different. */
  readonly apply: () => WorldOptions;
};

/**
 * Faults of the kind the schedules are there to find: each must be found, or the checks are worth nothing.
 * They are put in from outside, so that no fault can ever be left in the program.
 */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
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
        return Promise.resolve();
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
  'duplicates-forgotten': {
    what: 'the maker takes a share again that it has paid for',
    strategy: 'miner-resells',
    seed: 1,
    apply: () => {
      ShareVerifier.prototype.remember = () => true;
      return {};
    },
  },
  'never-offered': {
    what: 'the maker signs states and sends none',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      Object.defineProperty(MakerStore.prototype, 'offered', { get: () => undefined });
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
};
