import { MakerStore } from '../../../src/maker/maker-store.ts';
import { MinerStore } from '../../../src/miner/miner-store.ts';
import { ChildPayer } from '../../../src/settlement/child-payer.ts';
import { ContractStore } from '../../../src/settlement/contract-store.ts';
import { SimNode } from '../node.ts';
import { Vault } from '../vault.ts';
import { effectsOf } from './closes.ts';
import type { Mutations } from './mutation.ts';

/** What both bid for all else than the close of the miner. */
export const OF_WAITS: Mutations = {
  'vault-asked-once': {
    what: 'a vault is asked for one signature, at the rate of then',
    strategy: 'vault-refund-waits',
    seed: 1,
    apply: () => {
      const { ask } = Vault.prototype;
      Vault.prototype.ask = function once(name, ...words) {
        if (this.open(name).length === 0) ask.call(this, name, ...words);
      };
      return {};
    },
  },
  'funding-child-stands': {
    what: 'the child of a funding pays what the node estimates, however long it waits',
    strategy: 'funding-waits',
    seed: 1,
    apply: () => {
      let firstSat: bigint | undefined;
      effectsOf(MakerStore, (effects) =>
        effects.map((effect) => {
          if (effect.type !== 'push_funding') return effect;
          firstSat ??= effect.feeSat;
          return { ...effect, feeSat: firstSat };
        }),
      );
      return {};
    },
  },
  'cancel-stands': {
    what: 'taking a coin back from a late funding pays what the node estimates, however long it waits',
    strategy: 'cancel-waits',
    seed: 1,
    apply: () => {
      let firstSat: bigint | undefined;
      effectsOf(MinerStore, (effects) =>
        effects.map((effect) => {
          if (effect.type !== 'cancel_funding') return effect;
          firstSat ??= effect.feeSat;
          return { ...effect, feeSat: firstSat };
        }),
      );
      return {};
    },
  },
  'claim-childless': {
    what: 'nothing pays for a claim of the seal beyond what the miner signed',
    strategy: 'claim-waits',
    seed: 1,
    apply: childless,
  },
  'award-childless': {
    what: 'nothing pays for a bond beyond what both signed',
    strategy: 'awards-wait',
    seed: 1,
    apply: childless,
  },
  'return-stands': {
    what: 'a bond on its way back is left alone, however long no block takes it',
    strategy: 'returns-wait',
    seed: 1,
    apply: () => {
      const { connect } = SimNode.prototype;
      SimNode.prototype.connect = function untold(isOver) {
        const source = connect.call(this, isOver);
        return {
          ...source,
          spender: async (txid, vout, blocks) => {
            const found = await source.spender(txid, vout, blocks);
            return vout >= 2 && found?.confirmations === 0 ? undefined : found;
          },
        };
      };
      return {};
    },
  },
  'question-gates-close': {
    what: 'a look at the chain ends with the first question that fails',
    strategy: 'fails-txOut',
    seed: 1,
    apply: () => {
      const { record } = ContractStore.prototype;
      MinerStore.prototype.record = function strict(event, entries) {
        // What was last seen has one confirmation.
        const isLast = event.type === 'tip' && this.state.status === 'open' && event.view.coinDepth === 1;
        return isLast ? Promise.resolve([]) : record.call(this, event, entries);
      };
      return {};
    },
  },
  'cheap-close-left': {
    what: 'the maker waits for a cheap close of the miner as long as it takes',
    strategy: 'leaves-cheap-close',
    seed: 1,
    apply: () => {
      effectsOf(MakerStore, (effects) => effects.filter(({ type }) => type !== 'pay_child'));
      return {};
    },
  },
  'pins-end-the-climb': {
    what: 'a close that waits goes no further than a child of another with it',
    strategy: 'pins-below-market',
    seed: 1,
    edits: [
      {
        file: 'chain/fee-bid.ts',
        from: 'Math.max(rateOfBid(options, present), offered)',
        to: 'rateOfBid(options, present)',
      },
    ],
  },
  'refund-uncapped': {
    what: 'nothing bounds the fee of a refund',
    strategy: 'spike-at-expiry',
    seed: 2,
    apply: () => {
      const { record } = ContractStore.prototype;
      MakerStore.prototype.record = function uncapped(event, entries) {
        if (event.type !== 'tip') return record.call(this, event, entries);
        const { refundMostSat: _most, ...view } = event.view;
        return record.call(this, { ...event, view }, entries);
      };
      return {};
    },
  },
};

function childless(): Record<string, never> {
  ChildPayer.prototype.pay = () => Promise.resolve();
  return {};
}
