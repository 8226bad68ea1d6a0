import { toHex, u32le } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import type { MeteringTerms } from '../../src/contract/metering.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { Maker } from '../../src/maker/maker.ts';
import { MinerMeter } from '../../src/miner/miner-meter.ts';
import { loadCommitments } from '../../src/settlement/commitments.ts';
import { loadMetering } from '../../src/settlement/metering-records.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { Meters } from '../../src/work/meters.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { Disk, never } from './disk.ts';
import { Farm, SHARE } from './farm.ts';
import { MarketChain } from './market-chain.ts';
import { Network, type Side } from './network.ts';
import { SimNode } from './node.ts';
import type { SeededRandom } from './random.ts';
import { policyOf, SIGNERS, termsAt } from './terms.ts';

const SIDES = ['miner', 'maker'] as const;
const ROUNDS = 1_000;

/** A line of one side, and what leaves in its place. */
export type Saying = (from: Side, text: string, terms: MeteringTerms) => readonly string[];

type Life<T> = { readonly part: T; readonly ledger: Ledger; isReady: boolean; isDead: boolean };

/** What a side has of totals on its disk. */
export type Signed = { readonly n: number; readonly workHashes: bigint };

/** The life of one metering: no money, no channel, and the real two sides of it. */
export class MeteredLife {
  readonly time = new VirtualTime();
  readonly chain = new MarketChain({ premine: [], fillerCoins: 0 }, { clock: this.time.clock });
  readonly terms: MeteringTerms;
  readonly contractId: string;
  readonly disks = { miner: new Disk('honest', this.time), maker: new Disk('honest', this.time) };
  readonly farm: Farm;
  readonly random: SeededRandom;
  readonly network: Network;
  problem: unknown;
  #miner: Life<MinerMeter> | undefined;
  #maker: Life<Maker> | undefined;
  #meters = new Meters();
  #isWriting = false;
  #randomCalls = 0;

  constructor(random: SeededRandom, say: Saying = (_from, text) => [text]) {
    this.random = random;
    const older = termsAt(this.chain.height, false);
    const free = { priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n };
    const none = { type: 'none' } as const;
    this.terms = termsV3From({ ...older, ...free }, older.expiryHeight - 1, none) as MeteringTerms;
    this.contractId = contractIdOf(this.terms);
    const deps = { chain: this.chain, nowMs: this.time.clock.nowMs, tag: undefined };
    this.farm = new Farm(this.contractId, 'honest', deps);
    this.network = new Network({ onSend: (_link, from, text) => say(from, text, this.terms) });
  }

  get miner(): MinerMeter | undefined {
    return this.#miner?.isReady === true ? this.#miner.part : undefined;
  }

  /** What the maker says of it. */
  get atMaker(): Maker['metering'][number] | undefined {
    return this.#maker?.isReady === true ? this.#maker.part.metering[0] : undefined;
  }

