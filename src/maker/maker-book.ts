import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { MonotoneSigner, type StateSigner } from '../channel/monotone-signer.ts';
import type { ChannelParams } from '../channel/params.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import { type SignedState, sameState, verifySignedState } from '../channel/states.ts';
import {
  PENDING_STREAM,
  type StreamEffect,
  type StreamEvent,
  type StreamState,
  transition,
} from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { awaitRecord, Serial } from '../peering/calls.ts';
import { jobRecordToJson, type Params } from '../peering/messages.ts';
import { type AssembledChannel, assembleChannel, type SignerTree } from '../peering/opening.ts';
import {
  ackEntry,
  type ChannelRecord,
  type ChannelStatus,
  type ContractRecord,
  channelEntry,
  type DeliveryRecord,
  deliveryEntry,
  equivocationEntry,
  fundingEntry,
  isBroken,
  loadContract,
  NOTHING_DELIVERED,
  type OpeningRecord,
  openingEntry,
  type StatusChange,
  stateEntry,
  unstored,
} from '../peering/records.ts';
import type { ClaimPoint } from '../peering/seal-codecs.ts';
import {
  JOB_KIND,
  type JobRecord,
  jobDocumentId,
  packRecords,
  SHARE_KIND,
  type ShareRecord,
  STREAM_KIND,
} from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
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

export type MakerBookDeps = {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signer: SignerTree;
  /**
   * What signs the states of a channel; default: a `MonotoneSigner`, which knows only what the ledger has.
   * One that remembers by itself may be ahead of `last`.
   */
  readonly openStateSigner?: OpenStateSigner;
};

export type OpenStateSigner = (
  options: { readonly params: ChannelParams; readonly last?: SignedState },
  deps: { readonly signer: Signer },
) => StateSigner;

/** A batch after all checks. */
export type Credit = {
  /** Shares to be paid, in order, with their work. */
  readonly shares: readonly ShareRecord[];
  readonly workHashes: bigint;
  /** Jobs of these shares that are not stored yet. */
  readonly jobs: readonly JobRecord[];
  readonly nextSeq: number;
  /** Of the shares that are not credited. */
  readonly refusedSeqs: readonly number[];
  /** What the miner says it has delivered so far. */
  readonly ownWorkHashes: bigint;
};

function hashesOf(shares: readonly ShareRecord[]): Uint8Array[] {
  return shares.map(({ hash }) => hash);
}

/**
 * The ledger id of a miner's job: wire ids of different miners may be alike. Give it to `evidenceLines` as
 * `jobKey`.
 */
export function makerJobKey(contractId: string, jobId: number): string {
  return `${contractId}:${jobDocumentId(jobId)}`;
}

/**
 * The maker's durable memory of one contract. What the miner will rely on is on disk when a method
 * resolves; a write that
 * fails freezes the book until the program starts anew. Frozen, it makes no new promise; what is due on the
 * chain goes on from memory.
 */
export class MakerBook {
  readonly contractId: string;
  readonly contract: ContractRecord;
  opening: OpeningRecord | undefined;
  assembled: AssembledChannel | undefined;
  fundingTx: string | undefined;
  channel: ChannelRecord | undefined;
  delivery: DeliveryRecord = NOTHING_DELIVERED;
  /** The own evidence: what was credited. */
  evidence: StreamTotal = { seq: 0, workHashes: 0n };
  stream: StreamState = PENDING_STREAM;
  ackedN = -1;
  /** What there is of the seal, from the funding on. */
  seal: MakerSeal | undefined;
  frozen: CodedError | undefined;
  #monotone: StateSigner | undefined;
  #last: SignedState | undefined;
  readonly #deps: MakerBookDeps;
  readonly #serial = new Serial();

  private constructor(contractId: string, contract: ContractRecord, deps: MakerBookDeps) {
    this.contractId = contractId;
    this.contract = contract;
    this.#deps = deps;
  }

  /** A contract just signed by both. */
  static create(contractId: string, contract: ContractRecord, deps: MakerBookDeps): MakerBook {
    return new MakerBook(contractId, contract, deps);
  }

