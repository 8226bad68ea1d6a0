import { assert } from '../base/assert.ts';
import { backoffMs } from '../base/backoff.ts';
import { smaller } from '../base/bigints.ts';
import { toHex } from '../base/bytes.ts';
import { sleep, type Timer } from '../base/clock.ts';
import { CodedError, codeOf, ERROR_TABLE } from '../base/errors.ts';
import type { LimitHits } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { ChainStanding } from '../chain/chain-clock.ts';
import { isDueByClock } from '../chain/projection.ts';
import type { ChainTip } from '../chain/source.ts';
import { TipTracker } from '../chain/tip-tracker.ts';
import { signAck } from '../channel/states.ts';
import { contractIdOf } from '../contract/terms.ts';
import { call, handler } from '../peer/calls.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { type RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer } from '../peer/transport.ts';
import { answerForBond, BondAsker, type BondSide } from '../settlement/bond-release.ts';
import type { ContractEffect } from '../settlement/contract-store.ts';
import { identityOfSigner, walletScript } from '../settlement/opening.ts';
import { leaveBlob } from '../settlement/peer-blob.ts';
import { blobsInMemory, PeerBlobs } from '../settlement/peer-blobs.ts';
import { StakeSettlement } from '../settlement/stake-settlement.ts';
import type { StreamTotal } from '../work/meters.ts';
import { MinerChain } from './miner-chain.ts';
import { MinerFeed, type SentBatch } from './miner-feed.ts';
import { writeLadder } from './miner-ladder.ts';
import { openChannel } from './miner-opening.ts';
import {
  DEFAULT_SETTINGS,
  type MinerContractDeps,
  type MinerContractOptions,
  type MinerSettings,
  type MinerStatus,
} from './miner-options.ts';
import { giveClaim } from './miner-seal.ts';
import { minerStatus } from './miner-status.ts';
import { MinerStore } from './miner-store.ts';
import { Refusals } from './refusals.ts';
import { nameTransactions, showTransactions } from './template-answers.ts';
import { WorkDestination } from './work-destination.ts';
import { type Subscription, workHandlers, workLink } from './work-link.ts';
import { workBindingOf } from './work-rules.ts';

export type { MinerContractDeps, MinerContractOptions, MinerStatus } from './miner-options.ts';

/** Time in ms between writes of an unchanged ladder file, whose age shows that this program runs. */
const LADDER_REFRESH_MS = 60_000;

/**
 * The miner's side of one contract: opens the channel, sends evidence as it becomes durable, keeps every
 * state on disk before it is acked, and closes. Connects its parts to one maker, again and again:
 * `MinerStore` has its records, `MinerFeed` sends evidence, `MinerChain` acts on the chain.
 */
export class MinerContract {
  readonly stats = {
    connections: 0,
    statesTaken: 0,
    batchesJudged: 0,
    refused: {} as Record<string, number>,
    limitHits: {} as LimitHits,
  };
  /** Where the jobs of the maker are mined; undefined where they are the miner's own. */
  readonly work: WorkDestination | undefined;
  readonly #options: MinerSettings;
  readonly #deps: MinerContractDeps;
  readonly #serial = new SerialQueue();
  /** Queue of work on the chain, apart from what may wait for the maker. */
  readonly #chainSerial = new SerialQueue();
  readonly #bondAsker: BondAsker;
  readonly #blobs: PeerBlobs;
  readonly #budget: PeerBudget;
  readonly #view: TipTracker;
  /** The process that jobs of the maker are for. */
  readonly #subscription: Subscription;
  readonly #abort = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  readonly #closeAnswers: PromiseWithResolvers<void>[] = [];
  #store: MinerStore | undefined;
  #onChain: MinerChain | undefined;
  #stakes: StakeSettlement | undefined;
  #peer: RpcPeer | undefined;
  #feed: MinerFeed | undefined;
  #lastError: string | undefined;
  #stopTip: (() => void) | undefined;
  #stopClock: (() => void) | undefined;
  #timer: Timer | undefined;
  #askTimer: Timer | undefined;
  readonly #current = Promise.withResolvers<void>();
  #ladderTimer: Timer | undefined;
  #loop: Promise<void> | undefined;
  #tip: ChainTip | undefined;
  #refusals: Refusals | undefined;

