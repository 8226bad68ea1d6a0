import { fromHex, toHex, u32le } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { ChainClock } from '../../src/chain/chain-clock.ts';
import { ChainNodes } from '../../src/chain/chain-nodes.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { TemplateWatch } from '../../src/chain/template-watch.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import { hasBondOutputs } from '../../src/contract/bond-terms.ts';
import { type ContractTerms, contractIdOf } from '../../src/contract/terms.ts';
import { Renewal } from '../../src/daemon/renewal.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { Logger } from '../../src/log/logger.ts';
import { Maker } from '../../src/maker/maker.ts';
import type { MakerDeps } from '../../src/maker/maker-options.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { workFilesInMemory } from '../../src/maker/work-files.ts';
import { ExposureTotal } from '../../src/miner/exposure-total.ts';
import { MinerContract, type MinerContractDeps } from '../../src/miner/miner-contract.ts';
import { judgeSale } from '../../src/miner/sale-limits.ts';
import type { AuditorLink } from '../../src/settlement/auditor-link.ts';
import { contractTag, needsContractTag } from '../../src/settlement/contract-tag.ts';
import { LadderWriter } from '../../src/settlement/ladder-writer.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import { Meters } from '../../src/work/meters.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { SimAuditor } from './auditor.ts';
import { Braid } from './braid.ts';
import { Disk, never } from './disk.ts';
import { Farm, type FarmBlock, SHARE } from './farm.ts';
import { SimInstance, SimLeases } from './fleet.ts';
import { MarketChain } from './market-chain.ts';
import { Network, otherSide, type Side, type Tap } from './network.ts';
import { CALM_SAT_PER_KVB, SimNode } from './node.ts';
import { Pool } from './pool.ts';
import { Rules, Violation } from './rules.ts';
import { rememberingSigners, type SignerFiles } from './signers.ts';
import { paramsOf } from './strategies/tools.ts';
import { MARGINS, policyOf, SIGNERS, termsAt, termsV3Of } from './terms.ts';
import { Vault, withoutCold } from './vault.ts';
import { Folder, Watchman } from './watchman.ts';
import type { WorldOptions } from './world-options.ts';

export const MINER_COIN_SAT = 300_000n;
export const MAKER_COINS_SAT = [10_000_000n, 5_000_000n] as const;
/** Templates of the miner's node that can be shown, and how often it is asked for one. */
const TEMPLATES_KEPT = 16;
const TEMPLATE_MS = 5_000;
/** How often a process asks each of several nodes. */
const POLL_MS = 500;
const STRANGER_COIN_SAT = 400_000n;
const walletOf = (who: keyof typeof SIGNERS): string =>
  toHex(p2wpkhScript(SIGNERS[who].publicKey('wallet')));
export const WALLETS = {
  miner: walletOf('miner'),
  maker: walletOf('maker'),
  stranger: walletOf('stranger'),
};

/** One life of a process. */
type Life<T> = {
  readonly part: T;
  readonly ledger: Ledger;
  readonly templates?: TemplateWatch;
  /** The miner's, of contracts that follow. */
  readonly followers?: Map<string, MinerContract>;
  isReady: boolean;
  isDead: boolean;
};

/**
 * One miner and one maker with everything about them in the hands of a schedule: their disks, the network
 * between them, the chain and time. What they do is the product's own code.
 */
