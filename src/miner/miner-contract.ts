import { assert } from '../base/assert.ts';
import { toHex } from '../base/bytes.ts';
import type { Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { TipTracker } from '../chain/tip-tracker.ts';
import { isTooLateToFund } from '../channel/deadlines.ts';
import type { MoneyStream } from '../contract/money-stream.ts';
import type { TermPeriod } from '../contract/term-clock.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { ContractEffect } from '../settlement/contract-store.ts';
import type { ContractUpdates } from '../settlement/contract-updates.ts';
import type { MinuteKeeper } from '../settlement/minute-keeper.ts';
import { type ComparedStreams, streamOf } from '../settlement/money-streams.ts';
import { NoticeBoard, type NoticeRequest, type NoticesView } from '../settlement/notice-board.ts';
import type { Submission } from '../shares/share.ts';
import { jobRecordOf } from '../work/evidence.ts';
import type { StreamTotal } from '../work/meters.ts';
import { ChainLooks, type ChainLooksHooks } from './chain-looks.ts';
import { FoundBlocks } from './found-blocks.ts';
import { writeLadder } from './miner-ladder.ts';
import { type LinkStats, MinerLink } from './miner-link.ts';
import { minerMinutes } from './miner-minute.ts';
import {
  DEFAULT_SETTINGS,
  type MinerContractDeps,
  type MinerContractOptions,
  type MinerSettings,
  type MinerStatus,
} from './miner-options.ts';
import { minerStatus } from './miner-status.ts';
import { MinerStore } from './miner-store.ts';
import { Refusals } from './refusals.ts';
import { WorkDestination } from './work-destination.ts';
import type { Subscription } from './work-link.ts';
import { workBindingOf } from './work-rules.ts';

export type { MinerContractDeps, MinerContractOptions, MinerStatus } from './miner-options.ts';

/** Name of the destination that the jobs of a contract's maker are. */
export function workNameOf(contractId: string): string {
  return `maker-${contractId.slice(0, 8)}`;
}

/** Time in ms between writes of an unchanged ladder file, whose age shows that this program runs. */
const LADDER_REFRESH_MS = 60_000;

/**
 * The miner's side of one contract: opens the channel, sends evidence as it becomes durable, keeps every
 * state on disk before it is acked, and closes. `MinerStore` has its records, `MinerLink` speaks with the
 * maker, `ChainLooks` acts on the chain.
 */
export class MinerContract {
  readonly stats: LinkStats = {
    ...{ connections: 0, statesTaken: 0, batchesJudged: 0 },
    ...{ refused: {}, limitHits: {} },
  };
  /** Where the jobs of the maker are mined; undefined where they are the miner's own. */
  readonly work: WorkDestination | undefined;
  /** The blocks that the maker publishes too; undefined where its terms bind by nothing of the kind. */
  readonly blocks: FoundBlocks | undefined;
  readonly #options: MinerSettings;
  readonly #deps: MinerContractDeps;
  readonly #view: TipTracker;
  /** The process that jobs of the maker are for. */
  readonly #subscription: Subscription;
  readonly #abort = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  #store: MinerStore | undefined;
  #looks: ChainLooks | undefined;
  #link: MinerLink | undefined;
  #minutes: MinuteKeeper | undefined;
  #notices: NoticeBoard | undefined;
  #timer: Timer | undefined;
  #askTimer: Timer | undefined;
  readonly #current = Promise.withResolvers<void>();
  #ladderTimer: Timer | undefined;
  #loop: Promise<void> | undefined;
  /** True once it can be opened no more, and never was. */
  #isLapsed = false;

  constructor(options: MinerContractOptions, deps: MinerContractDeps) {
    this.#options = { ...DEFAULT_SETTINGS, ...options };
    this.#deps = deps;
    this.#view = new TipTracker(deps);
    const { terms } = options;
    const contractId = contractIdOf(terms);
    this.#subscription = { contractId, instance: toHex(deps.random.bytes(16)) };
    if (terms.binding.type === 'payout') this.blocks = new FoundBlocks(contractId, terms, deps);
    const binding = workBindingOf(terms);
    if (deps.sharedWork !== undefined) this.work = deps.sharedWork;
    else if (binding !== undefined)
      this.work = new WorkDestination(
        { name: workNameOf(contractId), terms, binding },
        { ...deps, view: this.#view },
      );
  }

  /** Loads the ledger, then connects in the background until `stop` or the channel is closed. */
  async start(): Promise<void> {
    const { terms, unpaidTimeoutMs, margins } = this.#options;
    const waits = unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs };
    this.#store = await MinerStore.load({ terms, margins, ...waits }, this.#deps);
    this.#store.onEffects = (effects) => this.#follow(effects);
    const notices = new NoticeBoard('miner', this.#store, {
      ...this.#deps,
      onChange: () => this.#notify(),
    });
    this.#notices = notices;
    this.#minutes = await this.#keepMinutes(this.#store, notices);
    this.#deps.auditor?.follow({ role: 'miner', store: this.#store });
    this.#looks = new ChainLooks(this.#store, this.#options, this.#looksHooks, this.#deps);
    this.#link = this.#newLink(this.#store, this.#looks, notices);
    this.#writeLadder();
    const genesisHash = await this.#deps.chain.genesisHash();
    this.#looks.start();
    this.#ladderTimer = this.#deps.timers.every(LADDER_REFRESH_MS, () => this.#writeLadder());
    this.#timer = this.#deps.timers.every(1_000, () => {
      if (this.#store?.stream.opened) this.#store.apply({ type: 'tick' });
    });
    if (this.#store.state.isCurrent) this.#current.resolve();
    this.#askTimer = this.#deps.timers.after(this.#options.askPeerMs, () => this.#peerSilent());
    this.#loop = this.#link.run(genesisHash);
    this.#minutes?.start();
  }

  /** Keeps the minute log, where the terms have rules of delivery. */
  #keepMinutes(store: MinerStore, notices: NoticeBoard): Promise<MinuteKeeper | undefined> {
    const hooks = {
      hasWork: () => this.work?.status.up ?? true,
      onMinute: () => {
        if (this.#minutes !== undefined) {
          notices.reported(this.#minutes.status.curtailedBlocks);
          this.#link?.tellMinutes(this.#minutes);
        }
        this.#notify();
      },
    };
    return minerMinutes(store, notices, hooks, this.#deps);
  }

  get #looksHooks(): ChainLooksHooks {
    return {
      onTip: (tip) => {
        this.#view.onTip(tip);
        this.#ownWork?.onTip();
      },
      onLooked: () => this.#looked(),
      consult: async () => this.#link?.consult(),
      onChange: () => this.#notify(),
    };
  }

  /** The jobs that come over the link of the channel. */
  get #ownWork(): WorkDestination | undefined {
    return this.#deps.sharedWork === undefined ? this.work : undefined;
  }

  #newLink(store: MinerStore, looks: ChainLooks, notices: NoticeBoard): MinerLink {
    const { terms, margins } = this.#options;
    const isLate = (): boolean => (this.work ?? this.blocks)?.isLate ?? false;
    const period = (): MinerStore['period'] => store.period;
    const creditLimit = (height: number): bigint | undefined => store.creditLimit(height);
    const isUnpriced = (height: number): boolean => store.isUnpriced(height);
    const own = { view: this.#view, isLate, period, creditLimit, isUnpriced };
    const refusals = new Refusals(terms, margins, { ...this.#deps, ...own });
    const parts = {
      ...{ store, looks, refusals, notices, work: this.#ownWork, blocks: this.blocks },
      subscription: this.#subscription,
      ...{ stats: this.stats, signal: this.#abort.signal },
    };
    const hooks = {
      isOver: () => this.#isOver,
      requestClose: () => this.#requestClose(),
      onOpened: () => this.#writeLadder(),
      onCurrent: () => this.#current.resolve(),
      onStateSeen: () => this.#stateSeen(),
      onChange: () => this.#notify(),
    };
    return new MinerLink(this.#options, parts, hooks, this.#deps);
  }

  /** Takes a share that is about to be sold, of so many hashes, or not: see `DeliveryGate.admits`. */
  admits(workHashes: bigint): boolean {
    return this.#store?.gate.admits(workHashes) ?? false;
  }

  /** Takes a share that solves a block, as it is found. */
  onBlock({ job, extranonce, ntime, nonce, version }: Submission): void {
    this.blocks?.found({ job: jobRecordOf(job), extranonce, ntime, nonce, version });
  }

  /** Shares that were taken will never be on disk. */
  lost(workHashes: bigint): void {
    this.#store?.gate.landed(workHashes);
    this.#store?.workChanged();
  }

  /**
   * Takes the durable total of a stream, whose evidence has grown. Other contracts' streams are ignored.
   * @param landedHashes the part of it that came by `admits`
   */
  onDurable(stream: string, total: StreamTotal, landedHashes = 0n): void {
    if (stream !== this.#store?.contractId) return;
    this.#store.gate.landed(landedHashes);
    this.#store.ownDurable(total);
    this.#link?.wakeFeed();
    // First: the work may be the last, and the close waits until it is judged.
    this.#link?.toldOfEvidence();
    this.#store.workChanged();
    this.#notify();
  }

  /** See `MinerStore.roomHashes`; 0 before it started. */
  get roomHashes(): bigint {
    return this.#store?.roomHashes ?? 0n;
  }

  get status(): MinerStatus {
    const store = this.#store;
    assert(store !== undefined, 'miner_side_started');
    const { isConnected: connected = false, lastError } = this.#link ?? {};
    const delivery = this.#minutes?.status;
    const auditor = this.#deps.auditor?.viewOf(store.contractId);
    const link = { connected, lastError, delivery, auditor, isLapsed: this.#isLapsed };
    return minerStatus(store, this.#looks!.stakes, link);
  }

  /**
   * Ends the contract: work stops, the rest is signed, and both sides close. Resolves once the close is
   * deep, or at `stop`.
   */
  close(): Promise<void> {
    const store = this.#store;
    assert(store !== undefined, 'miner_side_started');
    if (store.channel === undefined || store.channel.status === 'closed') this.#finished.resolve();
    this.#requestClose();
    return this.#finished.promise;
  }

  /** Pauses, resumes, gives notice or gives up: see `NoticeBoard.ask`. */
  async notice(request: NoticeRequest, isDryRun: boolean): Promise<NoticesView> {
    assert(this.#notices !== undefined, 'miner_side_started');
    return this.#notices.ask(request, isDryRun);
  }

  /** As a money stream, by the newest state. */
  get moneyStream(): MoneyStream {
    assert(this.#store !== undefined, 'miner_side_started');
    return streamOf(this.#store);
  }

  /** The same at both sides: see `compareStreams`. */
  async compareStreams(): Promise<ComparedStreams> {
    assert(this.#link !== undefined, 'miner_side_started');
    return this.#link.compareStreams();
  }

  /** The terms with the updates that both signed by now. */
  get terms(): ContractTerms {
    return (this.#store ?? this.#options).terms;
  }

  /** The heights of its blocks; undefined before it started, and where no block says where they end. */
  get period(): TermPeriod | undefined {
    return this.#store?.period;
  }

  /** The updates of the terms. */
  get updates(): ContractUpdates {
    assert(this.#link !== undefined, 'miner_side_started');
    return this.#link.updates;
  }

  /** False while the maker may still show a newer state, and the expiry is far enough to wait for it. */
  get mayClose(): boolean {
    const { isCurrent, fault } = this.#store!.state;
    const { expiryHeight } = this.#options.terms;
    const left = expiryHeight - (this.#looks?.height ?? expiryHeight);
    // Of a maker that broke the contract nothing is taken any more.
    return isCurrent || fault?.type === 'broken' || left <= this.#options.margins.askBlocks;
  }

  /** The same as `closeAlone`, once the maker showed its state or had its time to. */
  async closeAloneInTime(): Promise<void> {
    if (!this.mayClose) await this.#current.promise;
    if (!this.#abort.signal.aborted) await this.closeAlone();
  }

  /** Broadcasts the newest state without the maker, as a last resort. Throws as `MinerChain.closeAlone`. */
  async closeAlone(): Promise<void> {
    assert(this.#looks !== undefined, 'miner_side_started');
    await this.#looks.closeAlone();
  }

  /** Ends the connection and all timers; the channel stays as it is. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#looks?.stop();
    this.#timer?.cancel();
    this.#ladderTimer?.cancel();
    this.#askTimer?.cancel();
    this.#current.resolve();
    this.#link?.disconnect();
    this.#ownWork?.stop();
    this.blocks?.stop();
    await this.#loop;
    for (const part of [this.#looks, this.#link]) await part?.idle();
    await this.#minutes?.stop();
    this.#finished.resolve();
  }

  /**
   * Asks the maker to close now. Resolves once both have signed; throws what it refused with, as
   * `bonds_at_stake`, after which the stream goes on, and `peer_closed` where it is not there to be asked.
   */
  async closeNow(): Promise<void> {
    const { channel, isSpent } = this.#store!;
    const isFunded = channel !== undefined && channel.status !== 'failed' && channel.status !== 'closed';
    if (!isFunded || isSpent) return void this.close();
    if (!this.#link?.isConnected) throw new CodedError('peer_closed', 'the maker is not connected');
    const answer = this.#link.closeAnswer();
    this.#requestClose();
    await answer;
  }

  #requestClose(): void {
    this.#store!.apply({ type: 'close_requested' });
    this.#notify();
  }

  #peerSilent(): void {
    this.#store!.apply({ type: 'peer_silent' });
    this.#current.resolve();
    this.#looks?.look();
  }

  get #isOver(): boolean {
    const store = this.#store!;
    const isNeverOpened = store.stream.status === 'ending' && store.assembled === undefined;
    const isDone = store.channel?.status === 'closed' && !this.#looks!.stakes.needsPeer;
    return this.#abort.signal.aborted || isNeverOpened || this.#isLapsed || isDone;
  }

  /** A proposal that its maker did not open in its time holds nothing here any more. */
  #lapse(): void {
    const { assembled, terms, contractId } = this.#store!;
    const height = this.#looks?.height;
    if (this.#isLapsed || assembled !== undefined || height === undefined) return;
    if (!isTooLateToFund(terms, this.#options.margins, height)) return;
    this.#isLapsed = true;
    this.#deps.chosenCoins?.release(contractId);
    this.#deps.log.warn({ contract: contractId }, 'was never opened: its time is over');
  }

  /** Looks at the chain at once where the maker broke the contract, not at the next block. */
  #stateSeen(): void {
    this.#writeLadder();
    if (this.#store?.state.fault?.type === 'broken') this.#looks?.look();
  }

  /** Writes the ladder of the newest verified state, on disk or not. */
  #writeLadder(): void {
    writeLadder(this.#store!, this.#deps);
    if (this.#looks?.isSettled) this.#link?.dropBlobs();
  }

  #looked(): void {
    // What may be delivered depends on the height, whatever waits for the maker.
    this.#store?.workChanged();
    this.#lapse();
    if (this.#view.tip !== undefined) this.#link?.prices.onTip(this.#view.tip);
    if (this.#store?.channel?.status === 'closed') {
      this.#finished.resolve();
      this.#writeLadder();
    }
    if (this.#isOver) this.#link?.disconnect();
    this.#notify();
  }

  #follow(effects: readonly ContractEffect[]): void {
    for (const effect of effects) {
      this.#deps.log.info({ contract: this.#store!.contractId, ...effect }, 'contract');
      if (effect.type === 'exposure_reached') this.#warnOfExposure(effect.exposureSat);
      if (effect.type === 'send_ready') this.#link?.sendReady();
      if (effect.type === 'start_feed') this.#link?.startFeed();
      if (effect.type === 'ask_close') this.#link?.closeTogether();
    }
    this.#notify();
  }

  #warnOfExposure(exposureSat: bigint): void {
    const { contractId, unexplainedWorkHashes } = this.#store!;
    const fields = { code: 'exposure_limit', contract: contractId, exposureSat, unexplainedWorkHashes };
    const why = unexplainedWorkHashes > 0n ? ', some of it refused without a reason' : '';
    this.#deps.log.warn(fields, `nothing more is delivered: too much is unpaid${why}`);
  }

  #notify(): void {
    if (this.#store !== undefined) this.#deps.onStatus?.(this.status);
  }
}
