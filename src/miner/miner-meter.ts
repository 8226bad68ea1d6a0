import { assert } from '../base/assert.ts';
import { backoffMs } from '../base/backoff.ts';
import { type Clock, type Random, sleep, type Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { LimitHits } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { ChainSource } from '../chain/source.ts';
import {
  type MeteringEvent,
  type MeteringState,
  type MeteringTerms,
  NOTHING_METERED,
  transition,
} from '../contract/metering.ts';
import { contractIdOf } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call, handler } from '../peer/calls.ts';
import { NO_FEATURES, OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Params, Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { DEFAULT_RPC, type RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import { formatOf } from '../settlement/commitments.ts';
import { loadMetering, meteredEntry, meteringEntry } from '../settlement/metering-records.ts';
import {
  identityOfSigner,
  type SignerTree,
  signTerms,
  verifyTermsSignature,
} from '../settlement/opening.ts';
import { deliveryEntry, NOTHING_DELIVERED } from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import { JOB_KIND, jobDocumentId, STREAM_KIND } from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
import { MinerCommitments } from './miner-commitments.ts';
import { MinerFeed, type SentBatch } from './miner-feed.ts';

export type MinerMeterOptions = {
  readonly terms: MeteringTerms;
  readonly host: string;
  readonly port: number;
  readonly batchIntervalMs?: number;
  readonly reconnectMinMs?: number;
  readonly reconnectMaxMs?: number;
  readonly connectTimeoutMs?: number;
};

const DEFAULTS = {
  ...{ batchIntervalMs: 250, reconnectMinMs: 1_000, reconnectMaxMs: 15_000, connectTimeoutMs: 10_000 },
};
/** Most batches in flight. */
const BATCH_WINDOW = 2;

export type MinerMeterDeps = {
  readonly ledger: Ledger;
  /** See `noChain`, where there is no bitcoin node. */
  readonly chain: Pick<ChainSource, 'genesisHash' | 'watchTip'>;
  readonly signer: SignerTree;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly onStatus?: () => void;
  readonly connect?: typeof connectPeer;
};

/** The status of a metering at the miner. */
export type MinerMeterStatus = {
  readonly contractId: string;
  readonly connected: boolean;
  readonly status: MeteringState['status'];
  readonly endReason: string | undefined;
  readonly workTotalHashes: bigint;
  readonly ownWorkHashes: bigint;
  readonly verifiedWorkHashes: bigint;
  /** Of the newest total that both signed. */
  readonly totals: number;
  readonly signedWorkHashes: bigint;
  readonly refused: Readonly<Record<string, number>>;
  readonly lastError: string | undefined;
};

/**
 * The miner's side of one metering: sends shares as they become durable, and signs the maker's totals where
 * the own log says the same. Nothing is paid, so that nothing is withheld: the maker may be away for as long
 * as it likes.
 */
export class MinerMeter {
  readonly stats = { connections: 0, refused: {} as Record<string, number>, limitHits: {} as LimitHits };
  readonly contractId: string;
  readonly #options: MinerMeterOptions & typeof DEFAULTS;
  readonly #deps: MinerMeterDeps;
  readonly #serial = new SerialQueue();
  readonly #budget: PeerBudget;
  readonly #abort = new AbortController();
  #commitments = MinerCommitments.create();
  #delivery = NOTHING_DELIVERED;
  #own: StreamTotal = { seq: 0, workHashes: 0n };
  #state: MeteringState = NOTHING_METERED;
  #isSigned = false;
  #peer: RpcPeer | undefined;
  #feed: MinerFeed | undefined;
  #isEnding = false;
  #lastError: string | undefined;
  #stopTip: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(options: MinerMeterOptions, deps: MinerMeterDeps) {
    this.#options = { ...DEFAULTS, ...options };
    this.#deps = deps;
    this.#budget = new PeerBudget(deps);
    this.contractId = contractIdOf(options.terms);
  }

  /** Loads the ledger, then connects in the background until `stop` or the end. Throws `ledger_corrupt`. */
  async start(): Promise<void> {
    const { ledger, chain } = this.#deps;
    const { contractId } = this;
    const stored = await loadMetering(ledger, contractId);
    const total = await ledger.get(STREAM_KIND, contractId);
    if (total !== undefined) this.#own = parseStreamTotal(contractId, total);
    if (stored !== undefined) {
      const { status, reason, delivery } = stored;
      this.#isSigned = true;
      this.#delivery = delivery;
      this.#commitments = await MinerCommitments.load(ledger, contractId, stored.n);
      const { n, workHashes } = this.#commitments.newest ?? { n: 0, workHashes: 0n };
      const signed = { n, workHashes };
      this.#state = { ...NOTHING_METERED, status, reason, signed, workHashes: delivery.verifiedWorkHashes };
    }
    const genesisHash = await chain.genesisHash();
    this.#stopTip = chain.watchTip(({ height }) => this.#apply({ type: 'height', height }));
    this.#loop = this.#connectLoop(genesisHash);
  }

  /** True while hashrate may be counted for it. */
  get live(): boolean {
    return this.#isSigned && this.#state.status === 'live';
  }

  get status(): MinerMeterStatus {
    const { status, reason, workHashes, signed } = this.#state;
    return {
      ...{ contractId: this.contractId, connected: this.#feed !== undefined },
      ...{ status, endReason: reason, workTotalHashes: this.#options.terms.workTotalHashes },
      ...{ ownWorkHashes: this.#own.workHashes, verifiedWorkHashes: workHashes },
      ...{ totals: signed.n, signedWorkHashes: signed.workHashes },
      ...{ refused: this.stats.refused, lastError: this.#lastError },
    };
  }

  /** Takes the durable total of the stream, whose evidence has grown. */
  onDurable(total: StreamTotal): void {
    if (total.seq < this.#own.seq) return;
    this.#own = total;
    this.#feed?.wake();
  }

  /** Ends it: what is left is delivered and signed first, with the maker's next answer. */
  end(): void {
    this.#apply({ type: 'end_asked' });
  }

  /** Ends the connection; the metering stays as it is. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#stopTip?.();
    this.#peer?.close();
    await this.#loop;
    await this.#serial.run(async () => {});
  }

  get #isOver(): boolean {
    return this.#abort.signal.aborted || this.#state.status === 'ended';
  }

  async #connectLoop(genesisHash: string): Promise<void> {
    const { reconnectMinMs: baseMs, reconnectMaxMs: maxMs } = this.#options;
    const { log, timers, random } = this.#deps;
    for (let attempt = 0; !this.#isOver; attempt += 1) {
      const before = this.stats.connections;
      const reason = await this.#session(genesisHash).catch((error: unknown) => error);
      this.#disconnected();
      if (!(reason instanceof CodedError)) throw reason;
      this.#lastError = reason.code;
      log.info({ code: reason.code, detail: reason.message }, 'connection to the maker ended');
      if (this.stats.connections > before) attempt = 0;
      if (!this.#isOver)
        await sleep(timers, backoffMs({ baseMs, maxMs }, attempt, random), this.#abort.signal);
    }
  }

  #disconnected(): void {
    this.#peer = undefined;
    this.#feed?.stop();
    this.#feed = undefined;
    this.#isEnding = false;
    this.#apply({ type: 'disconnected' });
  }

  /** One connection, to its end; returns or throws what ended it. */
  async #session(genesisHash: string): Promise<CodedError> {
    const { host, port, connectTimeoutMs, terms } = this.#options;
    const { signer, timers, random, log, connect = connectPeer } = this.#deps;
    const { signal } = this.#abort;
    const link = await connect({ ...DEFAULT_TRANSPORT, host, port, connectTimeoutMs, signal }, { timers });
    const peer = new RpcPeer(link, DEFAULT_RPC, { log, timers });
    this.#peer = peer;
    await authenticate(peer, 'client', {
      ...{ identity: identityOfSigner(signer), genesisHash, features: OFFERED_FEATURES },
      isKnown: (nodeId) => nodeId === terms.makerNodeId,
      ...{ random, timers, timeoutMs: connectTimeoutMs },
    });
    const overruns = new Overruns(peer, this.stats.limitHits, this.#deps);
    link.paceReads(this.#budget.read);
    peer.serve(this.#budget.guard(this.#handlers(), overruns), 'unknown_method');
    try {
      await this.#attach(peer);
    } catch (error) {
      peer.close(error instanceof CodedError ? error : undefined);
      throw error;
    }
    return peer.closed;
  }

  async #attach(peer: RpcPeer): Promise<void> {
    const { ledger, clock, timers } = this.#deps;
    const { contractId } = this;
    const newest = this.#commitments.newest && this.#commitments.shownTo(peer.features);
    const total = newest === undefined ? {} : { total: newest };
    if (!this.#isSigned) await this.#propose(peer);
    const answer = await call(peer, 'meter.attach', { contractId, ...total }).catch(async (error) => {
      if (codeOf(error) !== 'unknown_channel') throw error;
      // A maker that lost its ledger goes on from what was signed.
      await this.#propose(peer);
      return call(peer, 'meter.attach', { contractId, ...total });
    });
    const options = {
      contractId,
      batchWindow: BATCH_WINDOW,
      batchIntervalMs: this.#options.batchIntervalMs,
    };
    const feed = new MinerFeed(peer, options, {
      ...{ ledger, clock, timers, durableSeq: () => this.#own.seq },
      onJudged: (batch, result) => this.#judged(batch, result),
    });
    this.stats.connections += 1;
    if (answer.isEnded) return this.#finish();
    await this.#seek(feed, answer);
    this.#feed = feed;
    this.#apply({ type: 'connected' });
    this.#apply({ type: 'work', workHashes: answer.verifiedWork });
    feed.run().catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      peer.close(error);
    });
  }

  /** Moves to where the maker is. Evidence that was lost here is never sent: the metering ends. */
  async #seek(feed: MinerFeed, { nextSeq, verifiedWork }: Result<'meter.attach'>): Promise<void> {
    try {
      const ownWorkHashes = await feed.seek(nextSeq, this.#delivery);
      this.#delivery = { ...this.#delivery, nextSeq, ownWorkHashes, verifiedWorkHashes: verifiedWork };
    } catch (error) {
      if (codeOf(error) !== 'bad_sequence') throw error;
      this.#deps.log.error({ contract: this.contractId }, 'evidence was lost here; the metering ends');
      await this.#finish();
      throw error;
    }
  }

  async #propose(peer: RpcPeer): Promise<void> {
    const { terms } = this.#options;
    const { signer, ledger } = this.#deps;
    const minerSignature = signTerms(terms, signer);
    const { signature } = await call(peer, 'contract.propose', { terms, signature: minerSignature });
    verifyTermsSignature(terms, terms.makerNodeId, signature);
    if (this.#isSigned) return;
    const record = { version: 1, role: 'miner', terms, minerSignature, makerSignature: signature } as const;
    await ledger.appendNow([meteringEntry(this.contractId, record)]);
    this.#isSigned = true;
    this.#deps.onStatus?.();
  }

  #handlers(): RpcHandlers {
    const own = (contractId: string): void => {
      if (contractId !== this.contractId) throw new CodedError('unknown_channel');
    };
    return {
      ping: async () => ({}),
      'meter.sign': handler('meter.sign', async (total) => {
        own(total.contractId);
        return this.#serial.run(() => this.#sign(total));
      }),
      'meter.end': handler('meter.end', async ({ contractId }) => {
        own(contractId);
        this.end();
        return {};
      }),
    };
  }

  async #sign({ n, workHashes, commitment }: Params<'meter.sign'>): Promise<Result<'meter.sign'>> {
    const { ledger, signer } = this.#deps;
    const { contractId } = this;
    const check = {
      ...{ ledger, stream: contractId, durableSeq: this.#own.seq },
      format: formatOf(this.#peer?.features ?? NO_FEATURES, this.#options.terms),
      params: { contractId, terms: this.#options.terms },
      jobBody: (jobId: JobId) => ledger.get(JOB_KIND, jobDocumentId(jobId)),
      write: (entries: readonly LedgerEntry[]) => this.#write(entries, n),
    };
    const signature = await this.#commitments.countersign(commitment, { n, workHashes }, check, signer);
    if (signature === undefined) return {};
    this.#apply({ type: 'total_signed', n, workHashes });
    return { signature };
  }

  async #write(entries: readonly LedgerEntry[], n: number): Promise<void> {
    const { contractId } = this;
    await this.#deps.ledger.appendNow([
      ...entries,
      this.#commitments.heardEntry(contractId),
      deliveryEntry(contractId, this.#delivery),
      meteredEntry(contractId, this.#state, n),
    ]);
  }

  #judged({ firstSeq, ownWorkHashes }: SentBatch, result: Result<'work.batch'>): void {
    const { nextSeq, verifiedWork, refused } = result;
    this.#commitments.heard(firstSeq, refused);
    for (const { code } of refused) this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    this.#delivery = { ...this.#delivery, nextSeq, ownWorkHashes, verifiedWorkHashes: verifiedWork };
    this.#apply({ type: 'work', workHashes: verifiedWork });
  }

  #apply(event: MeteringEvent): void {
    const before = this.#state;
    const { state, effects } = transition(
      this.#options.terms,
      before,
      event,
      this.#deps.clock.monotonicMs(),
    );
    this.#state = state;
    const { contractId: contract } = this;
    for (const effect of effects)
      if (effect.type !== 'offer_total') this.#deps.log.info({ contract, ...effect }, 'metering');
    if (state.status === 'ending') this.#endWhenDrained();
    if (state !== before) this.#deps.onStatus?.();
  }

  /** Tells the maker that all was delivered, once it is. */
  #endWhenDrained(): void {
    const peer = this.#peer;
    if (peer === undefined || this.#feed?.drained !== true || this.#isEnding) return;
    this.#isEnding = true;
    call(peer, 'meter.end', { contractId: this.contractId })
      .then(() => this.#finish())
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        peer.close(error);
      });
  }

  /** Stores the end, and says good-bye. */
  async #finish(): Promise<void> {
    assert(this.#isSigned, 'metering_signed_before_its_end');
    await this.#serial.run(async () => {
      const { reason = 'asked', signed } = this.#state;
      await this.#deps.ledger.appendNow([
        deliveryEntry(this.contractId, this.#delivery),
        meteredEntry(this.contractId, { status: 'ended', reason }, signed.n),
      ]);
      this.#apply({ type: 'finished' });
    });
    this.#peer?.close(new CodedError('peer_closed', 'the metering is over'));
  }
}