  constructor(options: MinerContractOptions, deps: MinerContractDeps) {
    this.#options = { ...DEFAULT_SETTINGS, ...options };
    this.#deps = deps;
    this.#bondAsker = new BondAsker(deps);
    this.#budget = new PeerBudget(deps);
    this.#blobs = new PeerBlobs({ ...deps, files: deps.blobFiles ?? blobsInMemory() });
    this.#view = new TipTracker(deps);
    const { terms } = options;
    const contractId = contractIdOf(terms);
    this.#subscription = { contractId, instance: toHex(deps.random.bytes(16)) };
    const binding = workBindingOf(terms);
    const name = `maker-${contractId.slice(0, 8)}`;
    if (binding !== undefined)
      this.work = new WorkDestination({ name, terms, binding }, { ...deps, view: this.#view });
  }

  /** Loads the ledger, then connects in the background until `stop` or the channel is closed. */
  async start(): Promise<void> {
    const { terms, unpaidTimeoutMs, margins } = this.#options;
    const waits = unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs };
    this.#store = await MinerStore.load({ terms, margins, ...waits }, this.#deps);
    this.#store.onEffects = (effects) => this.#follow(effects);
    const isLate = (): boolean => this.work?.isLate ?? false;
    this.#refusals = new Refusals(terms, margins, { ...this.#deps, view: this.#view, isLate });
    this.#onChain = new MinerChain(this.#store, this.#deps);
    this.#stakes = new StakeSettlement('miner', this.#store, this.#deps);
    this.#writeLadder();
    const genesisHash = await this.#deps.chain.genesisHash();
    this.#stopTip = this.#deps.chain.watchTip((tip) => {
      this.#tip = tip;
      this.#view.onTip(tip);
      this.work?.onTip();
      this.#lookAtChain();
    });
    this.#stopClock = this.#deps.chainClock?.watch((standing) => this.#onStanding(standing));
    this.#ladderTimer = this.#deps.timers.every(LADDER_REFRESH_MS, () => this.#writeLadder());
    this.#timer = this.#deps.timers.every(1_000, () => {
      if (this.#store?.stream.opened) this.#store.apply({ type: 'tick' });
    });
    if (this.#store.state.isCurrent) this.#current.resolve();
    this.#askTimer = this.#deps.timers.after(this.#options.askPeerMs, () => this.#peerSilent());
    this.#loop = this.#connectLoop(genesisHash);
  }

  /** Takes a share that is about to be sold, of so many hashes, or not: see `DeliveryGate.admits`. */
  admits(workHashes: bigint): boolean {
    return this.#store?.gate.admits(workHashes) ?? false;
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
    this.#feed?.wake();
    // First: the work may be the last, and the close waits until it is judged.
    this.#toldOfEvidence();
    this.#store.workChanged();
    this.#notify();
  }

  get status(): MinerStatus {
    const store = this.#store;
    assert(store !== undefined, 'miner_side_started');
    return minerStatus(store, this.#stakes!, { connected: this.#isConnected, lastError: this.#lastError });
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

  /** False while the maker may still show a newer state, and the expiry is far enough to wait for it. */
  get mayClose(): boolean {
    const { isCurrent, fault } = this.#store!.state;
    const { expiryHeight } = this.#options.terms;
    const left = expiryHeight - (this.#tip?.height ?? expiryHeight);
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
    assert(this.#onChain !== undefined, 'miner_side_started');
    const onChain = this.#onChain;
    await this.#chainSerial.run(() => onChain.closeAlone()).finally(() => this.#notify());
  }

  /** Ends the connection and all timers; the channel stays as it is. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#stopTip?.();
    this.#stopClock?.();
    this.#timer?.cancel();
    this.#ladderTimer?.cancel();
    this.#askTimer?.cancel();
    this.#current.resolve();
    this.#peer?.close();
    this.work?.stop();
    await this.#loop;
    for (const serial of [this.#chainSerial, this.#serial]) await serial.run(async () => {});
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
    if (!this.#isConnected) throw new CodedError('peer_closed', 'the maker is not connected');
    const answer = Promise.withResolvers<void>();
    this.#closeAnswers.push(answer);
    this.#requestClose();
    await answer.promise;
  }

  #answerClose(error?: CodedError): void {
    for (const { resolve, reject } of this.#closeAnswers.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  #requestClose(): void {
    this.#store!.apply({ type: 'close_requested' });
    this.#notify();
  }

  get #isConnected(): boolean {
    return this.#store?.state.link !== undefined;
  }

  /**
   * Reports to the state machine whether the maker has judged all evidence; evidence lost here is not
   * waited for.
   */
  #toldOfEvidence(): void {
    this.#store!.apply({ type: 'evidence', isDrained: this.#feed?.drained ?? true });
  }

  async #connectLoop(genesisHash: string): Promise<void> {
    const { reconnectMinMs, reconnectMaxMs } = this.#options;
    let attempt = 0;
    while (!this.#isOver) {
      try {
        const before = this.stats.connections;
        const reason = await this.#session(genesisHash).catch((error: unknown) => error);
        if (!(reason instanceof CodedError)) throw reason;
        this.#lastError = reason.code;
        this.#deps.log.info({ code: reason.code, detail: reason.message }, 'connection to the maker ended');
        if (this.stats.connections > before) attempt = 0;
      } finally {
        this.#disconnected();
      }
      const backoff = { baseMs: reconnectMinMs, maxMs: reconnectMaxMs };
      await this.#sleep(backoffMs(backoff, attempt, this.#deps.random));
      attempt += 1;
    }
  }

  #peerSilent(): void {
    this.#store!.apply({ type: 'peer_silent' });
    this.#current.resolve();
    this.#lookAtChain();
  }

  get #isOver(): boolean {
    const store = this.#store!;
    const isNeverOpened = store.stream.status === 'ending' && store.assembled === undefined;
    const isDone = store.channel?.status === 'closed' && !this.#stakes!.needsPeer;
    return this.#abort.signal.aborted || isNeverOpened || isDone;
  }

  /** True once nothing of the contract is left on the chain. */
  get #isSettled(): boolean {
    return this.#store!.state.watch.isOver && this.#stakes!.isOver;
  }

  #disconnected(): void {
    this.#peer = undefined;
    this.#store!.apply({ type: 'disconnected' });
    this.#answerClose(new CodedError('peer_closed', 'the maker was lost before it had signed'));
    this.#feed?.stop();
    this.#feed = undefined;
    this.work?.disconnected();
    this.#notify();
  }

  /** Runs one connection, from TLS to its end; returns or throws what ended it. */
  async #session(genesisHash: string): Promise<CodedError> {
    const { host, port, transport, rpc, connectTimeoutMs, terms } = this.#options;
    const { signer, timers, random, log } = this.#deps;
    const connection = await (this.#deps.connect ?? connectPeer)(
      { ...transport, host, port, connectTimeoutMs, signal: this.#abort.signal },
      { timers },
    );
    const peer = new RpcPeer(connection, rpc, { log, timers });
    this.#peer = peer;
    await authenticate(peer, 'client', {
      identity: identityOfSigner(signer),
      genesisHash,
      features: this.#options.features,
      isKnown: (nodeId) => nodeId === terms.makerNodeId,
      random,
      timers,
      timeoutMs: connectTimeoutMs,
    });
    const overruns = new Overruns(peer, this.stats.limitHits, this.#deps);
    peer.serve(this.#budget.guard(this.#handlers(), overruns), 'unknown_method');
    try {
      await this.#establish(peer);
    } catch (error) {
      peer.close(error instanceof CodedError ? error : undefined);
      throw error;
    }
    return peer.closed;
  }

  async #establish(peer: RpcPeer): Promise<void> {
    const store = this.#store!;
    const { ledger, clock, timers, signer } = this.#deps;
    if (store.fundingTx === undefined) {
      const payoutScript = this.#options.payoutScript ?? walletScript(signer);
      const { maxFeeRateSatPerKvb, margins } = this.#options;
      await this.#serial.run(() =>
        openChannel(peer, store, { payoutScript, maxFeeRateSatPerKvb, margins }, this.#deps),
      );
      this.#writeLadder();
      await this.#onChain!.broadcastFunding();
    }
    const feed = new MinerFeed(
      peer,
      {
        contractId: store.contractId,
        batchWindow: this.#options.batchWindow,
        batchIntervalMs: this.#options.batchIntervalMs,
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
      store.apply({ type: 'connected' });
      this.#current.resolve();
      this.#toldOfEvidence();
    });
    this.stats.connections += 1;
    this.#notify();
    this.#lookAtChain();
    await leaveBlob(peer, store.contractId, this.#deps);
  }

  /**
   * Exchanges positions with the maker; the newer state wins (`PROTOCOL.md`, reestablish). False when the
   * maker has evidence that is lost here: no more can be added, and the contract ends.
   */
  async #reestablish(peer: RpcPeer, feed: MinerFeed): Promise<boolean> {
    const store = this.#store!;
    assert(store.last !== undefined, 'miner_state_before_reestablish');
    const { contractId, last } = store;
    const { nextSeq } = store.delivery;
    const blob = await this.#blobs.get(contractId);
    const isCommitted = peer.features.has('state_commitments');
    const commitment = isCommitted ? store.commitments.newest : undefined;
    const answer = await call(peer, 'channel.reestablish', {
      ...{ contractId, n: last.n, state: last, nextSeq },
      ...(store.claimed === undefined ? {} : { claimed: store.claimed }),
      ...(blob === undefined ? {} : { blob }),
      ...(commitment === undefined ? {} : { commitment }),
    });
    store.restoredHeight = answer.restoredHeight ?? 0;
    if (answer.state !== undefined) {
      await store.adoptState(answer.state).finally(() => this.#stateSeen());
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
      this.#requestClose();
      return false;
    }
  }

  #handlers(): RpcHandlers {
    return {
      ping: async () => ({}),
      ...workHandlers(this.work, this.#subscription),
      'state.sign': handler('state.sign', ({ contractId, state, commitment }) =>
        this.#serial.run(async () => {
          const store = this.#storeOf(contractId);
          assert(store.assembled !== undefined, 'miner_channel_before_state');
          // What it throws may be a reason to close.
          await store.takeState(state).finally(() => this.#stateSeen());
          this.stats.statesTaken += 1;
          this.#notify();
          const { signer } = this.#deps;
          const signature = commitment && (await store.countersign(commitment, state, signer));
          const ackSignature = signAck(store.assembled.params, state, signer);
          const committed = signature === undefined ? {} : { commitmentSignature: signature };
          return { n: state.n, ackSignature, ...committed };
        }),
      ),
      'work.template': handler('work.template', async (asked) => {
        this.#storeOf(asked.contractId);
        return nameTransactions(asked, this.#deps);
      }),
      'work.transactions': handler('work.transactions', async (asked) => {
        this.#storeOf(asked.contractId);
        return showTransactions(asked, this.#deps);
      }),
      'seal.claim': handler('seal.claim', (asked) =>
        this.#serial.run(async () => ({
          claim: await giveClaim(this.#storeOf(asked.contractId), asked, this.#deps),
        })),
      ),
      'bond.release': handler('bond.release', (asked) =>
        this.#serial.run(() => {
          this.#storeOf(asked.contractId);
          return answerForBond(asked, this.#bondSide, this.#deps);
        }),
      ),
      'peer_storage.put': handler('peer_storage.put', async ({ contractId, blob }) => {
        this.#storeOf(contractId);
        await this.#blobs.put(contractId, blob);
        return {};
      }),
      'channel.ready': handler('channel.ready', async ({ contractId, txid }) => {
        const store = this.#storeOf(contractId);
        if (store.channel?.fundingTxid !== txid) throw new CodedError('bad_funding');
        store.assertOpenable();
        await this.#serial.run(() => store.commit({ type: 'peer_ready' }));
        this.#lookAtChain();
        return {};
      }),
      'channel.shutdown': handler('channel.shutdown', async ({ contractId }) => {
        const store = this.#storeOf(contractId);
        this.#requestClose();
        return { n: store.last?.n ?? 0 };
      }),
    };
  }

  #storeOf(contractId: string): MinerStore {
    const store = this.#store;
    if (store?.contractId !== contractId || store.last === undefined)
      throw new CodedError('unknown_channel');
    return store;
  }

  #judged({ firstSeq, shares, ownWorkHashes }: SentBatch, result: Result<'work.batch'>): void {
    this.stats.batchesJudged += 1;
    for (const { code } of result.refused) {
      // As many counters as there are codes, however many words the maker has.
      const known = Object.hasOwn(ERROR_TABLE, code) ? code : 'protocol';
      this.stats.refused[known] = (this.stats.refused[known] ?? 0) + 1;
    }
    const store = this.#store!;
    const fromSeq = store.judged(result.nextSeq, ownWorkHashes, result.verifiedWork);
    const refused = result.refused.filter(({ seq }) => seq >= fromSeq);
    if (refused.length > 0) {
      const creditedHashes = smaller(result.verifiedWork, ownWorkHashes);
      this.#refusals!.judge(firstSeq, shares, refused, creditedHashes)
        .then((work) => store.explain(work))
        .catch((error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          this.#deps.log.warn({ code: error.code }, 'why work was refused could not be checked');
        });
    }
    this.#toldOfEvidence();
    this.#notify();
  }

  /** Looks at the chain at once where the maker broke the contract, not at the next block. */
  #stateSeen(): void {
    this.#writeLadder();
    if (this.#store?.state.fault?.type === 'broken') this.#lookAtChain();
  }

  /** Writes the ladder of the newest verified state, on disk or not. */
  #writeLadder(): void {
    writeLadder(this.#store!, this.#deps);
    if (this.#isSettled) void this.#blobs.drop(this.#store!.contractId);
  }

  /**
   * Looks at the chain after each tip and each change of the connection: depth, readiness, expiry, close.
   */
  #lookAtChain(): void {
    if (this.#tip === undefined || this.#abort.signal.aborted) return;
    const looked = (): void => {
      if (this.#store?.channel?.status === 'closed') {
        this.#finished.resolve();
        this.#writeLadder();
      }
      if (this.#isOver) this.#peer?.close();
      this.#notify();
    };
    this.#chainSerial
      .run(async () => {
        const tip = this.#tip!;
        // The one that fails holds up no other.
        try {
          await this.#onChain!.onTip(tip);
        } finally {
          await this.#stakes!.onTip(tip);
        }
      })
      .then(() => {
        looked();
        return this.#serial.run(async () => {
          if (this.#isConnected) this.#bondAsker.ask(this.#peer!, this.#bondSide);
          this.#store!.workChanged();
        });
      })
      .then(looked, (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'looking at the chain failed');
        this.#notify();
      });
  }

  /**
   * Takes no new work while the chain is stalled, and counts heights by the clock where no node answers.
   */
  #onStanding(standing: ChainStanding): void {
    const { expiryHeight } = this.#options.terms;
    const broadcastHeight = expiryHeight - this.#options.margins.broadcastBlocks;
    this.#store!.setStalled(standing.isStalled);
    this.#notify();
    if (!isDueByClock(standing, broadcastHeight)) return;
    this.#chainSerial
      .run(() => this.#onChain!.onClock(standing.projectedHeight!))
      .then(
        () => this.#notify(),
        (error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          this.#deps.log.warn({ code: error.code, detail: error.message }, 'closing by the clock failed');
        },
      );
  }

  /** Sends `channel.ready`: both sides have to see the funding. */
  #sendReady(): void {
    const store = this.#store!;
    const peer = this.#peer;
    const { contractId, channel } = store;
    if (peer === undefined || channel === undefined) return;
    const ready = { contractId, txid: channel.fundingTxid, height: this.#tip?.height ?? 0 };
    call(peer, 'channel.ready', ready)
      .then(async () => {
        if (this.#peer === peer) await store.commit({ type: 'ready_answered' });
        this.#notify();
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'the maker did not follow');
        // It is asked for once a connection.
        peer.close(error);
      });
  }

  get #bondSide(): BondSide {
    const { returnsBonds } = this.#options;
    return { role: 'miner', store: this.#store!, stakes: this.#stakes!, returnsBonds };
  }

  #startFeed(): void {
    const feed = this.#feed;
    const peer = this.#peer;
    if (feed === undefined || peer === undefined || feed.isRunning) return;
    this.work?.connected(workLink(peer, this.#subscription));
    feed.run().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      peer.close(error);
    });
  }

  #closeTogether(): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    const feed = this.#feed;
    // Work sold from here on would be paid by a state above the one that is closed.
    feed?.hold();
    this.#onChain!.closeTogether(peer).then(
      () => {
        this.#answerClose();
        this.#lookAtChain();
      },
      async (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'closing together failed');
        if (error.code === 'bonds_at_stake') {
          this.#lastError = error.code;
          await this.#store!.record({ type: 'close_refused' });
          if (this.#store!.state.close === undefined) feed?.release();
          this.#notify();
        } else peer.close(error);
        this.#answerClose(error);
      },
    );
  }

  #follow(effects: readonly ContractEffect[]): void {
    for (const effect of effects) {
      this.#deps.log.info({ contract: this.#store!.contractId, ...effect }, 'contract');
      if (effect.type === 'exposure_reached') this.#warnOfExposure(effect.exposureSat);
      if (effect.type === 'send_ready') this.#sendReady();
      if (effect.type === 'start_feed') this.#startFeed();
      if (effect.type === 'ask_close') this.#closeTogether();
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

  #sleep(ms: number): Promise<void> {
    return this.#isOver ? Promise.resolve() : sleep(this.#deps.timers, ms, this.#abort.signal);
  }
}