export class SimWorld {
  readonly time = new VirtualTime();
  readonly chain: MarketChain;
  readonly nodes: Readonly<Record<Side, SimNode>>;
  /** Of a watch elsewhere. */
  readonly watchNode: SimNode;
  readonly terms: ContractTerms;
  readonly contractId: string;
  readonly disks: Readonly<Record<Side, Disk>>;
  readonly network: Network;
  readonly rules: Rules;
  readonly farm: Farm;
  /** Where the contract is bound by beads. */
  readonly braid: Braid | undefined;
  /** Where the maker gives the jobs. */
  readonly pool: Pool | undefined;
  /** Where there is one. */
  readonly auditor: SimAuditor | undefined;
  /** Where the maker's cold keys are. */
  readonly vault: Vault | undefined;
  /** By which the wall clock of each side is off. */
  clockOffsetsMs: Readonly<Record<Side, number>> = { miner: 0, maker: 0 };
  /** Of a solution that is found: whether the maker hears of it at once. */
  tellsSolution: () => boolean = () => true;
  readonly #workFiles = workFilesInMemory();
  readonly startHeight: number;
  readonly shareWorkHashes = SHARE.workHashes;
  /** What each honest side was asked for in which status of its contract: side, method, status. */
  readonly heard = new Set<string>();
  /** Codes of everything logged at warn or error, for the account of a failed run. */
  readonly logged: string[] = [];
  problem: Error | undefined;
  /** The pool of the maker gives jobs on a block that nobody has seen. */
  isPoolAstray = false;
  /** Told of everything that happens, if anybody wants to know. */
  onEvent: ((text: string) => void) | undefined;
  /** Contracts that follow the one of the life, as the miner took them. */
  readonly followers: ContractTerms[] = [];
  /** Called where a contract of the miner may stand elsewhere. */
  onStatus: ((contractId: string) => void) | undefined;
  /** What a hostile side does to its own lines. */
  tap: Tap | undefined;
  /** What a hostile side makes of a line of the other before its own code reads it. */
  tapIn: Tap | undefined;
  readonly #signerFiles: SignerFiles | undefined;
  readonly #options: WorldOptions;
  readonly #startMs: number;
  readonly #folder = new Folder();
  #endWatch: () => void = () => {};
  readonly #clocks: Partial<Record<Side, ChainClock>> = {};
  readonly #links: Partial<Record<Side, AuditorLink>> = {};
  readonly #renewals: Partial<Record<Side, Renewal>> = {};
  readonly #leases: SimLeases;
  /** The process that owns the channel of the miner, or waits for that; and one that stands still. */
  #instance: SimInstance | undefined;
  #asleep: { readonly instance: SimInstance; readonly wake: () => void } | undefined;
  #instances = 0;
  #miner: Life<MinerContract> | undefined;
  #maker: Life<Maker> | undefined;
  #meters = new Meters();
  #delivering = 0;
  readonly #exposures = new WeakMap<object, ExposureTotal>();
  #randomCalls = 0;
  /** The maker refused a batch of this connection for want of room. */
  #hasRefusedBatch = false;
  #said = '';
  #spikeEndHeight = 0;

