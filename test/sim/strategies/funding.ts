import { fromHex } from '../../../src/base/bytes.ts';
import type { Books, Finding } from '../audit.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { MARGINS } from '../terms.ts';
import { MINER_COIN_SAT, WALLETS } from '../world.ts';
import { paid, paramsOf, spendTwice } from './tools.ts';

/** Confirmations of the channel's output on the chain; 0 where no block holds it. */
async function depthOf({ world }: Stage): Promise<number> {
  const params = await paramsOf(world);
  const coin = params && world.chain.coin(params.funding.txid, params.funding.vout, false);
  return coin === undefined ? 0 : world.chain.height - coin.height + 1;
}

async function undo(stage: Stage, depth: number): Promise<void> {
  const most = stage.height - stage.world.startHeight;
  stage.world.chain.invalidateTip(Math.max(1, Math.min(depth, most)));
  await stage.held('a reorganisation');
  await stage.rounds(1);
}

/** Some work, if the miner has hashrate on the contract: it may not, before the funding is deep. */
async function sell(stage: Stage): Promise<void> {
  const depth = await depthOf(stage);
  const { minDepth } = stage.world.terms;
  if (stage.world.work(2) && depth < minDepth)
    stage.find('work is sold on a funding that is not deep', `${depth} of ${minDepth} blocks`);
  await stage.rounds(2);
}

/** Streaming, the funding is undone, and one side spends its coin before a block has it again. */
async function spentInstead(stage: Stage, side: Side): Promise<void> {
  await paid(stage, 1 + stage.random.below(2));
  const isStreaming = (await depthOf(stage)) > 0;
  await undo(stage, (await depthOf(stage)) + stage.random.below(2));
  await spendTwice(stage, side);
  for (let block = 0; block < MARGINS.finalDepth + 2; block += 1) {
    await sell(stage);
    await stage.block();
  }
  const { miner, maker } = stage.world;
  const statuses = [miner?.status.channel, maker?.status[0]?.channel];
  const isDone = statuses.every((status) => status === undefined || status === 'closed');
  if (isStreaming && (await depthOf(stage)) === 0 && !isDone)
    stage.find('a contract whose funding can never be goes on', statuses.join(', '));
  await stage.liveOut();
}

/** What it brought into the channel is the miner's again; nobody can promise more. */
function hasItsOwn({ world }: Stage, { fees }: Books): readonly Finding[] {
  const coins = world.chain.utxos(WALLETS.miner);
  const hasSat = coins.reduce((sum, { valueSat }) => sum + valueSat, 0n);
  if (hasSat >= MINER_COIN_SAT - fees.miner) return [];
  return [{ rule: 'the miner lost what it brought', seen: `${hasSat} of ${MINER_COIN_SAT} sat` }];
}

/** What becomes of a funding while work is sold, and of two outputs of it in one block. */
export const OF_FUNDING: Readonly<Record<string, Strategy>> = {
  'funding-comes-and-goes': {
    what: 'both are honest, and blocks with the funding are undone again and again, one to four at a time',
    row: 'table: the funding leaves the chain',
    hostile: [],
    play: async (stage) => {
      await paid(stage, 1);
      for (let time = 0; time < 3 && stage.left > MARGINS.askBlocks + 4; time += 1) {
        await undo(stage, 1 + stage.random.below(4));
        for (let block = 0; block <= stage.world.terms.minDepth; block += 1) {
          await sell(stage);
          await stage.block();
        }
        await sell(stage);
      }
      await stage.liveOut();
    },
  },
  'maker-spends-its-coin': {
    what: 'the funding is undone while work is sold, and the maker spends its coin of it elsewhere',
    row: 'table: the funding leaves the chain',
    hostile: ['maker'],
    // The work before is lost with the funding: no depth is deep enough for any reorganisation.
    unjudged: ['miner'],
    play: (stage) => spentInstead(stage, 'maker'),
    judge: hasItsOwn,
  },
  'miner-spends-its-coin': {
    what: 'the funding is undone while work is sold, and the miner spends its coin of it elsewhere',
    row: 'table: the funding leaves the chain',
    hostile: ['miner'],
    play: (stage) => spentInstead(stage, 'miner'),
  },
  'close-and-claim-at-once': {
    what: 'one block holds the close and the claim of the seal: two outputs of the funding are spent by it',
    row: 'table: a close together',
    hostile: [],
    // Not where its part of a close goes, so that one is not taken for the other.
    options: () => ({
      ...{ staked: true, maker: { opening: { nextSealScript: fromHex(WALLETS.stranger) } } },
    }),
    play: async (stage) => {
      await paid(stage, 2);
      const { world } = stage;
      world.setMarket(1_000_000);
      void world.miner?.closeAlone().catch(() => {});
      await stage.rounds(2);
      // The maker sees at a block that the close waits, and claims.
      await stage.block();
      await stage.rounds(2);
      world.setMarket(0);
      await stage.liveOut();
      for (const [side, seal] of [
        ['miner', stage.world.miner?.status.seal],
        ['maker', stage.world.maker?.status[0]?.seal],
      ] as const)
        if (seal === 'lost') stage.find('a claim of the seal is taken for a theft', side);
    },
  },
};
