import { afterEach, beforeAll } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { TipTracker } from '../../src/chain/tip-tracker.ts';
import { type SignedState, signAck, signState } from '../../src/channel/states.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { NO_CONTRACT_LUCK } from '../../src/maker/contract-luck.ts';
import { coinbaseBinding, type JobBinding } from '../../src/maker/job-binding.ts';
import {
  MakerChannel,
  type MakerChannelDeps,
  type MakerChannelOptions,
} from '../../src/maker/maker-channel.ts';
import { MakerStore, type MakerStoreDeps } from '../../src/maker/maker-store.ts';
import { RestoredLedger } from '../../src/maker/restored-ledger.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { handler } from '../../src/peer/calls.ts';
import type { Feature } from '../../src/peer/features.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import { DEFAULT_RPC, type RpcHandlers, RpcPeer } from '../../src/peer/rpc-peer.ts';
import type { PeerLink } from '../../src/peer/transport.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { MemoryServer } from '../auditor/memory-links.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { random } from '../peer/tls-pair.ts';
import { backup, restore } from './backup.ts';
import { type MortalLedger, SHARE, until, World, type WorldOptions } from './world.ts';

export type PaidChannel = {
  readonly world: World;
  readonly stored: readonly LedgerEntry[];
  /** What was on disk when both had signed the funding, which is deep by now. */
  readonly funded: readonly LedgerEntry[];
};

/** One real channel as its maker has it on disk: state 1 of four shares is acked, a fifth is credited. */
export async function paidChannel(options: WorldOptions = {}): Promise<PaidChannel> {
  const world = new World(options);
  await world.startMaker();
  await world.startMiner();
  await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  const funded = await backup(world.makerStore, world.contractId);
  world.chain.generate(world.terms.minDepth);
  await until('live', () => world.miner.status.live);
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.work(1);
  await until('credited', () => world.maker.status[0]!.verifiedWorkHashes === 5n * SHARE.workHashes);
  await world.stop();
  return { world, funded, stored: await backup(world.makerStore, world.contractId) };
}

export type ChannelStandOptions = {
  readonly stakes?: MakerChannelOptions['stakes'];
  readonly deps?: Partial<MakerChannelDeps>;
  readonly storeDeps?: Partial<MakerStoreDeps>;
  readonly binding?: JobBinding;
  readonly stored?: readonly LedgerEntry[];
};

/** A connection in memory: what the maker's side has of it, and the miner's, which answers as a test says. */
export type Link = {
  readonly peer: RpcPeer;
  readonly miner: RpcPeer;
  /** What the maker asked for over it, in order. */
  readonly asked: string[];
};

/**
 * The maker's side of one contract, loaded anew with its disk, its clock and its connections in the hands of
 * a test; the chain is that of the world in which it began.
 */
export class ChannelStand {
  readonly world: World;
  readonly time: VirtualTime;
  readonly log: ReturnType<typeof recorder>;
  readonly view: TipTracker;
  readonly ledger: MortalLedger;
  readonly channel: MakerChannel;
  /** How often a ledger that was restored was told of, and changes of the status. */
  restored = 0;
  changes = 0;
  /** What was given to the node, which nobody else sees. */
  readonly sent: string[] = [];

  private constructor(
    { world }: PaidChannel,
    ledger: MortalLedger,
    store: MakerStore,
    options: ChannelStandOptions,
    time: VirtualTime,
    log: ReturnType<typeof recorder>,
  ) {
    this.world = world;
    this.log = log;
    this.ledger = ledger;
    this.time = time;
    const { clock, timers } = time;
    const chain: ChainSource = new Proxy(world.source, {
      get: (source, name, receiver) =>
        name === 'broadcast'
          ? async (hex: string) => void this.sent.push(hex)
          : (Reflect.get(source, name, receiver) as unknown),
    });
    const common = { ledger, clock, timers, log: this.log.log, random, signer: world.makerSigner };
    this.view = new TipTracker({ chain, clock });
    const onRestored = (): void => {
      this.restored += 1;
    };
    const restored = new RestoredLedger({ ...common, onRestored });
    this.channel = new MakerChannel(
      store,
      {
        batchVerifier: { fixedTarget: false, unknownBlockWaitMs: 0, backlogWindowMs: 600_000 },
        stakes: options.stakes ?? { earlyClose: 'refused' },
      },
      {
        ...{ ...common, chain, view: this.view, restored },
        verifier: new ShareVerifier({ kernel: createPortableKernel(64) }),
        onChange: () => {
          this.changes += 1;
        },
        bindingOf: () => options.binding ?? coinbaseBinding(store.terms),
        ...options.deps,
      },
    );
  }

  static async of(paid: PaidChannel, options: ChannelStandOptions = {}): Promise<ChannelStand> {
    const ledger = await restore(options.stored ?? paid.stored);
    const time = new VirtualTime();
    const { clock, timers } = time;
    const log = recorder();
    const deps = {
      ledger,
      clock,
      timers,
      log: log.log,
      signer: paid.world.makerSigner,
      ...options.storeDeps,
    };
    const store = (await MakerStore.load(paid.world.contractId, deps))!;
    const stand = new ChannelStand(paid, ledger, store, options, time, log);
    await stand.rest();
    return stand;
  }

  get store(): MakerStore {
    return this.channel.store;
  }

