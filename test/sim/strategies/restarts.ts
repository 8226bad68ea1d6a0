import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BOND_CSV_BLOCKS, SALE_BLOCKS } from '../terms.ts';
import { bondsLeft } from './stakes-left.ts';
import { paid, paidInFull, rob } from './tools.ts';

/**
 * Processes that start anew at every block, as where a supervisor gives up on them, or a timer runs them
 * once in a while: what they bid waits longer than any of them lives. Nodes say less than blocks ask for,
 * so that only waiting tells.
 */

const SAID = 1_000;

/** From here on blocks ask for more than all nodes say. */
function dearUnsaid({ world }: Stage, market: number): void {
  for (const node of [...Object.values(world.nodes), world.watchNode]) node.saidSatPerKvb = SAID;
  world.setMarket(market);
}

/** Blocks until so many are left, each of which finds another process. */
async function anewUntil(stage: Stage, left: number, restart: () => Promise<void>): Promise<void> {
  while (stage.left > left) {
    await restart();
    await stage.block();
  }
}

const kill = (stage: Stage, side: Side) => () => stage.world.kill(side, 0);

export const RESTARTS: Readonly<Record<string, Strategy>> = {
  'miner-anew-each-block': {
    what: 'the miner starts anew at every block while it closes, and blocks ask for more than its node says',
    row: 'table: fees spike',
    hostile: ['maker'],
    step: (stage) => rob(stage),
    options: () => ({ terms: { feeLadderSatPerKvb: [1_100, 2_500, 30_000] } }),
    play: async (stage) => {
      await paid(stage, 4);
      await stage.vanish('maker');
      await stage.until(SALE_BLOCKS + 1);
      dearUnsaid(stage, stage.random.pick([2_300, 4_000]));
      await anewUntil(stage, 0, kill(stage, 'miner'));
      await stage.liveOut();
    },
    judge: (stage, books) => {
      const { expiryHeight } = stage.world.terms;
      const height = books.close?.height ?? Infinity;
      const late = { rule: 'the close waits beyond the expiry', seen: `${height} of ${expiryHeight}` };
      return height <= expiryHeight ? paidInFull(stage, books) : [late];
    },
  },
  'maker-anew-each-block': {
    what: 'the maker starts anew at every block, the miner is gone, and blocks ask for more than its node says',
    row: 'table: the miner stops and vanishes',
    hostile: ['miner'],
    play: async (stage) => {
      await paid(stage, 2);
      await stage.vanish('miner');
      await stage.until(1);
      dearUnsaid(stage, 2_300);
      await anewUntil(stage, -8, kill(stage, 'maker'));
      await stage.liveOut();
    },
  },
  'watch-anew-each-block': {
    what: 'the machine of the miner is gone, and a watch elsewhere runs once at every block',
    row: 'F7',
    hostile: ['maker'],
    options: () => ({ watched: 'miner', terms: { feeLadderSatPerKvb: [1_100, 2_500, 5_000, 30_000] } }),
    step: (stage) => rob(stage),
    play: async (stage) => {
      await paid(stage, 4);
      await stage.vanish('miner');
      await stage.until(SALE_BLOCKS + 1);
      dearUnsaid(stage, 4_000);
      await anewUntil(stage, 0, async () => stage.world.startWatch());
      await stage.liveOut();
    },
    judge: (stage, books) => paidInFull(stage, books),
  },
  'funding-anew-each-block': {
    what: 'the maker starts anew at every block while the funding waits for more than nodes say',
    row: 'table: fees spike',
    hostile: [],
    play: async (stage) => {
      const { world } = stage;
      await stage.rounds(8);
      dearUnsaid(stage, 3_000);
      const at = stage.left - 12;
      await anewUntil(stage, at, kill(stage, 'maker'));
      if (world.miner?.status.channel !== 'open')
        stage.find('the funding never confirmed', String(world.miner?.status.channel));
      world.setMarket(0);
      await stage.liveOut();
    },
  },
  'returns-anew-each-block': {
    what: 'the maker is gone, and the miner starts anew at every block while its bond waits to come back',
    row: 'table: the maker is offline',
    hostile: ['maker'],
    options: () => ({ staked: true }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1 + stage.random.below(3));
      await stage.vanish('maker');
      void world.miner?.closeAlone().catch(() => {});
      await stage.blocks(BOND_CSV_BLOCKS - 1);
      dearUnsaid(stage, 2_300);
      await anewUntil(stage, -18, kill(stage, 'miner'));
      await stage.liveOut();
    },
    judge: (stage) => bondsLeft(stage, ['miner']),
  },
};
