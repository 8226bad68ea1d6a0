import type { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { seedOf, until, World, type WorldOptions } from '../maker/world.ts';

/** A world whose fee rate and mempool minimum are the test's to set. */
class MarketWorld extends World {
  readonly market = { feeRateSatPerKvb: 2_000 };
  calls = 0;
  /** Below it the node takes no transaction that comes alone. */
  minimumSatPerKvb = 0;

  constructor(options: WorldOptions = {}) {
    super(options);
    const inner = createDevnetChainSource(this.chain, this.market);
    const source: ChainSource = {
      ...inner,
      txOut: (...words) => {
        this.calls += 1;
        return inner.txOut(...words);
      },
      broadcast: async (hex) => {
        const { feeSat = 0n, vsize = 1 } = this.#checked(hex);
        if (feeSat * 1000n < BigInt(vsize * this.minimumSatPerKvb)) {
          throw new CodedError('tx_refused', 'mempool min fee not met');
        }
        return inner.broadcast(hex);
      },
    };
    Object.assign(this, { source });
  }

  async started(steps: number): Promise<void> {
    await this.open();
    for (let n = 1; n <= steps; n += 1) {
      await this.work(4);
      await until(`state ${n}`, () => this.maker.status[0]?.ackedN === n);
    }
  }

  /** The close and what spends it, as they wait. */
  waiting(): { feeSat: bigint; vsize: number; transaction: Transaction }[] {
    return this.chain.mempoolEntries();
  }

  balance(side: 'miner' | 'maker'): bigint {
    const signer = side === 'miner' ? this.minerSigner : this.makerSigner;
    const coins = this.chain.utxos(toHex(p2wpkhScript(signer.publicKey('wallet'))));
    return coins.reduce((sum, { valueSat }) => sum + valueSat, 0n);
  }

  #checked(hex: string): { feeSat?: bigint; vsize?: number } {
    try {
      return this.chain.check(hex);
    } catch {
      return {};
    }
  }
}

const rateOf = (entries: readonly { feeSat: bigint; vsize: number }[]): number => {
  const feeSat = entries.reduce((sum, entry) => sum + entry.feeSat, 0n);
  const vsize = entries.reduce((sum, entry) => sum + entry.vsize, 0);
  return Number((feeSat * 1000n) / BigInt(vsize));
};

describe('a close beyond the ladder', () => {
  it('is paid for by a child, raised with the rate, and both confirm', async () => {
    const world = new MarketWorld({
      terms: { feeLadderSatPerKvb: [1_100, 5_000], minerReserveSat: 100_000n },
    });
    await world.started(2);
    const before = world.balance('miner');
    world.market.feeRateSatPerKvb = 9_000;
    await world.miner.closeAlone();
    expect(world.waiting().map(({ transaction }) => transaction.version)).toEqual([3, 3]);
    expect(world.waiting()[0]!.feeSat).toBe(895n);
    expect(rateOf(world.waiting())).toBeGreaterThanOrEqual(9_000);
    expect(rateOf(world.waiting())).toBeLessThan(9_200);
    world.market.feeRateSatPerKvb = 14_000;
    await world.miner.closeAlone();
    expect(rateOf(world.waiting())).toBeGreaterThanOrEqual(14_000);
    const paidSat = world.waiting().reduce((sum, { feeSat }) => sum + feeSat, 0n);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    const { minerReserveSat } = world.terms;
    const signed = world.miner.status.signed!;
    expect(world.balance('miner') - before).toBe(minerReserveSat + signed.paidSat - paidSat);
    await world.stop();
  });

  it('comes in as one package where the node takes nothing so cheap alone', async () => {
    const world = new MarketWorld({
      terms: { feeLadderSatPerKvb: [1_100, 5_000], minerReserveSat: 100_000n },
    });
    await world.started(2);
    world.market.feeRateSatPerKvb = 9_000;
    world.minimumSatPerKvb = 8_000;
    await world.miner.closeAlone();
    expect(world.waiting()).toHaveLength(2);
    world.chain.generate(2);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.stop();
  });

  it('has no child where the miner is paid to a wallet that is elsewhere', async () => {
    const payoutScript = p2wpkhScript(
      new SeedSigner({ seed: seedOf('cold'), network: 'regtest' }).publicKey('wallet'),
    );
    const world = new MarketWorld({
      terms: { feeLadderSatPerKvb: [1_100, 5_000] },
      miner: { payoutScript },
    });
    await world.started(1);
    world.market.feeRateSatPerKvb = 9_000;
    await world.miner.closeAlone();
    expect(world.waiting()).toHaveLength(1);
    await world.stop();
  });

  it('climbs by itself, at each block, from when it was asked for', async () => {
    const world = new MarketWorld({ terms: { minerReserveSat: 60_000n } });
    await world.started(1);
    await world.miner.closeAlone();
    expect(rateOf(world.waiting())).toBeLessThan(5_100);
    world.market.feeRateSatPerKvb = 15_000;
    world.chain.invalidateTip();
    await until('a rung above', () => rateOf(world.waiting()) >= 20_000);
    await world.stop();
  });
});

