import { sleep } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { LOOK_MS, LOOKS_AT_ONCE } from '../../../src/maker/sample-turns.ts';
import { unpackShares } from '../../../src/work/evidence.ts';
import { SHARE } from '../farm.ts';
import { flow } from '../schedule.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_PAYOUT } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { alterLines, paidInFull, refusedNothing } from './tools.ts';

/** Contracts of which the whole block of each job is looked at, and a new job for each share. */

const PRICE = 1_000n * 10n ** 18n;
const sampled = (): WorldOptions => ({
  terms: {
    ...{ priceMsatPerEh: PRICE, workTotalHashes: 10_000n, budgetSat: 10_000n },
    stepHashes: 64n * SHARE.workHashes,
  },
  termsV3: {
    binding: { ...BY_PAYOUT, samplePpm: 1_000_000 },
    // Each share is a block, and nothing shows them but batches.
    latePpm: 1_000_000,
  },
});

/** What the node of the maker takes to judge one block, and how many jobs there are. */
const LOOK_TAKES_MS = 200;
const JOBS = 3 * LIMITS.peerSamples;
const STEP_MS = 50;
/** Time for all of the batches, and for all of the looks where the miner answers. */
const SOLD_MS = 2_000;
const LOOKED_AT_MS = 10_000;
/** More than may wait. */
const MANY_JOBS = LIMITS.payoutSamples + 64;
/** As long as an answer may take, and a little less. */
const ANSWER_MS = BY_PAYOUT.sampleSeconds * 1_000 - 500;

/** Counts what the node of the maker is asked. */
function watchLooks(stage: Stage): void {
  const { world, marks } = stage;
  const { timers, clock } = world.time;
  const { maker } = world.nodes;
  const { blocks } = maker;
  const looks: number[] = [];
  let running = 0;
  maker.blocks = {
    ...blocks,
    // What is found is no look.
    submitBlock: (hex) => blocks.proposalFault(hex),
    proposalFault: async (hex) => {
      running += 1;
      looks.push(clock.monotonicMs());
      marks.set('looks', looks.length);
      if (running > LOOKS_AT_ONCE)
        stage.find('more blocks are looked at than have their turn', String(running));
      // Of any time so many, with those that may come at once.
      const first = looks.at(-JOBS) ?? Number.NEGATIVE_INFINITY;
      const room = LIMITS.peerSamples + (clock.monotonicMs() - first) / LOOK_MS + 1;
      if (looks.length >= JOBS && room < JOBS)
        stage.find('blocks are looked at too fast', `${JOBS} of ${room}`);
      await sleep(timers, LOOK_TAKES_MS);
      running -= 1;
      return blocks.proposalFault(hex);
    },
  };
}

/** So many shares, each of a job of its own, before any time passes. */
async function sellJobs({ world }: Stage, count: number): Promise<void> {
  for (let job = 0; job < count; job += 1) {
    world.farm.renew();
    world.sell(1);
    await flow(world);
  }
}

/** Time in which each answer comes at once. */
async function briefly({ world, held }: Stage, ms: number): Promise<void> {
  for (let spentMs = 0; spentMs < ms; spentMs += STEP_MS) {
    await world.time.advance(STEP_MS);
    await flow(world);
    await held('time passes');
  }
}

/** Jobs of which the maker credited a share. */
async function creditedJobs({ world }: Stage): Promise<number> {
  const rows = await world.disks.maker.store.readLog('share', world.contractId, 0, 10_000);
  return new Set(rows.flatMap(({ body }) => unpackShares(body).map(({ jobId }) => jobId))).size;
}

export const BY_TURNS: Readonly<Record<string, Strategy>> = {
  'renews-each-job': {
    what: 'both are honest, and each share is of a job of its own, more of them than are looked at at once',
    row: 'payout: turns',
    hostile: [],
    options: sampled,
    begin: watchLooks,
    play: async (stage) => {
      if (await stage.open()) {
        await sellJobs(stage, JOBS);
        await briefly(stage, LOOKED_AT_MS);
        await stage.pay(1);
      }
      refusedNothing(stage);
      await stage.liveOut();
    },
    judge: paidInFull,
  },
  'holds-its-answers': {
    what: 'the miner has more jobs than may wait for a look, and shows each as late as it may',
    row: 'payout: turns',
    hostile: ['miner'],
    options: sampled,
    begin: (stage) => {
      const { world } = stage;
      watchLooks(stage);
      alterLines(world, ({ line, about, message }) => {
        if (message.method !== undefined || about !== 'work.template') return [message];
        world.time.timers.after(ANSWER_MS, () => void world.network.inject('miner', line.text, line.link));
        return [];
      });
    },
    play: async (stage) => {
      if (await stage.open()) {
        await sellJobs(stage, MANY_JOBS);
        await briefly(stage, SOLD_MS);
        const most = LIMITS.payoutSamples + 2 * LOOKS_AT_ONCE + (stage.marks.get('looks') ?? 0);
        const jobs = await creditedJobs(stage);
        if (jobs > most)
          stage.find('what cannot even wait for its look is paid', `${jobs} of ${most} jobs`);
      }
      await stage.liveOut();
    },
  },
};