  /** Throws `ledger_corrupt`, `bad_signature` for a stored state that does not verify. */
  static async load(contractId: string, deps: MakerBookDeps): Promise<MakerBook | undefined> {
    const stored = await loadContract(deps.ledger, contractId);
    if (stored === undefined) return undefined;
    const book = new MakerBook(contractId, stored.contract, deps);
    book.opening = stored.opening;
    book.fundingTx = stored.fundingTx;
    book.channel = stored.channel;
    book.delivery = stored.delivery ?? NOTHING_DELIVERED;
    book.ackedN = stored.ackedN;
    book.seal = await loadSeal(deps.ledger, contractId);
    const total = await deps.ledger.get(STREAM_KIND, contractId);
    if (total !== undefined) book.evidence = parseStreamTotal(contractId, total);
    if (stored.opening?.accept) {
      book.assembled = assembleChannel(book.terms, stored.opening.open, stored.opening.accept);
      book.#last = stored.last;
      book.#monotone = book.#createSigner(stored.last);
      book.#restoreStream(await isBroken(deps.ledger, contractId));
    }
    return book;
  }

  get terms(): ContractTerms {
    return this.contract.terms;
  }

  /**
   * The newest state on disk. The signer may be ahead of it while a write is under way, and after one that
   * failed.
   */
  get last(): SignedState | undefined {
    return this.#last;
  }

  /** The newest state while its ack is missing. */
  get offered(): SignedState | undefined {
    const { last } = this;
    return last !== undefined && last.n > this.ackedN ? last : undefined;
  }

  /** The newest claim of the seal. */
  get sealClaim(): SignedSealClaim | undefined {
    return this.seal?.claim;
  }

  get isClosed(): boolean {
    return this.channel?.status === 'closed' || this.channel?.status === 'failed';
  }

