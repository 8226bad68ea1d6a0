import { afterEach, describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { DEFAULT_CLOSE_MARGINS } from '../../src/chain/watcher.ts';
import { assertTimeToFund } from '../../src/settlement/deadlines.ts';
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
  expect([1_675, 1_676].map((height) => at(height, terms))).toEqual(['open', 'expiry_near']);
  expect([498, 499].map((height) => at(height))).toEqual(['open', 'expiry_near']);
});
