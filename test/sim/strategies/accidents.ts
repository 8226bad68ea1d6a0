import { FREE_FEE_SAT } from '../../../src/chain/fee-caps.ts';
import { DEFAULT_LATE_BLOCKS } from '../../../src/chain/projection.ts';
import { CALM_SAT_PER_KVB } from '../node.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BOND_CSV_BLOCKS, MARGINS, SALE_BLOCKS } from '../terms.ts';
import { BLOCK_INTERVAL_MS } from './recoveries.ts';
import { bondsLeft } from './stakes-left.ts';
import { paid, paidInFull, rob } from './tools.ts';

const maker = ['maker'] as const;

/** More than are searched for what spent an output. */
const SEARCHED_BLOCKS = 150;

/** Where the maker would take the channel if the miner let it. */
const robbed: Pick<Strategy, 'hostile' | 'step'> = { hostile: maker, step: (stage) => rob(stage) };

/** What befalls machines. */
const OF_MACHINES: Readonly<Record<string, Strategy>> = {
  'one-write-fails': {
    what: 'one write of the miner fails, and its ledger with it',
    row: 'F2',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(3));
      await stage.world.disks.miner.fail(stage.random.below(2) === 0);
      if (stage.random.below(2) === 0) stage.unattended.add('miner');
      stage.world.work(4);
      await stage.noise(stage.random.below(10));
      await stage.liveOut();
    },
  },
  'write-of-state-fails': {
    what: 'the ledger of the miner fails under the write of a state',
    row: 'F2',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 1);
      stage.world.disks.miner.failsAt = 'state';
      stage.unattended.add('miner');
      await stage.pay(1);
      // It is the newest that was verified, whatever became of it.
      void stage.world.miner?.closeAlone().catch(() => {});
      await stage.liveOut();
    },
    judge: ({ world }, { close }) => {
      const newest = Math.max(...world.rules.released.keys());
      const state = JSON.parse(world.rules.released.get(newest)!) as { paid_sat: string };
      const dueSat = BigInt(state.paid_sat) + world.terms.minerReserveSat;
      if (close !== undefined && close.minerSat + close.feeSat >= dueSat) return [];
      return [{ rule: 'a verified state was left behind', seen: `state ${newest}` }];
    },
  },
  'disk-full': {
    what: 'the disk of the miner is full for good, also after every start',
    row: 'F2',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(3));
      stage.world.disks.miner.isFull = true;
      stage.world.work(4);
      await stage.liveOut();
    },
  },
  'disk-hangs': {
    what: 'the disk of the miner answers no more',
    row: 'F2',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(3));
      stage.world.work(4);
      if (stage.random.below(2) === 0) await stage.rounds(1);
      stage.world.disks.miner.isHanging = true;
      await stage.rounds(4);
      await stage.liveOut();
    },
  },
  'makers-disk-hangs': {
    what: 'the disk of the maker answers no more',
    row: 'F2',
    hostile: [],
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(3));
      stage.world.disks.maker.isHanging = true;
      if (stage.random.below(2) === 0) await stage.vanish('miner');
      await stage.liveOut();
    },
  },
  'node-dies': {
    what: 'one of two nodes of the miner is dead or hangs across the expiry, also through a start',
    row: 'F7',
    ...robbed,
    options: () => ({ minerNodes: 2 }),
    play: (stage) => withoutNode(stage),
  },
  'node-dies-watched': {
    what: 'the only node of the miner is dead or hangs across the expiry, and a watch runs elsewhere',
    row: 'F7',
    ...robbed,
    options: () => ({ watched: 'miner', minerNodes: 1 }),
    play: (stage) => withoutNode(stage),
  },
  'machine-dies-watched': {
    what: 'the machine of the miner is gone for good, and a watch runs elsewhere',
    row: 'F7',
    ...robbed,
    options: () => ({ watched: 'miner' }),
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(4));
      await stage.vanish('miner');
      await stage.liveOut();
    },
    // Whoever is gone has what the watch fetched.
    judge: (stage, books) => paidInFull(stage, books),
  },
  'makers-machine-dies-watched': {
    what: 'the machine of the maker is gone for good, and so is the miner; a watch has the refund',
    row: 'F7',
    hostile: ['miner'],
    options: () => ({ watched: 'maker' }),
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(4));
      await stage.vanish('miner');
      await stage.vanish('maker');
      await stage.liveOut();
    },
  },
  'node-dies-alone': {
    what: 'the only node of the miner is dead across the expiry, and there is no watch',
    row: 'F7',
    hostile: [],
    // What was signed is gone with the node. Promised is only that nothing more is sold.
    unjudged: ['miner'],
    options: () => ({ blockIntervalMs: { miner: BLOCK_INTERVAL_MS } }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      world.nodes.miner.isDead = true;
      await world.time.advance((DEFAULT_LATE_BLOCKS + 1) * BLOCK_INTERVAL_MS);
      await stage.rounds(8);
      if (world.miner?.status.live === true)
        stage.find('work is sold while the chain stands still', world.miner.status.channel);
      await stage.until(-4);
      world.nodes.miner.isDead = false;
      await stage.liveOut();
    },
  },
  'node-returns': {
    what: 'the only node of the miner is dead for hours, and comes back before the expiry',
    row: 'F7',
    ...robbed,
    options: () => ({ blockIntervalMs: { miner: BLOCK_INTERVAL_MS } }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      await stage.until(SALE_BLOCKS + 1 + stage.random.below(4));
      world.nodes.miner.isDead = true;
      await world.time.advance((DEFAULT_LATE_BLOCKS + stage.random.below(40)) * BLOCK_INTERVAL_MS);
      await stage.rounds(4);
      await stage.until(2 + stage.random.below(MARGINS.askBlocks));
      world.nodes.miner.isDead = false;
      await stage.liveOut();
    },
  },
  'node-pauses': {
    what: 'the node of the miner is dead for a while, long before the expiry',
    row: 'F7',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 2);
      stage.world.nodes.miner.isDead = true;
      await stage.blocks(1 + stage.random.below(8));
      stage.world.nodes.miner.isDead = false;
      await stage.liveOut();
    },
  },
  'no-estimates': {
    what: 'the nodes of both estimate no fee',
    row: 'F25',
    ...robbed,
    begin: ({ world }) => {
      for (const node of Object.values(world.nodes)) node.hasEstimates = false;
    },
  },
  'miner-restored': {
    what: 'the miner starts from a backup of its ledger',
    row: 'table: the miner loses its ledger',
    hostile: [],
    // What came after the backup is on no disk: it is acked, and gone.
    unjudged: ['miner'],
    options: () => ({ forgets: ['miner'] }),
    play: (stage) => restored(stage, 'miner'),
  },
  'maker-restored': {
    what: 'the maker starts from a backup of its ledger',
    row: 'F11',
    hostile: [],
    options: () => ({ forgets: ['maker'] }),
    play: (stage) => restored(stage, 'maker'),
  },
  'clocks-jump': {
    what: 'the wall clocks of both are set again and again, by minutes and days',
    row: 'chance',
    hostile: [],
    play: async (stage) => {
      await paid(stage, 1);
      for (let round = 0; round < 4; round += 1) {
        stage.world.time.setWall((stage.random.below(5) - 2) * 43_200_000);
        await stage.pay(1);
        await stage.blocks(stage.random.below(3));
      }
      await stage.liveOut();
    },
  },
};

