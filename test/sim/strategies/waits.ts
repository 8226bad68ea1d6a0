import { signAndFinalizeState } from '../../../src/channel/states.ts';
import type { Books } from '../audit.ts';
import { storedOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BOND_CSV_BLOCKS, SIGNERS } from '../terms.ts';
import { WALLETS } from '../world.ts';
import type { WorldOptions } from '../world-options.ts';
import { bondsLeft, sealLeft } from './stakes-left.ts';
import { paid, paidInFull, paramsOf, rob, send, silentOn } from './tools.ts';

const CALLS = ['txOut', 'header', 'confirmations', 'spender', 'utxos', 'broadcastPackage'] as const;

/** The nodes of both answer one question with an error, from the middle of the contract to its end. */
const oneCallFails = (call: (typeof CALLS)[number]): Strategy => ({
  what: `the node of the miner answers everything but ${call}`,
  row: 'F25',
  hostile: ['maker'],
  step: (stage) => rob(stage),
  play: async (stage) => {
    const { world, random } = stage;
    await paid(stage, 2 + random.below(3));
    world.nodes.miner.failing = call;
    if (random.below(2) === 0) await world.kill('miner', 0);
    if (random.below(2) === 0) await stage.vanish('maker');
    world.setMarket([0, 3_000, 8_000][random.below(3)]!);
    await stage.until(-2);
    world.nodes.miner.failing = undefined;
    await stage.liveOut();
  },
  judge: (stage, books) => paidInFull(stage, books),
});

/** What nodes have said, or might say, of what blocks ask for. */
const GARBAGE = [-5_000, 0, Number.NaN, Number.POSITIVE_INFINITY, 1e12, 0.1] as const;

/** What the node of a side says blocks ask for, and is wrong. */
const SAID = 1_000;
/** What blocks ask for, more than any signature gave before; sat per kvB. */
const DEAR = 15_000;

/** From here on blocks ask for more than both nodes say. */
function dearUnsaid({ world }: Stage, market = DEAR): void {
  for (const node of Object.values(world.nodes)) node.saidSatPerKvb = SAID;
  world.setMarket(market);
}

/** A market that rises at each block of the rest. */
const rising: Pick<Strategy, 'step'> = {
  step: (stage) => {
    const from = stage.marks.get('rises from');
    if (from === undefined) return;
    stage.world.setMarket(Math.min(2_000 + 1_000 * (stage.height - from), 7_000));
  },
};

const staked = (): WorldOptions => ({ staked: true });

