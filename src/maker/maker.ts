import { LRUCache } from 'lru-cache';
import { fromHex, toHex } from '../base/bytes.ts';
import type { Timer } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { ChainTip } from '../chain/source.ts';
import { TemplateWatch } from '../chain/template-watch.ts';
import { TipTracker } from '../chain/tip-tracker.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import { refuseTerm } from '../contract/fields.ts';
import { epochStart } from '../contract/hash-value.ts';
import { edgeAt } from '../contract/index-price.ts';
import { isMetering } from '../contract/metering.ts';
import type { MoneyStream } from '../contract/money-stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { MOST_BACKLOG_MINUTES } from '../contract/terms-v3.ts';
import { handler } from '../peer/calls.ts';
import { createTlsIdentity } from '../peer/certificate.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Params, Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { DEFAULT_RPC, type RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import { DEFAULT_TRANSPORT, type PeerLink, type PeerListener, PeerServer } from '../peer/transport.ts';
import { type ContractUpdates, updateHandlers } from '../settlement/contract-updates.ts';
import { HashValues } from '../settlement/hash-values.ts';
import { streamHandlers } from '../settlement/money-streams.ts';
import { type NoticeRequest, type NoticesView, noticeHandlers } from '../settlement/notice-board.ts';
import { identityOfSigner } from '../settlement/opening.ts';
import { openBlob } from '../settlement/peer-blob.ts';
import { blobsInMemory, PeerBlobs } from '../settlement/peer-blobs.ts';
import { CONTRACT_KIND, NOTHING_DELIVERED } from '../settlement/records.ts';
import { entriesOf } from '../settlement/recovery.ts';
import { rememberShares } from '../work/recent-shares.ts';
import { type BatchVerifierOptions, DEFAULT_BATCH_VERIFIER_OPTIONS } from './batch-verifier.ts';
import { bindingFor } from './bindings.ts';
import { contractStatusOf, type MakerContractStatus } from './contract-status.ts';
import { MakerChannel } from './maker-channel.ts';
import type { MakerMeter } from './maker-meter.ts';
import { MakerMetering, type MeterStatus } from './maker-metering.ts';
import type { MakerOpeningOptions } from './maker-opening.ts';
import type { MakerDeps, MakerOptions } from './maker-options.ts';
import { MakerStore, type MakerStoreDeps, makerJobKey } from './maker-store.ts';
import { Market } from './market.ts';
import { Openings } from './openings.ts';
import { PeerRates } from './peer-rates.ts';
import { assertNotHalted, type MakerPolicy, stakesOf } from './policy.ts';
import { PolicyBook, type PolicyBookDeps } from './policy-book.ts';
import { PoolAccounts } from './pool-accounts.ts';
import { RestoredLedger } from './restored-ledger.ts';
import { ShareVerifier } from './verification.ts';
import { NO_POOLS, type OwnWork } from './work-binding.ts';

/**
 * Greatest age in ms of credited work that is read at a start: of the longest backlog, and of the block
 * before it. What is older is stale, however late.
 */
const DUPLICATE_MEMORY_MS = MOST_BACKLOG_MINUTES * 60_000 + 12 * 3_600_000;
/** Time in ms that hashes are kept longer than they are needed. */
const KEPT_LONGER_MS = 60_000;

const CONTRACTS_PER_SESSION = 1000;
const PROPOSAL_TIMEOUT_MS = 10 * 60_000;
const OPENING_TIMEOUT_MS = 10 * 60_000;
const SWEEP_MS = 30_000;

/**
 * The market maker's side of the daemon: serves miners over TLS, takes contracts by policy, funds channels,
 * verifies work and signs it. Everything is restored from the ledger.
 */
