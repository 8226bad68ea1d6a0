import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import type { PriceBasis } from '../../src/settlement/price-basis.ts';
import { toHeight } from '../maker/courses.ts';
import { until, World } from '../maker/world.ts';
import { audit, exportOf, framesOf, seal } from './exports.ts';

/** Blocks of this chain pay so much that the price is at neither of its ends. */
const SAT_A_HASH = 10n ** 21n;
const PRICE: TermsV3['price'] = {
  ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 6, premiumPpm: 50_000 },
  ...{ minMsatPerEh: SAT_A_HASH, maxMsatPerEh: 10n * SAT_A_HASH },
};

describe('prices that follow the value of hashes, in an audit', () => {
  let world: World;
  let miner: Uint8Array;
  let maker: Uint8Array;

  beforeAll(async () => {
    world = new World({
      isVersion3: true,
      policy: { maxIndexPremiumPpm: 50_000 },
      version3: () => ({ price: PRICE }),
    });
    world.chain.generate(150);
    const rewards = new Proxy(world.source, {
      get: (target, name, receiver) =>
        name === 'blockRewardSat'
          ? async (hash: string) => ((await target.header(hash))!.height < 144 ? 14n : 12n)
          : (Reflect.get(target, name, receiver) as unknown),
    });
    world.minerDeps = { chain: rewards };
    await world.startMaker({}, { chain: rewards });
    await world.startMiner();
    await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(2);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await toHeight(world, 288 + 4);
    for (let n = 2; n < 5; n += 1) {
      await world.work(4);
      await until(`state ${n}`, () => world.miner.status.signed?.n === n);
      await until(`acked ${n}`, () => world.maker.status[0]!.ackedN === n);
    }
    await world.rest();
    [miner, maker] = [await exportOf(world.minerStore), await exportOf(world.makerStore)];
  });
  afterAll(() => world.stop());

  /** A file whose blocks of the epochs are others, or none. */
  async function changed(
    file: Uint8Array,
    change: (basis: PriceBasis, at: number) => PriceBasis | undefined,
  ): Promise<Uint8Array> {
    let at = 0;
    const frames = (await framesOf(file)).flatMap((frame): Frame[] => {
      if (frame.kind !== 'prices') return [frame];
      const basis = change(parseRecord('prices', frame), at);
      at += 1;
      return basis === undefined ? [] : [{ kind: 'prices', payload: printRecord('prices', basis) }];
    });
    expect(at).toBe(2);
    return seal(frames);
  }

  const rewarded = (basis: PriceBasis, moreSat: bigint): PriceBasis => ({
    ...basis,
    blocks: basis.blocks.map(({ header, rewardSat }) => ({ header, rewardSat: rewardSat + moreSat })),
  });

  it('follow from the blocks that either file has', async () => {
    const report = await audit(miner, maker);
    expect([report.verdict, report.finding]).toEqual(['agreed', undefined]);
    expect(report.files.map(({ recomputedPrices }) => recomputedPrices)).toEqual([2, 2]);
    expect((await audit(maker)).verdict).toBe('agreed');
  });

  it('are undecided where no file has the blocks, and agreed where one has', async () => {
    const [bare, barer] = [await changed(miner, () => undefined), await changed(maker, () => undefined)];
    expect((await audit(bare, maker)).verdict).toBe('agreed');
    const { verdict, finding } = await audit(bare, barer);
    expect([verdict, finding!.code]).toEqual(['undecided', 'no_price']);
    const half = await changed(miner, (basis, at) => (at === 0 ? basis : undefined));
    expect((await audit(half)).finding!.words).toMatch(/the price follows that both signed: \d+ msat/);
  });

  it('that do not follow are found, with what does, and convict nobody: both signed them', async () => {
    const wrong = await changed(maker, (basis, at) => (at === 1 ? rewarded(basis, 1n) : basis));
    const { verdict, finding } = await audit(wrong);
    expect([verdict, finding!.code]).toEqual(['undecided', 'bad_amount']);
    expect(finding!.words).toMatch(
      /^both signed \d+ msat\/EH for the blocks before 288, from which \d+ follows$/,
    );
  });

  it('of blocks that are none make the file one that proves nothing', async () => {
    const swapped = (basis: PriceBasis): PriceBasis => {
      const [first, second, ...rest] = basis.blocks;
      return { ...basis, blocks: [second!, first!, ...rest] };
    };
    const unmined = (basis: PriceBasis): PriceBasis => ({
      ...basis,
      // Bits as hard as those of a real chain.
      blocks: basis.blocks.map(({ header, rewardSat }) => {
        return { header: `${header.slice(0, 144)}ffff001d${header.slice(152)}`, rewardSat };
      }),
    });
    for (const [change, says] of [
      [swapped, 'do not follow each other'],
      [unmined, 'have one without its work'],
      [(basis: PriceBasis) => ({ ...basis, edge: basis.edge + 1 }), 'are of no epoch'],
      [(basis: PriceBasis) => ({ ...basis, priceMsatPerEh: 1n }), 'that nobody signed'],
    ] as const) {
      const bad = await changed(maker, change);
      const { verdict, finding } = await audit(bad);
      expect([verdict, finding!.words.includes(says)], finding!.words).toEqual(['file', true]);
      expect((await audit(miner, bad)).verdict).toBe('agreed');
    }
  });
});