export const WAITS: Readonly<Record<string, Strategy>> = {
  ...Object.fromEntries(CALLS.map((call) => [`fails-${call}`, oneCallFails(call)])),
  'garbage-estimates': {
    what: 'the nodes of both estimate what cannot be, another thing at each block',
    row: 'F25',
    hostile: ['maker'],
    options: (random) => ({ staked: random.below(2) === 0 }),
    play: async (stage) => {
      await paid(stage, 2 + stage.random.below(3));
      stage.marks.set('garbage', 1);
      if (stage.random.below(2) === 0) stage.world.setMarket(3_000);
      await stage.liveOut();
    },
    step: async (stage) => {
      const said = GARBAGE[stage.height % GARBAGE.length]!;
      if (stage.marks.has('garbage'))
        for (const node of Object.values(stage.world.nodes)) node.saidSatPerKvb = said;
      await rob(stage);
    },
    judge: (stage, books) => paidInFull(stage, books),
  },
  'vault-refund-waits': {
    what: 'the key of the refund is in a vault, and blocks ask for more than the node says',
    row: 'table: fees spike',
    hostile: ['miner'],
    options: () => ({ vault: true }),
    play: async (stage) => {
      const { world, random } = stage;
      await paid(stage, 2);
      await stage.vanish('miner');
      await stage.until(1);
      dearUnsaid(stage);
      await stage.until(0);
      await stage.rounds(2);
      const contract = (await storedOf(world, 'maker'))?.contract;
      // Somebody comes to the vault once.
      world.vault!.sign(contract!.channelIndex);
      if (random.below(2) === 0) await world.kill('maker', 0);
      // What it signed may have to climb from its rate to the market, again after a death.
      await stage.blocks(14);
      await stage.liveOut();
    },
  },
  'vault-is-slow': {
    what: 'the vault signs again and again, each time blocks late, and blocks ask for more each time',
    row: 'table: fees spike',
    hostile: ['miner'],
    options: () => ({ vault: true }),
    ...rising,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      await stage.vanish('miner');
      for (const node of Object.values(world.nodes)) node.saidSatPerKvb = SAID;
      stage.marks.set('rises from', stage.height);
      await stage.until(0);
      const contract = (await storedOf(world, 'maker'))?.contract;
      while (stage.left > -8) {
        await stage.block();
        if (stage.random.below(2) === 0) world.vault!.sign(contract!.channelIndex);
      }
      world.vault!.sign(contract!.channelIndex);
      // What was signed last may have to climb from the first rate to the market, and then be deep.
      for (let block = 0; block < 14; block += 1) await stage.block();
      await stage.liveOut();
    },
  },
  'funding-waits': {
    what: 'blocks ask for more than the funding pays, and the nodes say that they do not',
    row: 'table: fees spike',
    hostile: [],
    play: async (stage) => {
      const { world } = stage;
      await stage.rounds(8);
      dearUnsaid(stage, 6_000);
      for (let block = 0; block < 12; block += 1) await stage.block();
      if (world.miner?.status.channel !== 'open')
        stage.find('the funding never confirmed', String(world.miner?.status.channel));
      world.setMarket(0);
      await stage.liveOut();
    },
  },
  'cancel-waits': {
    what: 'the maker keeps the funding back, and blocks ask for more than the miner pays to take its coin back',
    row: 'F6',
    hostile: ['maker'],
    begin: (stage) => {
      stage.world.nodes.maker.isMute = true;
      silentOn(stage, ['channel.tx_signatures']);
    },
    play: async (stage) => {
      const { world } = stage;
      await stage.rounds(4);
      dearUnsaid(stage);
      await stage.until(4);
      const coins = world.chain.utxos(WALLETS.miner);
      if (coins.some(({ height }) => height < world.startHeight + 1))
        stage.find('the coin of the funding is not taken back', `${stage.left} blocks before the expiry`);
      await stage.liveOut();
    },
    step: (stage) => rob(stage),
  },
  'claim-waits': {
    what: 'blocks ask for more than the miner signed the claim of the seal for',
    row: 'table: fees spike',
    hostile: [],
    options: staked,
    play: async (stage) => {
      await paid(stage, 8);
      dearUnsaid(stage);
      if (stage.random.below(2) === 0) void stage.world.miner?.closeAlone().catch(() => {});
      await stage.liveOut();
    },
    judge: (stage) => sealLeft(stage),
  },
  'returns-wait': {
    what: 'the maker is gone, and blocks ask for more than the node says when the bond comes back',
    row: 'table: the maker is offline',
    hostile: ['maker'],
    options: staked,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1 + stage.random.below(3));
      await stage.vanish('maker');
      void world.miner?.closeAlone().catch(() => {});
      await stage.blocks(BOND_CSV_BLOCKS - 1);
      dearUnsaid(stage);
      if (stage.random.below(2) === 0) {
        await stage.blocks(4);
        await world.kill('miner', 0);
      }
      await stage.liveOut();
    },
    judge: (stage) => bondsLeft(stage, ['miner']),
  },
  'awards-wait': {
    what: 'both sign the return of the bonds, and blocks ask for more then',
    row: 'table: fees spike',
    hostile: [],
    options: staked,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1 + stage.random.below(3));
      void world.miner?.closeAlone().catch(() => {});
      for (const node of Object.values(world.nodes)) node.saidSatPerKvb = SAID;
      while ((await bondsLeft(stage, ['miner'])).length === 0 && stage.left > 0) await stage.block();
      world.setMarket(5_000);
      // Before its owner could take it alone.
      await stage.blocks(BOND_CSV_BLOCKS - 3);
      const isAsked = !stage.dies('miner') && !stage.dies('maker');
      for (const { rule, seen } of isAsked ? await bondsLeft(stage, ['miner']) : []) stage.find(rule, seen);
      await stage.liveOut();
    },
    judge: (stage) => bondsLeft(stage, ['miner', 'maker']),
  },
  'leaves-cheap-close': {
    what: 'the miner broadcasts its lowest rung and is gone, and blocks ask for more for good',
    row: 'table: fees spike',
    hostile: ['miner'],
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      world.setMarket(DEAR);
      const miner = await storedOf(world, 'miner');
      const params = await paramsOf(world);
      await stage.vanish('miner');
      const keys = SIGNERS.miner.forChannel(miner!.contract.channelIndex);
      const { hex } = signAndFinalizeState(params!, miner!.last!, 0, keys);
      send(world, 'the miner', 'its lowest rung', hex);
      await stage.liveOut();
    },
    judge: (_stage, { close }: Books) =>
      close === undefined ? [{ rule: 'the channel is locked', seen: 'by a cheap close' }] : [],
  },
};
