import { LRUCache } from 'lru-cache';
import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { ChainClock } from '../chain/chain-clock.ts';
import { type ChainSource, optional } from '../chain/source.ts';
import { TemplateWatch } from '../chain/template-watch.ts';
import { TipTracker } from '../chain/tip-tracker.ts';
import { beginBlocksOf, DEFAULT_CLOSE_MARGINS, SPENT_ELSEWHERE } from '../chain/watcher.ts';
import { channelIndexOf } from '../channel/channel-index.ts';
import { assertTimeToFund, isTooLateToBegin } from '../channel/deadlines.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import { type StreamStatus, unsignedWork } from '../contract/stream.ts';
import { contractIdOf } from '../contract/terms.ts';
import { MOST_BACKLOG_MINUTES } from '../contract/terms-v3.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { handler } from '../peer/calls.ts';
import { createTlsIdentity } from '../peer/certificate.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Params, Result } from '../peer/messages.ts';
import { Overruns, PeerBudget } from '../peer/overruns.ts';
import { DEFAULT_RPC, type RpcHandlers, type RpcOptions, RpcPeer } from '../peer/rpc-peer.ts';
import {
  DEFAULT_TRANSPORT,
  type PeerLink,
  type PeerListener,
  PeerServer,
  type PeerServerDeps,
  type PeerServerOptions,
  type TransportOptions,
} from '../peer/transport.ts';
import type { ExternalSigning } from '../settlement/external-signing.ts';
import type { FundingWallet } from '../settlement/funding-wallet.ts';
import type { LadderWriter } from '../settlement/ladder-writer.ts';
import {
  identityOfSigner,
  outpointName,
  type SignerTree,
  signTerms,
  verifyTermsSignature,
} from '../settlement/opening.ts';
import { openBlob } from '../settlement/peer-blob.ts';
import { type BlobFiles, blobsInMemory, PeerBlobs } from '../settlement/peer-blobs.ts';
import {
  type ChannelStatus,
  CONTRACT_KIND,
  type ContractRecord,
  contractEntry,
  NOTHING_DELIVERED,
} from '../settlement/records.ts';
import { entriesOf } from '../settlement/recovery.ts';
import type { SealStatus } from '../settlement/stake-settlement.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { rememberShares } from '../work/recent-shares.ts';
import { type BatchVerifierOptions, DEFAULT_BATCH_VERIFIER_OPTIONS } from './batch-verifier.ts';
import type { BeadSource } from './bead-binding.ts';
import { bindingFor } from './bindings.ts';
import { CoinHolds } from './coin-holds.ts';
import type { ContractLuck } from './contract-luck.ts';
import type { BeadStatus } from './job-binding.ts';
import { MakerChannel } from './maker-channel.ts';
import { acceptOpening, completeFunding, type MakerOpeningOptions, reservedBy } from './maker-opening.ts';
import { MakerStore, type MakerStoreDeps, makerJobKey, type OpenStateSigner } from './maker-store.ts';
import { OpeningBudget } from './opening-budget.ts';
import {
  assertRoom,
  judgeTerms,
  lockedSat,
  type MakerPolicy,
  type PolicyContext,
  stakesOf,
} from './policy.ts';
import { type PositionFile, RestoredLedger } from './restored-ledger.ts';
import { ShareVerifier } from './verification.ts';
import { NO_POOLS, type OwnWork } from './work-binding.ts';
import type { WorkStatus } from './work-status.ts';

export type MakerOptions = {
  readonly host: string;
  /** TCP port; 0 lets the system choose. */
  readonly port: number;
  /** Node ids that may connect; undefined admits everyone who proves a key. */
  readonly allowedNodeIds?: ReadonlySet<string>;
  readonly maxConnections?: number;
  readonly policy: MakerPolicy;
  readonly opening?: Partial<MakerOpeningOptions>;
  /** Time in ms after which a proposal that is not opened holds no budget. */
  readonly proposalTimeoutMs?: number;
  /** Time in ms after which an opening that does not go on frees its coins: see `OpeningBudget`. */
  readonly openingTimeoutMs?: number;
  readonly verification?: Partial<BatchVerifierOptions>;
  /** Confirmations at which a close is final. */
  readonly finalDepth?: number;
  readonly authTimeoutMs?: number;
  readonly transport?: TransportOptions;
  readonly rpc?: RpcOptions;
  /** Feature bits to announce: see `FEATURE_TABLE`. */
  readonly features?: readonly number[];
};

