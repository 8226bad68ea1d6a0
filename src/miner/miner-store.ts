import { assert } from '../base/assert.ts';
import { smaller } from '../base/bigints.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { type CloseMargins, checkMargins, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { channelIndexOf } from '../channel/channel-index.ts';
import { isDelivering } from '../channel/lifecycle.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import { type SignedState, verifySignedState, verifyState } from '../channel/states.ts';
import { exposedWork, exposureRoom, type StreamState } from '../contract/stream.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { highestPriceFrom, newestPriceMsatPerEh } from '../contract/updated-terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { CommitmentOffer } from '../peer/commitment-codecs.ts';
import type { FeatureSet } from '../peer/features.ts';
import { type ClaimPoint, claimPointCodec } from '../peer/seal-codecs.ts';
import { formatOf } from '../settlement/commitments.ts';
import { ContractStore, type ContractStoreDeps } from '../settlement/contract-store.ts';
import { loadNotices } from '../settlement/notice-records.ts';
import type { AssembledChannel } from '../settlement/opening.ts';
import {
  bodyOf,
  type ContractRecord,
  contractEntry,
  deliveryEntry,
  fundingEntry,
  loadContract,
  loadOpening,
  type OpeningRecord,
  openingEntry,
  parseBody,
  SEAL_KIND,
  stateEntry,
} from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import { JOB_KIND, jobDocumentId, STREAM_KIND } from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
import { DeliveryGate } from './delivery-gate.ts';
import type { ExposureTotal } from './exposure-total.ts';
import { MinerCommitments } from './miner-commitments.ts';
import { type RefusedWork, unexplainedWork } from './refusals.ts';

export type MinerStoreOptions = {
  readonly terms: ContractTerms;
  /** See `StreamOptions`. */
  readonly unpaidTimeoutMs?: number;
  readonly margins?: CloseMargins;
};

export type MinerStoreDeps = ContractStoreDeps & {
  /** The bound over all contracts of a proxy, if it has one. */
  readonly exposureTotal?: ExposureTotal;
};

/**
 * The miner's store of one contract. Every method whose result the maker relies on resolves only once its
 * records are on disk.
 */
export class MinerStore extends ContractStore {
  /**
   * The newest claim of the seal sent to the maker, from before the funding is signed; undefined without a
   * seal.
   */
  claimed: ClaimPoint | undefined;
  /** The commitments of the states, as far as both signed them. */
  commitments = MinerCommitments.create();
  /** Height up to which the maker credits no work, its ledger being an older copy; 0 where there is none. */
  restoredHeight = 0;
  /** The durable total of the own evidence. */
  own: StreamTotal = { seq: 0, workHashes: 0n };
  /** Where shares pass before they are sold. */
  readonly gate: DeliveryGate;
  readonly #ledger: Ledger;

