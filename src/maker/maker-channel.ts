import { assert } from '../base/assert.ts';
import type { Random } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import { type CloseSettlement, finalizeClose, signClose, verifyClose } from '../channel/close.ts';
import { verifyAck } from '../channel/states.ts';
import type { MoneyStream } from '../contract/money-stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Update } from '../contract/update.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import { type Feature, NO_FEATURES } from '../peer/features.ts';
import type { MethodName, Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import type { AuditorLink, AuditorView } from '../settlement/auditor-link.ts';
import { answerForBond, BondAsker, type BondSide } from '../settlement/bond-release.ts';
import { formatOf } from '../settlement/commitments.ts';
import type { ContractEffect } from '../settlement/contract-store.ts';
import { ContractUpdates } from '../settlement/contract-updates.ts';
import type { HashValues } from '../settlement/hash-values.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import type { DeliveryView, MinuteKeeper } from '../settlement/minute-keeper.ts';
import { type ComparedStreams, compareStreams, streamOf } from '../settlement/money-streams.ts';
import { NoticeBoard, type NoticeRequest, type NoticesView } from '../settlement/notice-board.ts';
import type { SignerTree } from '../settlement/opening.ts';
import { leaveBlob } from '../settlement/peer-blob.ts';
import { PriceKeeper } from '../settlement/price-keeper.ts';
import {
  type SealStatus,
  StakeSettlement,
  type StakeSettlementDeps,
} from '../settlement/stake-settlement.ts';
import { vsizeOfHex } from '../settlement/transaction-facts.ts';
import { BatchVerifier, type BatchVerifierDeps, type BatchVerifierOptions } from './batch-verifier.ts';
import { assertEarlyClose } from './early-close.ts';
import type { FoundBlocksStatus } from './found-blocks.ts';
import type { BeadStatus, JobBinding } from './job-binding.ts';
import { MakerChain, type MakerChainDeps } from './maker-chain.ts';
import { makerMinutes } from './maker-minute.ts';
import type { MakerStore } from './maker-store.ts';
import type { StakesPolicy } from './policy.ts';
import { RefusalLog } from './refusal-log.ts';
import type { RestoredLedger } from './restored-ledger.ts';
import type { WorkStatus } from './work-status.ts';

export type MakerChannelOptions = {
  readonly batchVerifier: BatchVerifierOptions;
  readonly stakes: Pick<StakesPolicy, 'earlyClose' | 'returnsBonds'>;
};

export type MakerChannelDeps = Omit<BatchVerifierDeps, 'binding' | 'view'> &
  MakerChainDeps &
  Pick<StakeSettlementDeps, 'freeCoins'> & {
    readonly view: TipTracker;
    readonly ledger: Ledger;
    readonly random: Random;
    readonly signer: SignerTree;
    readonly restored: RestoredLedger;
    readonly values?: HashValues;
    readonly log: Logger;
    /** Writes the refunds to files, for a start without this ledger. */
    readonly ladders?: LadderWriter;
    /** See `MakerDeps`. */
    readonly auditor?: Pick<AuditorLink, 'follow' | 'viewOf'>;
    readonly onChange: () => void;
    /** Holds an update of these terms to the policy: see `judgeUpdate`. */
    readonly judgeUpdate?: (terms: ContractTerms, update: Update) => void;
    readonly bindingOf: (store: MakerStore, miner: MinerAccess) => JobBinding;
  };

/** Asks the miner of a contract. Throws as `call`, and `peer_closed` while it is not connected. */
export type AskMiner = <M extends MethodName>(method: M, params: Params<M>) => Promise<Result<M>>;

/** The miner of a contract as far as its binding needs it. */
export type MinerAccess = {
  readonly ask: AskMiner;
  /** True where it is connected, and announced a feature. */
  readonly knows: (feature: Feature) => boolean;
};

/**
 * The maker's side of one contract once its opening is stored: takes work, signs a state for each step,
 * resends states that were not acked, and closes. Runs one task at a time, so that checks still hold when
 * their result is written; the chain has a queue of its own.
 */
export class MakerChannel {
  readonly store: MakerStore;
  readonly batchVerifier: BatchVerifier;
  readonly updates: ContractUpdates;
  readonly stats = { statesSigned: 0, statesAcked: 0 };
  readonly #stakes: MakerChannelOptions['stakes'];
  readonly #deps: MakerChannelDeps;
  readonly #binding: JobBinding;
  readonly #refusals: RefusalLog;
  readonly #serial = new SerialQueue();
  /** Queue of work on the chain, apart from what may wait for the disk or the miner. */
  readonly #chainSerial = new SerialQueue();
  readonly #onChain: MakerChain;
  readonly #stakeSettlement: StakeSettlement;
  readonly #bondAsker: BondAsker;
  #peer: RpcPeer | undefined;
  readonly #notices: NoticeBoard;
  readonly #prices: PriceKeeper;
  #minutes: MinuteKeeper | undefined;
  readonly #settled = new Set<() => void>();

  constructor(store: MakerStore, options: MakerChannelOptions, deps: MakerChannelDeps) {
    this.store = store;
    this.#deps = deps;
    this.#stakes = options.stakes;
    this.#refusals = new RefusalLog(store.contractId, deps);
    const ask: AskMiner = async (method, params) => {
      if (this.#peer === undefined) throw new CodedError('peer_closed', 'the miner is not connected');
      return call(this.#peer, method, params);
    };
    const knows = (feature: Feature): boolean => this.#peer?.features.has(feature) ?? false;
    this.#binding = deps.bindingOf(store, { ask, knows });
    this.batchVerifier = new BatchVerifier(store, options.batchVerifier, {
      ...deps,
      binding: this.#binding,
    });
    this.store.onEffects = (effects) => this.#follow(effects);
    this.#onChain = new MakerChain(store, deps);
    this.#stakeSettlement = new StakeSettlement('maker', store, deps);
    this.#bondAsker = new BondAsker(deps);
    this.#notices = new NoticeBoard('maker', store, deps);
    const credited = (): bigint => store.delivery.verifiedWorkHashes;
    const work = { boundHashes: credited, heldHashes: credited };
    const onUpdate = (): void => this.#prices.look();
    const judge = (update: Update): void => deps.judgeUpdate?.(store.terms, update);
    const parts = { store, work, serial: this.#serial, judge, onChange: onUpdate };
    this.updates = new ContractUpdates(parts, deps);
    const { onChange } = deps;
    this.#prices = new PriceKeeper({ role: 'maker', store, updates: this.updates, onChange }, deps);
    store.isUnpriced = (height) => this.#prices.isUnpriced(height);
    this.#run(() => this.#keepMinutes());
    deps.auditor?.follow({ role: 'maker', store });
  }

  /** See `compareStreams`. */
  compareStreams(): Promise<ComparedStreams> {
    return compareStreams(this.store, this.#peer);
  }

  /** As a money stream, by the newest state. */
  get moneyStream(): MoneyStream {
    return streamOf(this.store);
  }

  /** The status of the seal. */
  get seal(): SealStatus {
    return this.#stakeSettlement.seal;
  }

  /** See `WorkBinding`. */
  get work(): WorkStatus | undefined {
    return this.#binding.work;
  }

  /** The blocks of the miner's own jobs, where they pay us. */
  get blocks(): FoundBlocksStatus | undefined {
    return this.#binding.blocks;
  }

  /** Reads what the binding kept. Throws what the disk throws. */
  async loadBinding(): Promise<void> {
    await this.#binding.load?.();
  }

  /** True once nothing of the contract is left on the chain. */
  get isOver(): boolean {
    return this.store.state.watch.isOver && this.#stakeSettlement.isOver;
  }

  /** The beads of its work, where they bind it. */
  get beads(): BeadStatus | undefined {
    return this.#binding.beads;
  }

  /** The course of delivery; undefined where the terms have no rules for it. */
  get delivery(): DeliveryView | undefined {
    return this.#minutes?.status;
  }

  /** What the auditor says; undefined where none is told. */
  get auditor(): AuditorView | undefined {
    return this.#deps.auditor?.viewOf(this.store.contractId);
  }

  get connected(): boolean {
    return this.#peer !== undefined;
  }

  /**
   * Answers `channel.reestablish`: the four cases of `PROTOCOL.md`. A newer state that the miner shows,
   * well signed by us, is adopted.
   */
  reestablish(
    peer: RpcPeer,
    { n, state, nextSeq, claimed, commitment, updates }: Params<'channel.reestablish'>,
  ): Promise<Result<'channel.reestablish'>> {
    return this.#serial.run(async () => {
      const { store } = this;
      const { last } = store;
      if (last === undefined) throw new CodedError('unknown_channel');
      if (state !== undefined && state.n !== n)
        throw new CodedError('protocol', 'another state than announced');
      await this.updates.takeShown(updates);
      if (n > last.n) {
        if (state === undefined) throw new CodedError('wrong_state_number', `no proof of state ${n}`);
        const height = this.#deps.view.tip?.height ?? store.terms.expiryHeight;
        await store.adopt(state, nextSeq, height);
        await this.#deps.restored.proven(height);
      } else if (n === last.n && state !== undefined) {
        await store.compare(state);
      }
      if (claimed !== undefined) await store.restoreClaim(claimed);
      if (commitment !== undefined) await store.restoreCommitment(commitment);
      this.#attach(peer);
      const { restoredHeight } = this.batchVerifier;
      return {
        n: store.last!.n,
        state: n < last.n ? last : undefined,
        nextSeq: store.delivery.nextSeq,
        verifiedWork: store.delivery.verifiedWorkHashes,
        ...(peer.features.has('restored_height') && restoredHeight > 0 ? { restoredHeight } : {}),
        ...this.updates.shownTo(peer),
      };
    });
  }

  async #keepMinutes(): Promise<void> {
    const hooks = {
      isDown: () => this.work?.isDown ?? false,
      onMinute: () => {
        this.#notices.reported(this.delivery?.curtailedBlocks ?? 0);
        this.#deps.onChange();
      },
      onDefault: () => {
        this.store.apply({ type: 'defaulted' });
        this.#endNow();
      },
    };
    this.#minutes = await makerMinutes(this.store, this.#notices, hooks, this.#deps);
  }

  /**
   * Pauses, resumes, gives notice or gives up: see `NoticeBoard.ask`. What the miner has earned is signed,
   * whatever this side gives up.
   */
  async notice(request: NoticeRequest, isDryRun: boolean): Promise<NoticesView> {
    const view = await this.#notices.ask(request, isDryRun);
    if (request.type === 'void' && !isDryRun) this.#endNow();
    return view;
  }

  /** Where a miner that is attached is heard. Throws `protocol`. */
  noticesOf(peer: RpcPeer): NoticeBoard {
    this.#assertAttached(peer);
    return this.#notices;
  }

  /** Nothing more is bought: the rest is signed, and the miner is asked to close. */
  #endNow(): void {
    this.requestClose().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ contract: this.store.contractId, code: error.code }, 'not closed yet');
    });
  }

  /** Answers `delivery.minutes`. Throws `wrong_status` where the terms have no rules of delivery. */
  async minutes(peer: RpcPeer, params: Params<'delivery.minutes'>): Promise<Result<'delivery.minutes'>> {
    this.#assertAttached(peer);
    if (this.#minutes === undefined) throw new CodedError('wrong_status', 'the terms ask for no minutes');
    return this.#minutes.answer(params);
  }

  /** Answers `channel.ready` of the miner. */
  async minerReady(peer: RpcPeer, { txid }: Params<'channel.ready'>): Promise<Result<'channel.ready'>> {
    if (txid !== this.store.channel?.fundingTxid) throw new CodedError('bad_funding', 'another funding');
    this.#assertAttached(peer);
    this.store.assertOpenable();
    this.#runFor(peer, () => this.store.commit({ type: 'peer_ready' }));
    this.lookAtChain();
    return {};
  }

  /** Where a miner that is attached is heard about the terms. Throws `protocol`. */
  updatesOf(peer: RpcPeer): ContractUpdates {
    this.#assertAttached(peer);
    return this.updates;
  }

  /** Ends the connection with a miner: nothing of it is heard until it connects again. */
  drop(peer: RpcPeer, error: CodedError): void {
    this.#detach(peer);
    peer.closeWithError(error);
  }

  announce(peer: RpcPeer, { job, source }: Params<'job.announce'>): Promise<Result<'job.announce'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      await this.batchVerifier.announce(job, source);
      return {};
    });
  }

  takeBatch(peer: RpcPeer, batch: Params<'work.batch'>): Promise<Result<'work.batch'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      this.store.assertThawed();
      const { store } = this;
      // Before its first block too: the miner may have seen it before this side.
      if (!store.stream.ready || store.channel?.status !== 'open') {
        throw new CodedError('protocol', 'the channel is not open');
      }
      const result = await this.batchVerifier.take(batch);
      this.#refusals.shares(result.refused);
      return result;
    });
  }

  /**
   * Answers `work.subscribe`: jobs follow. Any connection of the miner will do: of several processes of it
   * one has the channel, and each takes jobs of its own. Throws `wrong_status` before the channel is open.
   */
  async subscribe(peer: RpcPeer, params: Params<'work.subscribe'>): Promise<Result<'work.subscribe'>> {
    if (this.#binding.subscribe === undefined)
      throw new CodedError('wrong_status', 'the jobs of this contract are not ours');
    if (this.store.channel?.status !== 'open' || !this.store.stream.opened)
      throw new CodedError('wrong_status', 'the channel is not open');
    return this.#binding.subscribe(peer, params);
  }

  /** Answers `work.solution` with the verdict of the pool, at once: nothing else is waited for. */
  async solve(params: Params<'work.solution'>): Promise<Result<'work.solution'>> {
    if (this.#binding.solve === undefined)
      throw new CodedError('wrong_status', 'the jobs of this contract are not ours');
    return this.#binding.solve(params);
  }

  /** Answers `work.block` with what the own node says of it, at once. */
  async showBlock(peer: RpcPeer, params: Params<'work.block'>): Promise<Result<'work.block'>> {
    this.#assertAttached(peer);
    if (this.#binding.showBlock === undefined)
      throw new CodedError('wrong_status', 'blocks under this contract do not pay us');
    return this.#binding.showBlock(params);
  }

  /** Answers `channel.shutdown` once all that can be paid is signed and acked; no more work is asked for. */
  async shutdown(peer: RpcPeer): Promise<Result<'channel.shutdown'>> {
    this.#assertAttached(peer);
    this.store.assertPaying();
    await this.#serial.run(async () => {
      this.#checkEarly(this.store.delivery.verifiedWorkHashes, undefined);
      this.store.apply({ type: 'close_requested' });
    });
    if (!this.store.isSettled) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#settled.add(resolve);
      await Promise.race([promise, peer.closed]).finally(() => this.#settled.delete(resolve));
    }
    return { n: this.store.last!.n };
  }

  /**
   * Asks the miner to end the contract, so that both close: it answers at once, and then asks for the rest
   * to be signed. A dry run asks nobody. Throws `peer_closed` while it is not connected.
   */
  async requestClose(isDryRun = false): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined) throw new CodedError('peer_closed', 'the miner is not connected');
    this.store.assertPaying();
    // The miner would only be refused, after it stopped to deliver.
    this.#checkEarly(this.store.delivery.verifiedWorkHashes, undefined);
    if (isDryRun) return;
    await call(peer, 'channel.shutdown', { contractId: this.store.contractId });
  }

  /** Answers `bond.release`: see `answerForBond`. */
  releaseBond(asked: Params<'bond.release'>): Promise<Result<'bond.release'>> {
    return this.#serial.run(() => answerForBond(asked, this.#bondSide, this.#deps));
  }

  get #bondSide(): BondSide {
    return {
      ...{ role: 'maker', store: this.store, stakes: this.#stakeSettlement },
      returnsBonds: this.#stakes.returnsBonds ?? false,
    };
  }

  /** Answers `close.sig`, after which no state is signed any more. */
  closeSignature(
    peer: RpcPeer,
    { n, feeSat, signature, settlement }: Params<'close.sig'>,
  ): Promise<Result<'close.sig'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      this.store.assertPaying();
      const { channel, last, assembled, contract } = this.store;
      assert(channel && last && assembled, 'maker_channel_before_close');
      if (channel.closeTx !== undefined) return { closeTx: channel.closeTx };
      if (channel.status !== 'open' && channel.status !== 'funding') {
        throw new CodedError('unknown_channel', 'the channel is spent');
      }
      if (n !== last.n) throw new CodedError('wrong_state_number', `the newest state is ${last.n}`);
      const { params } = assembled;
      this.#checkEarly(last.workHashes, settlement);
      verifyClose(params, last, feeSat, 'miner', signature, settlement);
      const signer = this.#deps.signer.forChannel(contract.channelIndex);
      const maker = signClose(params, last, feeSat, 'maker', signer, settlement);
      const { hex } = finalizeClose(params, last, feeSat, { miner: signature, maker }, settlement);
      const close = { kind: 'together', transactionHex: hex, n, feeSat, vsize: vsizeOfHex(hex) } as const;
      await this.store.commit({ type: 'close_built', close });
      await this.#onChain.broadcast(hex);
      this.#deps.onChange();
      return { closeTx: hex };
    });
  }

  #checkEarly(workHashes: bigint, settlement: CloseSettlement | undefined): void {
    assertEarlyClose(this.store, this.#stakes.earlyClose, workHashes, settlement);
  }

  /** Looks at the chain after each tip and each message that may make the channel ready. */
  lookAtChain(): void {
    const tip = this.#deps.view.tip;
    if (tip === undefined) return;
    this.#prices.onTip(tip);
    this.#run(async () => {
      // The one that fails holds up no other.
      try {
        await this.#onChain.onTip(tip);
      } finally {
        this.#writeRefund();
        await this.#stakeSettlement.onTip(tip);
      }
      if (this.#stakeSettlement.seal === 'lost') this.store.apply({ type: 'seal_lost' });
      this.#run(async () => {
        if (this.#peer !== undefined) this.#bondAsker.ask(this.#peer, this.#bondSide);
      });
    }, this.#chainSerial);
  }

  /** The way out that needs no ledger, from the funding to the end. */
  #writeRefund(): void {
    const { ladders, signer } = this.#deps;
    const { assembled, contract, fundingTx, state, contractId } = this.store;
    if (state.watch.isOver) ladders?.remove(contractId);
    else if (assembled !== undefined && fundingTx !== undefined)
      ladders?.writeRefund(assembled.params, signer.forChannel(contract.channelIndex));
  }

  /** Takes the channel back. Throws as `MakerChain.closeAlone`. */
  async closeAlone(): Promise<void> {
    await this.#chainSerial.run(() => this.#onChain.closeAlone()).finally(() => this.#deps.onChange());
  }

  /** Ends the connection with the miner, which learns at the next one what has changed. */
  reconnect(reason: CodedError): void {
    this.#peer?.closeWithError(reason);
  }

  /** Ends what the binding holds, and resolves when everything queued is done. */
  async stop(): Promise<void> {
    this.#binding.stop?.();
    await this.#minutes?.stop();
    for (const serial of [this.#chainSerial, this.#serial]) await serial.run(async () => {});
  }

  #attach(peer: RpcPeer): void {
    if (this.#peer !== undefined && this.#peer !== peer) this.#peer.close();
    this.#peer = peer;
    this.store.apply({ type: 'disconnected' });
    this.#notices.linked(peer);
    this.batchVerifier.openBacklog();
    this.#binding.delivers?.(true);
    void peer.closed.then(() => this.#detach(peer));
    // The answer is sent first: a peer serves our requests only once its own is answered.
    this.#deps.timers.afterTurn(() => {
      if (this.#peer !== peer) return;
      this.store.apply({ type: 'connected' });
      this.#notices.tellAll();
      this.updates.connected(peer);
      this.lookAtChain();
      this.#leaveBlob(peer);
    });
  }

  /** The miner is away, where the connection was the one it is heard over: not where a newer one is. */
  #detach(peer: RpcPeer): void {
    if (this.#peer !== peer) return;
    this.#peer = undefined;
    this.#binding.delivers?.(false);
    this.store.apply({ type: 'disconnected' });
    this.#deps.onChange();
  }

  /** Leaves a backup with the miner, who returns it at the next reestablish. */
  #leaveBlob(peer: RpcPeer): void {
    leaveBlob(peer, this.store.contractId, this.#deps).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
    });
  }

  #follow(effects: readonly ContractEffect[]): void {
    for (const effect of effects) {
      this.#deps.log.debug({ contract: this.store.contractId, ...effect }, 'contract');
      if (effect.type === 'opened') this.#prices.look();
      if (effect.type === 'send_ready') this.#sendReady();
      if (effect.type === 'sign_state') this.#run(() => this.#signNext());
      if (effect.type === 'ask_claim' && this.#peer !== undefined)
        this.#runFor(this.#peer, () => this.#askClaim());
      if (effect.type === 'offer_state') this.#offer();
    }
    if (this.store.isSettled) this.#wakeSettled();
    this.#deps.onChange();
  }

  /** Sends `channel.ready`: both sides see the funding at the agreed depth, and work may come. */
  #sendReady(): void {
    const peer = this.#peer;
    const { contractId, channel } = this.store;
    if (peer === undefined || channel === undefined) return;
    const ready = { contractId, txid: channel.fundingTxid, height: this.#deps.view.tip?.height ?? 0 };
    call(peer, 'channel.ready', ready).catch((error: unknown) => this.#peerFailed(peer, error));
  }

  async #signNext(): Promise<void> {
    await this.store.signNext(this.#peer?.features ?? NO_FEATURES);
    this.stats.statesSigned += 1;
  }

  /** Asks for the seal's claim of the work before it is paid. A miner that refuses it is paid no more. */
  async #askClaim(): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined) return;
    const request = await this.store.askClaim();
    call(peer, 'seal.claim', request)
      .then(({ claim }) => this.#serial.run(() => this.store.takeClaim(claim)))
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        // It had no room just now, which is no refusal: asked again at the next connection.
        if (error.code === 'overload') return this.#peerFailed(peer, error);
        this.#deps.log.warn({ contract: this.store.contractId, code: error.code }, 'the claim was refused');
        if (this.#peer === peer) this.store.apply({ type: 'claim_refused' });
        this.#wakeSettled();
      });
  }

  /** Sends the newest state, which is on disk, until it is acked. */
  #offer(): void {
    const { offered: state, contractId, assembled } = this.store;
    const peer = this.#peer;
    if (state === undefined || peer === undefined) return;
    const { features } = peer;
    const commitment = features.has('state_commitments')
      ? this.store.commitments.offerOf(state.n, formatOf(features, this.store.terms))
      : undefined;
    call(peer, 'state.sign', { contractId, state, ...(commitment === undefined ? {} : { commitment }) })
      .then(async ({ n, ackSignature, commitmentSignature }) => {
        if (n !== state.n) throw new CodedError('wrong_state_number', `ack of ${n} for ${state.n}`);
        verifyAck(assembled!.params, state, ackSignature);
        await this.#serial.run(() => this.store.ack(n, ackSignature, commitmentSignature));
        this.stats.statesAcked += 1;
        if (this.store.isSettled) this.#wakeSettled();
        this.#deps.onChange();
      })
      .catch((error: unknown) => this.#peerFailed(peer, error));
  }

  #peerFailed(peer: RpcPeer, error: unknown): void {
    if (!(error instanceof CodedError)) throw error;
    this.#deps.log.warn({ contract: this.store.contractId, code: error.code }, 'the miner did not follow');
    peer.closeWithError(error);
  }

  /** A task that is asked for once a connection: where it fails, the miner connects again. */
  #runFor(peer: RpcPeer, task: () => Promise<void>): void {
    this.#serial.run(task).catch((error: unknown) => this.#peerFailed(peer, error));
  }

  #wakeSettled(): void {
    for (const wake of this.#settled) wake();
    this.#settled.clear();
  }

  #assertAttached(peer: RpcPeer): void {
    if (this.#peer !== peer) throw new CodedError('protocol', 'reestablish the channel first');
  }

  #run(task: () => Promise<void>, serial = this.#serial): void {
    serial.run(task).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      const fields = { contract: this.store.contractId, code: codeOf(error), detail: error.message };
      this.#deps.log.warn(fields, 'a task of the channel failed');
    });
  }
}