  apply(event: StreamEvent): readonly StreamEffect[] {
    const options = { terms: this.terms, role: 'maker' as const };
    const { state, effects } = transition(options, this.stream, event, this.#deps.clock.nowMs());
    this.stream = state;
    for (const effect of effects) {
      this.#deps.log.debug({ contract: this.contractId, ...effect }, 'contract');
    }
    return effects;
  }

  /** Signs state 0 and stores it with both halves of the opening, before the answer leaves. */
  async saveOpening(
    open: OpeningRecord['open'],
    accept: Omit<NonNullable<OpeningRecord['accept']>, 'state0'>,
    assembled: AssembledChannel,
  ): Promise<NonNullable<OpeningRecord['accept']>> {
    this.assembled = assembled;
    const monotone = this.#createSigner(undefined);
    const state0 = monotone.sign(0, 0n);
    const opening: OpeningRecord = { version: 1, open, accept: { ...accept, state0 } };
    const channel: ChannelRecord = {
      version: 1,
      role: 'maker',
      status: 'opening',
      reason: '',
      fundingTxid: assembled.funding.txid,
      fundingVout: assembled.funding.vout,
      n: 0,
      workHashes: 0n,
      paidSat: 0n,
      closeTx: null,
      closeFeeSat: null,
    };
    await this.#write([
      openingEntry(this.contractId, opening),
      stateEntry(this.contractId, state0),
      channelEntry(this.contractId, channel),
    ]);
    this.opening = opening;
    this.channel = channel;
    this.#monotone = monotone;
    this.#last = state0;
    this.ackedN = 0;
    this.apply({ type: 'state_signed', n: 0, workHashes: 0n, paidSat: 0n });
    return opening.accept!;
  }

  /**
   * Stored before the own inputs are signed away. Throws as `openSeal` for another claim than 0.
   * @param claim 0 of the seal, where the terms have one
   */
  async saveFunding(fundingTx: string, claim?: SignedSealClaim): Promise<void> {
    assert(this.assembled !== undefined, 'maker_channel_before_funding');
    const seal = claim === undefined ? undefined : openSeal(this.assembled.params, claim);
    const entries = seal === undefined ? [] : [sealEntry(this.contractId, seal)];
    await this.#change({ status: 'funding' }, [fundingEntry(this.contractId, fundingTx), ...entries]);
    this.fundingTx = fundingTx;
    this.seal = seal;
  }

  /** Before something is promised: on disk when it resolves. Throws `channel_frozen`. */
  async setStatus(status: ChannelStatus, change: StatusChange = {}): Promise<void> {
    await this.#change({ ...change, status }, []);
    if (status === 'closed') this.apply({ type: 'closed' });
  }

  /**
   * What the chain shows, or what is about to be done there: so at once, and on disk as soon as that can be.
   * Never fails, and waits for the disk no longer than it may.
   */
  async record(
    status: ChannelStatus,
    change: StatusChange = {},
    entries: readonly LedgerEntry[] = [],
  ): Promise<void> {
    assert(this.channel !== undefined, 'maker_channel_record');
    const changed = (): ChannelRecord => ({ ...this.channel!, ...change, status });
    this.channel = changed();
    if (status === 'closed') this.apply({ type: 'closed' });
    const written = this.#serial.run(async () => {
      // A change that was on its way before is on disk by now.
      this.channel = changed();
      await this.#append([...entries, channelEntry(this.contractId, this.channel)]);
    });
    await awaitRecord(written.catch(unstored(this.contractId, this.#deps.log)));
  }

  /**
   * Stores what a batch is credited; on disk when it resolves. Throws `overload` with nothing changed,
   * `channel_frozen`.
   */
  async credit(credit: Credit): Promise<readonly StreamEffect[]> {
    const { contractId, evidence } = this;
    const { shares, jobs } = credit;
    const delivery: DeliveryRecord = {
      ...this.delivery,
      nextSeq: credit.nextSeq,
      ownWorkHashes: credit.ownWorkHashes,
      verifiedWorkHashes: this.delivery.verifiedWorkHashes + credit.workHashes,
      contactAtMs: Math.max(0, Math.floor(this.#deps.clock.nowMs())),
    };
    const total: StreamTotal = {
      seq: evidence.seq + shares.length,
      workHashes: evidence.workHashes + credit.workHashes,
    };
    const entries: LedgerEntry[] = jobs.map((job) => ({
      op: 'insert',
      kind: JOB_KIND,
      id: makerJobKey(contractId, job.id),
      body: JSON.stringify(jobRecordToJson(job)),
    }));
    if (shares.length > 0) {
      entries.push({
        op: 'log',
        kind: SHARE_KIND,
        stream: contractId,
        first: evidence.seq,
        count: shares.length,
        body: packRecords(shares),
      });
      const body = `{"seq":${total.seq},"work":"${total.workHashes}"}`;
      entries.push({ op: 'put', kind: STREAM_KIND, id: contractId, body });
    }
    entries.push(deliveryEntry(contractId, delivery));
    const seal = this.seal && withShares(this.seal, hashesOf(shares), credit.refusedSeqs);
    if (seal !== undefined) entries.push(sealEntry(contractId, seal));
    await this.#write(entries, true);
    this.seal = seal;
    this.evidence = total;
    this.delivery = delivery;
    return this.apply({ type: 'work_verified', workHashes: delivery.verifiedWorkHashes });
  }

  /** Whether the next state can be signed: where there is a seal, its claim comes first. */
  get isClaimed(): boolean {
    return this.seal === undefined || this.seal.claim.n > (this.#last?.n ?? -1);
  }

  /** The request for the claim of the next state, on disk when it resolves; the same until it is given. */
  async askClaim(): Promise<Params<'seal.claim'>> {
    const { last, seal } = this;
    assert(seal !== undefined && last !== undefined, 'maker_seal_before_claim');
    const { nextSeq } = this.delivery;
    await this.#saveSeal(withAsked(seal, last.n + 1, this.stream.verifiedWork, nextSeq));
    return claimRequest(this.contractId, this.seal!)!;
  }

  /** The claim that was asked for; on disk when it resolves. Throws as `withClaim`. */
  async takeClaim(claim: SignedSealClaim): Promise<void> {
    assert(this.seal !== undefined && this.assembled !== undefined, 'maker_seal_before_claim');
    await this.#saveSeal(withClaim(this.assembled.params, this.seal, claim));
  }

  /** A claim that the miner shows after a restore. Throws as `restoredSeal`. */
  async restoreClaim(shown: ClaimPoint): Promise<void> {
    if (this.assembled?.params.seal === undefined || this.#last === undefined) return;
    const now = { lastN: this.#last.n, nextSeq: this.delivery.nextSeq };
    const seal = restoredSeal(this.assembled.params, this.seal, shown, now);
    if (seal !== undefined) await this.#saveSeal(seal);
  }

  async #saveSeal(seal: MakerSeal): Promise<void> {
    if (seal === this.seal) return;
    await this.#write([sealEntry(this.contractId, seal)]);
    this.seal = seal;
  }

  /**
   * Signs the next state over all verified work, or over what is claimed of it; on disk when it resolves, and
   * only then may it leave.
   */
  async signNext(): Promise<readonly StreamEffect[]> {
    const { last } = this;
    assert(this.#monotone !== undefined && last !== undefined, 'maker_state_0_before_next');
    assert(this.offered === undefined, 'maker_one_state_in_flight');
    assert(this.isClaimed, 'maker_claim_before_state');
    this.#assertThawed();
    const workHashes = this.seal?.claim.workHashes ?? this.stream.verifiedWork;
    return this.#saveState(this.#signed(last.n + 1, workHashes));
  }

  /** A signer that cannot write its own memory stops for good, and with it the channel. */
  #signed(n: number, workHashes: bigint): SignedState {
    assert(this.#monotone !== undefined, 'maker_state_0_before_next');
    try {
      return this.#monotone.sign(n, workHashes);
    } catch (error) {
      if (codeOf(error) === 'channel_frozen') this.freeze(error as CodedError);
      throw error;
    }
  }

  /** The miner has this state on disk. */
  async ack(n: number, ackSignature: string): Promise<void> {
    await this.#write([ackEntry(this.contractId, n, ackSignature)]);
    this.ackedN = Math.max(this.ackedN, n);
  }

  /**
   * Takes over a newer state that this maker signed and then lost: its work counts as verified, the shares
   * behind it are never
   * taken again, nor any on blocks up to `height` (`channel.md` 4). Throws as `MonotoneSigner.adopt`.
   */
  async adopt(state: SignedState, nextSeq: number, height: number): Promise<void> {
    assert(this.#monotone !== undefined && this.#last !== undefined, 'maker_state_0_before_next');
    this.#assertThawed();
    this.#monotone.adopt(state);
    if (state.n <= this.#last.n) return;
    await this.#takeOver(state, nextSeq, height);
    this.ackedN = state.n;
    this.#deps.log.warn({ contract: this.contractId, n: state.n }, 'restored from the state of the miner');
  }

  /**
   * Catches up with a signer that remembers a state the ledger does not: one that was signed and not stored
   * before a crash, or many after an older ledger was restored. It is offered as if just signed.
   */
  async recover(height: number): Promise<void> {
    const remembered = this.#monotone?.last;
    if (this.frozen !== undefined || remembered === undefined || this.#last === undefined) return;
    if (remembered.n <= this.#last.n) return;
    const isStored = remembered.workHashes <= this.delivery.verifiedWorkHashes;
    const { nextSeq, restoredHeight } = this.delivery;
    await this.#takeOver(remembered, nextSeq, isStored ? restoredHeight : height);
    this.#deps.log.warn({ contract: this.contractId, n: remembered.n }, 'restored from the signer');
  }

  /** A newer state of the own. Where its work is not in the ledger, nothing up to `height` counts again. */
  async #takeOver(state: SignedState, nextSeq: number, height: number): Promise<void> {
    const { delivery } = this;
    const more = state.workHashes > delivery.verifiedWorkHashes;
    const restored: DeliveryRecord = {
      ...delivery,
      nextSeq: Math.max(delivery.nextSeq, nextSeq),
      verifiedWorkHashes: more ? state.workHashes : delivery.verifiedWorkHashes,
      restoredHeight: height,
    };
    await this.#saveState(state, [deliveryEntry(this.contractId, restored)]);
    this.delivery = restored;
    if (this.stream.opened) this.apply({ type: 'work_verified', workHashes: restored.verifiedWorkHashes });
  }

  /**
   * A state with the number of the newest: throws `equivocation`, with both kept as evidence and the
   * channel frozen, when it is
   * well signed and another one; `bad_signature` and the like when it is not ours.
   */
  async compare(shown: SignedState): Promise<void> {
    const { last } = this;
    assert(this.assembled !== undefined && last?.n === shown.n, 'maker_compares_same_number');
    verifySignedState(this.assembled.params, shown);
    if (sameState(last, shown)) return;
    assert(this.channel !== undefined, 'maker_channel_record');
    const proof = [equivocationEntry(this.contractId, last, shown)];
    const error = new CodedError('equivocation', `two contents for state ${last.n}`);
    this.freeze(error);
    const { status } = this.channel;
    if (status === 'closing' || status === 'closed') await this.record(status, {}, proof);
    else await this.record('frozen', { reason: error.message }, proof);
    throw error;
  }

  /** Whether the ledger holds a job, and what it is. */
  async storedJob(jobId: number): Promise<string | undefined> {
    return this.#deps.ledger.get(JOB_KIND, makerJobKey(this.contractId, jobId));
  }

  /** Stops every new promise for a reason that a human must look at; the refund is not one. */
  freeze(reason: CodedError): void {
    if (this.frozen !== undefined) return;
    this.frozen = reason;
    const fields = { contract: this.contractId, code: reason.code, detail: reason.message };
    this.#deps.log.error(
      { ...fields, expiryHeight: this.terms.expiryHeight },
      'nothing more is signed for this contract; its refund stays armed',
    );
  }

  async #saveState(
    state: SignedState,
    entries: readonly LedgerEntry[] = [],
  ): Promise<readonly StreamEffect[]> {
    const { n, workHashes, paidSat } = state;
    await this.#change({ n, workHashes, paidSat }, [stateEntry(this.contractId, state), ...entries]);
    this.#last = state;
    return this.apply({ type: 'state_signed', n, workHashes, paidSat });
  }

  #createSigner(last: SignedState | undefined): StateSigner {
    assert(this.assembled !== undefined, 'maker_channel_before_signer');
    const signer = this.#deps.signer.forChannel(this.contract.channelIndex);
    const { params } = this.assembled;
    const options = last === undefined ? { params } : { params, last };
    return this.#deps.openStateSigner?.(options, { signer }) ?? new MonotoneSigner(options, { signer });
  }

  /** Changes the channel record, one change at a time, together with other entries. */
  #change(change: Partial<ChannelRecord>, entries: readonly LedgerEntry[]): Promise<void> {
    return this.#serial.run(async () => {
      assert(this.channel !== undefined, 'maker_channel_record');
      const channel = { ...this.channel, ...change };
      await this.#write([...entries, channelEntry(this.contractId, channel)]);
      // What the chain showed in the meantime is kept.
      this.channel = { ...this.channel, ...change };
    });
  }

  #assertThawed(): void {
    if (this.frozen !== undefined) throw new CodedError('channel_frozen', this.frozen.code);
  }

  /** @param mayRefuse a full queue is passed on; for a state it freezes, since the signer already knows it */
  async #write(entries: readonly LedgerEntry[], mayRefuse = false): Promise<void> {
    this.#assertThawed();
    await this.#append(entries, mayRefuse);
  }

  /** Also while it is frozen: for what is so, whether or not it can be written. */
  async #append(entries: readonly LedgerEntry[], mayRefuse = false): Promise<void> {
    try {
      await this.#deps.ledger.appendNow(entries);
    } catch (error) {
      if (mayRefuse && codeOf(error) === 'overload') throw error;
      const frozen = new CodedError('channel_frozen', codeOf(error), {}, { cause: error });
      this.freeze(frozen);
      throw frozen;
    }
  }

  #restoreStream(isBroken: boolean): void {
    const { channel, last } = this;
    if (channel === undefined || last === undefined) return;
    if (isBroken || channel.status === 'frozen') {
      this.freeze(new CodedError('equivocation', channel.reason));
    }
    const { n, workHashes, paidSat } = last;
    this.apply({ type: 'state_signed', n, workHashes, paidSat });
    if (channel.status === 'open' || channel.status === 'closing') {
      this.apply({ type: 'channel_open' });
      this.apply({ type: 'funded', confirmations: this.terms.minDepth });
      this.apply({ type: 'work_verified', workHashes: this.delivery.verifiedWorkHashes });
    }
    if (channel.status === 'closed') this.apply({ type: 'closed' });
  }
}
