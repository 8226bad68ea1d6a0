import { describe, expect, it } from 'vitest';
import { owedSat } from '../../src/base/units.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { unpackShares } from '../../src/work/evidence.ts';
import { type MortalLedger, SHARE, until, World } from './world.ts';

const STATES = 3;
const SHARES_PER_STATE = 4;

type Death = {
  readonly side: 'miner' | 'maker';
  readonly append: number;
  readonly when: 'before' | 'after' | 'refused';
};

/** The whole life of a contract while one side dies once; it is started again on what is on its disk. */
class MortalLife {
  readonly world = new World();
  /** Of the side that dies, as it was first. */
  readonly ledger: MortalLedger;
  deaths = 0;
  refusals = 0;

  constructor({ side, append, when }: Death) {
    const { world } = this;
    this.ledger = side === 'miner' ? world.minerLedger : world.makerLedger;
    this.ledger.deathAt = () => {
      if (this.ledger.appends !== append) return undefined;
      if (when === 'refused') this.refusals += 1;
      return when;
    };
  }

  /** Until something holds, with the dead side started again. */
  async #until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, async () => {
      await this.#revive();
      return holds();
    });
  }

  async #revive(): Promise<void> {
    const { world } = this;
    // What a refused write leaves suspended goes on after a start.
    if (world.miner?.status.frozen !== undefined) await world.restartMiner();
    if (world.maker.status[0]?.frozen !== undefined) await world.restartMaker();
    if (!world.minerLedger.isDead && !world.makerLedger.isDead) return;
    this.deaths += 1;
    await this.#checkAcked();
    if (world.makerLedger.isDead) await world.restartMaker();
    if (world.minerLedger.isDead) await world.restartMiner();
  }

  /** What the maker believes acked is on the miner's disk, byte for byte. */
  async #checkAcked(): Promise<void> {
    const { world } = this;
    const ack = await world.makerStore.get('ack', world.contractId);
    if (ack === undefined) return;
    const { n } = JSON.parse(ack) as { n: number };
    const [miner, maker] = [await world.states(world.minerStore), await world.states(world.makerStore)];
    expect(miner.get(n)).toBeDefined();
    for (const [number, body] of miner) expect(maker.get(number)).toBe(body);
  }

  async #deliver(shares: readonly AcceptedShare[]): Promise<void> {
    const { world } = this;
    const before = world.meters.total(world.contractId).seq;
    while (world.meters.total(world.contractId).seq === before) {
      let isOver = false;
      const ledger = world.minerLedger;
      // A refused write is tried again, as the proxy's is by the miner's next share.
      const commit = world.deliver(shares).finally(() => {
        isOver = true;
      });
      commit.catch(() => {});
      await this.#until('shares durable', () => isOver || world.minerLedger !== ledger);
    }
  }

  async run(): Promise<void> {
    const { world } = this;
    await world.startMaker();
    await world.startMiner();
    await this.#until('open', () => {
      const { height } = world.chain;
      const isSent = world.chain.mempoolEntries().length > 0 || height > world.startHeight;
      if (isSent && height < world.startHeight + world.terms.minDepth) world.chain.generate(1);
      return world.miner.status.live && world.maker.status[0]?.channel === 'open';
    });
    for (let n = 1; n <= STATES; n += 1) {
      await this.#deliver(world.find(world.job(), SHARES_PER_STATE));
      await this.#until(`state ${n}`, () => {
        return world.miner.status.signed?.n === n && world.maker.status[0]?.ackedN === n;
      });
    }
    const openHeight = world.chain.height;
    let asked: unknown;
    await this.#until('closed', () => {
      if (asked !== world.miner) void world.miner.close();
      asked = world.miner;
      const isDeep = world.chain.height >= openHeight + 2;
      if (world.chain.mempoolEntries().length > 0 || (world.chain.height > openHeight && !isDeep)) {
        world.chain.generate(1);
      }
      return world.miner.status.channel === 'closed' && world.maker.status[0]?.channel === 'closed';
    });
  }

  /** Every share is credited once on both sides, and paid. */
  async check(): Promise<void> {
    const { world } = this;
    const count = STATES * SHARES_PER_STATE;
    const workHashes = BigInt(count) * SHARE.workHashes;
    for (const store of [world.minerStore, world.makerStore]) {
      const rows = await store.readLog('share', world.contractId, 0, 1000);
      const hashes = rows.flatMap((row) => unpackShares(row.body).map(({ hash }) => hash.join()));
      expect(hashes).toHaveLength(count);
      expect(new Set(hashes).size).toBe(count);
      expect(await store.get('stream', world.contractId)).toBe(`{"seq":${count},"work":"${workHashes}"}`);
    }
    const paidSat = owedSat(workHashes, world.terms.priceMsatPerEh);
    expect(world.miner.status.signed).toEqual({ n: STATES, workHashes, paidSat });
    await this.#checkAcked();
    await world.stop();
  }
}

/**
 * How many writes a life has depends on how many blocks a look at the chain brings.
 * @returns whether it died; it has not when its writes are fewer
 */
async function dies(death: Death): Promise<boolean> {
  const life = new MortalLife(death);
  await life.run().catch((error: unknown) => {
    const { miner, maker } = life.world;
    const where = JSON.stringify(
      { ...death, miner: miner.status, maker: maker.status },
      (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
    );
    throw new Error(`${String(error)} ${where}`);
  });
  const isReached = life.ledger.appends >= death.append;
  const { deaths, refusals } = life;
  expect({ deaths, refusals }, JSON.stringify(death)).toEqual(
    death.when === 'refused'
      ? { deaths: 0, refusals: isReached ? 1 : 0 }
      : { deaths: isReached ? 1 : 0, refusals: 0 },
  );
  await life.check();
  return isReached;
}

describe('a process that dies at a write and starts again', () => {
  it.each(['miner', 'maker'] as const)('loses and repeats nothing: %s', async (side) => {
    let append = 0;
    let hasDied = true;
    while (hasDied) {
      append += 1;
      const before = await dies({ side, append, when: 'before' });
      const after = await dies({ side, append, when: 'after' });
      hasDied = before || after;
    }
    expect(append).toBeGreaterThan(12);
  });
});

describe('a write that is refused, whichever it is', () => {
  it.each(['miner', 'maker'] as const)('loses and repeats nothing: %s', async (side) => {
    let append = 0;
    let isRefused = true;
    while (isRefused) {
      append += 1;
      isRefused = await dies({ side, append, when: 'refused' });
    }
    expect(append).toBeGreaterThan(12);
  });
});
