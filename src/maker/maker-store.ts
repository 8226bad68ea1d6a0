import { assert } from '../base/assert.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { checkMargins, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { isEnded, isSettled } from '../channel/lifecycle.ts';
import { MonotoneSigner, type StateSigner } from '../channel/monotone-signer.ts';
import type { ChannelParams } from '../channel/params.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import { isRepeated, type SignedState, sameState, verifySignedState } from '../channel/states.ts';
import { updatesOf } from '../contract/updated-terms.ts';
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { FeatureSet } from '../peer/features.ts';
import type { Params } from '../peer/messages.ts';
import type { ClaimPoint } from '../peer/seal-codecs.ts';
import { commitmentEntry, formatOf } from '../settlement/commitments.ts';
import { ContractStore, type ContractStoreDeps } from '../settlement/contract-store.ts';
import { loadNotices } from '../settlement/notice-records.ts';
import type { AssembledChannel, SignerTree } from '../settlement/opening.ts';
import {
  ackEntry,
  type ContractRecord,
  type DeliveryRecord,
  deliveryEntry,
  fundingEntry,
  loadContract,
  type OpeningRecord,
  stateEntry,
} from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import { JOB_KIND, STREAM_KIND } from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
import type { ShareRows } from '../work/share-rows.ts';
import { addLuck, loadLuck, luckEntry, NO_CONTRACT_LUCK } from './contract-luck.ts';
import { type Credit, creditEntries, makerJobKey } from './credit-entries.ts';
import { MakerCommitments, type RefusedShare } from './maker-commitments.ts';
import {
  claimRequest,
  loadSeal,
  type MakerSeal,
  openSeal,
  restoredSeal,
  sealEntry,
  withAsked,
  withClaim,
  withShares,
} from './maker-seal.ts';

export { type Credit, makerJobKey } from './credit-entries.ts';

export type MakerStoreDeps = ContractStoreDeps & {
  readonly signer: SignerTree;
  /** Confirmations at which a close is final. */
  readonly finalDepth?: number;
  /** See `CloseMargins`. */
  readonly beginBlocks?: number;
  /**
   * Makes the signer of a channel's states. Default: a `MonotoneSigner`, which knows only the ledger's
   * states; one with a memory of its own may be ahead of `last`.
   */
  readonly openStateSigner?: OpenStateSigner;
};

/** Makes the signer of a channel's states. */
export type OpenStateSigner = (
  options: { readonly params: ChannelParams; readonly last?: SignedState },
  deps: { readonly signer: Signer },
) => StateSigner;

function hashesOf(shares: ShareRows): Uint8Array[] {
  return Array.from({ length: shares.length }, (_, index) => shares.hash(index));
}

function seqsOf(refused: readonly RefusedShare[]): number[] {
  return refused.map(({ seq }) => seq);
}

/** The maker's store of one contract. What the miner relies on is on disk when a method resolves. */
export class MakerStore extends ContractStore {
  declare contract: ContractRecord;
  /** The durable total of the credited shares. */
  evidence: StreamTotal = { seq: 0, workHashes: 0n };
  /** The record of the seal, from the funding on. */
  seal: MakerSeal | undefined;
  /** Luck over the credited shares. */
  luck = NO_CONTRACT_LUCK;
  /** The commitments of the states. */
  commitments = MakerCommitments.create();
  #monotone: StateSigner | undefined;
  readonly #deps: MakerStoreDeps;

  private constructor(contractId: string, contract: ContractRecord, deps: MakerStoreDeps) {
    const { finalDepth = DEFAULT_CLOSE_MARGINS.finalDepth } = deps;
    const begin = deps.beginBlocks === undefined ? {} : { beginBlocks: deps.beginBlocks };
    const margins = checkMargins({ ...DEFAULT_CLOSE_MARGINS, finalDepth, ...begin });
    super(contractId, { role: 'maker', terms: contract.terms, margins, hasChannel: true }, deps);
    this.contract = contract;
    this.#deps = deps;
  }

  /** Makes the store of a contract just signed by both. */
  static create(contractId: string, contract: ContractRecord, deps: MakerStoreDeps): MakerStore {
    return new MakerStore(contractId, contract, deps);
  }

