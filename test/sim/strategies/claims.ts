import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { targetToHex } from '../../../src/bitcoin/target.ts';
import type { TermsV3 } from '../../../src/contract/terms-v3.ts';
import { fillMempool } from '../../../src/devnet/chain/traffic.ts';
import type { UpstreamJob } from '../../../src/jobs/job.ts';
import { DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../../src/maker/batch-verifier.ts';
import { meets } from '../../../src/shares/rules.ts';
import { type ShareTarget, shareTargetOf } from '../../../src/shares/share.ts';
import type { Finding } from '../audit.ts';
import { BOUND_SCRIPT_HEX, type FarmChanges, SELF_SCRIPT_HEX, SHARE } from '../farm.ts';
import { hashesOf } from '../outcome.ts';
import { flow } from '../schedule.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_BEADS, BY_PAYOUT, BY_WORK } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { alterLines, paid, paidForNothing, refusedNothing, rob } from './tools.ts';

/** Jobs of the maker that are claimed to be what they are not, by either side. */

const given = (): WorldOptions => ({ termsV3: { binding: BY_WORK } });

/** The seller mines something else than the job that it names. */
const claims = (what: string, changes: FarmChanges): Strategy => ({
  what: `the miner claims to mine the jobs of the maker, and ${what}`,
  row: 'F20',
  hostile: ['miner'],
  options: given,
  begin: ({ world }) => {
    world.farm.changes = changes;
  },
  play: async (stage) => {
    await paid(stage, 3);
    await stage.liveOut();
  },
  judge: paidForNothing,
});

const otherJob = (what: string, change: (job: UpstreamJob) => Partial<UpstreamJob>): Strategy =>
  claims(what, { job: (job) => ({ ...job, ...change(job) }) });

/** As hard as terms of these steps let a share be. */
const HARDER = shareTargetOf(SHARE.difficulty * 4);
const ofRange = { easiestHex: targetToHex(SHARE.target), hardestHex: targetToHex(HARDER.target) };

/** What a hash might have been assigned, had its miner known it before. */
const asHardAsItIs = (hash: Uint8Array): ShareTarget => (meets(hash, 0, HARDER.words) ? HARDER : SHARE);

/** Work is credited by what a share was assigned, whatever its hash came to be. */
async function workOfAll({ world }: Stage): Promise<readonly Finding[]> {
  const worth = BigInt((await hashesOf(world, 'maker')).length) * SHARE.workHashes;
  const paidFor = world.rules.toldWork;
  if (paidFor <= worth) return [];
  return [{ rule: 'shares are weighed by their hashes', seen: `${paidFor} hashes of ${worth}` }];
}

/** A field of each job that the maker gives, on its way. */
const gives = (
  what: string,
  change: (job: Readonly<Record<string, unknown>>, nowMs: number) => Readonly<Record<string, unknown>>,
): Strategy => ({
  what: `the maker gives jobs ${what}`,
  row: 'F20',
  hostile: ['maker'],
  options: given,
  begin: ({ world }) =>
    alterLines(world, ({ about, message }) => {
      const job = message.params?.['job'] as Readonly<Record<string, unknown>> | undefined;
      if (about !== 'work.job' || job === undefined) return [message];
      const changed = { ...job, ...change(job, world.time.clock.nowMs()) };
      return [{ ...message, params: { ...message.params, job: changed } }];
    }),
  play: async (stage) => {
    await paid(stage, 3);
    const own = stage.world.miner?.status.ownWorkHashes ?? 0n;
    if (own > 0n) stage.find('jobs beyond the terms are mined', `${own} hashes`);
    await stage.liveOut();
  },
  step: (stage) => rob(stage),
});

const MINUTE_MS = 60_000;
const TRANSACTIONS = 6;

/** The seller goes on with what is over, and before the end something happens. */
const withdrawn = (more: string, happen: (stage: Stage) => Promise<void>): Strategy => ({
  what: `the miner goes on with a job of the maker when it was withdrawn, and its grace is over${more}`,
  row: 'F20',
  hostile: ['miner'],
  options: given,
  begin: ({ world }) => {
    let first: UpstreamJob | undefined;
    world.farm.changes = { job: (job) => (first ??= job) };
  },
  play: async (stage) => {
    const { world } = stage;
    await paid(stage, 1);
    await stage.block();
    // Longer than whoever was away once has for what it found before.
    const overMs = DEFAULT_BATCH_VERIFIER_OPTIONS.backlogWindowMs + world.terms.staleGraceSeconds * 1_000;
    const endMs = world.time.clock.monotonicMs() + overMs + MINUTE_MS;
    // In small steps: who is away for long has a backlog.
    while (world.time.clock.monotonicMs() < endMs) {
      await world.time.advance(8_000);
      await stage.round();
    }
    const before = (await hashesOf(world, 'maker')).length;
    await happen(stage);
    await stage.rounds(2);
    await stage.pay(3);
    const after = (await hashesOf(world, 'maker')).length;
    if (after > before) stage.find('work on jobs that are over is paid', `${after - before} shares`);
    await stage.liveOut();
  },
});

/** The miner drops its link after each block, and sells what it mines on the job before as its backlog. */
const dropsAfterBlocks = (what: string, binding: TermsV3['binding']): Strategy => ({
  what: `the miner drops its link after each block, and sells ${what} before it as its backlog`,
  row: 'F20',
  hostile: ['miner'],
  options: () => ({
    terms: { workTotalHashes: 120n * SHARE.workHashes, budgetSat: 300_000n },
    termsV3: { binding },
  }),
  play: async (stage) => {
    const { world } = stage;
    const sell = async (steps: number): Promise<number> => {
      const before = (await hashesOf(world, 'maker')).length;
      await stage.pay(steps);
      return (await hashesOf(world, 'maker')).length - before;
    };
    let held: UpstreamJob | undefined;
    world.farm.changes = { job: (job) => (held ??= job) };
    await paid(stage, 1);
    let sold = 0;
    for (let block = 0; block < 6; block += 1) {
      await stage.block();
      world.network.cut(0, ['miner', 'maker']);
      const endMs = world.time.clock.monotonicMs() + world.terms.staleGraceSeconds * 1_000 + MINUTE_MS;
      while (world.time.clock.monotonicMs() < endMs) {
        await world.time.advance(8_000);
        await stage.round();
      }
      sold += await sell(2);
      // The newest is the next to be sold when it is over.
      held = undefined;
      world.farm.renew();
      world.farm.renewGiven();
      await sell(1);
    }
    const most = Number(
      ((BigInt(world.terms.maxUnpaidSteps) + 1n) * world.terms.stepHashes) / SHARE.workHashes,
    );
    world.say(`${sold} shares of jobs that were over, ${most} at most`);
    // A maker that starts anew knows nothing of what it credited as a backlog.
    if (sold > most && !stage.dies('maker')) stage.find('each reconnect opens a backlog', `${sold} shares`);
    await stage.liveOut();
  },
});

/** Everything about a share that makes it one of the maker's jobs. */
const CLAIMS: Readonly<Record<string, Strategy>> = {
  'claims-own-account': otherJob('mines them under an account of its own at their pool', () => ({
    extranonce1: Uint8Array.of(9, 9, 9, 9),
  })),
  'claims-other-payee': otherJob('pays itself by their coinbase', ({ coinb2 }) => ({
    coinb2: fromHex(toHex(coinb2).replace(BOUND_SCRIPT_HEX, SELF_SCRIPT_HEX)),
  })),
  'claims-other-branches': {
    ...otherJob('has other transactions', ({ branches }) => ({
      branches: branches.map(() => new Uint8Array(32).fill(7)),
    })),
    options: () => ({ ...given(), othersCoins: TRANSACTIONS }),
    play: async (stage) => {
      const isOpen = await stage.open();
      fillMempool(stage.world.chain, TRANSACTIONS);
      stage.world.pool!.giveJob();
      await stage.rounds(2);
      if (isOpen) await stage.pay(3);
      await stage.liveOut();
    },
  },
  'claims-more-branches': otherJob('has one branch more', ({ branches }) => ({
    branches: [...branches, new Uint8Array(32).fill(7)],
  })),
  'claims-other-block': otherJob('mines on another block', () => ({
    prevHash: new Uint8Array(32).fill(0x5e),
  })),
  'claims-other-bits': otherJob('has easier nbits', ({ bits }) => ({ bits: bits - 1 })),
  'claims-other-time': otherJob('is of a time before theirs', ({ time }) => ({ time: time - 100 })),
  'claims-other-version': otherJob('has a version of its own', ({ version }) => ({
    version: version ^ 0x40000000,
  })),
  'claims-other-mask': claims('rolls bits that they do not let roll', {
    versionMask: 0x5fffe000,
    job: (job) => ({ ...job, versionMask: 0x5fffe000 }),
    share: (share) => ({ ...share, version: share.version ^ 0x40000000 }),
  }),
  'claims-unknown-jobs': otherJob('names one that it was never given', ({ bought }) => ({
    extranonce1: Uint8Array.of(9, 9, 9, 9),
    bought: { ...bought!, jobId: bought!.jobId + 1_000_000 },
  })),
  'claims-dear-jobs': {
    ...claims('mines those of another contract with the same maker', {}),
    begin: ({ world }) => {
      let dear: UpstreamJob | undefined;
      const onJob = (_pool: unknown, job: UpstreamJob): void => {
        dear = job;
      };
      world.pool!.open({ onJob }).start();
      world.farm.changes = { job: (job) => ({ ...dear!, bought: job.bought! }) };
    },
  },
  'mines-withdrawn-jobs': withdrawn('', async () => {}),
  'mines-withdrawn-jobs-again': withdrawn(', and the maker starts anew', ({ world }) =>
    world.kill('maker', 0),
  ),
  'drops-after-blocks': dropsAfterBlocks('the given job', BY_WORK),
  'drops-after-blocks-of-its-own': dropsAfterBlocks('its job', BY_PAYOUT),
  'drops-after-blocks-of-beads': dropsAfterBlocks('its job of beads', BY_BEADS),
  'weighs-hashes': {
    what: 'the miner says, once it has a hash, that the share was assigned as much as that is worth',
    row: 'F4',
    hostile: ['miner'],
    options: () => ({ termsV3: { binding: BY_WORK, target: ofRange } }),
    begin: ({ world }) => {
      world.farm.changes = { assigned: asHardAsItIs };
    },
    play: async (stage) => {
      await paid(stage, 8);
      await stage.liveOut();
    },
    judge: workOfAll,
  },
};

const GIFTS: Readonly<Record<string, Strategy>> = {
  'gives-hard-targets': gives('whose shares are harder than agreed', () => ({
    share_target: HARDER.target.toString(16).padStart(64, '0'),
  })),
  'gives-movable-outputs': gives('whose extranonce lies where it is not safe', (job) => ({
    coinb1: `${String(job['coinb1'])}${String(job['coinb2']).slice(0, -8)}`,
    coinb2: '00000000',
  })),
  'gives-the-future': gives('of a time that no node takes', (_job, nowMs) => ({
    ntime: Math.floor(nowMs / 1000 + 7200)
      .toString(16)
      .padStart(8, '0'),
  })),
};

/** Both are honest, and what gives the jobs is not steady. */
const FLAPS: Readonly<Record<string, Strategy>> = {
  'pool-flaps': {
    what: 'both are honest, and the pool of the maker comes and goes',
    row: 'F20',
    hostile: [],
    options: given,
    play: async (stage) => {
      const { pool } = stage.world;
      await paid(stage, 1);
      for (let time = 0; time < 6; time += 1) {
        stage.world.work(4);
        // What was found reaches the maker behind the news that its job is over.
        await stage.world.time.settle();
        pool!.setUp(false);
        await stage.rounds(1 + stage.random.below(3));
        pool!.setUp(true);
        await stage.rounds(3);
        if (stage.random.below(3) === 0) await stage.block();
      }
      if ((stage.world.maker?.status[0]?.ackedN ?? 0) < 6)
        stage.find('given work is not paid', 'while it flaps');
      await stage.liveOut();
    },
    step: refusedNothing,
  },
  'maker-starts-anew': {
    what: 'both are honest, and the maker starts anew again and again between a solution and its batch',
    row: 'F20',
    hostile: [],
    options: given,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      for (let time = 0; time < 4; time += 1) {
        // The solutions are at the maker, and their batch not on its disk.
        world.disks.maker.isHanging = true;
        world.work(4);
        await flow(world);
        await world.kill('maker', 0);
        world.disks.maker.isHanging = false;
        await stage.rounds(4);
        await stage.pay(1);
      }
      if ((world.maker?.status[0]?.ackedN ?? 0) < 6)
        stage.find('given work is not paid', 'over its starts');
      await stage.liveOut();
    },
    step: refusedNothing,
  },
  'pool-out-of-range': {
    what: 'both are honest, and the shares of the maker’s pool are easier than the terms let them be',
    row: 'F20',
    hostile: [],
    options: given,
    begin: ({ world }) => {
      world.pool!.target = shareTargetOf(SHARE.difficulty / 4).target;
    },
    play: async (stage) => {
      await paid(stage, 3);
      const own = stage.world.miner?.status.ownWorkHashes ?? 0n;
      if (own > 0n) stage.find('jobs beyond the terms are mined', `${own} hashes`);
      await stage.liveOut();
    },
  },
};

export const BY_CLAIMS: Readonly<Record<string, Strategy>> = { ...CLAIMS, ...GIFTS, ...FLAPS };
