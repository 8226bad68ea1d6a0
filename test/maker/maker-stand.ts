import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { minerContributionSat } from '../../src/channel/amounts.ts';
import { signFundingInputs } from '../../src/channel/funding.ts';
import { minerKeysOf } from '../../src/channel/keys.ts';
import { fundingPsbt } from '../../src/channel/psbt.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import { Maker } from '../../src/maker/maker.ts';
import type { MakerDeps, MakerOptions } from '../../src/maker/maker-options.ts';
import { call } from '../../src/peer/calls.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import { authenticate } from '../../src/peer/handshake.ts';
import type { MethodName, Params, Result } from '../../src/peer/messages.ts';
import { DEFAULT_RPC, type RpcHandlers, RpcPeer } from '../../src/peer/rpc-peer.ts';
import {
  assembleChannel,
  chooseFundingSide,
  identityOfSigner,
  signTerms,
  walletScript,
} from '../../src/settlement/opening.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { random } from '../peer/tls-pair.ts';
import { MortalLedger, seedOf, World, type WorldOptions } from './world.ts';

/** More than any course of writes and answers has. */
const TURNS = 12;
/** Nobody falls silent, and no time goes by for a ping. */
const RPC = { ...DEFAULT_RPC, pingIntervalMs: 10 ** 9 };

export type MakerStandOptions = {
  readonly world?: WorldOptions;
  readonly maker?: Partial<MakerOptions>;
  readonly deps?: Partial<MakerDeps>;
  /** Changes what the maker's node answers. */
  readonly chain?: (source: ChainSource) => ChainSource;
};

/** A miner of a test: its keys, and a connection to the maker. */
export class StandMiner {
  readonly stand: MakerStand;
  readonly signer: SeedSigner;
  readonly peer: RpcPeer;

  constructor(stand: MakerStand, signer: SeedSigner, peer: RpcPeer) {
    this.stand = stand;
    this.signer = signer;
    this.peer = peer;
  }

  get nodeId(): string {
    return toHex(nodeIdBytes(this.signer));
  }

  /** The result of a call, or the code it was refused with; what follows has come about. */
  async ask<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M> | string> {
    const answer = call(this.peer, method, params).catch(codeOf);
    await this.stand.rest();
    return answer;
  }

  /** Terms of its own, told apart by two digits. */
  terms(nonce: string, changes: Partial<ContractTerms> = {}): ContractTerms {
    const { proposed } = this.stand.world;
    const own = { nonceHex: nonce.repeat(16), minerNodeId: this.nodeId };
    return { ...proposed, ...own, ...changes } as ContractTerms;
  }

  async propose(terms: ContractTerms, quoteId?: string): Promise<string> {
    const signature = signTerms(terms, this.signer);
    const asked = { terms, signature, ...(quoteId === undefined ? {} : { quoteId }) };
    const answer = await this.ask('contract.propose', asked);
    return typeof answer === 'string' ? answer : 'signed';
  }

  /** Coins of the wallet key for what terms ask for. */
  coins(terms: ContractTerms): Promise<Params<'channel.open'>['funding']> {
    const asked = { contributionSat: minerContributionSat(terms), feeRateSatPerKvb: 2000 };
    const { source: chain } = this.stand.world;
    return chooseFundingSide({ ...asked, reserved: new Set() }, { chain, signer: this.signer });
  }

  async opening(terms: ContractTerms, funding = this.coins(terms)): Promise<Params<'channel.open'>> {
    const { signer } = this;
    const [contractId, keys] = [contractIdOf(terms), minerKeysOf(signer, terms)];
    return { contractId, keys, payoutScript: walletScript(signer), funding: await funding };
  }

  async open(terms: ContractTerms, funding = this.coins(terms)): Promise<string> {
    const answer = await this.ask('channel.open', await this.opening(terms, funding));
    return typeof answer === 'string' ? answer : 'opened';
  }

  /** Proposes, opens, and signs the funding. */
  async fund(terms: ContractTerms, funding = this.coins(terms)): Promise<string> {
    const open = await this.opening(terms, funding);
    const accept = await this.ask('channel.open', open);
    if (typeof accept === 'string') return accept;
    const { funding: built } = assembleChannel(terms, open, accept);
    const signatures = signFundingInputs(built, 'miner', this.signer);
    const psbt = fundingPsbt(built, 'regtest', 'miner', signatures, this.signer);
    const answer = await this.ask('channel.tx_signatures', { contractId: open.contractId, psbt });
    return typeof answer === 'string' ? answer : 'funded';
  }

