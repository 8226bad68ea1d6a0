import { codeOf } from '../../../src/base/errors.ts';
import { signCommitment } from '../../../src/channel/commitment.ts';
import { isDelivering } from '../../../src/channel/lifecycle.ts';
import { ShareTree } from '../../../src/channel/share-tree.ts';
import { BatchVerifier } from '../../../src/maker/batch-verifier.ts';
import { CreditedHashes } from '../../../src/maker/credited-hashes.ts';
import { MakerStore } from '../../../src/maker/maker-store.ts';
import { ShareVerifier } from '../../../src/maker/verification.ts';
import { DeliveryGate } from '../../../src/miner/delivery-gate.ts';
import { MinerCommitments } from '../../../src/miner/miner-commitments.ts';
import { MinerStore } from '../../../src/miner/miner-store.ts';
import { Refusals } from '../../../src/miner/refusals.ts';
import { commitmentEntry } from '../../../src/settlement/commitments.ts';
import { Meters } from '../../../src/work/meters.ts';
import { SHARE } from '../farm.ts';
import type { Mutations } from './mutation.ts';

/** The miner confirms one reason as soon as the maker gives it. */
function believe(believed: string): void {
  const { judge } = Refusals.prototype;
  Refusals.prototype.judge = async function credulous(firstSeq, shares, refused, credited) {
    const others = refused.filter(({ code }) => code !== believed);
    const work = await judge.call(this, firstSeq, shares, others, credited);
    const confirmed = BigInt(refused.length - others.length) * SHARE.workHashes;
    return { ...work, confirmedHashes: work.confirmedHashes + confirmed };
  };
}

