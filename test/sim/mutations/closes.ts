import { CodedError } from '../../../src/base/errors.ts';
import type { ChannelView } from '../../../src/chain/watcher.ts';
import { MakerStore } from '../../../src/maker/maker-store.ts';
import { MinerContract } from '../../../src/miner/miner-contract.ts';
import { MinerStore } from '../../../src/miner/miner-store.ts';
import { ChannelWatch } from '../../../src/settlement/channel-watch.ts';
import { type ChainEffect, ContractStore } from '../../../src/settlement/contract-store.ts';
import { FundingCancel } from '../../../src/settlement/funding-cancel.ts';
import { StakeSettlement } from '../../../src/settlement/stake-settlement.ts';
import { SimNode } from '../node.ts';
import { MARGINS } from '../terms.ts';
import { without as edited, type Mutations } from './mutation.ts';

/** Changes what the chain is due, of one side. */
export function effectsOf(
  Store: typeof MinerStore | typeof MakerStore,
  change: (effects: readonly ChainEffect[], store: ContractStore) => readonly ChainEffect[],
): void {
  const { record } = ContractStore.prototype;
  Store.prototype.record = async function changed(event, entries) {
    return change(await record.call(this, event, entries), this);
  };
}

/** Changes what the miner sees of the chain. */
export function minerSees(change: (view: ChannelView, left: number) => ChannelView): void {
  const { record } = ContractStore.prototype;
  MinerStore.prototype.record = function blinded(event, entries) {
    if (event.type !== 'tip' && event.type !== 'close_alone') return record.call(this, event, entries);
    const view = change(event.view, this.terms.expiryHeight - event.height);
    return record.call(this, { ...event, view }, entries);
  };
}

const without =
  (type: ChainEffect['type']) =>
  (effects: readonly ChainEffect[]): readonly ChainEffect[] =>
    effects.filter((effect) => effect.type !== type);