  constructor(options: WorldOptions = {}) {
    const { clock } = this.time;
    this.#options = options;
    if (options.signerRemembers === true) this.#signerFiles = new Map();
    if (options.vault === true) this.vault = new Vault(SIGNERS.maker);
    const premine = [
      { scriptHex: WALLETS.miner, valueSat: MINER_COIN_SAT },
      ...MAKER_COINS_SAT.map((valueSat) => ({ scriptHex: WALLETS.maker, valueSat })),
    ];
    premine.push({ scriptHex: WALLETS.stranger, valueSat: STRANGER_COIN_SAT });
    // Blocks have a time of their own, whatever is done to the clock of the two.
    this.#startMs = clock.nowMs();
    const chainClock = { nowMs: () => this.#startMs + clock.monotonicMs(), monotonicMs: clock.monotonicMs };
    this.chain = new MarketChain({ premine, fillerCoins: options.othersCoins ?? 0 }, { clock: chainClock });
    if (options.oldBlocks !== undefined) this.chain.generate(options.oldBlocks);
    this.startHeight = this.chain.height;
    this.chain.onTip(({ height }) => {
      if ((this.chain.marketSatPerKvb ?? 0) > CALM_SAT_PER_KVB) this.#spikeEndHeight = height;
    });
    const terms = { ...termsAt(this.startHeight, options.staked === true), ...options.terms };
    const more = { ...options.termsV3, ...options.termsV3At?.(this.startHeight) };
    this.terms = options.isOld === true ? terms : { ...termsV3Of(terms), ...more };
    this.nodes = { miner: this.#node('miner'), maker: this.#node('maker') };
    this.watchNode = new SimNode(this.chain, this.time.timers);
    this.contractId = contractIdOf(this.terms);
    const disk = (side: Side): Disk => new Disk(options.disks?.[side] ?? 'honest', this.time);
    this.disks = { miner: disk('miner'), maker: disk('maker') };
    this.#leases = new SimLeases(this.time);
    if (options.fleet === true) this.disks.miner.fence = () => this.#leases.token;
    this.farm = new Farm(this.contractId, options.farm ?? 'honest', {
      chain: this.chain,
      nowMs: clock.nowMs,
      tag: needsContractTag(this.terms) ? contractTag(this.contractId) : undefined,
    });
    this.auditor = options.audited === true ? this.#auditor() : undefined;
    this.braid = this.terms.binding.type === 'bead' ? new Braid() : undefined;
    this.pool = this.terms.binding.type === 'work' ? this.#pool() : undefined;
    this.rules = new Rules({
      contractId: this.contractId,
      terms: this.terms,
      durable: (side) => this.disks[side].documents,
      isHostile: (side) => this.isHostile(side) || options.forgets?.includes(side) === true,
      // What hangs is asked nothing behind what hangs, and what failed nothing more.
      isWaiting: (hex) => this.chain.mempoolEntries().some((each) => each.transaction.toHex() === hex),
      wasAskedFor: (side, closeTx) => {
        const disk = this.disks[side];
        return disk.isHanging || disk.isFailed || disk.wasAskedFor(closeTx);
      },
    });
    this.startWatch();
    this.network = new Network({
      onSend: (link, from, text) => this.#leaves(link, from, text),
      onHeard: (to, text) => this.#heard(to, text),
    });
  }

  get renews(): Side | undefined {
    return this.#options.renews;
  }

  get isStaked(): boolean {
    return this.terms.seal !== undefined || hasBondOutputs(this.terms);
  }

  /** What blocks ask for from here on; 0 for what relays. */
  setMarket(satPerKvb: number): void {
    if (this.chain.marketSatPerKvb === satPerKvb) return;
    this.say(`blocks ask for ${satPerKvb} sat/kvB`);
    this.chain.marketSatPerKvb = satPerKvb;
  }

  /** The last height at which blocks asked for more than usual; 0 where they never did. */
  get spikeEndHeight(): number {
    return this.#spikeEndHeight;
  }

  /** Holds the rules against what is durable now. */
  check(): void {
    this.#held(() => this.rules.check());
  }

  isHostile(side: Side): boolean {
    return this.#options.hostile?.includes(side) === true;
  }

  say(text: string): void {
    if (text !== this.#said) this.onEvent?.(text);
    this.#said = text;
  }

  /** A line that the code of a hostile side does not say by itself. False where nobody listens. */
  says(from: Side, text: string): boolean {
    const link = this.network.inject(from, text);
    if (link !== undefined) this.#held(() => this.rules.sent(link, from, text));
    return link !== undefined;
  }

  /** Counts what an honest side was asked for, and where it stood then. */
  #heard(to: Side, text: string): void {
    const method = this.isHostile(to) ? undefined : /^[^{]*\{[^{}]*"method":"([^"]+)"/.exec(text)?.[1];
    if (method === undefined) return;
    const status = to === 'miner' ? this.miner?.status.channel : this.maker?.status[0]?.channel;
    this.heard.add(`${to} ${method} ${status ?? 'none'}`);
  }

  /** What leaves in the place of a line: the honest say what they say. */
  #leaves(link: number, from: Side, text: string): readonly string[] {
    if (this.network.isStrange(link)) return [text];
    const line = { link, from, text };
    const texts = (this.isHostile(from) ? this.tap?.(line) : undefined) ?? [text];
    for (const each of texts) this.#held(() => this.rules.sent(link, from, each));
    if (this.tapIn === undefined || !this.isHostile(otherSide(from))) return texts;
    return texts.flatMap((each) => this.tapIn!({ ...line, text: each }));
  }

  #node(side: Side): SimNode {
    const node = new SimNode(this.chain, this.time.timers);
    node.onBroadcast = (hex) => this.#held(() => this.rules.broadcast(side, hex));
    return node;
  }

