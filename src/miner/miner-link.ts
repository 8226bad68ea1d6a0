import { assert } from '../base/assert.ts';
import { backoffMs } from '../base/backoff.ts';
import { smaller } from '../base/bigints.ts';
import { sleep } from '../base/clock.ts';
import { CodedError, codeOf, ERROR_TABLE } from '../base/errors.ts';
import type { LimitHits } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { Update } from '../contract/update.ts';
import { call } from '../peer/calls.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { type RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer } from '../peer/transport.ts';
import { BondAsker, type BondSide } from '../settlement/bond-release.ts';
import { ContractUpdates } from '../settlement/contract-updates.ts';
import type { MinuteKeeper } from '../settlement/minute-keeper.ts';
import { type ComparedStreams, compareStreams } from '../settlement/money-streams.ts';
import type { NoticeBoard } from '../settlement/notice-board.ts';
import { identityOfSigner, walletScript } from '../settlement/opening.ts';
import { leaveBlob } from '../settlement/peer-blob.ts';
import { blobsInMemory, PeerBlobs } from '../settlement/peer-blobs.ts';
import { PriceKeeper } from '../settlement/price-keeper.ts';
import type { ChainLooks } from './chain-looks.ts';
import type { FoundBlocks } from './found-blocks.ts';
import { makerRequests } from './maker-requests.ts';
import { MinerFeed, type SentBatch } from './miner-feed.ts';
import { openChannel } from './miner-opening.ts';
import type { MinerContractDeps, MinerSettings } from './miner-options.ts';
import type { MinerStore } from './miner-store.ts';
import type { Refusals } from './refusals.ts';
import type { WorkDestination } from './work-destination.ts';
import { type Subscription, workLink } from './work-link.ts';

/** Counts of the link of one contract, over all its connections. */
export type LinkStats = {
  connections: number;
  statesTaken: number;
  batchesJudged: number;
  refused: Record<string, number>;
  limitHits: LimitHits;
};

/** What the link serves. */
export type LinkParts = {
  readonly store: MinerStore;
  readonly looks: ChainLooks;
  readonly refusals: Refusals;
  readonly notices: NoticeBoard;
  readonly work: WorkDestination | undefined;
  readonly blocks: FoundBlocks | undefined;
  readonly subscription: Subscription;
  readonly stats: LinkStats;
  /** Aborts at the stop. */
  readonly signal: AbortSignal;
};

/** What follows from what the maker says. */
export type LinkHooks = {
  /** True once there is nothing to ask the maker for. */
  readonly isOver: () => boolean;
  readonly requestClose: () => void;
  readonly onOpened: () => void;
  /** Called when the maker has shown its newest state. */
  readonly onCurrent: () => void;
  /** See `RequestParts`. */
  readonly onStateSeen: () => void;
  readonly onChange: () => void;
};

/**
 * The link of one contract to its maker: connects again and again, opens the channel once, compares
 * positions, sends evidence, answers what the maker asks, and closes with it.
 */
export class MinerLink {
  /** Reason for which the last connection ended or was refused. */
  lastError: string | undefined;
  readonly #settings: MinerSettings;
  readonly #deps: MinerContractDeps;
  readonly #hooks: LinkHooks;
  readonly #store: MinerStore;
  readonly #looks: ChainLooks;
  readonly #refusals: Refusals;
  readonly #notices: NoticeBoard;
  readonly #work: WorkDestination | undefined;
  readonly #blocks: FoundBlocks | undefined;
  readonly #subscription: Subscription;
  readonly #stats: LinkStats;
  readonly #signal: AbortSignal;
  /** Queue of all that changes the channel. */
  readonly #serial = new SerialQueue();
  readonly #bondAsker: BondAsker;
  readonly #budget: PeerBudget;
  readonly #blobs: PeerBlobs;
  readonly updates: ContractUpdates;
  readonly prices: PriceKeeper;
  readonly #closeAnswers: PromiseWithResolvers<void>[] = [];
  #peer: RpcPeer | undefined;
  #feed: MinerFeed | undefined;