describe('a close that is final', () => {
  it('is watched on, made again after a deep reorganisation, and forgotten at a hundred blocks', async () => {
    const world = new MarketWorld();
    await world.started(2);
    await world.miner.closeAlone();
    const [close] = world.waiting();
    world.chain.generate(4);
    const status = (): readonly unknown[] => [world.miner.status.channel, world.maker.status[0]?.channel];
    await until('closed', () => status().every((each) => each === 'closed'));
    world.chain.invalidateTip(4);
    await until('closing again', () => status().every((each) => each === 'closing'));
    expect(world.waiting().map(({ transaction }) => transaction.getId())).toEqual([
      close!.transaction.getId(),
    ]);
    world.chain.generate(4);
    await until('closed again', () => status().every((each) => each === 'closed'));
    world.chain.generate(96);
    await until('nobody asks any more', async () => {
      world.chain.generate(1);
      const { calls } = world;
      world.chain.generate(1);
      await world.rest();
      return world.calls === calls;
    });
    // Nor after a restart: the ledger knows.
    const { calls } = world;
    await world.restartMaker();
    await world.restartMiner();
    world.chain.generate(1);
    await world.rest();
    expect(world.calls).toBe(calls);
    await world.stop();
  });
});

describe('a maker that answers nothing', () => {
  it('does not keep the miner from its deadline', async () => {
    const world = new MarketWorld({ terms: { expiryHeight: 600 }, policy: { minExpiryBlocks: 300 } });
    await world.started(1);
    world.makerStore.hold();
    void world.miner.close();
    await until('the maker is stuck', () => world.makerStore.stats.queuedWrites > 0);
    const { connections } = world.maker.stats;
    await world.restartMiner();
    await until('asked again', () => world.maker.stats.connections > connections);
    await world.rest();
    world.chain.generate(600 - 144 - world.chain.height);
    await until('broadcast', () => world.waiting().length === 1);
    expect(world.miner.status.connected).toBe(false);
    world.makerStore.release();
    await world.stop();
  });
});

const AUDITOR = new SeedSigner({ seed: seedOf('auditor'), network: 'regtest' });
const BONDED: WorldOptions = {
  terms: {
    bonds: {
      bondMode: 'auditor',
      makerBondSat: 40_000n,
      collateralSat: 60_000n,
      bondCsvBlocks: 12,
      auditorKeyHex: toHex(AUDITOR.publicKey('auditor')),
    },
  },
  policy: {
    stakes: {
      bondModes: ['auditor'],
      maxMakerBondSat: 40_000n,
      minCollateralSat: 1_000n,
      auditorKeysHex: [toHex(AUDITOR.publicKey('auditor'))],
      minBondCsvBlocks: 1,
      maxBondCsvBlocks: 2_016,
      seal: 'never',
      minClaimFeeRateSatPerKvb: 1_000,
      earlyClose: 'refused',
    },
  },
};

describe('bonds without a ruling', () => {
  it('go back to each owner at their depth, not one block before', async () => {
    const world = new MarketWorld(BONDED);
    await world.started(2);
    await world.miner.closeAlone();
    const close = world.waiting()[0]!.transaction;
    expect(close.outs).toHaveLength(4);
    world.chain.generate(11);
    await until('closed', () => world.miner.status.channel === 'closed');
    await world.rest();
    expect(world.waiting()).toEqual([]);
    world.chain.generate(1);
    await until('both returned', () => world.waiting().length === 2);
    const spent = world.waiting().map(({ transaction }) => transaction.ins[0]!.index);
    expect(new Set(spent)).toEqual(new Set([2, 3]));
    const before = { miner: world.balance('miner'), maker: world.balance('maker') };
    world.chain.generate(1);
    const bond = (vout: number): bigint => close.outs[vout]!.value - (139n * 2_000n + 999n) / 1000n;
    expect(world.balance('miner') - before.miner).toBe(bond(2));
    expect(world.balance('maker') - before.maker).toBe(bond(3));
    await world.stop();
  });
});