  /**
   * Loads the store from the ledger; undefined where it has no such contract. Throws `ledger_corrupt`,
   * `bad_signature` for a stored state that does not verify.
   */
  static async load(contractId: string, deps: MakerStoreDeps): Promise<MakerStore | undefined> {
    const stored = await loadContract(deps.ledger, contractId);
    if (stored === undefined) return undefined;
    const store = new MakerStore(contractId, stored.contract, deps);
    store.opening = stored.opening;
    store.seal = await loadSeal(deps.ledger, contractId);
    store.luck = await loadLuck(deps.ledger, contractId);
    const total = await deps.ledger.get(STREAM_KIND, contractId);
    if (total !== undefined) store.evidence = parseStreamTotal(contractId, total);
    store.restore(stored, {
      workHashes: stored.delivery?.verifiedWorkHashes ?? 0n,
      ackedN: stored.ackedN,
      claimedN: store.seal?.claim.n,
      notices: await loadNotices(deps.ledger, contractId, 'maker'),
    });
    if (store.assembled !== undefined) store.#monotone = store.#createSigner(stored.last);
    store.commitments = await MakerCommitments.load(deps.ledger, contractId, stored.last?.n ?? 0);
    return store;
  }

  /** The newest state while its ack is missing. */
  get offered(): SignedState | undefined {
    const { last } = this;
    return last !== undefined && last.n > this.ackedN ? last : undefined;
  }

  /** Number of the newest state that the miner has on disk; -1 before. */
  get ackedN(): number {
    return this.state.ackedN;
  }

  /** The newest claim of the seal. */
  get sealClaim(): SignedSealClaim | undefined {
    return this.seal?.claim;
  }

  get isClosed(): boolean {
    return isEnded(this.state);
  }

  /** True once everything that can be paid is signed and acked. */
  get isSettled(): boolean {
    return isSettled(this.options, this.state);
  }

  /** Signs state 0 and stores it with both halves of the opening, before the answer is sent. */
  async saveOpening(
    open: OpeningRecord['open'],
    accept: Omit<NonNullable<OpeningRecord['accept']>, 'state0'>,
    assembled: AssembledChannel,
  ): Promise<NonNullable<OpeningRecord['accept']>> {
    const monotone = this.#createSigner(undefined, assembled);
    const answer = { ...accept, state0: monotone.sign(0, 0n) };
    await this.agree({ version: 1, open, accept: answer }, assembled);
    this.#monotone = monotone;
    return answer;
  }

  /**
   * Stores the funding; on disk before the own signatures are sent. Throws as `openSeal` for another claim
   * than 0.
   * @param claim 0 of the seal, where the terms have one
   */
  async saveFunding(fundingTx: string, claim?: SignedSealClaim): Promise<void> {
    assert(this.assembled !== undefined, 'maker_channel_before_funding');
    const seal = claim === undefined ? undefined : openSeal(this.assembled.params, claim);
    const entries = seal === undefined ? [] : [sealEntry(this.contractId, seal)];
    await this.commit(
      { type: 'funding_signed' },
      [fundingEntry(this.contractId, fundingTx), ...entries],
      () => {
        this.fundingTx = fundingTx;
        this.seal = seal;
      },
    );
    if (seal !== undefined) this.apply({ type: 'claim_stored', n: seal.claim.n });
  }

  /**
   * Stores what a batch is credited; on disk when it resolves. Throws `overload` with nothing changed,
   * `channel_frozen`.
   * @returns the bytes that were written for refused shares
   */
  async credit(credit: Credit): Promise<number> {
    const { contractId } = this;
    const { shares } = credit;
    const after = creditEntries(contractId, this, credit, this.#deps.clock.nowMs());
    const entries = [...after.entries, ...credit.counts];
    const seal = this.seal && withShares(this.seal, hashesOf(shares), seqsOf(credit.refused));
    if (seal !== undefined) entries.push(sealEntry(contractId, seal));
    const luck = addLuck(this.luck, credit.luck);
    if (shares.length > 0) entries.push(luckEntry(contractId, luck));
    const refusals = this.commitments.withRefused(contractId, credit.refused);
    await this.write([...entries, ...refusals.entries]);
    refusals.done();
    this.seal = seal;
    this.luck = luck;
    this.evidence = after.evidence;
    this.delivery = after.delivery;
    this.#workChanged();
    return refusals.bytes;
  }

  #workChanged(): void {
    this.apply({ type: 'work', workHashes: this.delivery.verifiedWorkHashes });
  }

  /**
   * The request for the claim of the next state, on disk when this resolves; the same until the claim has
   * come.
   */
  async askClaim(): Promise<Params<'seal.claim'>> {
    const { last, seal } = this;
    assert(seal !== undefined && last !== undefined, 'maker_seal_before_claim');
    const { nextSeq } = this.delivery;
    await this.#saveSeal(withAsked(seal, last.n + 1, this.stream.verifiedWork, nextSeq));
    return claimRequest(this.contractId, this.seal!)!;
  }