  /** All that can go on without time passing has come about: a write is a turn, what follows another. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn += 1) await this.time.settle();
  }

  /** The tip of the chain is heard of, and what follows from it has come about. */
  async look(): Promise<void> {
    this.view.onTip(await this.world.source.tip());
    this.channel.lookAtChain();
    await this.rest();
  }

  /** A connection, over which nothing was said yet. */
  async connect(handlers: RpcHandlers = {}, features: readonly Feature[] = []): Promise<Link> {
    const server = new MemoryServer();
    let accepted: PeerLink | undefined;
    const onConnection = (link: PeerLink): void => {
      accepted = link;
    };
    await server.open({ onConnection } as never).listen();
    const link = await server.connect(undefined as never, undefined as never);
    const rpc = (of: PeerLink): RpcPeer =>
      new RpcPeer(of, DEFAULT_RPC, { log: this.log.log, timers: this.time.timers });
    const [peer, miner] = [rpc(accepted!), rpc(link)];
    peer.features = new Set(features);
    const asked: string[] = [];
    const signs = handler('state.sign', async (params) => this.acked(params));
    const served = Object.entries({ ...POLITE, 'state.sign': signs, ...handlers }).map(
      ([method, answer]): [string, RpcHandlers[string]] => [
        method,
        (params) => {
          asked.push(method);
          return answer(params);
        },
      ],
    );
    peer.serve({ ping: async () => ({}) }, 'unknown_method');
    miner.serve(Object.fromEntries(served), 'unknown_method');
    return { peer, miner, asked };
  }

  /** What a miner says that knows as much as the maker. */
  position(changes: Partial<Params<'channel.reestablish'>> = {}): Params<'channel.reestablish'> {
    const { contractId, last, delivery } = this.store;
    return { contractId, n: last!.n, state: last, nextSeq: delivery.nextSeq, ...changes };
  }

  /** The answer to `channel.reestablish`, or the code it is refused with; what follows has come about. */
  async reestablish(
    { peer }: Link,
    changes: Partial<Params<'channel.reestablish'>> = {},
  ): Promise<Result<'channel.reestablish'> | string> {
    const answer = this.channel.reestablish(peer, this.position(changes)).catch(codeOf);
    await this.rest();
    return answer;
  }

  /** A connection that is reestablished. */
  async attached(handlers: RpcHandlers = {}, features: readonly Feature[] = []): Promise<Link> {
    const link = await this.connect(handlers, features);
    await this.reestablish(link);
    return link;
  }

  /** So many more shares are credited, as after a batch. */
  async credit(shares: number): Promise<void> {
    const nextSeq = this.store.delivery.nextSeq + shares;
    const workHashes = BigInt(shares) * SHARE.workHashes;
    await this.store.credit({
      ...{ shares: ShareRows.empty(0), workHashes, jobs: [], nextSeq, refused: [], ownWorkHashes: 0n },
      ...{ luck: NO_CONTRACT_LUCK, counts: [] },
    });
    await this.rest();
  }

  /** A connection that is reestablished, whose miner sees the funding too. */
  async ready(handlers: RpcHandlers = {}, features: readonly Feature[] = []): Promise<Link> {
    const link = await this.attached(handlers, features);
    const { contractId, channel } = this.store;
    await this.channel.minerReady(link.peer, { contractId, txid: channel!.fundingTxid, height: 0 });
    await this.rest();
    return link;
  }

  /** The miner's ack of a state. */
  acked({ state }: Params<'state.sign'>): Result<'state.sign'> {
    const signer = this.world.minerSigner.forChannel(this.store.contract.channelIndex);
    return { n: state.n, ackSignature: signAck(this.store.assembled!.params, state, signer) };
  }

  /** A state that this maker signed, and this store never saw. */
  signed(n: number, workHashes: bigint): SignedState {
    const { contract, assembled } = this.store;
    return signState(
      assembled!.params,
      n,
      workHashes,
      this.world.makerSigner.forChannel(contract.channelIndex),
    );
  }

  /** The messages of the log, with their code. */
  get said(): readonly (readonly unknown[])[] {
    return this.log.lines
      .filter(([level]) => level !== 'debug')
      .map(([level, { code }, text]) => [level, code, text]);
  }
}

/** The stands of a file on one paid channel, each stopped behind its test. */
export class ChannelStands {
  #paid: PaidChannel | undefined;
  readonly #all: ChannelStand[] = [];

  constructor() {
    beforeAll(async () => {
      this.#paid = await paidChannel();
    });
    afterEach(() => Promise.all(this.#all.splice(0).map((stand) => stand.channel.stop())));
  }

  get paid(): PaidChannel {
    return this.#paid!;
  }

  async stand(options: ChannelStandOptions = {}): Promise<ChannelStand> {
    const stand = await ChannelStand.of(this.paid, options);
    this.#all.push(stand);
    return stand;
  }

  /** One that has looked at the chain. */
  async looked(options: ChannelStandOptions = {}): Promise<ChannelStand> {
    const stand = await this.stand(options);
    await stand.look();
    return stand;
  }
}

/** More than any course of writes and answers has. */
const TURNS = 12;

/** What a miner answers where a test says nothing else. */
const POLITE: RpcHandlers = {
  ping: async () => ({}),
  'channel.ready': async () => ({}),
  'peer_storage.put': async () => ({}),
};