export class Maker {
  readonly stats = { connections: 0, refused: {} as Record<string, number>, limitHits: {} as LimitHits };
  readonly #options: MakerOptions;
  readonly #deps: MakerDeps;
  readonly #nodeId: string;
  readonly #view: TipTracker;
  /** Begins with the first contract whose jobs the own node has to judge. */
  #templates: TemplateWatch | undefined;
  readonly #verifier: ShareVerifier;
  readonly #restored: RestoredLedger;
  readonly #metering: MakerMetering;
  readonly #blobs: PeerBlobs;
  readonly #channels = new Map<string, MakerChannel>();
  /** Connections by node id, in the order of arrival. */
  readonly #peers = new Map<string, Set<RpcPeer>>();
  readonly #budgets = new LRUCache<string, PeerBudget>({ max: LIMITS.trackedAddresses });
  readonly #openings: Openings;
  readonly #proposals: PeerRates;
  readonly #policies: PolicyBook;
  readonly #values: HashValues;
  readonly market: Market;
  readonly #ownWork: OwnWork;
  /** What each pool owes for credited work. */
  readonly poolAccounts: PoolAccounts;
  #server: PeerListener | undefined;
  #stopTip: (() => void) | undefined;
  #sweeper: Timer | undefined;
  #stopClock: (() => void) | undefined;