  /** Proposes, funds, and has the channel open: deep, and said so by both sides. */
  async openChannel(terms: ContractTerms): Promise<string> {
    const contractId = contractIdOf(terms);
    await this.propose(terms);
    await this.fund(terms);
    await this.stand.blocks(terms.minDepth);
    await this.ask('channel.reestablish', { contractId, ...AT_BEGIN });
    const txid = this.stand.maker.status.find((each) => each.contractId === contractId)!.fundingTxid!;
    await this.ask('channel.ready', { contractId, txid, height: 0 });
    return contractId;
  }
}

/** What a miner says that knows of state 0 alone. */
export const AT_BEGIN = { n: 0, state: undefined, nextSeq: 0 } as const;

/** A whole maker with its network, its clock and its disk in the hands of a test, on a real chain. */
export class MakerStand {
  readonly world: World;
  readonly time = new VirtualTime();
  readonly log = recorder();
  readonly server = new MemoryServer();
  readonly store: MemoryLedger;
  readonly ledger: MortalLedger;
  readonly maker: Maker;

  private constructor(
    { world = {}, maker, deps, chain }: MakerStandOptions,
    store: MemoryLedger,
    of?: World,
  ) {
    this.world = of ?? new World(world);
    this.store = store;
    this.ledger = new MortalLedger(store);
    const { clock, timers } = this.time;
    const source = chain?.(this.world.source) ?? this.world.source;
    this.maker = new Maker(
      {
        ...{ host: '127.0.0.1', port: 0, policy: this.world.policy, finalDepth: 2, rpc: RPC },
        ...{ allowedNodeIds: new Set([this.world.terms.minerNodeId]), ...world.maker, ...maker },
      },
      {
        ...{ ledger: this.ledger, chain: source, signer: this.world.makerSigner, clock, timers, random },
        ...{ kernel: createPortableKernel(64), log: this.log.log },
        openServer: (_options, serverDeps) => this.server.open(serverDeps),
        ...deps,
      },
    );
  }

  static async of(
    options: MakerStandOptions = {},
    store = new MemoryLedger(),
    of?: World,
  ): Promise<MakerStand> {
    const stand = new MakerStand(options, store, of);
    await stand.maker.start();
    await stand.rest();
    return stand;
  }

  /** Another process of it, on what is stored and the chain as it is. */
  async again(options: MakerStandOptions = {}): Promise<MakerStand> {
    await this.stop();
    return MakerStand.of(options, this.store, this.world);
  }

  /** All that can go on without time passing has come about. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn += 1) await this.time.settle();
  }

  async pass(ms: number): Promise<void> {
    await this.time.advance(ms);
    await this.rest();
  }

  async blocks(count: number): Promise<void> {
    this.world.chain.generate(count);
    await this.rest();
  }

  /** A connection of a miner that proved its keys; of the world's own unless it has a name. */
  async miner(name?: string, handlers: RpcHandlers = {}, features = OFFERED_FEATURES): Promise<StandMiner> {
    const seed = seedOf(name ?? 'miner');
    const signer = new SeedSigner({ seed, network: 'regtest' });
    const { timers } = this.time;
    const link = await this.server.connect(undefined as never, undefined as never);
    const peer = new RpcPeer(link, RPC, { timers, log: this.log.log });
    const proved = authenticate(peer, 'client', {
      ...{ identity: identityOfSigner(signer), genesisHash: this.world.chain.blockAt(0)!.hash },
      ...{ features, isKnown: () => true, random, timers, timeoutMs: 5_000 },
    });
    const failure = proved.then(
      () => undefined,
      (error: unknown) => error,
    );
    await this.rest();
    const error = await failure;
    if (error !== undefined) throw error;
    const polite: RpcHandlers = {
      ping: async () => ({}),
      'channel.ready': async () => ({}),
      'peer_storage.put': async () => ({}),
    };
    peer.serve({ ...polite, ...handlers }, 'unknown_method');
    await this.rest();
    return new StandMiner(this, signer, peer);
  }

  /** Of all contracts, by the two digits that tell their terms apart, and their channel. */
  get channels(): readonly string[] {
    return this.maker.status.map(({ contractId, channel }) => {
      const { nonceHex } = this.maker.termsOf(contractId)!;
      return `${nonceHex.slice(0, 2)} ${channel}`;
    });
  }

  async stop(): Promise<void> {
    const closed = this.maker.close();
    await this.rest();
    await closed;
  }
}