  get miner(): MinerContract | undefined {
    return this.#miner?.isReady === true ? this.#miner.part : undefined;
  }

  get maker(): Maker | undefined {
    return this.#maker?.isReady === true ? this.#maker.part : undefined;
  }

  isUp(side: Side): boolean {
    return (side === 'miner' ? (this.#miner ?? this.#instance) : this.#maker) !== undefined;
  }

  /** The process runs but can do nothing more: only a new start helps. */
  isStuck(side: Side): boolean {
    const frozen = this.status(side)?.frozen;
    return this.disks[side].isFailed || (frozen !== undefined && !frozen.includes('two contents'));
  }

  status(side: Side): { readonly frozen: string | undefined } | undefined {
    return side === 'miner' ? this.miner?.status : this.maker?.status[0];
  }

  /** Starts a process on what its disk holds. */
  start(side: Side): void {
    if (this.isUp(side)) return;
    if (side === 'maker') this.#startMaker();
    else if (this.#options.fleet === true) this.#startInstance();
    else this.#startMiner();
    if (this.#options.renews === side) this.#renew(side);
  }

  /** The process dies here; of the appends on their way, so many were written in time. */
  /** A watch elsewhere begins, in the place of the one before. */
  startWatch(): void {
    const { watched } = this.#options;
    if (watched === undefined) return;
    this.#endWatch();
    let isOver = false;
    this.#endWatch = () => {
      isOver = true;
    };
    const chain = this.watchNode.connect(() => isOver);
    new Watchman(this.#folder, { chain, log: this.#log(watched) });
  }

  async kill(side: Side, written: number): Promise<void> {
    if (side === 'miner') this.#instance?.die();
    if (side === 'miner') this.#instance = undefined;
    const life = side === 'miner' ? this.#miner : this.#maker;
    if (life === undefined) return;
    life.isDead = true;
    this.network.died(side);
    await this.disks[side].crash(written);
    // A dead process has no timers; it is answered nothing any more.
    void (side === 'miner' ? this.#miner!.part.stop() : this.#maker!.part.close());
    void this.#links[side]?.close();
    this.#clocks[side]?.stop();
    this.#renewals[side]?.stop();
    life.templates?.stop();
    for (const each of life.followers?.values() ?? []) void each.stop();
    if (side === 'miner') {
      this.#miner = undefined;
      this.#delivering = 0;
    } else {
      this.#maker = undefined;
    }
  }

  /**
   * The proxy that owns the channel stands still, with its clock or without; another is started in its place.
   * False where none is there to do so.
   */
  sleep(withClock: boolean): boolean {
    const [instance, life] = [this.#instance, this.#miner];
    if (instance === undefined || life?.isReady !== true || this.#asleep !== undefined) return false;
    instance.sleep(withClock);
    const [disk, network] = [this.disks.miner.sleep(), this.network.sleep('miner')];
    const wake = (): void => {
      disk();
      network();
    };
    this.#asleep = { instance, wake };
    [this.#instance, this.#miner, this.#delivering] = [undefined, undefined, 0];
    return true;
  }

  /** It goes on where it was. */
  async wake(): Promise<void> {
    const asleep = this.#asleep;
    if (asleep === undefined) return;
    this.#asleep = undefined;
    asleep.wake();
    await asleep.instance.wake();
  }

  /**
   * The proxy that owns the channel is asked to leave it, at whatever it does, and another is started.
   * @returns what says whether the other acts for it; undefined where there is none to be asked
   */
  handOver(): (() => boolean) | undefined {
    const [instance, life] = [this.#instance, this.#miner];
    if (instance === undefined || life?.isReady !== true) return undefined;
    instance.leave();
    this.#startInstance();
    return () => this.#miner !== undefined && this.#miner !== life;
  }

  /** A proxy that acts for the contract once it owns the channel. */
  #startInstance(): void {
    this.#instances += 1;
    const log = this.#log('miner');
    const instance = new SimInstance(`proxy ${this.#instances}`, {
      ...{ leases: this.#leases, time: this.time, clock: this.#clockOf('miner'), log },
      resource: this.contractId,
      blocksLeft: () => this.terms.expiryHeight - this.chain.height,
      onOwn: () => {
        life = this.#startMiner(instance);
      },
      onStop: async () => {
        const stopped = life;
        life = undefined;
        if (stopped === undefined) return;
        if (this.#miner === stopped) [this.#miner, this.#delivering] = [undefined, 0];
        stopped.templates?.stop();
        await stopped.part.stop();
        stopped.isDead = true;
      },
    });
    let life: Life<MinerContract> | undefined;
    this.#instance = instance;
    instance.start();
  }

  /** Miners find shares for the contract, if hashrate is on it and none is being written. */
  work(count: number, block?: FarmBlock): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || !life.part.status.live || this.#delivering > 0) return false;
    const found = this.farm.find(count, block);
    this.braid?.add(found);
    const sold = found.filter(() => life.part.admits(this.shareWorkHashes));
    this.#solve(life.part, sold);
    if (sold.length > 0) this.#commit(life, sold);
    return true;
  }

  /** New shares of the tip, sold whatever the miner's own rules say. */
  sell(count: number): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || this.#delivering > 0) return false;
    this.#commit(life, this.farm.find(count));
    return true;
  }

  /**
   * A share that was sold before, once more: the first, or one so far from the newest, whatever the miner's
   * own rules say.
   */
  resell(fromNewest?: number): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || this.#delivering > 0) return false;
    const isAsked = fromNewest === undefined;
    const share = isAsked ? this.farm.found[0] : this.farm.found.at(-1 - fromNewest);
    if (share === undefined) return false;
    if (isAsked && (!life.part.status.live || !life.part.admits(this.shareWorkHashes))) return false;
    this.#commit(life, [share]);
    return true;
  }

  fail(error: unknown): void {
    this.problem ??= error instanceof Error ? error : new Error(String(error));
  }

  #pool(): Pool {
    return new Pool({
      job: () => this.farm.upstreamJob(this.isPoolAstray),
      onBlock: (tell) => this.chain.onTip(tell),
    });
  }

  /** What the pool of the maker wants is sent as it is found: here each share solves a block. */
  #solve(miner: MinerContract, shares: ReturnType<Farm['find']>): void {
    const { work } = miner;
    for (const { submission } of shares) {
      const { job, extranonce, ntime, nonce, version } = submission;
      if (!this.tellsSolution()) continue;
      miner.onBlock(submission);
      if (work === undefined || job.upstream.bought === undefined) continue;
      const versionBits = (version & job.upstream.versionMask) >>> 0;
      work.submit({ job: job.upstream, extranonce2: extranonce, ntime, nonce, versionBits });
    }
  }

  /** The contract of the miner, that of the life or one that follows; undefined while it is not served. */
  contractOf(contractId: string): MinerContract | undefined {
    return contractId === this.contractId ? this.miner : this.#miner?.followers?.get(contractId);
  }

  /** The miner takes a contract that follows, and serves it from now on. */
  async take(terms: ContractTerms): Promise<void> {
    this.followers.push(terms);
    if (this.#miner !== undefined) await this.#serve(this.#miner, terms);
  }

  /** Shares of a contract that follows. */
  deliver(contractId: string, shares: Parameters<Meters['commit']>[1]): void {
    const life = this.#miner;
    const part = life?.followers?.get(contractId);
    if (life === undefined || part === undefined || this.#delivering > 0) return;
    const sold = shares.filter(() => part.admits(this.shareWorkHashes));
    for (const { submission } of sold) part.onBlock(submission);
    if (sold.length > 0) this.#commit(life, sold, part, contractId);
  }

  async #serve(life: Life<MinerContract>, terms: ContractTerms): Promise<void> {
    const part = this.#minerContract(
      terms,
      life.ledger,
      this.#minerChain(() => life.isDead),
      life,
    );
    try {
      await part.start();
      if (!life.isDead) life.followers!.set(contractIdOf(terms), part);
      else void part.stop();
    } catch (error) {
      if (!(error instanceof CodedError)) this.fail(error);
      else if (!life.isDead) await this.kill('miner', 0);
    }
  }

  #commit(
    life: Life<MinerContract>,
    shares: Parameters<Meters['commit']>[1],
    part = life.part,
    contractId = this.contractId,
  ): void {
    this.#delivering += 1;
    const meters = this.#meters;
    meters
      .commit(life.ledger, shares)
      .then(
        ({ parts }) => {
          const landed = parts.reduce((sum, { workHashes }) => sum + workHashes, 0n);
          part.onDurable(contractId, meters.total(contractId), landed);
        },
        (error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
          part.lost(BigInt(shares.length) * this.shareWorkHashes);
        },
      )
      .then(
        () => {
          if (!life.isDead && life === this.#miner) this.#delivering -= 1;
        },
        (error: unknown) => this.fail(error),
      );
  }

  #startMiner(instance?: SimInstance): Life<MinerContract> {
    const disk = this.disks.miner.mount();
    const ledger = instance?.ledger(disk) ?? disk;
    this.farm.newRun();
    const dead = { isDead: false };
    const minerChain = this.#minerChain(() => dead.isDead);
    const templates = this.#minerTemplates(minerChain.chain);
    const part = this.#minerContract(this.terms, ledger, minerChain, dead, templates, instance);
    const life: Life<MinerContract> = Object.assign(dead, {
      ...{ part, ledger, isReady: false, followers: new Map<string, MinerContract>() },
      ...(templates === undefined ? {} : { templates }),
    });
    templates?.start();
    if (this.pool !== undefined) this.farm.given = () => part.work?.lastJob;
    this.#miner = life;
    this.#clocks.miner?.start();
    const started = Meters.load(ledger).then((meters) => {
      this.#meters = meters;
      return part.start();
    });
    this.#ready('miner', life, started);
    for (const terms of this.followers) void this.#serve(life, terms);
    return life;
  }

  #minerContract(
    terms: ContractTerms,
    ledger: Ledger,
    minerChain: Pick<MinerContractDeps, 'chain' | 'chainClock'>,
    life: { readonly isDead: boolean },
    templates?: TemplateWatch,
    instance?: SimInstance,
  ): MinerContract {
    const { unpaidTimeoutMs, sale, exposureTotal } = this.#options;
    const contractId = contractIdOf(terms);
    const connect = (...words: Parameters<Network['connect']>): ReturnType<Network['connect']> =>
      life.isDead ? never() : this.network.connect(...words);
    return new MinerContract(
      {
        ...{ terms, host: 'memory', port: 1, batchIntervalMs: 100, margins: MARGINS },
        ...{
          reconnectMinMs: 100,
          reconnectMaxMs: 2_000,
          askPeerMs: 5_000,
          payoutScript: fromHex(WALLETS.miner),
        },
        ...(unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs }),
      },
      {
        timers: instance?.timers ?? this.time.timers,
        ...{
          ledger,
          clock: instance?.clock ?? this.#clockOf('miner'),
          random: this.#random(),
          log: this.#log('miner'),
          signer: SIGNERS.miner,
          connect,
          onStatus: () => this.onStatus?.(contractId),
        },
        ...minerChain,
        chain: instance?.chain(minerChain.chain) ?? minerChain.chain,
        ...(templates === undefined ? {} : { templates }),
        ...(exposureTotal === undefined ? {} : { exposureTotal: this.#exposureOf(life, exposureTotal) }),
        ...(sale === undefined ? {} : { judgeUpdate: (asked) => judgeSale(sale, [], asked) }),
        ...this.#auditorOf('miner', ledger, () => life.isDead),
        ...this.#ladders('miner', () => life.isDead),
      },
    );
  }

  /** One for all contracts of a process. */
  #exposureOf(life: object, maxSat: bigint): ExposureTotal {
    const known = this.#exposures.get(life) ?? new ExposureTotal(maxSat);
    this.#exposures.set(life, known);
    return known;
  }

  #startMaker(): void {
    const ledger = this.disks.maker.mount();
    const clock = this.#clockOf('maker');
    const files = this.#signerFiles;
    const part = new Maker(
      {
        ...{ host: 'memory', port: 1, allowedNodeIds: new Set([this.terms.minerNodeId, STRANGER_ID]) },
        finalDepth: MARGINS.finalDepth,
        policy: (this.#options.policy ?? ((usual) => usual))(policyOf(this.terms)),
        // The daemon has every share assigned one target.
        verification: { unknownBlockWaitMs: 0, fixedTarget: true },
        ...this.#options.maker,
      },
      {
        timers: this.time.timers,
        ...{ ledger, clock, random: this.#random(), log: this.#log('maker') },
        ...(this.vault === undefined
          ? { signer: SIGNERS.maker }
          : { signer: withoutCold(SIGNERS.maker), externalSigning: this.vault }),
        ...this.#withClock(
          'maker',
          this.nodes.maker.connect(() => life.isDead),
        ),
        kernel: createPortableKernel(64),
        ...(this.braid === undefined ? {} : { beads: this.braid }),
        ...this.#ownWork(),
        ...this.#auditorOf('maker', ledger, () => life.isDead),
        ...this.#ladders('maker', () => life.isDead),
        openServer: (_options, deps) => this.network.openServer(deps),
        ...(files === undefined ? {} : { openStateSigner: rememberingSigners(files) }),
      },
    );
    const life: Life<Maker> = { part, ledger, isReady: false, isDead: false };
    this.#maker = life;
    this.#clocks.maker?.start();
    this.#ready('maker', life, part.start());
  }

  /** A process whose disk or node fails while it starts ends, and is tried again, as in the daemon. */
  #ready(side: Side, life: Life<unknown>, started: Promise<unknown>): void {
    started.then(
      () => {
        life.isReady = !life.isDead;
      },
      (error: unknown) => {
        // Another owns it: who runs it stops it.
        if (codeOf(error) === 'lease_lost') return;
        const isPassing = ['ledger_io', 'channel_frozen', 'overload', 'chain_unreachable'].includes(
          codeOf(error),
        );
        if (isPassing) void this.kill(side, 0);
        else this.fail(error);
      },
    );
  }

  /** The nodes of the miner as one, and what tells when none of them hears of blocks. */
  #minerChain(isDead: () => boolean): Pick<MinerContractDeps, 'chain' | 'chainClock'> {
    const { minerNodes } = this.#options;
    const { clock, timers } = this.time;
    const log = this.#log('miner');
    const others = Array.from({ length: (minerNodes ?? 1) - 1 }, () => this.#node('miner'));
    const sources = [this.nodes.miner, ...others].map((node) => node.connect(isDead));
    const named = sources.map((source, index) => ({ name: `n${index}`, source }));
    const options = { pollMs: POLL_MS, genesisHash: this.chain.blockAt(0)!.hash };
    // As the daemon, which knows its chain by its configuration.
    const direct = { ...sources[0]!, genesisHash: () => Promise.resolve(options.genesisHash) };
    const chain =
      minerNodes === undefined ? direct : new ChainNodes(named, options, { log, clock, timers });
    return this.#withClock('miner', chain);
  }

  /** As the daemon, where whole blocks of its jobs are to be shown. */
  #minerTemplates(chain: ChainSource): TemplateWatch | undefined {
    const { binding, network } = this.terms;
    if (binding.type !== 'payout' || binding.samplePpm === 0) return undefined;
    const { clock, timers } = this.time;
    const options = { network, kept: TEMPLATES_KEPT, pollMs: TEMPLATE_MS };
    return new TemplateWatch(options, { chain, clock, timers, log: this.#log('miner') });
  }

  /** The jobs that were given outlive a process. */
  #ownWork(): Pick<MakerDeps, 'ownWork'> {
    if (this.pool === undefined) return {};
    const { open } = this.pool;
    const files = this.#workFiles;
    return { ownWork: { pools: [open], failover: FAILOVER_OPTIONS, book: new PoolBook(['pool']), files } };
  }

  #clockOf(side: Side): Clock {
    const { nowMs, monotonicMs } = this.time.clock;
    return { nowMs: () => nowMs() + this.clockOffsetsMs[side], monotonicMs };
  }

  #withClock(side: Side, chain: ChainSource): Pick<MinerContractDeps, 'chain' | 'chainClock'> {
    const blockIntervalMs = this.#options.blockIntervalMs?.[side];
    if (blockIntervalMs === undefined) return { chain };
    const { clock, timers } = this.time;
    const chainClock = new ChainClock({ blockIntervalMs }, { chain, clock, timers, log: this.#log(side) });
    this.#clocks[side] = chainClock;
    return { chain, chainClock };
  }

  #renew(side: Side): void {
    const disk = this.disks[side];
    const renewal = new Renewal('', {
      fault: () => (disk.isFailed ? 'ledger_io' : undefined),
      probe: () => Promise.resolve(!disk.isFull && !disk.isHanging),
      ...{ timers: this.time.timers, log: this.#log(side) },
    });
    this.#renewals[side] = renewal;
    void renewal.due.then(() => this.kill(side, 0)).then(() => this.start(side));
  }

  #auditor(): SimAuditor {
    const params = (): ReturnType<typeof paramsOf> => paramsOf(this);
    return new SimAuditor({ terms: this.terms, time: this.time, random: this.#random(), params });
  }

  /** What a process has of the auditor. */
  #auditorOf(side: Side, ledger: Ledger, isDead: () => boolean): Partial<ReturnType<SimAuditor['linkOf']>> {
    if (this.auditor === undefined) return {};
    const parts = this.auditor.linkOf(side, { ledger, log: this.#log(side), isDead });
    this.#links[side] = parts.auditor;
    return parts;
  }

  #ladders(side: Side, isDead: () => boolean): { readonly ladders?: LadderWriter } {
    if (this.#options.watched !== side) return {};
    const { clock, timers } = this.time;
    const files = this.#folder.access(isDead);
    return { ladders: new LadderWriter('close', { clock, timers, log: this.#log(side), files }) };
  }

  #held(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.fail(error);
    }
  }

  #random(): { bytes: (size: number) => Uint8Array } {
    return {
      bytes: (size) => {
        this.#randomCalls += 1;
        return sha256(u32le(this.#randomCalls)).slice(0, size);
      },
    };
  }

  /** What must never be said, whatever crashes: it would mean that one side caught the other lying. */
  #log(side: Side): Logger {
    const note = (fields: Readonly<Record<string, unknown>>, message: string): void => {
      const code = String(fields['code'] ?? message);
      this.logged.push(`${side}: ${code} ${String(fields['detail'] ?? '')}`.trim());
      const { course, from, to } = fields;
      const change = to === undefined ? '' : ` of ${String(course)}, ${String(from)} to ${String(to)}`;
      const what = `${String(fields['detail'] ?? fields['type'] ?? fields['code'] ?? '')}${change}`;
      this.say(`the ${side} says: ${message}${what === '' ? '' : `: ${what}`}`);
      const { hostile = [], forgets = [] } = this.#options;
      const isHonest = hostile.length + forgets.length === 0;
      if (side === 'maker' && message === 'miner connected') this.#hasRefusedBatch = false;
      if (side === 'maker' && code === 'overload') this.#hasRefusedBatch = true;
      // What was sent behind a batch that found no room comes out of order.
      if (code === 'bad_sequence' && this.#hasRefusedBatch) return;
      if (isHonest && NEVER.has(code)) this.fail(new Violation(`the ${side} says`, this.logged.at(-1)));
    };
    const nothing = (): void => {};
    return { debug: nothing, info: note, warn: note, error: note, child: () => this.#log(side) };
  }
}

const STRANGER_ID = toHex(nodeIdBytes(SIGNERS.stranger));

const NEVER = new Set([
  'bad_amount',
  'bad_funding',
  'bad_sequence',
  'bad_signature',
  'equivocation',
  'ledger_conflict',
  'ledger_corrupt',
  'not_monotone',
  'over_budget',
  'unauthenticated',
  'wrong_state_number',
]);
