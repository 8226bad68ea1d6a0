import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { noChain } from '../../src/chain/no-chain.ts';
import type { MeteringTerms } from '../../src/contract/metering.ts';
import { contractIdOf, type TermsV1or2, type TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MakerPolicy } from '../../src/maker/policy.ts';
import { MinerMeter } from '../../src/miner/miner-meter.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import { Meters } from '../../src/work/meters.ts';
import { random } from '../peer/tls-pair.ts';
import { until, World } from './world.ts';

/** Terms without money, else like these. */
export function meteringTerms(terms: TermsV1or2, changes: Partial<TermsV3> = {}): MeteringTerms {
  const free = { priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n };
  return {
    ...termsV3From({ ...terms, ...free }, 500, { type: 'none' }),
    ...changes,
  } as MeteringTerms;
}

/** A maker and a miner of one metering, over real sockets. */
export class Stand {
  readonly world: World;
  readonly terms: MeteringTerms;
  readonly contractId: string;
  readonly #hasChain: boolean;
  miner!: MinerMeter;

  constructor(
    changes: Partial<TermsV3> = {},
    options: { policy?: Partial<MakerPolicy>; hasChain?: boolean } = {},
  ) {
    this.#hasChain = options.hasChain ?? true;
    this.world = new World({ policy: { bindings: [], meters: true, ...options.policy } });
    this.terms = meteringTerms(this.world.terms, changes);
    this.contractId = contractIdOf(this.terms);
  }

  async startMaker(features: readonly number[] = OFFERED_FEATURES): Promise<void> {
    const hasChain = this.#hasChain;
    await this.world.startMaker({ hasChain, features }, hasChain ? {} : { chain: noChain('regtest') });
  }

  async startMiner(): Promise<void> {
    const { world } = this;
    world.meters = await Meters.load(world.minerLedger);
    const delays = { batchIntervalMs: 0, reconnectMinMs: 10, reconnectMaxMs: 50 };
    this.miner = new MinerMeter(
      { terms: this.terms, host: '127.0.0.1', port: world.port, ...delays },
      {
        ...{
          ledger: world.minerLedger,
          signer: world.minerSigner,
          clock: systemClock,
          timers: systemTimers,
        },
        ...{ chain: this.#hasChain ? world.source : noChain('regtest'), random, log: silentLogger },
      },
    );
    await this.miner.start();
  }

  async start(features?: readonly number[]): Promise<void> {
    await this.startMaker(features);
    await this.startMiner();
    await until('both signed', () => this.miner.live);
    await until('attached', () => this.maker?.connected === true);
  }

  /** As many that are no work. */
  async spoil(count: number): Promise<void> {
    const { world, contractId } = this;
    const bad = world.find(world.job({ stream: contractId }), count).map((share) => {
      const { submission } = share;
      return { ...share, submission: { ...submission, version: submission.version ^ 1 } };
    });
    await world.meters.commit(world.minerLedger, bad);
    this.miner.onDurable(world.meters.total(contractId));
  }

  get maker() {
    return this.world.maker.metering.find(({ contractId }) => contractId === this.contractId);
  }

  /** So many shares, durable at the miner. */
  async work(count: number): Promise<void> {
    const { world, contractId } = this;
    await world.meters.commit(world.minerLedger, world.find(world.job({ stream: contractId }), count));
    this.miner.onDurable(world.meters.total(contractId));
  }

  async signed(totals: number): Promise<void> {
    await until(`${totals} totals at both`, () => {
      return this.miner.status.totals >= totals && (this.maker?.totals ?? 0) >= totals;
    });
  }

  async stop(): Promise<void> {
    await this.miner?.stop();
    await this.world.maker?.close();
  }
}