  /** Takes the claim that was asked for; on disk when this resolves. Throws as `withClaim`. */
  async takeClaim(claim: SignedSealClaim): Promise<void> {
    assert(this.seal !== undefined && this.assembled !== undefined, 'maker_seal_before_claim');
    await this.#saveSeal(withClaim(this.assembled.params, this.seal, claim));
    this.apply({ type: 'claim_stored', n: claim.n });
  }

  /** Restores a claim that the miner shows after a loss of the ledger. Throws as `restoredSeal`. */
  async restoreClaim(shown: ClaimPoint): Promise<void> {
    if (this.assembled?.params.seal === undefined || this.last === undefined) return;
    const now = { lastN: this.last.n, nextSeq: this.delivery.nextSeq };
    const seal = restoredSeal(this.assembled.params, this.seal, shown, now);
    if (seal === undefined) return;
    await this.#saveSeal(seal);
    this.apply({ type: 'claim_stored', n: seal.claim.n });
  }

  async #saveSeal(seal: MakerSeal): Promise<void> {
    if (seal === this.seal) return;
    await this.write([sealEntry(this.contractId, seal)], true);
    this.seal = seal;
  }

  /**
   * Signs the next state over all verified work, or the claimed part of it; on disk when this resolves, and
   * only then may it be sent.
   * @param features of the connection: where the miner knows commitments the state has one, if it can be
   * made
   */
  async signNext(features: FeatureSet): Promise<void> {
    const { last } = this;
    assert(this.#monotone !== undefined && last !== undefined, 'maker_state_0_before_next');
    assert(this.offered === undefined, 'maker_one_state_in_flight');
    this.assertPaying();
    if (this.state.close !== undefined) throw new CodedError('wrong_status', 'a close is stored');
    const workHashes = this.seal?.claim.workHashes ?? this.stream.verifiedWork;
    const n = last.n + 1;
    const isCommitted = features.has('state_commitments');
    const commitment = isCommitted ? await this.#commitmentOf({ n, workHashes }, features) : undefined;
    const entries = commitment === undefined ? [] : [commitmentEntry(this.contractId, commitment)];
    // Before: the state is offered as soon as it is on disk.
    this.commitments.keep(commitment);
    try {
      await this.#save(this.#signed(n, workHashes), entries);
    } catch (error) {
      // The signer knows it already: no other content may follow.
      if (codeOf(error) === 'overload') this.suspend(error as CodedError);
      throw error;
    }
  }

  /**
   * The commitment of a state; undefined where the evidence cannot be read, which does not withhold the
   * pay.
   */
  async #commitmentOf(
    state: Pick<SignedState, 'n' | 'workHashes'>,
    features: FeatureSet,
  ): Promise<CommitmentRecord | undefined> {
    assert(this.assembled !== undefined, 'maker_channel_before_state');
    const { contractId, evidence, delivery } = this;
    const basis = {
      ...{ ledger: this.#deps.ledger, stream: contractId, params: this.assembled.params },
      ...{ evidenceSeq: evidence.seq, nextSeq: delivery.nextSeq },
      jobBody: (jobId: JobId) => this.storedJob(jobId),
    };
    try {
      const format = formatOf(features, this.contract.terms);
      return await this.commitments.make(basis, state, format, this.#deps.signer);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const fields = { contract: contractId, code: error.code, detail: error.message };
      this.#deps.log.warn(fields, 'a state commits to no evidence');
      return undefined;
    }
  }

  /**
   * Restores the newest commitment as the miner shows it, where this ledger lost it; the next builds on it.
   */
  async restoreCommitment(shown: CommitmentRecord): Promise<void> {
    if (this.assembled === undefined || this.last === undefined) return;
    const now = {
      lastN: this.last.n,
      nextSeq: this.delivery.nextSeq,
      evidenceSeq: this.evidence.seq,
    };
    try {
      const { entries, done } = this.commitments.restored(this.assembled.params, shown, now);
      if (entries.length > 0) await this.write(entries);
      done();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const fields = { contract: this.contractId, code: error.code, detail: error.message };
      this.#deps.log.warn(fields, 'the commitment of the miner was not taken over');
    }
  }

  /** Signs a state; a signer that cannot write its own memory freezes the channel for good. */
  #signed(n: number, workHashes: bigint): SignedState {
    assert(this.#monotone !== undefined, 'maker_state_0_before_next');
    try {
      return this.#monotone.sign(n, workHashes);
    } catch (error) {
      if (codeOf(error) === 'channel_frozen') this.suspend(error as CodedError);
      throw error;
    }
  }

  /** Stores the miner's ack of a state. Throws `bad_signature` for a wrong signature of its commitment. */
  async ack(n: number, ackSignature: string, commitmentSignature?: string): Promise<void> {
    assert(this.assembled !== undefined, 'maker_channel_before_ack');
    const { params } = this.assembled;
    const signed = this.commitments.withSignature(params, n, commitmentSignature);
    await this.commit(
      { type: 'state_acked', n },
      [ackEntry(this.contractId, n, ackSignature), ...signed.entries],
      signed.done,
    );
  }

  /**
   * Adopts a newer state that this maker signed and then lost: its work counts as verified, the shares
   * behind it are never taken again, nor any on blocks up to `height` (`PROTOCOL.md`). Throws as
   * `MonotoneSigner.adopt`.
   */
  async adopt(state: SignedState, nextSeq: number, height: number): Promise<void> {
    assert(this.#monotone !== undefined && this.last !== undefined, 'maker_state_0_before_next');
    this.assertThawed();
    this.#monotone.adopt(state);
    if (state.n <= this.last.n) return;
    await this.#takeOver(state, nextSeq, height);
    this.apply({ type: 'state_acked', n: state.n });
    this.#deps.log.warn({ contract: this.contractId, n: state.n }, 'restored from the state of the miner');
  }

  /**
   * Catches up with a signer that remembers a state the ledger does not: one that was signed and not stored
   * before a crash, or many after an older ledger was restored. It is offered as if just signed.
   * @returns true where the ledger lacks its work, and so is an older one
   */
  async recover(height: number): Promise<boolean> {
    const { last: remembered, terms = this.terms } = this.#monotone ?? {};
    if (this.frozen === undefined && updatesOf(terms).length > updatesOf(this.terms).length)
      await this.update(terms, []);
    if (this.frozen !== undefined || remembered === undefined || this.last === undefined) return false;
    if (remembered.n <= this.last.n) return false;
    const isStored = remembered.workHashes <= this.delivery.verifiedWorkHashes;
    const { nextSeq, restoredHeight } = this.delivery;
    await this.#takeOver(remembered, nextSeq, isStored ? restoredHeight : height);
    this.#deps.log.warn({ contract: this.contractId, n: remembered.n }, 'restored from the signer');
    return !isStored;
  }

  /**
   * Stores a newer state of this maker. Where the ledger lacks its work, no share on blocks up to `height`
   * is credited.
   */
  async #takeOver(state: SignedState, nextSeq: number, height: number): Promise<void> {
    const { delivery } = this;
    const more = state.workHashes > delivery.verifiedWorkHashes;
    const restored: DeliveryRecord = {
      ...delivery,
      nextSeq: Math.max(delivery.nextSeq, nextSeq),
      verifiedWorkHashes: more ? state.workHashes : delivery.verifiedWorkHashes,
      restoredHeight: height,
    };
    await this.#save(state, [deliveryEntry(this.contractId, restored)]);
    this.delivery = restored;
    this.#workChanged();
  }

  /**
   * Compares a state that has the number of the newest: throws `equivocation`, with both kept as evidence
   * and the channel frozen, when it is well signed and has another content; `bad_signature` and the like
   * when this maker did not sign it.
   */
  async compare(shown: SignedState): Promise<void> {
    const { last } = this;
    assert(this.assembled !== undefined && last?.n === shown.n, 'maker_compares_same_number');
    if (isRepeated(last, shown)) return;
    verifySignedState(this.assembled.params, shown);
    if (sameState(last, shown)) return;
    await this.breakContract(
      last,
      shown,
      new CodedError('equivocation', `two contents for state ${last.n}`),
    );
  }

  /** The body of a stored job; undefined where the ledger has none. */
  async storedJob(jobId: JobId): Promise<string | undefined> {
    return this.#deps.ledger.get(JOB_KIND, makerJobKey(this.contractId, jobId));
  }

  /** The signer goes on from the same state, by the new price. */
  protected override termsChanged(): void {
    if (this.#monotone !== undefined) this.#monotone = this.#createSigner(this.#monotone.last);
  }

  async #save(state: SignedState, entries: readonly LedgerEntry[] = []): Promise<void> {
    await this.saveState(state, [stateEntry(this.contractId, state), ...entries]);
  }

  #createSigner(last: SignedState | undefined, assembled = this.assembled): StateSigner {
    assert(assembled !== undefined, 'maker_channel_before_signer');
    const signer = this.#deps.signer.forChannel(this.contract.channelIndex);
    const { params } = assembled;
    const options = last === undefined ? { params } : { params, last };
    return this.#deps.openStateSigner?.(options, { signer }) ?? new MonotoneSigner(options, { signer });
  }
}
