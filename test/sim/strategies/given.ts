import { displayHash } from '../../../src/bitcoin/header.ts';
import type { Finding } from '../audit.ts';
import { SHARE } from '../farm.ts';
import { hashesOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_WORK } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { refusing } from './refuser.ts';
import { paid, paidForNothing, rob } from './tools.ts';

const given = (): WorldOptions => ({ termsV3: { binding: BY_WORK } });
const long = (): WorldOptions => ({
  terms: { workTotalHashes: 120n * SHARE.workHashes, budgetSat: 300_000n },
  termsV3: { binding: BY_WORK },
});

/** Of solutions, so many may come late before credit pauses, and those of their batch. */
const LATE_SOLUTIONS = 3 + 4;

/** Shares that were credited: here each of them solves a block. */
async function creditedBy({ world }: Stage): Promise<number> {
  return (await hashesOf(world, 'maker')).length;
}

/** Each solution that was paid is at the pool. */
async function allAtPool(stage: Stage): Promise<readonly Finding[]> {
  const count = await creditedBy(stage);
  const sent = stage.world.pool!.submitted.length;
  if (count <= sent) return [];
  return [{ rule: 'a solution was paid and never sent', seen: `${sent} of ${count}` }];
}

/** The seller mines jobs of its own, whatever it is given. */
function minesItsOwn(stage: Stage, isClaimed: boolean): void {
  const { farm, world } = { farm: stage.world.farm, world: stage.world };
  let own: ReturnType<typeof farm.upstreamJob> | undefined;
  Object.defineProperty(farm, 'given', {
    get: () => () => {
      const newest = world.miner?.work?.lastJob;
      if (newest === undefined) return undefined;
      if (own !== undefined && displayHash(own.prevHash) === displayHash(newest.prevHash)) return own;
      const job = { ...farm.upstreamJob(), extranonce1: Uint8Array.of(9, 9, 9, 9) };
      own = isClaimed ? { ...job, bought: newest.bought! } : job;
      return own;
    },
    set: () => {},
  });
}

const withholding = (more: string, play: NonNullable<Strategy['play']>): Strategy => ({
  what: `the miner shows no solution but in its batches${more}`,
  row: 'F20',
  hostile: ['miner'],
  options: long,
  begin: ({ world }) => {
    world.tellsSolution = () => false;
  },
  play,
  judge: async (stage) => {
    const late = await creditedBy(stage);
    const found = [...(await allAtPool(stage))];
    if (late > LATE_SOLUTIONS) found.push({ rule: 'late solutions are paid', seen: `${late} of them` });
    return found;
  },
});

const foreign = (what: string, isClaimed: boolean): Strategy => ({
  what,
  row: 'F20',
  hostile: ['miner'],
  options: given,
  begin: (stage) => minesItsOwn(stage, isClaimed),
  play: async (stage) => {
    await paid(stage, 4);
    await stage.liveOut();
  },
  judge: paidForNothing,
});

/** Contracts whose jobs the maker gives. */
export const GIVEN: Readonly<Record<string, Strategy>> = {
  'work-given': {
    what: 'both are honest, the maker gives the jobs, and the rest is chance',
    row: 'chance',
    hostile: [],
    options: given,
    play: async (stage) => {
      await paid(stage, 2);
      if (stage.world.maker?.status[0]?.ackedN === 0)
        stage.find('given work is not paid', 'after two steps');
      await stage.noise(stage.random.below(30));
      await stage.liveOut();
    },
  },
  'sells-foreign-shares': foreign('the miner sells shares of jobs that are not of this maker', false),
  'claims-foreign-shares': foreign(
    'the miner sells shares of jobs that are not of this maker, and says they were made of its jobs',
    true,
  ),
  'withholds-solutions': withholding('', async (stage) => {
    await paid(stage, 24);
    await stage.liveOut();
  }),
  'withholds-solutions-anew': withholding(
    ', and the maker starts anew before each is one too many',
    async (stage) => {
      await stage.open();
      for (let time = 0; time < 10; time += 1) {
        stage.world.work(2);
        await stage.rounds(3);
        await stage.world.kill('maker', 0);
        await stage.rounds(4);
      }
      await stage.liveOut();
    },
  ),
  'pool-refuses': {
    what: 'both are honest, and the pool of the maker refuses every solution',
    row: 'F20',
    hostile: [],
    options: given,
    begin: ({ world }) => {
      world.pool!.verdict = 'refused';
    },
    play: async (stage) => {
      await paid(stage, 4);
      if ((stage.world.maker?.status[0]?.ackedN ?? 0) < 3)
        stage.find('credit follows the pool', `state ${stage.world.maker?.status[0]?.ackedN}`);
      await stage.liveOut();
    },
  },
  'gives-foreign-chain': {
    what: 'the maker gives jobs on a block that nobody has seen',
    row: 'F20',
    hostile: ['maker'],
    options: given,
    begin: ({ world }) => {
      world.isPoolAstray = true;
    },
    play: async (stage) => {
      await paid(stage, 4);
      const own = stage.world.miner?.status.ownWorkHashes ?? 0n;
      if (own > 0n) stage.find('work on a foreign chain is mined', `${own} hashes`);
      await stage.liveOut();
    },
    step: (stage) => rob(stage),
  },
  'churns-jobs': {
    what: 'the maker gives another job before each look, takes the last back, and pays for none of them',
    row: 'F20',
    hostile: ['maker'],
    options: long,
    begin: (stage) => {
      const { pool } = stage.world;
      let count = 0;
      pool!.change = (job) => {
        count += 1;
        return { ...job, clean: true, branches: [...job.branches, new Uint8Array(32).fill(count)] };
      };
      refusing(stage, () => 'share_stale');
    },
    play: async (stage) => {
      const isOpen = await stage.open();
      for (let time = 0; isOpen && time < 24; time += 1) {
        stage.world.work(2);
        stage.world.pool?.giveJob();
        await stage.rounds(1);
      }
      await stage.liveOut();
    },
    step: (stage) => rob(stage),
  },
};
