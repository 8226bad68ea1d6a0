import { assert } from '../base/assert.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainTip } from '../chain/source.ts';
import { signAck } from '../channel/states.ts';
import { exposureSat, type StreamEffect, unsignedWork } from '../contract/stream.ts';
import type { StreamTotal } from '../work/meters.ts';
import { answerForBond, BondAsker, type BondSide } from './bond-release.ts';
import { call, handler, Serial } from './calls.ts';
import { authenticate } from './handshake.ts';
import type { Result } from './messages.ts';
import { MinerBook } from './miner-book.ts';
import { MinerChain } from './miner-chain.ts';
import { MinerFeed } from './miner-feed.ts';
import { openChannel } from './miner-opening.ts';
import {
  DEFAULT_SETTINGS,
  type MinerSettings,
  type MinerSideDeps,
  type MinerSideOptions,
  type MinerStatus,
} from './miner-options.ts';
import { giveClaim } from './miner-seal.ts';
import { identityOfSigner, walletScript } from './opening.ts';
import { blobEntry, leaveBlob } from './peer-blob.ts';
import { BLOB_KIND } from './records.ts';
import { Remains } from './remains.ts';
import { type RpcHandlers, RpcPeer } from './rpc-peer.ts';
import { connectPeer } from './transport.ts';

export type { MinerSideDeps, MinerSideOptions, MinerStatus } from './miner-options.ts';

/**
 * The miner's end of one contract: opens the channel, sends the evidence as it becomes durable, keeps every
 * state on disk
 * before it is acked, and closes. `MinerBook` is what it knows, `MinerFeed` what it sends, `MinerChain`
 * what it does on
 * chain; this connects them to one maker, again and again.
 */
export class MinerSide {
  readonly stats = {
    connections: 0,
    statesTaken: 0,
    batchesJudged: 0,
    refused: {} as Record<string, number>,
  };
  readonly #options: MinerSettings;
  readonly #deps: MinerSideDeps;
  readonly #serial = new Serial();
  /** Apart from what may wait for the maker: deadlines are the chain's. */
  readonly #chainSerial = new Serial();
  readonly #bondAsker: BondAsker;
  readonly #abort = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  #book: MinerBook | undefined;
  #onChain: MinerChain | undefined;
  #remains: Remains | undefined;
  #peer: RpcPeer | undefined;
  #feed: MinerFeed | undefined;
  #connected = false;
  #makerReady = false;
  #readySent = false;
  #closing = false;
  #lastError: string | undefined;
  #stopTip: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #loop: Promise<void> | undefined;
  #tip: ChainTip | undefined;
  /** The connection over which the close was asked for: once on each. */
  #closeAsked: RpcPeer | undefined;

  constructor(options: MinerSideOptions, deps: MinerSideDeps) {
    this.#options = { ...DEFAULT_SETTINGS, ...options };
    this.#deps = deps;
    this.#bondAsker = new BondAsker(deps);
  }