/** The first node of the miner is dead, or hangs, from before the time to ask until after the expiry. */
async function withoutNode(stage: Stage): Promise<void> {
  const { world, random } = stage;
  const node = world.nodes.miner;
  await paid(stage, 4);
  await stage.until(SALE_BLOCKS + 1 + random.below(4));
  const how = random.below(2) === 0 ? 'isDead' : 'isHanging';
  node[how] = true;
  if (random.below(2) === 0) await world.kill('miner', 0);
  await stage.until(-4);
  node[how] = false;
  await stage.liveOut();
}

async function restored(stage: Stage, side: 'miner' | 'maker'): Promise<void> {
  const { world } = stage;
  await paid(stage, 1 + stage.random.below(2));
  world.disks[side].backUp();
  await stage.pay(1 + stage.random.below(3));
  await world.kill(side, 0);
  await world.disks[side].restore();
  world.say(`the ${side} starts from a backup`);
  await stage.rounds(6);
  await stage.pay(2);
  await stage.liveOut();
}

/** What befalls the chain and its market. */
const OF_THE_CHAIN: Readonly<Record<string, Strategy>> = {
  'spike-at-expiry': {
    what: 'blocks ask for 500 or 1,200 sat/vB at the expiry, and the miner is gone',
    row: 'F26',
    hostile: ['miner'],
    play: async (stage) => {
      await paid(stage, 2);
      await stage.vanish('miner');
      await stage.until(2);
      stage.world.setMarket(stage.random.pick([500_000, 1_200_000]));
      await stage.until(-4);
      stage.world.setMarket(0);
      await stage.liveOut();
    },
  },
  'spike-at-close': {
    what: 'blocks ask for more than the ladder pays while the miner closes',
    row: 'table: fees spike',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 4);
      await stage.until(SALE_BLOCKS + 1);
      stage.world.setMarket(30_000 + stage.random.below(20_000));
      // An honest maker would pay for a close that waits beyond the expiry.
      await stage.vanish('maker');
      await stage.liveOut();
    },
  },
  'dear-blocks': {
    what: 'blocks ask for more than the lowest rung, and there is little to pay it from',
    row: 'table: fees spike',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 0);
      await stage.vanish('maker');
      await stage.until(SALE_BLOCKS + 1);
      stage.world.setMarket(15_000);
      await stage.liveOut();
    },
  },
  'wrong-estimate': {
    what: 'the node of the miner estimates far below what blocks ask for',
    row: 'table: fees spike',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 4);
      await stage.vanish('maker');
      await stage.until(SALE_BLOCKS + 1);
      stage.world.nodes.miner.saidSatPerKvb = 1_000;
      stage.world.setMarket(15_000);
      await stage.liveOut();
    },
  },
  'wrong-estimate-of-refund': {
    what: 'the miner is gone, and the node of the maker estimates half of what blocks ask for',
    row: 'table: fees spike',
    hostile: ['miner'],
    play: async (stage) => {
      await paid(stage, 2);
      await stage.vanish('miner');
      stage.world.nodes.maker.saidSatPerKvb = CALM_SAT_PER_KVB / 2;
      stage.world.setMarket(CALM_SAT_PER_KVB);
      await stage.liveOut();
    },
  },
  'bonds-come-back': {
    what: 'the maker is gone in the middle, and bonds are not vested',
    row: 'table: the maker is offline',
    hostile: maker,
    options: () => ({ staked: true }),
    play: async (stage) => {
      await paid(stage, stage.random.below(3));
      await stage.vanish('maker');
      void stage.world.miner?.closeAlone().catch(() => {});
      await stage.liveOut();
    },
  },
  'bonds-after-a-search': {
    what: 'the maker comes back once the miner has its bond and the close is deeper than a node is searched',
    row: 'table: the maker is offline',
    hostile: [],
    options: () => ({ staked: true }),
    play: async (stage) => {
      await paid(stage, stage.random.below(3));
      const { world } = stage;
      for (let block = 0; block < 10 && world.miner?.status.channel !== 'closed'; block += 1) {
        void world.miner?.closeAlone().catch(() => {});
        await stage.rounds(2);
        await stage.block();
      }
      await stage.vanish('maker');
      // The miner fetches its own as soon as it may.
      await stage.blocks(BOND_CSV_BLOCKS + MARGINS.finalDepth);
      world.chain.generate(SEARCHED_BLOCKS);
      await stage.rounds(2);
      stage.gone.delete('maker');
      await stage.rounds(2);
      await stage.blocks(3 * MARGINS.finalDepth);
    },
    judge: (stage) => bondsLeft(stage, ['miner', 'maker']),
  },
  'dear-close': {
    what: 'the miner is off until the expiry is near, and nothing else wants into blocks',
    row: 'F9',
    hostile: [],
    options: () => ({ terms: { feeLadderSatPerKvb: [1_100, 2_500, 30_000] } }),
    play: async (stage) => {
      await paid(stage, 0);
      stage.gone.add('miner');
      await stage.world.kill('miner', 0);
      await stage.until(MARGINS.urgentBlocks);
      stage.gone.delete('miner');
      await stage.liveOut();
    },
    judge: (_stage, { close }) => {
      // Blocks ask for 2 sat/vB: twice that, and what no bound is worth waiting for.
      if (close === undefined || close.feeSat <= FREE_FEE_SAT) return [];
      const seen = `${close.feeSat} of ${close.minerSat + close.feeSat} sat`;
      return [{ rule: 'fees beyond their share', seen }];
    },
  },
  'funding-reorganised': {
    what: 'blocks with the funding are undone while work is sold',
    row: 'table: the funding leaves the chain',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 1 + stage.random.below(2));
      const depth = Math.min(2 + stage.random.below(2), stage.height - stage.world.startHeight - 1);
      stage.world.chain.invalidateTip(depth);
      await stage.held('a reorganisation');
      stage.world.work(4);
      await stage.rounds(2);
      await stage.blocks(depth + 1);
      await stage.pay(1);
      await stage.liveOut();
    },
  },
  'close-reorganised': {
    what: 'blocks with the close are undone near the expiry',
    row: 'table: the close leaves the chain',
    ...robbed,
    play: async (stage) => {
      await paid(stage, 2);
      await stage.until(stage.random.below(MARGINS.broadcastBlocks - 2));
      const depth = 1 + stage.random.below(MARGINS.broadcastBlocks - 1);
      stage.world.chain.invalidateTip(depth);
      await stage.held('a reorganisation');
      await stage.blocks(depth + 1);
      await stage.liveOut();
    },
  },
  'both-vanish': {
    what: 'both are gone until after the expiry',
    row: 'table: both vanish',
    hostile: [],
    // Who comes first has it: the miner may lose all that was paid.
    unjudged: ['miner'],
    play: async (stage) => {
      await paid(stage, 2);
      await stage.vanish('miner');
      await stage.vanish('maker');
      await stage.until(-(1 + stage.random.below(3)));
      for (const side of [...stage.gone]) stage.gone.delete(side);
      await stage.liveOut();
    },
  },
};

export const ACCIDENTS: Readonly<Record<string, Strategy>> = { ...OF_MACHINES, ...OF_THE_CHAIN };