  private constructor(options: MinerStoreOptions, deps: MinerStoreDeps) {
    const { terms, margins = DEFAULT_CLOSE_MARGINS, unpaidTimeoutMs } = options;
    const waits = unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs };
    const lifecycle = {
      role: 'miner',
      terms,
      margins: checkMargins(margins),
      hasChannel: true,
      ...waits,
    } as const;
    super(contractIdOf(terms), lifecycle, deps);
    this.#ledger = deps.ledger;
    this.gate = new DeliveryGate(
      { contractId: this.contractId, priceMsatPerEh: newestPriceMsatPerEh(terms) },
      {
        timers: deps.timers,
        onChange: () => this.workChanged(),
        ...(deps.exposureTotal === undefined ? {} : { total: deps.exposureTotal }),
      },
    );
  }

  /**
   * Loads the store from the ledger. Throws `ledger_corrupt`, `bad_signature` for a stored state that does
   * not verify.
   */
  static async load(options: MinerStoreOptions, deps: MinerStoreDeps): Promise<MinerStore> {
    const store = new MinerStore(options, deps);
    const { contractId } = store;
    const stored = await loadContract(deps.ledger, contractId);
    store.opening = await loadOpening(deps.ledger, contractId);
    const claimed = await deps.ledger.get(SEAL_KIND, contractId);
    if (claimed !== undefined) store.claimed = parseBody(SEAL_KIND, claimPointCodec, claimed);
    const total = await deps.ledger.get(STREAM_KIND, contractId);
    if (total !== undefined) store.own = parseStreamTotal(contractId, total);
    const notices = await loadNotices(deps.ledger, contractId, 'miner');
    store.restore(stored, { workHashes: 0n, ackedN: -1, claimedN: undefined, notices });
    // A record of before there was this.
    const { nextSeq } = store.delivery;
    if (nextSeq > 0) store.delivery = { explainedSeq: nextSeq, ...store.delivery };
    store.commitments = await MinerCommitments.load(deps.ledger, contractId, store.last?.n ?? 0);
    // What was delivered before is unpaid still.
    store.workChanged();
    return store;
  }

  /** The newest claim of the seal. */
  get sealClaim(): SignedSealClaim | undefined {
    return this.claimed?.claim;
  }

  /** True while hashrate may go to this contract. */
  get live(): boolean {
    return isDelivering(this.options, this.state);
  }

  /** Work in hashes that the maker judged and did not credit. */
  get refusedWorkHashes(): bigint {
    const { ownWorkHashes, verifiedWorkHashes } = this.delivery;
    return ownWorkHashes > verifiedWorkHashes ? ownWorkHashes - verifiedWorkHashes : 0n;
  }

  /** Takes the durable total of the own work; call `workChanged` after it. */
  ownDurable(total: StreamTotal): void {
    if (total.seq >= this.own.seq) this.own = total;
  }

  /** Updates the exposure after own work became durable or was judged. */
  workChanged(): void {
    const { own, gate, refusedWorkHashes: refused } = this;
    const workHashes = own.workHashes > refused ? own.workHashes - refused : 0n;
    const deliveredHashes = workHashes + this.unexplainedWorkHashes + gate.inFlightHashes;
    const isHeld = gate.isHeld || this.#isUncredited || this.#rateRoom <= 0n || this.#hasNoPrice;
    this.apply({ type: 'work', workHashes, deliveredHashes, isHeld });
  }

  /**
   * Work in hashes that may be delivered before more than the greatest rate would be. By a block less than
   * the maker takes: work may still come on the one before.
   */
  get #rateRoom(): bigint {
    const { own, gate, refusedWorkHashes, state, terms } = this;
    const limit = this.creditLimit((state.tipHeight ?? 0) - 1) ?? terms.workTotalHashes;
    return limit - own.workHashes - gate.inFlightHashes + refusedWorkHashes;
  }

  /** Work on the tip has no price that both signed. */
  get #hasNoPrice(): boolean {
    return this.isUnpriced(this.state.tipHeight ?? 0);
  }

  /** The maker would credit no work on the tip. */
  get #isUncredited(): boolean {
    return (this.state.tipHeight ?? 0) <= this.restoredHeight && this.restoredHeight > 0;
  }

  /** Refused work in hashes that counts as unpaid: no own rule confirms it, and the terms do not allow it. */
  get unexplainedWorkHashes(): bigint {
    const { terms, own, refusedWorkHashes } = this;
    return unexplainedWork(terms, own.workHashes, refusedWorkHashes, this.#refused);
  }

  get #refused(): RefusedWork {
    const { confirmedHashes = 0n, racedHashes = 0n } = this.delivery;
    return { confirmedHashes, racedHashes };
  }

  /** Notes which refused work has a reason; on disk when this resolves. */
  async explain({ confirmedHashes, racedHashes }: RefusedWork): Promise<void> {
    const before = this.#refused;
    this.delivery = {
      ...this.delivery,
      confirmedHashes: before.confirmedHashes + confirmedHashes,
      racedHashes: before.racedHashes + racedHashes,
    };
    this.workChanged();
    const { contractId } = this;
    await this.write([deliveryEntry(contractId, this.delivery), this.commitments.heardEntry(contractId)]);
  }

  /** Also with what was delivered before a start, which the stream counts once the chain was seen. */
  get #delivered(): StreamState {
    return { ...this.stream, deliveredWork: this.state.deliveredHashes };
  }

  /** Work in hashes that may be delivered beside what was, before too much of it would be unpaid. */
  get roomHashes(): bigint {
    if (this.#isUncredited || this.#hasNoPrice) return 0n;
    const { terms, own, refusedWorkHashes, gate } = this;
    const room = exposureRoom(terms, this.#delivered);
    // What is beyond the total of the contract is not paid either.
    const rest = terms.workTotalHashes - own.workHashes - gate.inFlightHashes + refusedWorkHashes;
    return smaller(smaller(room, rest), this.#rateRoom);
  }

  protected override stateChanged(): void {
    const { terms, gate } = this;
    gate.setPrice(highestPriceFrom(terms, this.last?.workHashes ?? 0n));
    const stream = this.#delivered;
    gate.set(this.roomHashes, stream.status === 'ended' ? 0n : exposedWork(stream));
  }

  /** Stores the terms that both signed. */
  async accept(minerSignature: string, makerSignature: string): Promise<void> {
    const record: ContractRecord = {
      version: 1,
      role: 'miner',
      terms: this.terms,
      minerSignature,
      makerSignature,
      channelIndex: channelIndexOf(this.contractId),
    };
    await this.commit({ type: 'contract_signed' }, [contractEntry(this.contractId, record)]);
    this.contract = record;
  }

  /** Stores the offer about to be sent to the maker, so that a second one is the same. */
  async saveOffer(open: OpeningRecord['open']): Promise<void> {
    const record: OpeningRecord = { version: 1, open, accept: undefined };
    await this.write([openingEntry(this.contractId, record)]);
    this.opening = record;
  }

  /**
   * Stores the verified state 0; on disk when this resolves, and only then may the own inputs be signed.
   */
  async saveAcceptance(
    accept: NonNullable<OpeningRecord['accept']>,
    assembled: AssembledChannel,
  ): Promise<void> {
    assert(this.opening !== undefined, 'miner_offer_before_acceptance');
    verifyState(assembled.params, undefined, accept.state0);
    await this.agree({ ...this.opening, accept }, assembled);
  }

  /** Stores a claim about to be sent; on disk when this resolves. */
  async saveClaim(claimed: ClaimPoint): Promise<void> {
    if (claimed === this.claimed) return;
    const body = bodyOf(claimPointCodec, claimed);
    await this.write([{ type: 'put', kind: SEAL_KIND, id: this.contractId, body }]);
    this.claimed = claimed;
  }

  async saveFunding(fundingTx: string): Promise<void> {
    await this.commit({ type: 'funding_signed' }, [fundingEntry(this.contractId, fundingTx)], () => {
      this.fundingTx = fundingTx;
    });
  }

  /**
   * Takes the next state from the maker: checked against the last one and the own evidence, on disk when
   * this resolves. Throws as `verifyState`, `bad_amount` for more work than was delivered,
   * `channel_frozen`.
   */
  async takeState(next: SignedState): Promise<void> {
    this.assertUnbroken();
    assert(this.last !== undefined, 'miner_channel_before_state');
    const isSame = (await this.#compare(next)) === 'same';
    if (isSame && next.n === this.last.n) return;
    if (next.workHashes > this.own.workHashes) {
      throw new CodedError('bad_amount', `state ${next.n} is of more work than was delivered`);
    }
    if (this.sealClaim?.n === next.n && this.sealClaim.workHashes !== next.workHashes) {
      throw new CodedError('bad_amount', `state ${next.n} does not pay what was claimed`);
    }
    await this.#save(next);
  }

  /**
   * Adopts a newer state that the maker still has and this side lost. It may skip numbers, and may be of
   * work whose evidence is lost here too. Throws as `verifySignedState`, `not_monotone`, `equivocation`.
   */
  async adoptState(shown: SignedState): Promise<void> {
    this.assertUnbroken();
    const { best, assembled } = this;
    assert(assembled !== undefined && best !== undefined, 'miner_channel_before_state');
    if (shown.n === best.n) {
      await this.#compare(shown);
      if (shown.n !== this.last?.n) await this.#save(shown);
      return;
    }
    verifySignedState(assembled.params, shown);
    if (shown.n < best.n || shown.workHashes <= best.workHashes) {
      throw new CodedError('not_monotone', `state ${shown.n} is not above state ${best.n}`);
    }
    await this.#save(shown);
  }

  /**
   * Checks and signs the commitment of a state that is on disk; on disk when this resolves. Throws as
   * `MinerCommitments.countersign`.
   */
  countersign(
    offer: CommitmentOffer,
    state: SignedState,
    features: FeatureSet,
    signer: Signer,
  ): Promise<string | undefined> {
    assert(this.assembled !== undefined, 'miner_channel_before_state');
    const ledger = this.#ledger;
    const check = {
      format: formatOf(features, this.terms),
      ...{ ledger, stream: this.contractId, params: this.assembled.params, durableSeq: this.own.seq },
      jobBody: (jobId: JobId) => ledger.get(JOB_KIND, jobDocumentId(jobId)),
      write: (entries: readonly LedgerEntry[]) => this.write(entries, true),
    };
    return this.commitments.countersign(offer, state, check, signer);
  }

  /** Notes how far the maker has judged; kept in memory, and on disk with the next state. */
  delivered(nextSeq: number, ownWorkHashes: bigint, verifiedWorkHashes: bigint): void {
    this.delivery = { ...this.delivery, nextSeq, ownWorkHashes, verifiedWorkHashes };
    this.workChanged();
  }

  /**
   * Notes how far the maker has judged by its answer to a batch.
   * @returns the seq from which on it judged for the first time: of a share that it asks for again, no
   * refusal has a new reason
   */
  judged(nextSeq: number, ownWorkHashes: bigint, verifiedWorkHashes: bigint): number {
    const { explainedSeq = 0 } = this.delivery;
    this.delivery = { ...this.delivery, explainedSeq: Math.max(explainedSeq, nextSeq) };
    this.delivered(nextSeq, ownWorkHashes, verifiedWorkHashes);
    return explainedSeq;
  }

  async #compare(next: SignedState): Promise<'next' | 'same'> {
    const { best, assembled } = this;
    assert(assembled !== undefined && best !== undefined, 'miner_channel_before_state');
    try {
      return verifyState(assembled.params, best, next);
    } catch (error) {
      if (codeOf(error) === 'equivocation') await this.breakContract(best, next, error as CodedError);
      throw error;
    }
  }

  async #save(state: SignedState): Promise<void> {
    const { contractId, delivery } = this;
    await this.saveState(state, [stateEntry(contractId, state), deliveryEntry(contractId, delivery)]);
  }
}