export type MakerDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  /** Tells when no node hears of blocks: no work is taken then, and nothing opened. */
  readonly chainClock?: ChainClock;
  readonly signer: SignerTree;
  /** See `StakeSettlementDeps`. */
  readonly externalSigning?: ExternalSigning;
  /** See `MakerStoreDeps`. */
  readonly openStateSigner?: OpenStateSigner;
  /** Wallet for fundings. Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
  /** The own Braidpool node, for contracts that are bound by its beads. */
  readonly beads?: BeadSource;
  readonly kernel: ShareKernel;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** Positions beside the ledger, which show one that was restored: see `RestoredLedger`. */
  readonly positions?: PositionFile;
  /** Pools for contracts whose jobs are the maker's own. Default: none, and their jobs are in memory. */
  readonly ownWork?: OwnWork;
  /** Writes the refund of each channel to a file. */
  readonly ladders?: LadderWriter;
  /** Files for the miners' blobs. Default: in memory. */
  readonly blobFiles?: BlobFiles;
  /** Called after every possible change of the status. */
  readonly onStatus?: () => void;
  /** Opens a listener on another network than TLS over TCP. */
  readonly openServer?: (options: PeerServerOptions, deps: PeerServerDeps) => PeerListener;
};

/** The status of one contract at the maker. */
export type MakerContractStatus = {
  readonly contractId: string;
  readonly minerNodeId: string;
  readonly connected: boolean;
  readonly channel: ChannelStatus | 'none';
  readonly stream: StreamStatus;
  readonly verifiedWorkHashes: bigint;
  readonly unsignedWorkHashes: bigint;
  readonly n: number;
  readonly ackedN: number;
  readonly paidSat: bigint;
  readonly sharesCredited: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Of a contract whose jobs are the maker's own. */
  readonly work: WorkStatus | undefined;
  readonly fundingTxid: string | undefined;
  readonly fundingDepth: number;
  /** Status of the seal; `none` where the terms have none. */
  readonly seal: SealStatus;
  /** Undefined where no beads bind the work. */
  readonly beads: BeadStatus | undefined;
  readonly frozen: string | undefined;
  readonly luck: ContractLuck;
};

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
  readonly #blobs: PeerBlobs;
  readonly #channels = new Map<string, MakerChannel>();
  /** Connections by node id, in the order of arrival. */
  readonly #peers = new Map<string, Set<RpcPeer>>();
  readonly #budgets = new LRUCache<string, PeerBudget>({ max: LIMITS.trackedAddresses });
  /** Times in this run at which openings last went on. */
  readonly #openedAtMs = new Map<string, number>();
  readonly #budget: OpeningBudget;
  readonly #holds: CoinHolds;
  readonly #ownWork: OwnWork;
  /** Times of proposals in this run; a proposal of an earlier one holds no budget. */
  readonly #proposedAtMs = new WeakMap<MakerStore, number>();
  /** Queue of openings, one at a time: a channel index or a coin is used once. */
  readonly #openings = new SerialQueue();
  #server: PeerListener | undefined;
  #stopTip: (() => void) | undefined;
  #sweeper: Timer | undefined;
  #stopClock: (() => void) | undefined;
  #isStalled = false;

  constructor(options: MakerOptions, deps: MakerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#budget = new OpeningBudget({ openingMs: options.openingTimeoutMs ?? OPENING_TIMEOUT_MS }, deps);
    this.#holds = new CoinHolds(deps);
    this.#ownWork = deps.ownWork ?? NO_POOLS();
    this.#nodeId = toHex(nodeIdBytes(deps.signer));
    this.#view = new TipTracker(deps);
    this.#verifier = new ShareVerifier(deps);
    this.#restored = new RestoredLedger({ ...deps, onRestored: () => this.#reconnectAll() });
    this.#blobs = new PeerBlobs({ ...deps, files: deps.blobFiles ?? blobsInMemory() });
  }

  /**
   * Restores every contract, then listens. Resolves with the port. Throws `ledger_corrupt`,
   * `address_in_use`.
   */
  async start(): Promise<number> {
    const { ledger, chain, log, clock, random } = this.#deps;
    for (const { id } of await ledger.list(CONTRACT_KIND)) {
      const store = await MakerStore.load(id, this.#storeDeps);
      if (store !== undefined) await this.#add(store).loadBinding();
    }
    const memory = { memoryMs: DUPLICATE_MEMORY_MS, jobKey: makerJobKey };
    await rememberShares(ledger, memory, (generation, bytes, at, contractId) =>
      this.#verifier.remember(contractId, generation, bytes.subarray(at, at + 32)),
    );
    const genesisHash = await chain.genesisHash();
    const tip = await chain.tip();
    this.#view.onTip(tip);
    let isSignerAhead = false;
    for (const { store } of this.#channels.values()) {
      if (await store.recover(tip.height)) isSignerAhead = true;
    }
    const stores = (): MakerStore[] => [...this.#channels.values()].map(({ store }) => store);
    await this.#restored.start(stores, tip.height, isSignerAhead);
    await this.#holds.restore(stores());
    this.#sweeper = this.#deps.timers.every(SWEEP_MS, () => this.#giveUpOpenings());
    this.#stopTip = chain.watchTip((tip) => {
      this.#view.onTip(tip);
      for (const [contractId, channel] of this.#channels) {
        channel.lookAtChain();
        if (channel.isOver) void this.#blobs.drop(contractId);
      }
      this.#giveUpOpenings();
      void this.#dropHashes();
    });
    this.#stopClock = this.#deps.chainClock?.watch(({ isStalled }) => {
      this.#isStalled = isStalled;
      for (const { store } of this.#channels.values()) store.setStalled(isStalled);
    });
    const transport = this.#options.transport ?? DEFAULT_TRANSPORT;
    const { openServer = (...words) => new PeerServer(...words) } = this.#deps;
    this.#server = openServer(
      {
        ...transport,
        host: this.#options.host,
        port: this.#options.port,
        maxConnections: this.#options.maxConnections ?? LIMITS.peerConnections,
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

  /** Hashes of credited shares that are remembered, over all contracts. */
  get rememberedHashes(): number {
    return this.#verifier.credited.size;
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
    return [...this.#channels.values()].map((channel) => {
      const { store, batchVerifier } = channel;
      return {
        contractId: store.contractId,
        minerNodeId: store.terms.minerNodeId,
        connected: channel.connected,
        channel: store.channel?.status ?? 'none',
        stream: store.stream.status,
        verifiedWorkHashes: store.delivery.verifiedWorkHashes,
        unsignedWorkHashes: unsignedWork(store.stream),
        n: store.last?.n ?? -1,
        ackedN: store.ackedN,
        paidSat: store.last?.paidSat ?? 0n,
        sharesCredited: batchVerifier.stats.sharesCredited,
        refused: batchVerifier.stats.refused,
        work: channel.work,
        fundingTxid: store.channel?.fundingTxid,
        fundingDepth: store.stream.fundingDepth,
        seal: channel.seal,
        beads: channel.beads,
        frozen: store.frozen?.message,
        luck: store.luck,
      };
    });
  }

  /** Asks the miner to close: see `MakerChannel.requestClose`. Throws `unknown_channel`. */
  async requestClose(contractId: string): Promise<void> {
    await this.#known(contractId).requestClose();
  }

  /** Takes a channel back: see `MakerChain.closeAlone`. Throws `unknown_channel`. */
  async closeAlone(contractId: string): Promise<void> {
    await this.#known(contractId).closeAlone();
  }

  get #storeDeps(): MakerStoreDeps {
    const { finalDepth } = this.#options;
    const beginBlocks = beginBlocksOf(this.#opening.margins);
    return { ...this.#deps, beginBlocks, ...(finalDepth === undefined ? {} : { finalDepth }) };
  }

  /** The options of openings; margins follow a policy that takes shorter contracts than they allow. */
  get #opening(): MakerOpeningOptions {
    const { askBlocks, urgentBlocks } = DEFAULT_CLOSE_MARGINS;
    const lateBlocks = Math.min(askBlocks + urgentBlocks, this.#options.policy.minExpiryBlocks);
    const margins = { askBlocks: lateBlocks, urgentBlocks: 0 };
    return { fundingTargetBlocks: 6, margins, ...this.#options.opening };
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
  }

  async #serve(connection: PeerLink, genesisHash: string): Promise<void> {
    const peer = new RpcPeer(connection, this.#options.rpc ?? DEFAULT_RPC, this.#deps);
    const { allowedNodeIds } = this.#options;
    const nodeId = await authenticate(peer, 'server', {
      identity: identityOfSigner(this.#deps.signer),
      genesisHash,
      features: this.#options.features ?? OFFERED_FEATURES,
      isKnown: (id) => allowedNodeIds === undefined || allowedNodeIds.has(id),
      random: this.#deps.random,
      timers: this.#deps.timers,
      timeoutMs: this.#options.authTimeoutMs ?? 10_000,
    });
    connection.keepPlace?.();
    this.#seat(peer, nodeId);
    const overruns = new Overruns(peer, this.stats.limitHits, this.#deps);
    const budget = this.#budgets.get(nodeId) ?? new PeerBudget(this.#deps);
    this.#budgets.set(nodeId, budget);
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
    const channelOf = (contractId: string): MakerChannel => touch(this.#channelOf(contractId, nodeId));
    return {
      ping: async () => {
        for (const channel of attached) touch(channel);
        return {};
      },
      'contract.propose': handler('contract.propose', (params) => this.#propose(params, nodeId)),
      'channel.open': handler('channel.open', (params) => this.#open(params, nodeId)),
      'channel.tx_signatures': handler('channel.tx_signatures', (params) => this.#fund(params, nodeId)),
      'peer_storage.put': handler('peer_storage.put', async ({ contractId, blob }) => {
        // Of a contract that is no more than proposed there is nothing to be kept.
        if (channelOf(contractId).store.channel === undefined) throw new CodedError('unknown_channel');
        await this.#blobs.put(contractId, blob);
        return {};
      }),
      'peer_storage.get': handler('peer_storage.get', async () => this.#blobsFor(nodeId)),
      'channel.reestablish': handler('channel.reestablish', async (params) => {
        await this.#bringBack(params, nodeId);
        const channel = this.#channelOf(params.contractId, nodeId);
        const answer = await channel.reestablish(peer, params);
        if (attached.size < CONTRACTS_PER_SESSION) attached.add(channel);
        return answer;
      }),
      'channel.ready': handler('channel.ready', (p) => channelOf(p.contractId).minerReady(peer, p)),
      'job.announce': handler('job.announce', (p) => channelOf(p.contractId).announce(peer, p)),
      'work.batch': handler('work.batch', (p) => channelOf(p.contractId).takeBatch(peer, p)),
      'work.subscribe': handler('work.subscribe', (p) => channelOf(p.contractId).subscribe(peer, p)),
      'work.solution': handler('work.solution', (p) => channelOf(p.contractId).solve(peer, p)),
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

  /** The channel of a peer's contract; contracts of others are unknown to it. */
  #channelOf(contractId: string, nodeId: string): MakerChannel {
    const channel = this.#channels.get(contractId);
    if (channel?.store.terms.minerNodeId !== nodeId) throw new CodedError('unknown_channel');
    return channel;
  }

  /**
   * Answers a proposal. The contract is stored before the signature is sent; the same terms again get the
   * same signature.
   */
  #propose(
    { terms, signature }: Params<'contract.propose'>,
    nodeId: string,
  ): Promise<Result<'contract.propose'>> {
    return this.#openings.run(async () => {
      const contractId = contractIdOf(terms);
      const known = this.#channels.get(contractId);
      if (known !== undefined && known.store.terms.minerNodeId === nodeId) {
        return { contractId, signature: known.store.contract.makerSignature };
      }
      this.#assertChainMoves();
      const { height, hash } = await this.#deps.chain.tip();
      const isBead = terms.binding.type === 'bead';
      judgeTerms(this.#options.policy, terms, {
        makerNodeId: this.#nodeId,
        peerNodeId: nodeId,
        height,
        tipBits: isBead ? (await this.#deps.chain.header(hash))?.bits : undefined,
        ...this.#heldBy(nodeId),
      });
      assertTimeToFund(terms, this.#opening.margins, height);
      verifyTermsSignature(terms, nodeId, signature);
      const record: ContractRecord = {
        version: 1,
        role: 'maker',
        terms,
        minerSignature: signature,
        makerSignature: signTerms(terms, this.#deps.signer),
        channelIndex: channelIndexOf(contractId),
      };
      await this.#deps.ledger.appendNow([contractEntry(contractId, record)]);
      const store = MakerStore.create(contractId, record, this.#storeDeps);
      this.#proposedAtMs.set(store, this.#deps.clock.monotonicMs());
      this.#add(store);
      this.#deps.log.info({ contract: contractId, nodeId }, 'contract accepted');
      return { contractId, signature: record.makerSignature };
    });
  }

  /** The contracts that hold a budget: all that are not over, except proposals that timed out. */
  #heldBy(
    nodeId: string,
    except?: MakerStore,
  ): Pick<PolicyContext, 'openContractsOfPeer' | 'openBudgetSat'> {
    const { proposalTimeoutMs = PROPOSAL_TIMEOUT_MS } = this.#options;
    const beforeMs = this.#deps.clock.monotonicMs() - proposalTimeoutMs;
    const held = [...this.#channels.values()]
      .map(({ store }) => store)
      .filter((store) => {
        if (store.isClosed || store === except) return false;
        return store.channel !== undefined || (this.#proposedAtMs.get(store) ?? -Infinity) >= beforeMs;
      });
    return {
      openContractsOfPeer: held.filter((store) => store.terms.minerNodeId === nodeId).length,
      openBudgetSat: held.reduce((sum, { terms }) => sum + lockedSat(terms), 0n),
    };
  }

  /**
   * Checks that a proposal may be opened: one that timed out has to fit again, and a peer may have one
   * opening at a time.
   */
  #assertMayOpen(store: MakerStore, names: readonly string[], nodeId: string): void {
    this.#budget.assertFree(names);
    const isOpening = [...this.#channels.values()].some(({ store: { terms, channel, stream } }) => {
      const isUnfunded = channel?.status === 'funding' && stream.fundingDepth === 0;
      return terms.minerNodeId === nodeId && (channel?.status === 'opening' || isUnfunded);
    });
    if (isOpening) throw new CodedError('wrong_status', 'another opening of this miner is not finished');
    assertRoom(this.#options.policy, store.terms, this.#heldBy(nodeId, store));
  }

  /** Checks that blocks come: by an old height nobody knows which deadlines are over. */
  #assertChainMoves(): void {
    if (this.#isStalled) throw new CodedError('wrong_status', 'no block is heard of here');
  }

  #open(params: Params<'channel.open'>, nodeId: string): Promise<Result<'channel.open'>> {
    return this.#openings.run(async () => {
      this.#assertChainMoves();
      const { store } = this.#channelOf(params.contractId, nodeId);
      if (store.channel === undefined) {
        this.#assertMayOpen(store, namesOf(nodeId, params.funding.inputs), nodeId);
        this.#openedAtMs.set(store.contractId, this.#deps.clock.monotonicMs());
      }
      const reserved = new Set([...this.#channels.values()].flatMap((each) => reservedBy(each.store)));
      return acceptOpening(store, params, reserved, this.#opening, { ...this.#deps, holds: this.#holds });
    });
  }

  #fund(params: Params<'channel.tx_signatures'>, nodeId: string): Promise<Result<'channel.tx_signatures'>> {
    return this.#openings.run(async () => {
      this.#assertChainMoves();
      const channel = this.#channelOf(params.contractId, nodeId);
      const answer = await completeFunding(channel.store, params, this.#opening, this.#deps).catch(
        (error: unknown) => {
          // The miner has signed: it is the own wallet that takes its time.
          if (codeOf(error) === 'funding_unsigned')
            this.#openedAtMs.set(channel.store.contractId, this.#deps.clock.monotonicMs());
          throw error;
        },
      );
      channel.lookAtChain();
      return answer;
    });
  }

  #add(store: MakerStore): MakerChannel {
    const batchVerifier = { ...DEFAULT_BATCH_VERIFIER_OPTIONS, ...this.#options.verification };
    const { backlogWindowMs } = batchVerifier;
    const options = {
      batchVerifier,
      stakes: stakesOf(this.#options.policy),
    };
    const channel = new MakerChannel(store, options, {
      ...this.#deps,
      view: this.#view,
      verifier: this.#verifier,
      restored: this.#restored,
      limitHits: this.stats.limitHits,
      onChange: () => this.#deps.onStatus?.(),
      bindingOf: (each, ask) =>
        bindingFor(each, {
          ...{ ...this.#deps, ...this.#ownWork, view: this.#view, backlogWindowMs, ask },
          templates: () => this.#startTemplates(),
        }),
    });
    this.#channels.set(store.contractId, channel);
    const isOpening = store.channel?.status === 'opening' || store.channel?.status === 'funding';
    if (isOpening) this.#openedAtMs.set(store.contractId, this.#deps.clock.monotonicMs());
    return channel;
  }

  #startTemplates(): TemplateWatch {
    this.#templates ??= new TemplateWatch({ network: this.#options.policy.network, kept: 1 }, this.#deps);
    this.#templates.start();
    return this.#templates;
  }

  /**
   * Gives up openings that the miner never signed, and takes note of those that came to their end: their
   * coins become free, and whoever asked for them has to wait.
   */
  #giveUpOpenings(): void {
    const beforeMs =
      this.#deps.clock.monotonicMs() - (this.#options.openingTimeoutMs ?? OPENING_TIMEOUT_MS);
    this.#openings
      .run(async () => {
        for (const { store } of this.#channels.values()) {
          const isLate = (this.#openedAtMs.get(store.contractId) ?? 0) < beforeMs || this.#isTooLate(store);
          if (!isLate || store.channel?.status !== 'opening' || store.frozen !== undefined) continue;
          const reason = 'the miner never signed the funding';
          await optional(
            () => store.commit({ type: 'opening_given_up', reason }),
            ({ code }) => this.#deps.log.warn({ contract: store.contractId, code }, 'not given up yet'),
          );
        }
        for (const contractId of this.#openedAtMs.keys()) this.#judgeOpening(contractId);
        await this.#holds.sweep((contractId) => this.#channels.get(contractId)?.store);
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
      });
  }

  /** True where an opening is refused by now, whoever asks. */
  #isTooLate({ terms }: MakerStore): boolean {
    const height = this.#view.tip?.height;
    return height !== undefined && isTooLateToBegin(terms, this.#opening.margins, height);
  }

  /** Tells the budget what became of an opening, once. */
  #judgeOpening(contractId: string): void {
    const store = this.#channels.get(contractId)?.store;
    const status = store?.channel?.status;
    const inputs = store?.opening?.open.funding.inputs;
    if (store === undefined || inputs === undefined || status === 'opening') return;
    const isWaiting = status === 'funding' && store.stream.fundingDepth === 0;
    if (isWaiting) return;
    const names = namesOf(store.terms.minerNodeId, inputs);
    const isFailed = status === 'failed' || store.channel?.reason === SPENT_ELSEWHERE;
    if (isFailed) this.#budget.failed(names);
    else this.#budget.succeeded(names);
    this.#openedAtMs.delete(contractId);
  }

  #countRefusal(error: CodedError): void {
    const code = codeOf(error);
    this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    this.#deps.log.debug({ code }, 'connection ended before it was authenticated');
  }
}

/** What a budget of openings is kept for: the peer, and each coin that it names. */
function namesOf(nodeId: string, inputs: Params<'channel.open'>['funding']['inputs']): string[] {
  return [nodeId, ...inputs.map(outpointName)];
}
