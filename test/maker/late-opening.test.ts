import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { assertTimeToFund } from '../../src/channel/deadlines.ts';
import type { MemoryLedger } from '../ledger/memory-ledger.ts';
import { until, World, type WorldOptions } from './world.ts';

const LATE = 1_700;
const OPTIONS: WorldOptions = {
  policy: { minExpiryBlocks: 100 },
  maker: { opening: { margins: DEFAULT_CLOSE_MARGINS } },
};

/** A node whose tip is late as soon as a ledger has a record of this kind. */
function lateOnce(source: ChainSource, ledger: MemoryLedger, kind: string | undefined): ChainSource {
  return Object.assign(Object.create(source) as ChainSource, {
    tip: async () => {
      const tip = await source.tip();
      const isLate = kind === undefined || (await ledger.list(kind)).length > 0;
      return isLate ? { ...tip, height: LATE } : tip;
    },
  });
}

describe('so near to the expiry that no close fits before it', () => {
  let world: World;
  afterEach(() => world.stop());

  it.each([
    ['takes no proposal', undefined],
    ['opens nothing', 'contract'],
    ['signs no funding', 'opening'],
  ])('a maker %s', async (_what, kind) => {
    world = new World(OPTIONS);
    await world.startMaker({}, { chain: lateOnce(world.source, world.makerStore, kind) });
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'expiry_near');
    expect(await world.makerStore.list('funding')).toEqual([]);
    expect(world.chain.mempoolEntries()).toEqual([]);
  });

  it.each([
    ['proposes nothing', undefined, 'contract'],
    ['opens nothing', 'contract', 'opening'],
    ['signs no funding, whatever its wallet took so long for', 'opening', 'funding'],
  ])('a miner %s', async (_what, kind, never) => {
    world = new World(OPTIONS);
    await world.startMaker();
    Object.assign(world, { source: lateOnce(world.source, world.minerStore, kind) });
    await world.startMiner();
    await until('given up', () => world.miner.status.lastError === 'expiry_near');
    expect(await world.makerStore.list(never)).toEqual([]);
    expect(world.chain.mempoolEntries()).toEqual([]);
  });
});

it('a door is open to the block, and terms of version 3 have one of their own', () => {
  const world = new World({ isVersion3: true });
  const margins = { askBlocks: 288, urgentBlocks: 36 };
  const at = (height: number, terms = world.proposed): string => {
    try {
      assertTimeToFund(terms, margins, height);
      return 'open';
    } catch (error) {
      return codeOf(error);
    }
  };
  const { terms } = world;
  // Older terms have none: deep by the last block in which something can begin.
  expect([1_673, 1_674].map((height) => at(height, terms))).toEqual(['open', 'expiry_near']);
  expect([498, 499].map((height) => at(height))).toEqual(['open', 'expiry_near']);
});

describe('a channel whose expiry comes near', () => {
  let world: World;
  afterEach(() => world.stop());

  const EXPIRY = 600;
  const BEGIN_BLOCKS = 324;
  const MARGINS = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 };
  const mineTo = (height: number): unknown => world.chain.generate(height - world.chain.height);

  it('sells and buys to the block, and what was delivered is paid', async () => {
    world = new World({ terms: { expiryHeight: EXPIRY } });
    await world.open();
    mineTo(EXPIRY - BEGIN_BLOCKS - 1);
    await world.work(4);
    await until('state 1', () => world.maker.status[0]?.ackedN === 1);
    expect(world.miner.status.live).toBe(true);
    await world.work(4);
    mineTo(EXPIRY - BEGIN_BLOCKS);
    await until('no more', () => !world.miner.status.live);
    await until('paid and closed', () => world.chain.mempoolEntries().length > 0);
    expect(world.maker.status[0]).toMatchObject({ ackedN: 2, channel: 'closing' });
  });

  it('a maker buys nothing on a block from then on, whatever the miner thinks', async () => {
    const margins = { ...MARGINS, beginBlocks: 150 };
    world = new World({ terms: { expiryHeight: EXPIRY }, miner: { margins } });
    await world.open();
    mineTo(EXPIRY - BEGIN_BLOCKS);
    await until('seen', () => world.miner.status.fundingDepth > 200);
    await world.work(4);
    await until('refused', () => world.maker.status[0]?.refused['expiry_near'] === 4);
    expect(world.maker.status[0]?.sharesCredited).toBe(0);
  });

  it('a funding that was deep in time is not opened any more', async () => {
    world = new World({ terms: { expiryHeight: EXPIRY } });
    await world.startMaker();
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    await world.miner.stop();
    mineTo(EXPIRY - BEGIN_BLOCKS);
    await until('seen', () => (world.maker.status[0]?.fundingDepth ?? 0) > 200);
    // One that does not know that it is late.
    await world.startMiner({ margins: { ...MARGINS, beginBlocks: 150 } });
    await until('refused', () => world.miner.status.connected);
    await until('ended', () => world.miner.stats.connections > 0);
    expect(world.miner.status.live).toBe(false);
    expect(world.maker.status[0]?.channel).toBe('funding');
  });
});
