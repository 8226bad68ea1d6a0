import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { parseSignedState } from '../../src/channel/states.ts';
import { MakerBook } from '../../src/maker/maker-book.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { MinerBook } from '../../src/peering/miner-book.ts';
import { STATE_KIND } from '../../src/peering/records.ts';
import type { WorldOptions } from './world.ts';

export type Mutation = {
  /** What is broken, in words. */
  readonly what: string;
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
    apply: () => ({ disks: { miner: 'lies' } }),
  },
  'maker-disk-lies': {
    what: 'the ledger of the maker answers before it is durable',
    apply: () => ({ disks: { maker: 'lies' } }),
  },
  'ack-before-persist': {
    what: 'the miner acks a state whose write is under way',
    apply: () => {
      const { takeState } = MinerBook.prototype;
      MinerBook.prototype.takeState = function early(state) {
        takeState.call(this, state).catch(() => {});
        return Promise.resolve([]);
      };
      return {};
    },
  },
  'credit-before-persist': {
    what: 'the maker answers for a batch whose write is under way',
    apply: () => {
      const { credit } = MakerBook.prototype;
      MakerBook.prototype.credit = function early(each) {
        credit.call(this, each).catch(() => {});
        return Promise.resolve([]);
      };
      return {};
    },
  },
  'signer-forgets': {
    what: 'the signer of states signs whatever work it is asked for, also less than before',
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
    apply: () => {
      ShareVerifier.prototype.remember = () => true;
      return {};
    },
  },
  'never-offered': {
    what: 'the maker signs states and sends none',
    apply: () => {
      Object.defineProperty(MakerBook.prototype, 'offered', { get: () => undefined });
      return {};
    },
  },
  'old-state-restored': {
    what: 'the miner starts with a state that is not its newest',
    apply: () => {
      const { load } = MinerBook;
      MinerBook.load = async (options, deps) => {
        const book = await load(options, deps);
        const [first] = await deps.ledger.list(STATE_KIND, `${book.contractId}:`);
        if (book.last !== undefined) book.last = parseSignedState(JSON.parse(first!.body));
        return book;
      };
      return {};
    },
  },
  'close-unsaved': {
    what: 'the miner signs a close without a record of it',
    apply: () => {
      const { setStatus } = MinerBook.prototype;
      MinerBook.prototype.setStatus = function unsaved(status, change) {
        if (status === 'closing' && change?.reason === 'cooperative') return Promise.resolve();
        return setStatus.call(this, status, change);
      };
      return {};
    },
  },
};