  constructor(settings: MinerSettings, parts: LinkParts, hooks: LinkHooks, deps: MinerContractDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#hooks = hooks;
    this.#store = parts.store;
    this.#looks = parts.looks;
    this.#refusals = parts.refusals;
    this.#notices = parts.notices;
    this.#work = parts.work;
    this.#blocks = parts.blocks;
    this.#subscription = parts.subscription;
    this.#stats = parts.stats;
    this.#signal = parts.signal;
    this.#bondAsker = new BondAsker(deps);
    this.#budget = new PeerBudget({ ...deps, limitHits: parts.stats.limitHits });
    const { store } = parts;
    const work = {
      boundHashes: () => store.own.workHashes + store.gate.inFlightHashes,
      heldHashes: () => store.last?.workHashes ?? 0n,
      hold: () => {
        const feed = this.#feed;
        feed?.hold();
        return () => {
          if (store.stream.endReason === undefined && store.state.close === undefined) feed?.release();
        };
      },
    };
    const onUpdate = (): void => this.prices.look();
    const judge = (update: Update): void =>
      deps.judgeUpdate?.({ terms: store.terms, paidHashes: work.heldHashes(), update });
    this.updates = new ContractUpdates(
      { store, work, serial: this.#serial, judge, onChange: onUpdate },
      deps,
    );
    const onChange = (): void => store.workChanged();
    this.prices = new PriceKeeper({ role: 'miner', store, updates: this.updates, onChange }, deps);
    store.isUnpriced = (height) => this.prices.isUnpriced(height);
    this.#blobs = new PeerBlobs({ ...deps, files: deps.blobFiles ?? blobsInMemory() });
  }

  /** Connects to the maker, and again where the connection ends, until nothing is left to ask it for. */
  async run(genesisHash: string): Promise<void> {
    await this.#connectLoop(genesisHash);
  }

  get isConnected(): boolean {
    return this.#store.state.link !== undefined;
  }

  /** Ends the connection, if there is one. */
  disconnect(): void {
    this.#peer?.close();
  }

  /** See `compareStreams`. */
  compareStreams(): Promise<ComparedStreams> {
    return compareStreams(this.#store, this.isConnected ? this.#peer : undefined);
  }

  /** Waits for what was begun. */
  async idle(): Promise<void> {
    await this.#serial.run(async () => {});
  }

  /** Tells the maker of a minute, and hears what it says: the link does not depend on it. */
  tellMinutes(keeper: MinuteKeeper): void {
    const peer = this.#peer;
    if (peer?.features.has('minute_log') !== true || !this.isConnected) return;
    keeper.exchange(peer).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ code: error.code, detail: error.message }, 'minutes were not exchanged');
    });
  }

  /** Sends what became durable. */
  wakeFeed(): void {
    this.#feed?.wake();
  }

  /** Drops what is kept for the maker, once the contract is settled. */
  dropBlobs(): void {
    void this.#blobs.drop(this.#store.contractId);
  }

  /** Asks the maker for what became due on the chain. */
  async consult(): Promise<void> {
    await this.#serial.run(async () => {
      if (this.#peer !== undefined && this.isConnected) this.#bondAsker.ask(this.#peer, this.#bondSide);
      this.#store.workChanged();
    });
  }

  /** Resolves once both have signed the close; throws what the maker refused it with. */
  closeAnswer(): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.#closeAnswers.push(answer);
    return answer.promise;
  }

  #answerClose(error?: CodedError): void {
    for (const { resolve, reject } of this.#closeAnswers.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  #requests(peer: RpcPeer): RpcHandlers {
    const { features } = peer;
    const { onStateSeen, requestClose } = this.#hooks;
    return makerRequests(
      {
        store: this.#store,
        features,
        notices: this.#notices,
        serial: this.#serial,
        work: this.#work,
        blocks: this.#blocks,
        subscription: this.#subscription,
        blobs: this.#blobs,
        updates: this.updates,
        drop: (error) => peer.closeWithError(error),
        bondSide: this.#bondSide,
        onStateSeen,
        onStateTaken: () => {
          this.#stats.statesTaken += 1;
          this.#hooks.onChange();
        },
        onReady: () => this.#looks.look(),
        requestClose,
      },
      this.#deps,
    );
  }

  async #connectLoop(genesisHash: string): Promise<void> {
    const { reconnectMinMs, reconnectMaxMs } = this.#settings;
    let attempt = 0;
    while (!this.#hooks.isOver()) {
      try {
        const before = this.#stats.connections;
        const reason = await this.#session(genesisHash).catch((error: unknown) => error);
        if (!(reason instanceof CodedError)) throw reason;
        this.lastError = reason.code;
        this.#deps.log.info({ code: reason.code, detail: reason.message }, 'connection to the maker ended');
        if (this.#stats.connections > before) attempt = 0;
      } finally {
        this.#disconnected();
      }
      const backoff = { baseMs: reconnectMinMs, maxMs: reconnectMaxMs };
      await this.#sleep(backoffMs(backoff, attempt, this.#deps.random));
      attempt += 1;
    }
  }

  #disconnected(): void {
    this.#peer = undefined;
    this.#store.apply({ type: 'disconnected' });
    // Blocks may be quicker than the answer.
    const isClosed = this.#store.channel?.status === 'closed';
    this.#answerClose(
      isClosed ? undefined : new CodedError('peer_closed', 'the maker was lost before it had signed'),
    );
    this.#feed?.stop();
    this.#feed = undefined;
    this.#work?.disconnected();
    this.#blocks?.disconnected();
    this.#hooks.onChange();
  }

  /** Runs one connection, from TLS to its end; returns or throws what ended it. */
  async #session(genesisHash: string): Promise<CodedError> {
    const { host, port, transport, rpc, connectTimeoutMs, terms } = this.#settings;
    const { signer, timers, random, log } = this.#deps;
    const connection = await (this.#deps.connect ?? connectPeer)(
      { ...transport, host, port, connectTimeoutMs, signal: this.#signal },
      { timers },
    );
    const peer = new RpcPeer(connection, rpc, { log, timers });
    this.#peer = peer;
    await authenticate(peer, 'client', {
      identity: identityOfSigner(signer),
      genesisHash,
      features: this.#settings.features,
      isKnown: (nodeId) => nodeId === terms.makerNodeId,
      random,
      timers,
      timeoutMs: connectTimeoutMs,
    });
    const overruns = new Overruns(peer, this.#stats.limitHits, this.#deps);
    connection.paceReads(this.#budget.read);
    peer.serve(this.#budget.guard(this.#requests(peer), overruns), 'unknown_method');
    try {
      await this.#establish(peer);
    } catch (error) {
      peer.close(error instanceof CodedError ? error : undefined);
      throw error;
    }
    return peer.closed;
  }

  async #establish(peer: RpcPeer): Promise<void> {
    const store = this.#store;
    const { ledger, clock, timers, signer } = this.#deps;
    if (store.fundingTx === undefined) {
      const payoutScript = this.#settings.payoutScript ?? walletScript(signer);
      const { maxFeeRateSatPerKvb, margins } = this.#settings;
      await this.#serial.run(() =>
        openChannel(peer, store, { payoutScript, maxFeeRateSatPerKvb, margins }, this.#deps),
      );
      this.#hooks.onOpened();
      await this.#looks.onChain.broadcastFunding();
    }
    const feed = new MinerFeed(
      peer,
      {
        contractId: store.contractId,
        batchWindow: this.#settings.batchWindow,
        batchIntervalMs: this.#settings.batchIntervalMs,
      },
      {
        ledger,
        clock,
        timers,
        durableSeq: () => store.own.seq,
        onJudged: (batch, result) => this.#judged(batch, result),
      },
    );
    // What the maker sends next is served after this.
    await this.#serial.run(async () => {
      const isAgreed = await this.#reestablish(peer, feed);
      this.#feed = isAgreed ? feed : undefined;
      this.#notices.linked(peer);
      store.apply({ type: 'connected' });
      this.#notices.tellAll();
      this.#hooks.onCurrent();
      this.toldOfEvidence();
    });
    this.#stats.connections += 1;
    this.updates.connected(peer);
    this.#hooks.onChange();
    this.#looks.look();
    await leaveBlob(peer, store.contractId, this.#deps);
  }

  /**
   * Exchanges positions with the maker; the newer state wins (`PROTOCOL.md`, reestablish). False when the
   * maker has evidence that is lost here: no more can be added, and the contract ends.
   */
  async #reestablish(peer: RpcPeer, feed: MinerFeed): Promise<boolean> {
    const store = this.#store;
    assert(store.last !== undefined, 'miner_state_before_reestablish');
    const { contractId, last } = store;
    const { nextSeq } = store.delivery;
    const blob = await this.#blobs.get(contractId);
    const commitment = store.commitments.shownTo(peer.features);
    const answer = await call(peer, 'channel.reestablish', {
      ...{ contractId, n: last.n, state: last, nextSeq },
      ...(store.claimed === undefined ? {} : { claimed: store.claimed }),
      ...(blob === undefined ? {} : { blob }),
      ...(commitment === undefined ? {} : { commitment }),
      ...this.updates.shownTo(peer),
    });
    await this.updates.takeShown(answer.updates);
    store.restoredHeight = answer.restoredHeight ?? 0;
    if (answer.state !== undefined) {
      await store.adoptState(answer.state).finally(() => this.#hooks.onStateSeen());
    }
    if (answer.n !== store.last.n) {
      throw new CodedError('wrong_state_number', `the maker stands at ${answer.n}, here ${store.last.n}`);
    }
    try {
      const own = await feed.seek(answer.nextSeq, store.delivery);
      store.delivered(answer.nextSeq, own, answer.verifiedWork);
      return true;
    } catch (error) {
      if (codeOf(error) !== 'bad_sequence') throw error;
      this.#deps.log.error({ contract: contractId }, 'evidence was lost here; the contract ends');
      this.#hooks.requestClose();
      return false;
    }
  }

  #judged({ firstSeq, shares, ownWorkHashes }: SentBatch, result: Result<'work.batch'>): void {
    this.#stats.batchesJudged += 1;
    for (const { code } of result.refused) {
      // As many counters as there are codes, however many words the maker has.
      const known = Object.hasOwn(ERROR_TABLE, code) ? code : 'protocol';
      this.#stats.refused[known] = (this.#stats.refused[known] ?? 0) + 1;
    }
    const store = this.#store;
    store.commitments.heard(firstSeq, result.refused);
    const fromSeq = store.judged(result.nextSeq, ownWorkHashes, result.verifiedWork);
    const refused = result.refused.filter(({ seq }) => seq >= fromSeq);
    if (refused.length > 0) {
      const creditedHashes = smaller(result.verifiedWork, ownWorkHashes);
      this.#refusals
        .judge(firstSeq, shares, refused, creditedHashes)
        .then((work) => store.explain(work))
        .catch((error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          this.#deps.log.warn({ code: error.code }, 'why work was refused could not be checked');
        });
    }
    this.toldOfEvidence();
    this.#hooks.onChange();
  }

  /**
   * Reports to the state machine whether the maker has judged all evidence; evidence lost here is not
   * waited for.
   */
  toldOfEvidence(): void {
    this.#store.apply({ type: 'evidence', isDrained: this.#feed?.drained ?? true });
  }

  /** Sends `channel.ready`: both sides have to see the funding. */
  sendReady(): void {
    const store = this.#store;
    const peer = this.#peer;
    const { contractId, channel } = store;
    if (peer === undefined || channel === undefined) return;
    const ready = { contractId, txid: channel.fundingTxid, height: this.#looks.height ?? 0 };
    call(peer, 'channel.ready', ready)
      .then(async () => {
        if (this.#peer === peer) await store.commit({ type: 'ready_answered' });
        this.#hooks.onChange();
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'the maker did not follow');
        // It is asked for once a connection.
        peer.close(error);
      });
  }

  get #bondSide(): BondSide {
    const { returnsBonds } = this.#settings;
    return { role: 'miner', store: this.#store, stakes: this.#looks.stakes, returnsBonds };
  }

  /** Sends evidence as it becomes durable, and has the maker give jobs. */
  startFeed(): void {
    const feed = this.#feed;
    const peer = this.#peer;
    if (feed === undefined || peer === undefined || feed.isRunning) return;
    this.#work?.connected(workLink(peer, this.#subscription));
    this.#blocks?.connected(peer);
    feed.run().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      peer.close(error);
    });
  }

  /** Closes with the maker. */
  closeTogether(): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    const feed = this.#feed;
    // Work sold from here on would be paid by a state above the one that is closed.
    feed?.hold();
    this.#looks.onChain.closeTogether(peer).then(
      () => {
        this.#answerClose();
        this.#looks.look();
      },
      async (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'closing together failed');
        if (error.code === 'bonds_at_stake') {
          this.lastError = error.code;
          await this.#store.record({ type: 'close_refused' });
          if (this.#store.state.close === undefined) feed?.release();
          this.#hooks.onChange();
        } else peer.close(error);
        this.#answerClose(error);
      },
    );
  }

  #sleep(ms: number): Promise<void> {
    return this.#hooks.isOver() ? Promise.resolve() : sleep(this.#deps.timers, ms, this.#signal);
  }
}