  /** Loads the ledger, then connects in the background until `stop` or the channel is closed. */
  async start(): Promise<void> {
    const { terms, maxRefusedPercent, unpaidTimeoutMs, margins } = this.#options;
    const options = {
      terms,
      maxRefusedPercent,
      ...(unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs }),
    };
    this.#book = await MinerBook.load(options, this.#deps);
    this.#onChain = new MinerChain(this.#book, margins, this.#deps);
    this.#remains = new Remains('miner', this.#book, this.#deps);
    const genesisHash = await this.#deps.chain.genesisHash();
    this.#stopTip = this.#deps.chain.watchTip((tip) => {
      this.#tip = tip;
      this.#lookAtChain();
    });
    this.#timer = setInterval(() => {
      if (this.#book?.stream.opened) this.#follow(this.#book.apply({ type: 'tick' }));
    }, 1_000);
    this.#loop = this.#connectLoop(genesisHash);
  }

  /** Evidence of a stream became durable; `total` is its durable total. Streams of others are ignored. */
  onDurable(stream: string, total: StreamTotal): void {
    if (stream !== this.#book?.contractId) return;
    this.#follow(this.#book.workChanged(total));
    this.#feed?.wake();
    this.#closeIfDue();
  }

  get status(): MinerStatus {
    const book = this.#book;
    assert(book !== undefined, 'miner_side_started');
    return {
      contractId: book.contractId,
      connected: this.#connected,
      live: book.live && !this.#closing,
      channel: book.channel?.status ?? 'none',
      stream: book.stream.status,
      signed: book.stream.signed,
      ownWorkHashes: book.own.workHashes,
      judgedWorkHashes: book.delivery.verifiedWorkHashes,
      refusedWorkHashes: book.refusedWorkHashes,
      exposureHashes: unsignedWork(book.stream),
      exposureSat: exposureSat(book.terms, book.stream),
      fundingTxid: book.channel?.fundingTxid,
      fundingDepth: book.stream.fundingDepth,
      seal: this.#remains!.seal,
      frozen: book.frozen?.message,
      lastError: this.#lastError,
    };
  }

  /**
   * Ends the contract: no more work, the rest is signed, both close. Resolves once the close is deep, or at
   * `stop`.
   */
  close(): Promise<void> {
    const book = this.#book;
    assert(book !== undefined, 'miner_side_started');
    if (book.channel === undefined || book.channel.status === 'closed') this.#finished.resolve();
    this.#requestClose();
    return this.#finished.promise;
  }

  /** Broadcasts the newest state without the maker; the last resort. Throws as `MinerChain.closeAlone`. */
  async closeAlone(): Promise<void> {
    assert(this.#onChain !== undefined, 'miner_side_started');
    const onChain = this.#onChain;
    await this.#chainSerial.run(() => onChain.closeAlone()).finally(() => this.#notify());
  }

  /** Ends the connection and all timers; the channel stays as it is. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#stopTip?.();
    clearInterval(this.#timer);
    this.#peer?.close();
    await this.#loop;
    for (const serial of [this.#chainSerial, this.#serial]) await serial.run(async () => {});
    this.#finished.resolve();
  }

  #requestClose(): void {
    this.#closing = true;
    this.#follow(this.#book!.apply({ type: 'close_requested' }));
    this.#closeIfDue();
  }

  async #connectLoop(genesisHash: string): Promise<void> {
    const { reconnectMinMs, reconnectMaxMs } = this.#options;
    let delayMs = reconnectMinMs;
    while (!this.#isOver) {
      try {
        const before = this.stats.connections;
        const reason = await this.#session(genesisHash).catch((error: unknown) => error);
        if (!(reason instanceof CodedError)) throw reason;
        this.#lastError = reason.code;
        this.#deps.log.info({ code: reason.code, detail: reason.message }, 'connection to the maker ended');
        if (this.stats.connections > before) delayMs = reconnectMinMs;
      } finally {
        this.#disconnected();
      }
      const jitter = 0.5 + this.#deps.random.bytes(1)[0]! / 512;
      await this.#sleep(delayMs * jitter);
      delayMs = Math.min(delayMs * 2, reconnectMaxMs);
    }
  }

  get #isOver(): boolean {
    const book = this.#book!;
    const isNeverOpened = this.#closing && book.assembled === undefined;
    const isDone = book.channel?.status === 'closed' && !this.#remains!.needsPeer;
    return this.#abort.signal.aborted || isNeverOpened || isDone;
  }

  #disconnected(): void {
    this.#peer = undefined;
    this.#connected = false;
    this.#makerReady = false;
    this.#readySent = false;
    this.#feed?.stop();
    this.#feed = undefined;
    this.#notify();
  }

  /** One connection, from TLS to its end; returns or throws what ended it. */
  async #session(genesisHash: string): Promise<CodedError> {
    const { host, port, transport, rpc, connectTimeoutMs, terms } = this.#options;
    const { signer, random, log } = this.#deps;
    const connection = await (this.#deps.connect ?? connectPeer)({
      ...transport,
      host,
      port,
      connectTimeoutMs,
      signal: this.#abort.signal,
    });
    const peer = new RpcPeer(connection, rpc, { log });
    this.#peer = peer;
    await authenticate(peer, 'client', {
      identity: identityOfSigner(signer),
      genesisHash,
      features: [],
      isKnown: (nodeId) => nodeId === terms.makerNodeId,
      random,
      timeoutMs: connectTimeoutMs,
    });
    peer.serve(this.#handlers(), 'unknown_method');
    try {
      await this.#establish(peer);
    } catch (error) {
      peer.close(error instanceof CodedError ? error : undefined);
      throw error;
    }
    return peer.closed;
  }

  async #establish(peer: RpcPeer): Promise<void> {
    const book = this.#book!;
    const { ledger, clock, signer } = this.#deps;
    if (book.fundingTx === undefined) {
      const payoutScript = this.#options.payoutScript ?? walletScript(signer);
      const { maxFeeRateSatPerKvb } = this.#options;
      await this.#serial.run(() =>
        openChannel(peer, book, { payoutScript, maxFeeRateSatPerKvb }, this.#deps),
      );
      await this.#onChain!.broadcastFunding();
    }
    const feed = new MinerFeed(
      peer,
      {
        contractId: book.contractId,
        batchWindow: this.#options.batchWindow,
        batchIntervalMs: this.#options.batchIntervalMs,
      },
      {
        ledger,
        clock,
        durableSeq: () => book.own.seq,
        onJudged: (nextSeq, own, result) => this.#judged(nextSeq, own, result),
      },
    );
    const isAgreed = await this.#serial.run(() => this.#reestablish(peer, feed));
    this.#feed = isAgreed ? feed : undefined;
    this.#connected = true;
    this.stats.connections += 1;
    this.#notify();
    this.#lookAtChain();
    await leaveBlob(peer, book.contractId, this.#deps);
  }

  /**
   * Both say where they stand; the newer state wins (`channel.md` 7, reestablish). False when the maker has
   * evidence that is
   * lost here: nothing can be added to it, and the contract ends.
   */
  async #reestablish(peer: RpcPeer, feed: MinerFeed): Promise<boolean> {
    const book = this.#book!;
    assert(book.last !== undefined, 'miner_state_before_reestablish');
    const { contractId, last } = book;
    const { nextSeq } = book.delivery;
    const blob = await this.#deps.ledger.get(BLOB_KIND, contractId);
    const answer = await call(peer, 'channel.reestablish', {
      ...{ contractId, n: last.n, state: last, nextSeq },
      ...(book.claimed === undefined ? {} : { claimed: book.claimed }),
      ...(blob === undefined ? {} : { blob }),
    });
    if (answer.state !== null) {
      this.#follow(await book.adoptState(answer.state).finally(() => this.#lookIfBroken()));
    }
    if (answer.n !== book.last.n) {
      throw new CodedError('wrong_state_number', `the maker stands at ${answer.n}, here ${book.last.n}`);
    }
    try {
      const own = await feed.seek(answer.nextSeq, book.delivery);
      this.#follow(book.delivered(answer.nextSeq, own, answer.verifiedWork));
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
      'state.sign': handler('state.sign', ({ contractId, state }) =>
        this.#serial.run(async () => {
          const book = this.#bookOf(contractId);
          assert(book.assembled !== undefined, 'miner_channel_before_state');
          // What it throws may be a reason to close.
          const effects = await book.takeState(state).finally(() => this.#lookIfBroken());
          this.stats.statesTaken += 1;
          const ackSignature = signAck(book.assembled.params, state, this.#deps.signer);
          this.#follow(effects);
          return { n: state.n, ackSignature };
        }),
      ),
      'seal.claim': handler('seal.claim', (asked) =>
        this.#serial.run(async () => ({
          claim: await giveClaim(this.#bookOf(asked.contractId), asked, this.#deps),
        })),
      ),
      'bond.release': handler('bond.release', (asked) =>
        this.#serial.run(() => {
          this.#bookOf(asked.contractId);
          return answerForBond(asked, this.#bondSide, this.#deps);
        }),
      ),
      'peer_storage.put': handler('peer_storage.put', async ({ contractId, blob }) => {
        this.#bookOf(contractId);
        await this.#deps.ledger.appendNow([blobEntry(contractId, blob)]);
        return {};
      }),
      'channel.ready': handler('channel.ready', async ({ contractId, txid }) => {
        if (this.#bookOf(contractId).channel?.fundingTxid !== txid) throw new CodedError('bad_funding');
        this.#makerReady = true;
        this.#lookAtChain();
        return {};
      }),
      'channel.shutdown': handler('channel.shutdown', async ({ contractId }) => {
        const book = this.#bookOf(contractId);
        this.#requestClose();
        return { n: book.last?.n ?? 0 };
      }),
    };
  }

  #bookOf(contractId: string): MinerBook {
    const book = this.#book;
    if (book?.contractId !== contractId || book.last === undefined) throw new CodedError('unknown_channel');
    return book;
  }

  #judged(nextSeq: number, ownWorkHashes: bigint, result: Result<'work.batch'>): void {
    this.stats.batchesJudged += 1;
    for (const { code } of result.refused) {
      this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    }
    this.#follow(this.#book!.delivered(nextSeq, ownWorkHashes, result.verifiedWork));
    this.#closeIfDue();
  }

  /** A maker that broke the contract is not waited for until the next block. */
  #lookIfBroken(): void {
    if (this.#book?.trouble === 'broken') this.#lookAtChain();
  }

  /** After each tip and each change of the connection: depth, readiness, expiry, close. */
  #lookAtChain(): void {
    if (this.#tip === undefined || this.#abort.signal.aborted) return;
    const looked = (): void => {
      if (this.#book?.channel?.status === 'closed') this.#finished.resolve();
      if (this.#isOver) this.#peer?.close();
      this.#closeIfDue();
      this.#notify();
    };
    this.#chainSerial
      .run(async () => {
        const tip = this.#tip!;
        // The one that fails holds up no other.
        try {
          await this.#onChain!.onTip(tip);
        } finally {
          await this.#remains!.onTip(tip);
        }
        return tip;
      })
      .then((tip) => {
        looked();
        return this.#serial.run(async () => {
          if (this.#connected) this.#bondAsker.ask(this.#peer!, this.#bondSide);
          this.#follow(this.#book!.workChanged());
          await this.#becomeReady(tip);
        });
      })
      .then(looked, (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'looking at the chain failed');
        this.#notify();
      });
  }

  async #becomeReady(tip: ChainTip): Promise<void> {
    const book = this.#book!;
    const { channel } = book;
    if (!this.#connected || channel === undefined || !this.#onChain!.isDeep) return;
    if (channel.status !== 'funding' && channel.status !== 'open') return;
    if (!this.#readySent) {
      this.#readySent = true;
      const { contractId } = book;
      const { fundingTxid: txid } = channel;
      await call(this.#peer!, 'channel.ready', { contractId, txid, height: tip.height });
    }
    // The chain may have had its say while the maker was asked.
    const status = book.channel?.status;
    if (!this.#makerReady || (status !== 'funding' && status !== 'open')) return;
    if (status === 'funding') await book.setStatus('open');
    this.#follow(book.apply({ type: 'channel_open' }));
    this.#follow(book.workChanged());
    this.#startFeed();
  }

  get #bondSide(): BondSide {
    const { returnsBonds } = this.#options;
    return { role: 'miner', book: this.#book!, remains: this.#remains!, returnsBonds };
  }

  #startFeed(): void {
    const feed = this.#feed;
    const peer = this.#peer;
    if (feed === undefined || peer === undefined || feed.isRunning) return;
    feed.run().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      peer.close(error);
    });
  }

  /** Closes together once the contract ends and the maker has judged everything. */
  #closeIfDue(): void {
    const book = this.#book!;
    const status = book.channel?.status;
    const isEnding =
      book.stream.status === 'ending' || (status === 'closing' && book.channel?.closeTx === null);
    if (!isEnding || !this.#connected || book.frozen !== undefined) return;
    // Once a close was signed here nothing more can be sold: there is nothing to wait for.
    if (status !== 'closing' && this.#feed?.drained === false) return;
    if (status !== 'open' && status !== 'funding' && status !== 'closing') return;
    if (book.channel?.closeTx || this.#onChain!.isSpent) return;
    const peer = this.#peer!;
    if (this.#closeAsked === peer) return;
    this.#closeAsked = peer;
    // Work sold from here on would be paid by a state above the one that is closed.
    this.#feed?.stop();
    this.#onChain!.closeTogether(peer).then(
      () => this.#lookAtChain(),
      (error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.warn({ code: error.code, detail: error.message }, 'closing together failed');
        if (error.code === 'bonds_at_stake') this.#lastError = error.code;
        else peer.close(error);
      },
    );
  }

  #follow(effects: readonly StreamEffect[]): void {
    for (const effect of effects) {
      this.#deps.log.info({ contract: this.#book!.contractId, ...effect }, 'contract');
      if (effect.type === 'ending') this.#closeIfDue();
    }
    this.#notify();
  }

  #notify(): void {
    if (this.#book !== undefined) this.#deps.onStatus?.(this.status);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#abort;
      if (this.#isOver) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }
}