  constructor(options: MakerOptions, deps: MakerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#ownWork = deps.ownWork ?? NO_POOLS();
    this.poolAccounts = new PoolAccounts(this.#ownWork.book.names, deps.ledger);
    this.#nodeId = toHex(nodeIdBytes(deps.signer));
    this.#policies = new PolicyBook(options.policy, { ...deps, ...applying(deps) });
    this.#view = new TipTracker(deps);
    this.#verifier = new ShareVerifier(deps);
    this.#proposals = new PeerRates('peerProposals', { ...deps, perMinute: 0.1 });
    this.#restored = new RestoredLedger({ ...deps, onRestored: () => this.#reconnectAll() });
    this.#metering = new MakerMetering(
      {
        ...{ nodeId: this.#nodeId, policy: () => this.policy, verification: this.#verification },
        countProposal: (nodeId) => this.#proposals.take(nodeId),
      },
      {
        ...{ ...deps, verifier: this.#verifier, onChange: () => deps.onStatus?.() },
        view: options.hasChain === false ? undefined : this.#view,
      },
    );
    this.#values = new HashValues(deps);
    this.market = new Market(
      {
        nodeId: this.#nodeId,
        beginBlocks: beginBlocksOf(openingOptionsOf(options).margins),
        isListed: (id) => options.allowedNodeIds === undefined || options.allowedNodeIds.has(id),
      },
      {
        ...{ ...deps, values: this.#values, policy: () => this.policy },
        held: (except) => this.#openings.held(except),
        pools: this.poolAccounts,
      },
    );
    this.#openings = new Openings(
      {
        ...{ nodeId: this.#nodeId, policy: () => this.policy, opening: openingOptionsOf(options) },
        proposalTimeoutMs: options.proposalTimeoutMs ?? PROPOSAL_TIMEOUT_MS,
        openingTimeoutMs: options.openingTimeoutMs ?? OPENING_TIMEOUT_MS,
      },
      {
        ...{ ...deps, view: this.#view, storeDeps: this.#storeDeps, channels: this.#channels },
        add: (store) => this.#add(store),
        forget: (contractId) => this.#forget(contractId),
        countProposal: (nodeId) => this.#proposals.take(nodeId),
        market: this.market,
      },
    );
    this.#blobs = new PeerBlobs({ ...deps, files: deps.blobFiles ?? blobsInMemory() });
  }

  /**
   * Restores every contract, then listens. Resolves with the port. Throws `ledger_corrupt`,
   * `address_in_use`.
   */
  async start(): Promise<number> {
    const { ledger, chain, log, clock, random } = this.#deps;
    await this.#policies.load();
    await this.poolAccounts.load();
    for (const { id } of await ledger.list(CONTRACT_KIND)) {
      const store = await MakerStore.load(id, this.#storeDeps);
      if (store !== undefined) await this.#add(store).loadBinding();
    }
    const memory = { memoryMs: DUPLICATE_MEMORY_MS, jobKey: makerJobKey };
    await rememberShares(ledger, memory, (generation, bytes, at, contractId) =>
      this.#verifier.remember(contractId, generation, bytes, at),
    );
    await this.#metering.load();
    const genesisHash = await chain.genesisHash();
    if (this.#options.hasChain === false) this.#assertNoChannel();
    else await this.#startChannels();
    const transport = this.#options.transport ?? DEFAULT_TRANSPORT;
    const { openServer = (...words) => new PeerServer(...words) } = this.#deps;
    this.#server = openServer(
      {
        ...transport,
        host: this.#options.host,
        port: this.#options.port,
        maxConnections: this.#options.maxConnections ?? LIMITS.peerConnections,
        newcomerBytes: LIMITS.peerNewcomerBytes,
        tls: createTlsIdentity({ random, nowMs: clock.nowMs() }),
      },
      {
        log,
        timers: this.#deps.timers,
        limitHits: this.stats.limitHits,
        onConnection: (connection) => {
          this.#serve(connection, genesisHash).catch((error: unknown) => {
            if (!(error instanceof CodedError)) throw error;
            this.#countRefusal(error);
          });
        },
      },
    );
    return this.#server.listen();
  }

  /** A channel cannot do without a chain, whatever contracts are taken now. */
  #assertNoChannel(): void {
    const open = [...this.#channels.values()].find(
      ({ store, isOver }) => store.channel !== undefined && !isOver,
    );
    if (open !== undefined)
      throw new CodedError(
        'config_invalid',
        `[chain] is missing: channel ${open.store.contractId} is not over`,
      );
  }

  /** Brings the channels to where the chain and their signers are, and watches the chain. */
  async #startChannels(): Promise<void> {
    const { chain } = this.#deps;
    const tip = await chain.tip();
    this.#view.onTip(tip);
    let isSignerAhead = false;
    for (const { store } of this.#channels.values()) {
      if (await store.recover(tip.height)) isSignerAhead = true;
    }
    const stores = (): MakerStore[] => [...this.#channels.values()].map(({ store }) => store);
    await this.#restored.start(stores, tip.height, isSignerAhead);
    await this.#openings.restore(stores());
    this.#sweeper = this.#deps.timers.every(SWEEP_MS, () => this.#openings.giveUp());
    this.#stopTip = chain.watchTip((tip) => {
      this.#view.onTip(tip);
      for (const [contractId, channel] of this.#channels) {
        channel.lookAtChain();
        if (channel.isOver) void this.#blobs.drop(contractId);
      }
      this.#metering.onTip(tip.height);
      this.#readValues(tip);
      this.#openings.giveUp();
      void this.#dropHashes();
    });
    this.#stopClock = this.#deps.chainClock?.watch(({ isStalled }) => {
      this.#openings.isStalled = isStalled;
      for (const { store } of this.#channels.values()) store.setStalled(isStalled);
    });
  }

  /** Hashes of credited shares that are remembered, over all contracts. */
  get rememberedHashes(): number {
    return this.#verifier.credited.size;
  }

  /** Contracts without money, ended ones too. */
  get metering(): readonly MeterStatus[] {
    return this.#metering.status;
  }

  /** The policy in force, and what of it was set at run time. */
  get policy(): MakerPolicy {
    return this.#policies.policy;
  }

  get policies(): Pick<PolicyBook, 'policy' | 'settings' | 'set' | 'check' | 'hold'> {
    return this.#policies;
  }

  /** Of the newest block; undefined before one was seen. */
  get height(): number | undefined {
    return this.#view.tip?.height;
  }

  get nodeId(): string {
    return this.#nodeId;
  }

  /** True while a fault of our own, other than a chain that stands still, holds a contract up. */
  get isSuspended(): boolean {
    return [...this.#channels.values()].some(({ store }) => store.isSuspended);
  }

  /** All contracts, closed ones too. */
  get status(): readonly MakerContractStatus[] {
    return [...this.#channels.values()].map(contractStatusOf);
  }

  /** The terms of a contract with a channel. */
  termsOf(contractId: string): ContractTerms | undefined {
    return this.#channels.get(contractId)?.store.terms;
  }

  /** Ends a contract without money: see `MakerMeter.requestEnd`. Throws `unknown_channel`. */
  async endMetering(contractId: string): Promise<void> {
    await this.#metering.requestEnd(contractId);
  }

  /** Asks the miner to close: see `MakerChannel.requestClose`. Throws `unknown_channel`. */
  async requestClose(contractId: string, isDryRun = false): Promise<void> {
    await this.#known(contractId).requestClose(isDryRun);
  }

  /** See `MakerChannel.notice`. Throws `unknown_channel`. */
  async notice(contractId: string, request: NoticeRequest, isDryRun: boolean): Promise<NoticesView> {
    return this.#known(contractId).notice(request, isDryRun);
  }

  /** The updates of a contract. Throws `unknown_channel`. */
  updatesOf(contractId: string): ContractUpdates {
    return this.#known(contractId).updates;
  }

  /** The contracts as money streams. */
  get moneyStreams(): readonly MoneyStream[] {
    return [...this.#channels.values()].map((channel) => channel.moneyStream);
  }

  /** One of them, and how its miner has it. Throws `unknown_channel`. */
  streamOf(contractId: string): Pick<MakerChannel, 'moneyStream' | 'compareStreams'> {
    return this.#known(contractId);
  }

  /** Takes a channel back: see `MakerChain.closeAlone`. Throws `unknown_channel`. */
  async closeAlone(contractId: string): Promise<void> {
    await this.#known(contractId).closeAlone();
  }

  get #storeDeps(): MakerStoreDeps {
    const { finalDepth } = this.#options;
    const beginBlocks = beginBlocksOf(openingOptionsOf(this.#options).margins);
    return { ...this.#deps, beginBlocks, ...(finalDepth === undefined ? {} : { finalDepth }) };
  }

  /** Reads what the price rule needs of the chain. */
  #readValues(tip: ChainTip): void {
    const { pricing, offMarketPpm } = this.policy;
    if (offMarketPpm !== undefined) void this.#values.read(tip, edgeAt({ epoch: 'day' }, tip.height), 0);
    if (pricing === undefined) return;
    const { rule, spread } = pricing;
    if (rule.type === 'fixed' && spread.volatilityPpm === 0) return;
    const height = rule.type === 'fixed' ? tip.height : epochStart(rule.epoch, tip.height);
    void this.#values.read(tip, height);
  }

  /** Whoever may connect: the listed, those with a contract, and all where strangers are served. */
  #isServed(nodeId: string): boolean {
    if (this.market.isListed(nodeId) || (this.policy.strangers?.maxContracts ?? 0) > 0) return true;
    return this.#hasContract(nodeId);
  }

  /** Ends connections of those that may not connect any more. */
  dropUnserved(): void {
    for (const [nodeId, peers] of this.#peers) {
      if (this.#isServed(nodeId)) continue;
      for (const peer of [...peers]) peer.close(new CodedError('unknown_peer'));
    }
  }

  #hasContract(nodeId: string): boolean {
    return [...this.#channels.values()].some(
      ({ store }) => store.terms.minerNodeId === nodeId && store.channel !== undefined && !store.isClosed,
    );
  }

  #offer(): Result<'market.offer'> {
    const { offer } = this.#deps;
    if (offer === undefined) throw new CodedError('unknown_method', 'market.offer');
    assertNotHalted(this.policy);
    return { offer: offer(this.policy) };
  }

  /** Metering has no money to be staked: only who is listed may ask for it. */
  async #proposeMetering(
    params: Params<'contract.propose'>,
    nodeId: string,
  ): Promise<Result<'contract.propose'> | undefined> {
    if (isMetering(params.terms) && !this.market.isListed(nodeId))
      refuseTerm('miner_node_id', 'is not listed here');
    return this.#metering.propose(params, nodeId);
  }

  #known(contractId: string): MakerChannel {
    const channel = this.#channels.get(contractId);
    if (channel === undefined) throw new CodedError('unknown_channel');
    return channel;
  }

  /** Ends all connections; the channels stay as they are. */
  async close(): Promise<void> {
    this.#stopTip?.();
    this.#templates?.stop();
    this.#sweeper?.cancel();
    this.#restored.stop();
    this.#stopClock?.();
    await this.#server?.close();
    await this.#openings.run(async () => {});
    for (const channel of this.#channels.values()) await channel.stop();
    await this.#metering.stop();
  }

  async #serve(connection: PeerLink, genesisHash: string): Promise<void> {
    const peer = new RpcPeer(connection, this.#options.rpc ?? DEFAULT_RPC, this.#deps);
    const nodeId = await authenticate(peer, 'server', {
      identity: identityOfSigner(this.#deps.signer),
      genesisHash,
      features: this.#options.features ?? OFFERED_FEATURES,
      isKnown: (id) => this.#isServed(id),
      random: this.#deps.random,
      timers: this.#deps.timers,
      timeoutMs: this.#options.authTimeoutMs ?? 10_000,
    });
    if (this.market.isListed(nodeId) || this.#hasContract(nodeId)) connection.keepPlace();
    this.#seat(peer, nodeId);
    const overruns = new Overruns(peer, this.stats.limitHits, this.#deps);
    const budget =
      this.#budgets.get(nodeId) ?? new PeerBudget({ ...this.#deps, limitHits: this.stats.limitHits });
    this.#budgets.set(nodeId, budget);
    connection.paceReads(budget.read);
    peer.serve(budget.guard(this.#handlers(peer, nodeId), overruns), 'unknown_method');
    this.stats.connections += 1;
    this.#deps.log.info({ peer: connection.remoteAddress, nodeId }, 'miner connected');
    this.#deps.onStatus?.();
    const reason = await peer.closed;
    const peers = this.#peers.get(nodeId);
    peers?.delete(peer);
    if (peers?.size === 0) this.#peers.delete(nodeId);
    this.#deps.log.info({ nodeId, code: reason.code }, 'miner disconnected');
    this.#deps.onStatus?.();
  }

  /**
   * Registers a connection; of too many of one node the oldest is ended, since its miner may have moved.
   */
  #seat(peer: RpcPeer, nodeId: string): void {
    const peers = this.#peers.get(nodeId) ?? new Set();
    this.#peers.set(nodeId, peers.add(peer));
    if (peers.size <= LIMITS.peerConnectionsPerNode) return;
    const [oldest] = peers;
    peers.delete(oldest!);
    countHit(this.stats.limitHits, 'peerConnectionsPerNode');
    oldest!.closeWithError(new CodedError('too_often', 'connections of one node'));
  }

  #handlers(peer: RpcPeer, nodeId: string): RpcHandlers {
    const attached = new Set<MakerChannel>();
    const touch = (channel: MakerChannel): MakerChannel => {
      if (attached.has(channel))
        channel.batchVerifier.contactAtMonotonicMs = this.#deps.clock.monotonicMs();
      return channel;
    };
    const channelOf = (contractId: string): MakerChannel =>
      touch(this.#openings.channelOf(contractId, nodeId));
    const workOf = (contractId: string): MakerChannel | MakerMeter =>
      this.#metering.find(contractId, nodeId) ?? channelOf(contractId);
    return {
      ping: async () => {
        for (const channel of attached) touch(channel);
        this.#metering.touch(nodeId);
        return {};
      },
      'contract.propose': handler(
        'contract.propose',
        async (params) =>
          (await this.#proposeMetering(params, nodeId)) ?? (await this.#openings.propose(params, nodeId)),
      ),
      'market.quote': handler('market.quote', (params) => this.#openings.quote(params, nodeId)),
      'market.offer': handler('market.offer', async () => this.#offer()),
      ...this.#metering.handlers(peer, nodeId),
      'channel.open': handler('channel.open', (params) => this.#openings.open(params, nodeId)),
      'channel.tx_signatures': handler('channel.tx_signatures', (params) =>
        this.#openings.fund(params, nodeId),
      ),
      'peer_storage.put': handler('peer_storage.put', async ({ contractId, blob }) => {
        // Of a contract that is no more than proposed there is nothing to be kept.
        if (channelOf(contractId).store.channel === undefined) throw new CodedError('unknown_channel');
        await this.#blobs.put(contractId, blob);
        return {};
      }),
      'peer_storage.get': handler('peer_storage.get', async () => this.#blobsFor(nodeId)),
      'channel.reestablish': handler('channel.reestablish', async (params) => {
        await this.#bringBack(params, nodeId);
        const channel = this.#openings.channelOf(params.contractId, nodeId);
        const answer = await channel.reestablish(peer, params);
        if (attached.size < CONTRACTS_PER_SESSION) attached.add(channel);
        return answer;
      }),
      'channel.ready': handler('channel.ready', (p) => channelOf(p.contractId).minerReady(peer, p)),
      'job.announce': handler('job.announce', (p) => workOf(p.contractId).announce(peer, p)),
      'work.batch': handler('work.batch', (p) => workOf(p.contractId).takeBatch(peer, p)),
      'work.subscribe': handler('work.subscribe', (p) => channelOf(p.contractId).subscribe(peer, p)),
      'work.solution': handler('work.solution', (p) => channelOf(p.contractId).solve(p)),
      'work.block': handler('work.block', (p) => channelOf(p.contractId).showBlock(peer, p)),
      'delivery.minutes': handler('delivery.minutes', (p) => channelOf(p.contractId).minutes(peer, p)),
      ...noticeHandlers((contractId) => channelOf(contractId).noticesOf(peer)),
      ...streamHandlers((contractId) => channelOf(contractId).store),
      ...updateHandlers(
        (contractId) => channelOf(contractId).updatesOf(peer),
        (contractId, error) => channelOf(contractId).drop(peer, error),
      ),
      'channel.shutdown': handler('channel.shutdown', (p) => channelOf(p.contractId).shutdown(peer)),
      'bond.release': handler('bond.release', (p) => channelOf(p.contractId).releaseBond(p)),
      'close.sig': handler('close.sig', (p) => channelOf(p.contractId).closeSignature(peer, p)),
    };
  }

  /** Forgets the hashes of blocks on which no contract can be credited any more. */
  async #dropHashes(): Promise<void> {
    const open = [...this.#channels.values()].filter(({ store }) => !store.isClosed);
    const oldestMs = Math.min(
      this.#deps.clock.monotonicMs(),
      ...open.map(({ batchVerifier }) => batchVerifier.oldestMs),
    );
    const { credited } = this.#verifier;
    for (const generation of credited.generations) {
      try {
        const standing = await this.#view.standing(displayHash(fromHex(generation)));
        if (standing.status !== 'superseded') continue;
        if (standing.sinceMonotonicMs < oldestMs - KEPT_LONGER_MS) credited.drop(generation);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        return;
      }
    }
  }

  /** Every miner is told anew up to which block no work is credited. */
  #reconnectAll(): void {
    const reason = new CodedError('maker_restored');
    for (const channel of this.#channels.values()) channel.reconnect(reason);
  }

  /** The blobs that a miner left here for its open contracts. */
  async #blobsFor(nodeId: string): Promise<Result<'peer_storage.get'>> {
    const blobs: { contractId: string; blob: string }[] = [];
    let left = LIMITS.peerLineBytes / 2;
    for (const { store } of [...this.#channels.values()].reverse()) {
      if (store.isClosed || store.terms.minerNodeId !== nodeId || blobs.length >= LIMITS.peerBlobs)
        continue;
      const blob = await this.#blobs.get(store.contractId);
      if (blob === undefined || blob.length > left) continue;
      left -= blob.length;
      blobs.push({ contractId: store.contractId, blob });
    }
    return { blobs };
  }

  /** Restores a contract that the ledger lost from the blob that the miner kept. Throws `bad_blob`. */
  async #bringBack(
    { contractId, blob, nextSeq }: Params<'channel.reestablish'>,
    nodeId: string,
  ): Promise<void> {
    if (blob === undefined || this.#channels.has(contractId)) return;
    await this.#openings.run(async () => {
      if (this.#channels.has(contractId)) return;
      const opened = openBlob(contractId, 'maker', blob, this.#deps.signer);
      if (opened.contract.terms.minerNodeId !== nodeId) throw new CodedError('unknown_channel');
      const { height } = await this.#deps.chain.tip();
      const { workHashes: verifiedWorkHashes } = opened.state;
      const delivery = { ...NOTHING_DELIVERED, nextSeq, verifiedWorkHashes, restoredHeight: height };
      await this.#deps.ledger.appendNow(entriesOf(contractId, opened, delivery));
      const store = await MakerStore.load(contractId, this.#storeDeps);
      if (store === undefined) return;
      await store.recover(height);
      this.#add(store);
      await this.#restored.proven(height);
      this.#deps.log.warn({ contract: contractId }, 'a lost contract came back from its miner');
    });
  }

  #add(store: MakerStore): MakerChannel {
    const batchVerifier = this.#verification;
    const { backlogWindowMs } = batchVerifier;
    const options = {
      batchVerifier,
      stakes: stakesOf(this.policy),
    };
    const channel = new MakerChannel(store, options, {
      ...this.#deps,
      view: this.#view,
      verifier: this.#verifier,
      restored: this.#restored,
      values: this.#values,
      limitHits: this.stats.limitHits,
      freeCoins: () => this.#openings.freeCoins(),
      onChange: () => this.#deps.onStatus?.(),
      judgeUpdate: (terms, update) =>
        this.market.judgeUpdate(terms, update, this.#view.tip?.height ?? terms.expiryHeight),
      bindingOf: (each, miner) =>
        bindingFor(each, {
          ...{ ...this.#deps, ...this.#ownWork, ...miner, view: this.#view, backlogWindowMs },
          ...{ accounts: this.poolAccounts, limitHits: this.stats.limitHits },
          templates: () => this.#startTemplates(),
        }),
    });
    this.#channels.set(store.contractId, channel);
    this.#openings.noteAdded(store);
    return channel;
  }

  /** Only of a proposal: nobody is attached to it. */
  #forget(contractId: string): void {
    void this.#channels.get(contractId)?.stop();
    this.#channels.delete(contractId);
  }

  get #verification(): BatchVerifierOptions {
    return { ...DEFAULT_BATCH_VERIFIER_OPTIONS, ...this.#options.verification };
  }

  #startTemplates(): TemplateWatch {
    this.#templates ??= new TemplateWatch({ network: this.#options.policy.network, kept: 1 }, this.#deps);
    this.#templates.start();
    return this.#templates;
  }

  #countRefusal(error: CodedError): void {
    const code = codeOf(error);
    this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    this.#deps.log.debug({ code }, 'connection ended before it was authenticated');
  }
}

/** The options of openings; margins follow a policy that takes shorter contracts than they allow. */
function openingOptionsOf({ policy, opening }: MakerOptions): MakerOpeningOptions {
  const { askBlocks, urgentBlocks } = DEFAULT_CLOSE_MARGINS;
  const lateBlocks = Math.min(askBlocks + urgentBlocks, policy.minExpiryBlocks);
  const margins = { askBlocks: lateBlocks, urgentBlocks: 0 };
  return { fundingTargetBlocks: 6, margins, ...opening };
}

function applying({ applyPolicy: apply }: MakerDeps): Pick<PolicyBookDeps, 'apply'> {
  return apply === undefined ? {} : { apply };
}
