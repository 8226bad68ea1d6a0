import { DEFAULT_LATE_BLOCKS } from '../../../src/chain/projection.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { MARGINS, SALE_BLOCKS } from '../terms.ts';
import { paid, paidInFull, rob } from './tools.ts';

/** Of bitcoin: the chain of a run is faster, and only silence counts. */
export const BLOCK_INTERVAL_MS = 600_000;
/** Appends of an opening, and some of the first step. */
const OPENING_APPENDS = 12;
/** A look at the disk and a start after it. */
const RENEWAL_MS = 15_000;

const sideOf = (stage: Stage): Side => (stage.random.below(2) === 0 ? 'miner' : 'maker');
const makerWork = ({ world }: Stage): bigint => world.maker?.status[0]?.verifiedWorkHashes ?? 0n;

/** Something of each side is refused, or goes wrong for a while, and both go on. */
export const RECOVERIES: Readonly<Record<string, Strategy>> = {
  'closes-from-backup': {
    what: 'the miner starts from a backup and wants to close at once; the maker has a newer state',
    row: 'table: the miner loses its ledger',
    hostile: [],
    options: () => ({ forgets: ['miner'] }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      world.disks.miner.backUp();
      await stage.pay(1 + stage.random.below(4));
      stage.marks.set('acked', world.maker?.status[0]?.ackedN ?? 0);
      await world.kill('miner', 0);
      await world.disks.miner.restore();
      world.start('miner');
      await world.time.settle();
      world.say('the miner starts from a backup, and is told to close alone');
      void world.miner?.closeAloneInTime().catch(() => {});
      await stage.rounds(2);
      await stage.block();
      await stage.liveOut();
    },
    judge: (stage, books) => paidInFull(stage, books, stage.marks.get('acked')),
  },
  'closes-without-peer': {
    what: 'the miner starts anew and is told to close, and no maker is there to be asked',
    row: 'table: the maker is offline',
    hostile: ['maker'],
    step: (stage) => rob(stage),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1 + stage.random.below(3));
      await stage.vanish('maker');
      await world.kill('miner', 0);
      world.start('miner');
      await world.time.settle();
      // One that died before it did what it was told is told again.
      for (let time = 0; time < 2; time += 1) {
        void world.miner?.closeAloneInTime().catch(() => {});
        await world.time.advance(6_000);
        await stage.blocks(3);
      }
      const status = world.miner?.status.channel;
      if (status === 'open' && stage.left > MARGINS.askBlocks)
        stage.find('a close waits for nobody', `${stage.left} blocks before the expiry`);
      await stage.liveOut();
    },
  },
  'disk-full-for-a-while': {
    what: 'the disk of one side is full for minutes, and nobody starts its daemon anew but itself',
    row: 'F2',
    hostile: [],
    options: (random) => ({ renews: random.below(2) === 0 ? 'miner' : 'maker' }),
    play: async (stage) => {
      const { world } = stage;
      const side: Side = world.renews ?? 'miner';
      stage.unattended.add(side);
      const isOpen = await stage.open();
      await stage.pay(1);
      world.disks[side].isFull = true;
      world.work(4);
      await stage.rounds(4 + stage.random.below(8));
      world.disks[side].isFull = false;
      await world.time.advance(RENEWAL_MS);
      await stage.rounds(8);
      const before = makerWork(stage);
      await stage.pay(2);
      // Each share is a block here: those that a death keeps back are more than may come late.
      const isLate = (world.maker?.status[0]?.refused['late_solutions'] ?? 0) > 0;
      const isPaused = isLate && stage.dies('miner');
      if (isOpen && !isPaused && stage.left > SALE_BLOCKS && makerWork(stage) <= before)
        stage.find('a fault that is over holds the contract up', `of the ${side}`);
      await stage.liveOut();
    },
  },
  'makers-node-dies': {
    what: 'the node of the maker is dead for hours while work is sold',
    row: 'F7',
    hostile: [],
    options: () => ({ blockIntervalMs: { maker: BLOCK_INTERVAL_MS } }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      world.work(2);
      await stage.rounds(2);
      world.nodes.maker.isDead = true;
      await world.time.advance((DEFAULT_LATE_BLOCKS + 1) * BLOCK_INTERVAL_MS);
      const before = makerWork(stage);
      world.work(4);
      await stage.rounds(6);
      if (makerWork(stage) > before)
        stage.find('work is taken while the chain stands still', `${makerWork(stage) - before} hashes`);
      world.nodes.maker.isDead = false;
      await stage.block();
      await stage.rounds(8);
      await stage.pay(1);
      if (stage.left > SALE_BLOCKS && makerWork(stage) <= before)
        stage.find('a chain that moves again is not noticed', `credited ${makerWork(stage)} hashes`);
      await stage.liveOut();
    },
  },
  'opens-blindly': {
    what: 'the node of the maker is dead for hours, and then a miner wants a channel',
    row: 'F7',
    hostile: [],
    options: () => ({ blockIntervalMs: { maker: BLOCK_INTERVAL_MS } }),
    play: async (stage) => {
      const { world } = stage;
      await world.kill('miner', 0);
      stage.gone.add('miner');
      // What was asked for before is done with.
      await stage.rounds(2);
      world.nodes.maker.isDead = true;
      await world.time.advance((DEFAULT_LATE_BLOCKS + 1) * BLOCK_INTERVAL_MS);
      // It answers what it is asked, and tells of no block: as one without peers.
      world.nodes.maker.isDead = false;
      stage.gone.delete('miner');
      await stage.rounds(12);
      const status = world.maker?.status[0]?.channel ?? 'none';
      if (status !== 'none')
        stage.find('a channel is opened while the chain stands still', `it is ${status}`);
      await stage.blocks(1);
      await paid(stage, 1);
      await stage.liveOut();
    },
  },
  'opening-write-refused': {
    what: 'one write of the opening is refused, or fails, at either side',
    row: 'F2',
    hostile: [],
    begin: (stage) => {
      const { random, world } = stage;
      const why = random.below(2) === 0 ? 'overload' : 'ledger_io';
      const append = 1 + random.below(OPENING_APPENDS);
      const side = sideOf(stage);
      world.disks[side].refusedAt = { append, why };
      world.say(`write ${append} of the ${side} will be refused: ${why}`);
    },
    play: async (stage) => {
      const isOpen = await stage.open();
      if (!isOpen)
        stage.find('no channel for one refused write', stage.world.miner?.status.channel ?? 'down');
      await stage.pay(3);
      await stage.noise(stage.random.below(10));
      await stage.liveOut();
    },
  },
};
