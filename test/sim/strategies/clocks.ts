import { staleRacePpm } from '../../../src/contract/terms-access.ts';
import { ntimeInWindow, SELLER_FUTURE_SECONDS } from '../../../src/shares/rules.ts';
import type { SeededRandom } from '../random.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_WORK } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { paid, refusedNothing } from './tools.ts';

/** Two honest sides whose clocks differ, and who hear of blocks at different times. */

const MAX_OFF_MS = 60_000;
/** Within the time that a maker waits for a block that its miner knows. */
const MAX_LAG_MS = 4_000;
const MAX_AHEAD_SECONDS = 7_000;

/** Shares of any time that the proxy takes, most often the first or the last. */
function timesOf({ world, random }: Stage): void {
  const nowMs = (): number => world.time.clock.nowMs() + world.clockOffsetsMs.miner;
  world.farm.changes = {
    template: (own) => ({ ...own, time: own.time + random.below(MAX_AHEAD_SECONDS) }),
    share: (share) => {
      const { time } = share.job;
      const lastSeconds = Math.floor(nowMs() / 1000) + SELLER_FUTURE_SECONDS;
      const ntime = random.pick([time, lastSeconds, time + random.below(Math.max(1, lastSeconds - time))]);
      const isTaken = ntimeInWindow(ntime, time, nowMs(), SELLER_FUTURE_SECONDS);
      return { ...share, ntime: isTaken ? ntime : time };
    },
  };
}

/** Refusals as a race are within what the terms allow, with the share that is one too many. */
function racesWithin(stage: Stage): void {
  const { terms, miner, shareWorkHashes } = stage.world;
  const raced = BigInt(miner?.stats.refused['stale_race'] ?? 0) * shareWorkHashes;
  const own = miner?.status.ownWorkHashes ?? 0n;
  const most = (own * BigInt(staleRacePpm(terms))) / 1_000_000n + shareWorkHashes;
  if (raced > most) stage.find('more races than the terms allow', `${raced} of ${most} hashes`);
  // Where the maker dies, the farm goes on with a job that was over then: of such work there is a limit.
  refusedNothing(stage, stage.dies('maker') ? 'share_stale' : undefined);
}

const off = (random: SeededRandom): number =>
  random.pick([-MAX_OFF_MS, 0, MAX_OFF_MS, random.below(2 * MAX_OFF_MS) - MAX_OFF_MS]);

const apart = (what: string, more: WorldOptions): Strategy => ({
  what: `both are honest, their clocks are a minute off, and the maker hears of blocks later; ${what}`,
  row: 'F21',
  hostile: [],
  options: () => ({ ...more, maker: { verification: { unknownBlockWaitMs: 5_000, fixedTarget: true } } }),
  begin: (stage) => {
    const { world, random } = stage;
    world.clockOffsetsMs = { miner: off(random), maker: off(random) };
    world.nodes.maker.lagMs = random.below(MAX_LAG_MS);
    timesOf(stage);
  },
  play: async (stage) => {
    const { world, random } = stage;
    await paid(stage, 1);
    for (let round = 0; round < 7; round += 1) {
      world.chain.generate(1);
      await stage.rounds(random.below(2));
      world.work(1 + random.below(4), random.below(3) === 0 ? 'before' : 'tip');
      await stage.rounds(4);
    }
    await stage.liveOut();
  },
  step: racesWithin,
});

export const BY_CLOCKS: Readonly<Record<string, Strategy>> = {
  'clocks-apart': apart('the jobs are of the own node', {}),
  'clocks-apart-given': apart('the jobs are of the maker', { termsV3: { binding: BY_WORK } }),
};
