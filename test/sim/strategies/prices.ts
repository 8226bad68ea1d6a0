import type { Frame } from '../../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../../src/audit/records.ts';
import { hashValue144, VALUE_BLOCKS } from '../../../src/contract/hash-value.ts';
import { dueHeight, movingPriceOf, signedPriceMsatPerEh } from '../../../src/contract/index-price.ts';
import { priceAtValue } from '../../../src/contract/price.ts';
import type { PriceBasis } from '../../../src/settlement/price-basis.ts';
import { audit, exportOf, framesOf, seal } from '../../audit/exports.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import type { SimWorld } from '../world.ts';
import { following } from './terms.ts';
import { paidInFull } from './tools.ts';
import { updatesAt } from './updates.ts';

/** Prices that follow the value of hashes: of blocks that go, and of blocks that somebody invents. */

const SIDES = ['miner', 'maker'] as const;
/** The edge within the life, and the blocks before it begins. */
const EDGE = 2 * VALUE_BLOCKS;
const OLD_BLOCKS = EDGE - 14;
/** With and without those that a price is of. */
const LEAST_GONE = 3;
const MOST_GONE = 9;
/** Blocks in which both have found and signed another price. */
const AGREED_BLOCKS = 5;

/** Each block another reward: by which others give another price. */
const rewardOf = (hash: string): bigint => 700n + BigInt(Number.parseInt(hash.slice(-2), 16));

function rewardByHash({ nodes }: SimWorld): void {
  for (const side of SIDES) nodes[side].rewardSat = rewardOf;
}

/** What follows from the blocks before the edge that the chain has now. */
function priceNow({ chain, terms }: SimWorld): bigint {
  const blocks = Array.from({ length: VALUE_BLOCKS }, (_, at) => {
    const { hash, header } = chain.blockAt(EDGE - VALUE_BLOCKS + at)!;
    return { rewardSat: rewardOf(hash), bits: header.bits };
  });
  return priceAtValue(movingPriceOf(terms)!, hashValue144(blocks)!);
}

const signedAt = (stage: Stage, side: Side): bigint | undefined => {
  const updates = updatesAt(stage, side);
  return updates && signedPriceMsatPerEh(updates.state.terms);
};

/** Each block with the time that two who are connected need to agree. */
async function blocks(stage: Stage, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    await stage.block();
    await stage.rounds(2);
  }
}

async function openPriced(stage: Stage): Promise<void> {
  await stage.open();
  for (let block = 0; block < 3 && stage.world.miner?.status.live !== true; block += 1)
    await blocks(stage, 1);
  await stage.pay(2);
}

/** What a file says that a price was reckoned by, otherwise. */
const LIES: readonly ((basis: PriceBasis) => PriceBasis)[] = [
  (basis) => ({
    ...basis,
    blocks: basis.blocks.map(({ header, rewardSat }) => ({ header, rewardSat: rewardSat / 2n })),
  }),
  (basis) => ({ ...basis, blocks: basis.blocks.map(() => basis.blocks[0]!) }),
  // One of less reward, at another place.
  (basis) => ({ ...basis, blocks: [...basis.blocks.slice(1), basis.blocks[0]!] }),
  (basis) => ({ ...basis, edge: basis.edge + 1 }),
  (basis) => ({ ...basis, priceMsatPerEh: basis.priceMsatPerEh + 1n }),
];

async function forged(file: Uint8Array, lie: (typeof LIES)[number]): Promise<Uint8Array> {
  const frames = await framesOf(file);
  return seal(
    frames.map((frame): Frame => {
      if (frame.kind !== 'prices') return frame;
      return { kind: 'prices', payload: printRecord('prices', lie(parseRecord('prices', frame))) };
    }),
  );
}

export const BY_PRICES: Readonly<Record<string, Strategy>> = {
  'price-blocks-go': {
    what: 'the blocks of a price are replaced by others as it comes into use, whoever is killed',
    row: 'terms: price',
    hostile: [],
    options: () => following(OLD_BLOCKS),
    begin: ({ world }) => rewardByHash(world),
    play: async (stage) => {
      const { world, random } = stage;
      await openPriced(stage);
      while (stage.height < dueHeight(EDGE) + random.below(2)) await blocks(stage, 1);
      await stage.pay(1);
      const gone = LEAST_GONE + random.below(MOST_GONE - LEAST_GONE);
      world.chain.invalidateTip(gone);
      world.chain.generate(gone + 1);
      await stage.rounds(2);
      if (random.below(3) === 0) await world.kill(random.pick(SIDES), 0);
      await stage.pay(1);
      await blocks(stage, AGREED_BLOCKS);
      const price = priceNow(world);
      for (const side of SIDES) {
        const signed = signedAt(stage, side);
        if (signed !== undefined && signed !== price)
          stage.find('a price is of blocks that are gone', `${signed} at the ${side}, not ${price}`);
      }
      await stage.pay(1);
      await stage.liveOut();
    },
    judge: paidInFull,
  },
  'lies-about-prices': {
    what: 'both are honest, and in the end the maker shows what prices were reckoned by otherwise',
    row: 'terms: price',
    hostile: [],
    options: () => following(OLD_BLOCKS),
    begin: ({ world }) => rewardByHash(world),
    play: async (stage) => {
      await openPriced(stage);
      while (stage.height < dueHeight(EDGE) + 2) await blocks(stage, 1);
      await stage.pay(2);
      await stage.liveOut();
    },
    judge: async ({ world }) => {
      const [miner, maker] = await Promise.all(SIDES.map((side) => exportOf(world.disks[side].store)));
      const { verdict, finding } = await audit(miner!, maker!);
      // Both lose what they reckoned by where one dies at the wrong moment: nobody is wrong by that.
      if (verdict !== 'agreed' && finding?.code !== 'no_price')
        return [{ rule: 'honest files are not agreed', seen: `${finding?.code}: ${finding?.words}` }];
      const isThere = (await framesOf(maker!)).some(({ kind }) => kind === 'prices');
      for (const [at, lie] of isThere ? LIES.entries() : []) {
        const report = await audit(miner!, await forged(maker!, lie));
        const alone = await audit(await forged(maker!, lie));
        if (alone.verdict === 'agreed') return [{ rule: 'a lie about prices is believed', seen: `${at}` }];
        if (report.verdict === 'miner') return [{ rule: 'a lie convicts the miner', seen: `${at}` }];
      }
      return [];
    },
  },
};