/** What a close needs, of either side. */
export const OF_CLOSES: Mutations = {
  'watch-disarmed': {
    what: 'a fault of the contract disarms its watch',
    strategy: 'one-write-fails',
    seed: 8,
    apply: () => {
      effectsOf(MinerStore, (effects, { frozen }) => (frozen === undefined ? effects : []));
      return {};
    },
  },
  'refund-stands': {
    what: 'the maker waits for its refund, however long no block takes it',
    strategy: 'wrong-estimate-of-refund',
    seed: 1,
    apply: () => {
      effectsOf(MakerStore, (effects, { state }) =>
        state.close?.kind === 'refund' ? without('refund')(effects) : effects,
      );
      return {};
    },
  },
  'close-waits-for-ledger': {
    what: 'a close waits for its record, however long that takes',
    strategy: 'disk-hangs',
    seed: 1,
    apply: () => {
      const { record } = ContractStore.prototype;
      ContractStore.prototype.record = async function patient(event, entries) {
        const effects = await record.call(this, event, entries);
        await this.settled();
        return effects;
      };
      return {};
    },
  },
  'estimate-error-aborts': {
    what: 'a node without estimates stops the look at the chain',
    strategy: 'no-estimates',
    seed: 2,
    apply: () => {
      const { connect } = SimNode.prototype;
      SimNode.prototype.connect = function strict(isOver) {
        const source = connect.call(this, isOver);
        const feeRateSatPerKvb: typeof source.feeRateSatPerKvb = async (...words) => {
          // The opening has one.
          if ((await source.tip()).height > 8) throw new CodedError('chain_rpc', 'no estimate');
          return source.feeRateSatPerKvb(...words);
        };
        return { ...source, feeRateSatPerKvb };
      };
      return {};
    },
  },
  'broken-record-disarms': {
    what: 'after a start, a contract with proof against the maker is not watched',
    strategy: 'second-content-at-stake',
    seed: 1,
    apply: () => {
      const { load } = MinerStore;
      MinerStore.load = async (options, deps) => {
        const store = await load(options, deps);
        if (store.frozen !== undefined) Object.defineProperty(store, 'channel', { value: undefined });
        return store;
      };
      return {};
    },
  },
  'broken-closes-badly': {
    what: 'proof against the maker closes at once, also where that forfeits bonds',
    strategy: 'second-content-at-stake',
    seed: 1,
    apply: () => {
      const { record } = ContractStore.prototype;
      MinerStore.prototype.record = function hasty(event, entries) {
        const isHasty = event.type === 'tip' && this.state.fault?.type === 'broken' && !this.isSpent;
        return record.call(this, isHasty ? { ...event, type: 'close_alone' } : event, entries);
      };
      return {};
    },
  },
  'best-state-forgotten': {
    what: 'a state that was verified and could not be stored is forgotten',
    strategy: 'write-of-state-fails',
    seed: 2,
    apply: () => {
      Object.defineProperty(ContractStore.prototype, 'best', {
        get(this: ContractStore) {
          return this.last;
        },
      });
      return {};
    },
  },
  'refused-close-ends': {
    what: 'the miner delivers nothing more after a close that the maker refused',
    strategy: 'refuses-early-close',
    seed: 1,
    apply: () => {
      const { record } = ContractStore.prototype;
      MinerStore.prototype.record = function ending(event, entries) {
        return event.type === 'close_refused' ? Promise.resolve([]) : record.call(this, event, entries);
      };
      return {};
    },
  },
  'deadline-missed': {
    what: 'the miner does not close alone',
    strategy: 'no-common-close',
    seed: 1,
    apply: () => {
      effectsOf(MinerStore, without('close_alone'));
      return {};
    },
  },
  'late-funding-left': {
    what: 'the miner waits for a funding as long as it takes',
    strategy: 'withholds-funding',
    seed: 1,
    apply: () => {
      effectsOf(MinerStore, without('cancel_funding'));
      return {};
    },
  },
  'late-funding-kept': {
    what: 'a funding that comes too late is closed on no sooner than any other',
    strategy: 'funds-late',
    seed: 1,
    apply: () => {
      const { record } = ContractStore.prototype;
      MinerStore.prototype.record = function patient(event, entries) {
        const { terms } = this;
        const isEarly = event.type === 'tip' && event.height < terms.expiryHeight - MARGINS.broadcastBlocks;
        if (!isEarly || this.state.status !== 'opening') return record.call(this, event, entries);
        return Promise.resolve([]);
      };
      return {};
    },
  },
  'spent-coin-unseen': {
    what: 'the maker does not see that a coin of the funding is spent elsewhere',
    strategy: 'spends-its-coin',
    seed: 1,
    apply: () => {
      FundingCancel.prototype.conflictDepth = () => Promise.resolve(undefined);
      return {};
    },
  },
  'lowest-rung': {
    what: 'the miner closes by the lowest rung, whatever blocks ask for',
    strategy: 'dear-blocks',
    seed: 1,
    apply: () => {
      effectsOf(MinerStore, (effects) =>
        effects.map((effect) => (effect.type === 'close_alone' ? { ...effect, rung: 0 } : effect)),
      );
      return {};
    },
  },
  'caps-undone': {
    what: 'nothing bounds the fee of a close but its output',
    strategy: 'dear-blocks',
    seed: 1,
    apply: () => {
      minerSees(({ saved: _saved, ...view }) => view);
      return {};
    },
  },
  'descendants-ignored': {
    what: 'a bid beats what it replaces, and not what spends from that',
    strategy: 'pins-at-the-end',
    seed: 1,
    apply: () => {
      minerSees((view) => {
        if (view.waiting === undefined) return view;
        const { feeSat, vsize } = view.waiting;
        return { ...view, waiting: { feeSat, vsize, packageFeeSat: feeSat, packageVsize: vsize } };
      });
      return {};
    },
  },
  'rival-stands': {
    what: 'what waits and must not confirm is outbid like any bid that pays what blocks ask for',
    strategy: 'refund-in-the-mempool',
    seed: 1,
    apply: () => {
      minerSees((view) => ({ ...view, isRival: false }));
      return {};
    },
  },
  'asks-nobody': {
    what: 'a close that no deadline forces does not wait for what the maker shows',
    strategy: 'closes-from-backup',
    seed: 1,
    apply: () => {
      Object.defineProperty(MinerContract.prototype, 'mayClose', { get: () => true });
      return {};
    },
  },
  'asks-for-ever': {
    what: 'a close that no deadline forces waits for a maker that is gone',
    strategy: 'closes-without-peer',
    seed: 1,
    apply: () => {
      const { closeAloneInTime } = MinerContract.prototype;
      MinerContract.prototype.closeAloneInTime = function patient() {
        return this.status.connected ? closeAloneInTime.call(this) : Promise.resolve();
      };
      return {};
    },
  },
  'climbs-without-waiting': {
    what: 'near the expiry a close takes the highest rung, whatever blocks ask for',
    strategy: 'dear-close',
    seed: 1,
    apply: () => {
      minerSees((view, left) => (left > MARGINS.urgentBlocks ? view : { ...view, satPerKvb: 1_000_000 }));
      return {};
    },
  },
  'never-climbs': {
    what: 'a close that no block takes goes on paying what the node estimates',
    strategy: 'wrong-estimate',
    seed: 1,
    apply: () => {
      effectsOf(MinerStore, (effects) =>
        without('pay_child')(effects).map((effect) =>
          effect.type === 'close_alone' ? { ...effect, rung: 0 } : effect,
        ),
      );
      return {};
    },
  },
  'child-of-any-close': {
    what: 'a child that was bid for one close is made of the one that took its place',
    strategy: 'no-estimates',
    seed: 744_987,
    edits: [
      {
        file: 'miner/miner-chain.ts',
        from: 'if (state.close?.feeSat !== parentFeeSat) return;',
        to: '',
      },
    ],
  },
  'no-child': {
    what: 'no child pays for a close beyond the ladder',
    strategy: 'spike-at-close',
    seed: 1,
    apply: () => {
      effectsOf(MinerStore, without('pay_child'));
      return {};
    },
  },
  'refund-forgotten': {
    what: 'the maker takes nothing back',
    strategy: 'miner-vanishes',
    seed: 2,
    apply: () => {
      effectsOf(MakerStore, without('refund'));
      return {};
    },
  },
  'bonds-left': {
    what: 'nobody brings back a bond',
    strategy: 'bonds-come-back',
    seed: 1,
    apply: () => {
      StakeSettlement.prototype.onTip = () => Promise.resolve();
      return {};
    },
  },
  'first-bond-only': edited('settlement/stake-settlement.ts')(
    'bonds are looked for by the one of the miner alone',
    'bonds-after-a-search',
    'for (const { txid, vout } of coins)',
    'for (const { txid, vout } of coins.slice(0, 1))',
  ),
  'nothing-sent': {
    what: 'what is signed for the chain is not broadcast',
    strategy: 'maker-vanishes',
    seed: 1,
    apply: () => {
      ChannelWatch.prototype.broadcast = () => Promise.resolve();
      ChannelWatch.prototype.broadcastPackage = () => Promise.resolve();
      return {};
    },
  },
};