  start(side: Side): void {
    if (side === 'miner' && this.#miner === undefined) this.#startMiner();
    if (side === 'maker' && this.#maker === undefined) this.#startMaker();
  }

  /** The process dies here; of the appends on their way, so many were written in time. */
  async kill(side: Side, written: number): Promise<void> {
    const life = side === 'miner' ? this.#miner : this.#maker;
    if (life === undefined) return;
    life.isDead = true;
    this.network.died(side);
    await this.disks[side].crash(written);
    void (side === 'miner' ? this.#miner!.part.stop() : this.#maker!.part.close());
    if (side === 'miner') this.#miner = undefined;
    else this.#maker = undefined;
    if (side === 'miner') this.#isWriting = false;
  }

  /** Shares are found, and written by the miner. False where it takes none. */
  work(count: number, shares = (): readonly AcceptedShare[] => this.farm.find(count)): boolean {
    const life = this.#miner;
    if (life?.isReady !== true || !life.part.live || this.#isWriting) return false;
    this.#isWriting = true;
    const meters = this.#meters;
    meters
      .commit(life.ledger, shares())
      .then(
        () => life.part.onDurable(meters.total(this.contractId)),
        (error: unknown) => codeOf(error),
      )
      .finally(() => {
        if (!life.isDead) this.#isWriting = false;
      });
    return true;
  }

  /** Lines and writes, as far as they go without time. */
  async flow(): Promise<void> {
    for (let round = 0; round < ROUNDS; round += 1) {
      await this.time.settle();
      let any = false;
      for (const side of SIDES) {
        if (this.network.deliver(side, 0)) any = true;
        await this.time.settle();
        if (await this.disks[side].write()) any = true;
        if (this.disks[side].answer()) any = true;
        await this.time.settle();
      }
      if (this.problem !== undefined) throw this.problem;
      if (!any) return;
    }
    throw new Error('the two never stop talking');
  }

  /** Some time passes; who died starts anew. */
  async rounds(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      for (const side of SIDES) this.start(side);
      await this.flow();
      this.network.breakHalfOpen();
      await this.time.advance(this.random.once(4) ? 2_500 : 300);
      await this.flow();
    }
  }

  /** The newest total that both signed, as it is on the disk of a side; 0 before one is. */
  async signed(side: Side): Promise<Signed> {
    const { store } = this.disks[side];
    const stored = await loadMetering(store, this.contractId);
    const { base } = await loadCommitments(store, this.contractId, stored?.n ?? 0);
    return { n: base?.n ?? 0, workHashes: base?.workHashes ?? 0n };
  }

  /** Work of all shares that were found, each once. */
  get foundHashes(): bigint {
    return BigInt(new Set(this.farm.found.map(({ hash }) => toHex(hash))).size) * SHARE.workHashes;
  }

  #startMiner(): void {
    this.farm.newRun();
    const ledger = this.disks.miner.mount();
    const connect = (...words: Parameters<Network['connect']>): ReturnType<Network['connect']> =>
      life.isDead ? never() : this.network.connect(...words);
    const part = new MinerMeter(
      {
        ...{ terms: this.terms, host: 'memory', port: 1, batchIntervalMs: 100 },
        ...{ reconnectMinMs: 100, reconnectMaxMs: 2_000 },
      },
      { ...this.#parts(() => life.isDead), ledger, signer: SIGNERS.miner, connect },
    );
    const life: Life<MinerMeter> = { part, ledger, isReady: false, isDead: false };
    this.#miner = life;
    const started = Meters.load(ledger).then((meters) => {
      this.#meters = meters;
      return part.start();
    });
    this.#ready('miner', life, started);
  }

  #startMaker(): void {
    const ledger = this.disks.maker.mount();
    const part = new Maker(
      {
        ...{ host: 'memory', port: 1, allowedNodeIds: new Set([this.terms.minerNodeId]) },
        policy: { ...policyOf(termsAt(1, false)), meters: true },
        verification: { unknownBlockWaitMs: 0, fixedTarget: true },
      },
      {
        ...{ ...this.#parts(() => life.isDead), ledger, signer: SIGNERS.maker },
        kernel: createPortableKernel(64),
        openServer: (_options, deps) => this.network.openServer(deps),
      },
    );
    const life: Life<Maker> = { part, ledger, isReady: false, isDead: false };
    this.#maker = life;
    this.#ready('maker', life, part.start());
  }

  #parts(isDead: () => boolean) {
    const { clock, timers } = this.time;
    const chain = new SimNode(this.chain, timers).connect(isDead);
    return {
      clock,
      timers,
      chain,
      random: { bytes: (size: number) => this.#bytes(size) },
      log: silentLogger,
    };
  }

  #ready(side: Side, life: Life<unknown>, started: Promise<unknown>): void {
    started.then(
      () => {
        life.isReady = !life.isDead;
      },
      (error: unknown) => {
        if (codeOf(error) === 'ledger_io') void this.kill(side, 0);
        else this.problem ??= error;
      },
    );
  }

  #bytes(size: number): Uint8Array {
    this.#randomCalls += 1;
    return sha256(u32le(this.#randomCalls)).slice(0, size);
  }
}
