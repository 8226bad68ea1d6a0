import { parseSignedState, signAndFinalizeState } from '../../../src/channel/states.ts';
import { STATE_KIND } from '../../../src/settlement/records.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { alterLines, channelKeys, paid, paramsOf, send, spendTwice } from './tools.ts';

const hostile = ['miner'] as const;

/** An old state of the miner is its to broadcast: it pays less. */
async function broadcastOld(stage: Stage): Promise<void> {
  const { world } = stage;
  const [params, keys] = [await paramsOf(world), await channelKeys(world, 'miner')];
  const states = await world.disks.miner.store.list(STATE_KIND, `${world.contractId}:`);
  if (params === undefined || keys === undefined || states.length === 0) return;
  const state = parseSignedState(JSON.parse(stage.random.pick(states).body));
  const { hex } = signAndFinalizeState(params, state, state.signatures.length - 1, keys);
  send(world, 'the miner', `state ${state.n}`, hex);
}

export const BY_MINER: Readonly<Record<string, Strategy>> = {
  'old-state': {
    what: 'the miner broadcasts an old state',
    row: 'table: the miner broadcasts an old state',
    hostile,
    options: (random) => ({ staked: random.below(3) === 0 }),
    play: async (stage) => {
      await paid(stage, 2 + stage.random.below(3));
      await broadcastOld(stage);
      await stage.noise(stage.random.below(10));
      await stage.liveOut();
    },
  },
  'miner-vanishes': {
    what: 'the miner is gone for good',
    row: 'table: the miner stops and vanishes',
    hostile,
    options: (random) => ({ staked: random.below(3) === 0 }),
    play: async (stage) => {
      if (stage.random.below(4) > 0) await paid(stage, stage.random.below(4));
      await stage.vanish('miner');
      await stage.liveOut();
    },
  },
  'miner-resells': {
    what: 'the miner sells its shares again and again',
    row: 'table: the miner sells twice',
    hostile,
    play: async (stage) => {
      await paid(stage, 2);
      for (let round = 0; round < 6; round += 1) {
        stage.world.resell();
        await stage.rounds(2);
      }
      await stage.liveOut();
    },
  },
  'resells-later': {
    what: 'the miner sells its shares again when their block was replaced, within the grace',
    row: 'F15',
    hostile,
    play: async (stage) => {
      await paid(stage, 2);
      await stage.blocks(1 + stage.random.below(3));
      await stage.pay(1);
      for (let share = 4; share < 10; share += 1) {
        stage.world.resell(share);
        await stage.rounds(2);
      }
      await stage.liveOut();
    },
  },
  'resells-after-restore': {
    what: 'the maker starts from a backup, and the miner sells again what was paid since',
    row: 'F11',
    hostile,
    options: () => ({ forgets: ['maker'], signerRemembers: true }),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      world.disks.maker.backUp();
      await stage.pay(2);
      await world.kill('maker', 0);
      await world.disks.maker.restore();
      world.say('the maker starts from a backup');
      await stage.rounds(6);
      for (let share = 0; share < 8; share += 1) {
        world.resell(share);
        await stage.rounds(2);
      }
      await stage.liveOut();
    },
  },
  'refuses-claims': {
    what: 'the miner keeps the claims of the seal to itself',
    row: 'table: the miner sells the seal twice',
    hostile,
    options: () => ({ staked: true }),
    begin: (stage) => {
      const from = stage.random.below(3);
      let claims = 0;
      alterLines(stage.world, ({ about, message }) => {
        if (about === 'seal.claim') claims += 1;
        return about === 'seal.claim' && claims > from ? [] : [message];
      });
    },
  },
  'spends-its-coin': {
    what: 'the miner spends its coin of the funding elsewhere while that waits',
    row: 'F17',
    hostile,
    play: async (stage) => {
      for (let round = 0; round < 20 && stage.world.chain.mempoolSize === 0; round += 1)
        await stage.round();
      await spendTwice(stage, 'miner');
      await stage.blocks(16);
      const status = stage.world.maker?.status[0]?.channel;
      if (status === 'funding')
        stage.find('coins wait for nothing', `16 blocks later, ${stage.left} before the expiry`);
      await stage.liveOut();
    },
  },
};
