import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { paySatOf, segmentsOf } from '../../src/contract/updated-terms.ts';
import { makerBook } from '../../src/operator/maker-book.ts';
import { toHeight } from './courses.ts';
import { SHARE, until, World } from './world.ts';

/** At 20 sat a block the value of hashes is 10 sat a hash here: 10^22 msat per EH. */
const SAT_A_HASH = 10n ** 21n;
const PRICE: TermsV3['price'] = {
  ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 6, premiumPpm: 0 },
  ...{ minMsatPerEh: SAT_A_HASH, maxMsatPerEh: 10n * SAT_A_HASH },
};

/** What a block is worth to a node, sats, by its height. */
type Rewards = (height: number) => bigint | undefined;
const rewards: Rewards = (height) => (height < 144 ? 20n : 12n);

/** A node that tells what blocks are worth, or does not. */
function telling(source: ChainSource, of: Rewards): ChainSource {
  const blockRewardSat = async (hash: string): Promise<bigint> => {
    const reward = of((await source.header(hash))!.height);
    if (reward === undefined) throw new CodedError('chain_rpc', 'no undo data');
    return reward;
  };
  return new Proxy(source, {
    get: (target, name, receiver) =>
      name === 'blockRewardSat' ? blockRewardSat : (Reflect.get(target, name, receiver) as unknown),
  });
}

/** Both sides with nodes of their own, a few blocks into the second day of the chain. */
async function opened(of: { miner?: Rewards; maker?: Rewards } = {}): Promise<World> {
  const world = new World({
    isVersion3: true,
    policy: { maxIndexPremiumPpm: 0 },
    terms: { minDepth: 2 },
    version3: () => ({ price: PRICE }),
  });
  world.chain.generate(150);
  world.minerDeps = { chain: telling(world.source, of.miner ?? rewards) };
  await world.startMaker({}, { chain: telling(world.source, of.maker ?? rewards) });
  await world.startMiner();
  await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  world.chain.generate(2);
  await until('open', () => world.maker.status[0]?.channel === 'open');
  return world;
}

const segments = (world: World): readonly string[] =>
  segmentsOf(world.miner.updates.state.terms).map(
    ({ fromHashes, msatPerEh }) => `${fromHashes}: ${msatPerEh / SAT_A_HASH}`,
  );

describe('a price that follows the value of hashes', () => {
  it('is signed by both before any work, and anew for each epoch, once it is buried (I25, I26)', async () => {
    const world = await opened();
    await until('live', () => world.miner.status.live);
    expect(segments(world)).toEqual(['0: 1', '0: 10']);
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    expect(world.miner.status.signed?.paidSat).toBe(4n * SHARE.workHashes * 10n);
    await toHeight(world, 288 + 3);
    expect(segments(world)).toHaveLength(2);
    world.chain.generate(1);
    await until('a new price', () => segments(world).length === 3);
    // It holds two steps from there on: what was found before keeps its price.
    const from = 4n * SHARE.workHashes + 2n * world.terms.stepHashes;
    expect(segments(world).at(-1)).toBe(`${from}: 6`);
    for (let n = 2; n < 6; n += 1) {
      await world.work(4);
      await until(`state ${n}`, () => world.miner.status.signed?.n === n);
    }
    const { workHashes, paidSat } = world.miner.status.signed!;
    expect(paidSat).toBe(from * 10n + (workHashes - from) * 6n);
    expect(paidSat).toBe(paySatOf(world.miner.updates.state.terms, workHashes));
    await world.stop();
  });

  it('of a maker that reckons with another is refused, and nothing is delivered (hostile maker)', async () => {
    const world = await opened({ maker: () => 18n });
    await until('refused', () => world.miner.updates.state.revoked.length > 0);
    expect(segments(world)).toEqual(['0: 1']);
    expect(world.miner.status.live).toBe(false);
    await world.deliver(world.find(world.job(), 3));
    await until('refused', () => world.maker.status[0]!.refused['no_price'] === 3);
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(0n);
    await world.stop();
  });

  it('of a miner that claims another is refused by the maker (hostile miner)', async () => {
    const world = await opened();
    await until('live', () => world.miner.status.live);
    await toHeight(world, 160);
    const error = await world.miner.updates.propose({ priceMsatPerEh: 9n * SAT_A_HASH }).then(
      () => 'none',
      (each: { code: string }) => each.code,
    );
    await until('revoked', () => world.miner.updates.state.pending === undefined);
    expect(['none', 'update_revoked']).toContain(error);
    expect(segments(world)).toEqual(['0: 1', '0: 10']);
    expect(world.miner.status.live).toBe(true);
    await world.stop();
  });

  it('that a node does not tell stands in for a while, then delivery pauses, and goes on once it does', async () => {
    let isTelling = true;
    const of: Rewards = (height) => (isTelling || height < 200 ? rewards(height) : undefined);
    const world = await opened({ miner: of });
    await until('live', () => world.miner.status.live);
    isTelling = false;
    await toHeight(world, 288 + 4 + 5);
    expect(segments(world)).toHaveLength(2);
    expect(world.miner.status.live).toBe(true);
    // By its own node the maker would have signed 6: in its book is what holds, and that leaving pays.
    const { contracts } = makerBook(world.maker) as { readonly contracts: readonly object[] };
    const booked = { price_msat_per_eh: 10n * SAT_A_HASH, leaving_pays: 'maker' };
    expect(contracts).toMatchObject([booked]);
    world.chain.generate(1);
    await until('paused', () => !world.miner.status.live);
    isTelling = true;
    world.chain.generate(1);
    await until('a new price', () => segments(world).length === 3);
    await until('live again', () => world.miner.status.live);
    await world.stop();
  });

  it('is the same after a start of either side, and after a reorganisation over the edge (I60)', async () => {
    const world = await opened();
    await until('live', () => world.miner.status.live);
    await toHeight(world, 288 + 2);
    // Three blocks over the edge are replaced by four: not one of them had a price yet.
    world.chain.invalidateTip(3);
    world.chain.generate(4);
    await world.rest();
    expect(segments(world)).toHaveLength(2);
    await toHeight(world, 288 + 4);
    await until('a new price', () => segments(world).length === 3);
    const before = segments(world);
    await world.restartMiner();
    await until('there again', () => world.miner.status.connected && world.miner.status.live);
    expect(segments(world)).toEqual(before);
    await world.stop();
  });
});