/** What work is sold, credited and paid. */
export const OF_WORK: Mutations = {
  'duplicates-forgotten': {
    what: 'the maker takes a share again that it has paid for',
    strategy: 'miner-resells',
    seed: 1,
    apply: () => {
      ShareVerifier.prototype.remember = () => true;
      return {};
    },
  },
  'hashes-dropped-early': {
    what: 'the maker forgets the shares of a block as soon as work on another comes',
    strategy: 'resells-later',
    seed: 1,
    apply: () => {
      CreditedHashes.prototype.makeRoom = function forgetful(_contract, _count, wanted) {
        for (const each of this.generations) if (!wanted.has(each)) this.drop(each);
      };
      return {};
    },
  },
  'restore-unnoticed': {
    what: 'the maker credits work on blocks from before its ledger was restored',
    strategy: 'resells-after-restore',
    seed: 1,
    apply: () => {
      Object.defineProperty(BatchVerifier.prototype, 'restoredHeight', { get: () => 0 });
      return {};
    },
  },
  'unpaid-without-limit': {
    what: 'the miner delivers whatever is unpaid',
    strategy: 'stops-signing',
    seed: 1,
    apply: () => {
      Object.defineProperty(MinerStore.prototype, 'live', {
        get(this: MinerStore) {
          const stream = { ...this.state.stream, exposureLimited: false };
          return isDelivering(this.options, { ...this.state, stream });
        },
      });
      DeliveryGate.prototype.admits = () => true;
      return {};
    },
  },
  'gate-open': {
    what: 'the miner sells all shares that were found together, also beyond the limit',
    strategy: 'shares-in-flight',
    seed: 1,
    apply: () => {
      DeliveryGate.prototype.admits = () => true;
      return {};
    },
  },
  'refusals-believed': {
    what: 'the miner takes the word of the maker for the reason of a refusal',
    strategy: 'refuses-everything',
    seed: 1,
    apply: () => {
      Refusals.prototype.judge = (_first, shares, refused) =>
        Promise.resolve({
          confirmedHashes: BigInt(Math.min(shares.rows.length, refused.length)) * SHARE.workHashes,
          racedHashes: 0n,
        });
      return {};
    },
  },
  'complete-believed': {
    what: 'the miner takes the word of the maker that all of the work is credited',
    strategy: 'says-complete',
    seed: 1,
    apply: () => {
      const { judge } = Refusals.prototype;
      Refusals.prototype.judge = function trusting(firstSeq, shares, refused) {
        return judge.call(this, firstSeq, shares, refused, 400n * SHARE.workHashes);
      };
      return {};
    },
  },
  ...Object.fromEntries(
    [
      ['share_stale', 'lets-wait', ''] as const,
      ['share_stale', 'churns-jobs', '-of-given'] as const,
      ['stale_race', 'secret-block', ''] as const,
      ['share_unbound', 'serves-unbound-jobs', ''] as const,
    ].map(([code, strategy, more]) => [
      `believed-${code.replace('_', '-')}${more}`,
      {
        ...{ what: `the miner takes the word of the maker for ${code}`, strategy, seed: 1 },
        apply: () => {
          believe(code);
          return {};
        },
      },
    ]),
  ),
  'faults-believed': {
    what: 'the miner signs for any shares as those that were refused',
    strategy: 'denies-refusals',
    seed: 1,
    apply: () => {
      const { countersign } = MinerCommitments.prototype;
      MinerCommitments.prototype.countersign = async function credulous(offer, state, check, signer) {
        try {
          return await countersign.call(this, offer, state, check, signer);
        } catch (error) {
          if (codeOf(error) !== 'bad_commitment') throw error;
        }
        const { params } = check;
        const content = { ...offer, n: state.n, workHashes: state.workHashes };
        const minerSignature = signCommitment(params, content, signer);
        const faults = offer.faults?.map((fault) => ({
          ...fault,
          workHashes: 0n,
          digest: offer.shareRoot,
        }));
        const record = {
          ...{ version: 1, n: state.n, baseN: offer.baseN, workHashes: state.workHashes },
          ...{ creditedHashes: state.workHashes, nextSeq: offer.nextSeq, logSeq: offer.nextSeq },
          ...{ refused: [], faults: faults ?? [], tree: new ShareTree(), jobSetRoot: offer.jobSetRoot },
          ...{ faultLogHead: offer.faultLogHead, makerSignature: offer.signature, minerSignature },
        };
        await check.write([commitmentEntry(params.contractId, record)]);
        return minerSignature;
      };
      return {};
    },
  },
  'reasons-given-again': {
    what: 'a refusal of a share that was judged before counts once more',
    strategy: 'asks-again',
    seed: 1,
    apply: () => {
      MinerStore.prototype.judged = function forgetful(nextSeq, ownWorkHashes, verifiedWorkHashes) {
        this.delivered(nextSeq, ownWorkHashes, verifiedWorkHashes);
        return 0;
      };
      return {};
    },
  },
  'refused-without-limit': {
    what: 'the miner delivers whatever is refused',
    strategy: 'refuses-everything',
    seed: 1,
    apply: () => {
      Object.defineProperty(MinerStore.prototype, 'unexplainedWorkHashes', { get: () => 0n });
      return {};
    },
  },
  'races-allowed-twice': {
    what: 'twice the part of the work that the terms allow may be refused as a race',
    strategy: 'races-beyond-the-edge',
    seed: 1,
    apply: () => {
      const { judge } = Refusals.prototype;
      Refusals.prototype.judge = async function generous(...words) {
        const work = await judge.apply(this, words);
        return { ...work, confirmedHashes: work.confirmedHashes + work.racedHashes / 2n };
      };
      return {};
    },
  },
  'races-not-allowed': {
    what: 'no part of the work may be refused as a race, whatever the terms say',
    strategy: 'races-at-the-edge',
    seed: 1,
    apply: () => {
      const { judge } = Refusals.prototype;
      Refusals.prototype.judge = async function strict(...words) {
        return { ...(await judge.apply(this, words)), racedHashes: 0n };
      };
      return {};
    },
  },
  'work-counted-twice': {
    what: 'the maker credits the last share of a batch twice',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      const { credit } = MakerStore.prototype;
      MakerStore.prototype.credit = function generous(each) {
        const shares = BigInt(Math.max(1, each.shares.length));
        return credit.call(this, { ...each, workHashes: each.workHashes + each.workHashes / shares });
      };
      return {};
    },
  },
  'work-sent-early': {
    what: 'a share is told to be durable while it is written',
    strategy: 'chance',
    seed: 1,
    apply: () => {
      const { commit, credit } = Meters.prototype;
      Meters.prototype.commit = function early(ledger, accepted) {
        commit.call(this, ledger, accepted).catch(() => {});
        return Promise.resolve(credit.call(this, []));
      };
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
  'state-not-verified': {
    what: 'the miner takes whatever state it is offered',
    strategy: 'bad-states',
    seed: 1,
    apply: () => {
      MinerStore.prototype.takeState = function credulous(state) {
        return this['saveState'](state, []);
      };
      return {};
    },
  },
};
