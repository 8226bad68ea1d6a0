import { concat, fromHex, toHex } from '../../../src/base/bytes.ts';
import { sleep } from '../../../src/base/clock.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { sha256d } from '../../../src/base/hash.ts';
import { fillMempool } from '../../../src/devnet/chain/traffic.ts';
import type { Finding } from '../audit.ts';
import { BOUND_SCRIPT_HEX, type FarmChanges, SHARE } from '../farm.ts';
import { SimNode } from '../node.ts';
import { hashesOf } from '../outcome.ts';
import { flow } from '../schedule.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_PAYOUT } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { type Alter, alterLines, itself, paid, paidForNothing, refusedNothing, together } from './tools.ts';

/** Contracts bound by what a coinbase pays, with whole blocks of all jobs looked at, or of none. */

const hostile = ['miner'] as const;
const TRANSACTIONS = 6;
/** Of the fees that waited, the least for so long is what a job must claim. */
const FEES_LAG_MS = 5 * 60_000;

const bound = (): WorldOptions => ({ othersCoins: 4 * TRANSACTIONS, termsV3: { binding: BY_PAYOUT } });
const sampled = (): WorldOptions => ({
  ...bound(),
  termsV3: { binding: { ...BY_PAYOUT, samplePpm: 1_000_000 } },
});

const credited = async ({ world }: Stage): Promise<number> => (await hashesOf(world, 'maker')).length;

/** Of a node with much in its mempool. */
const TEMPLATE_TAKES_MS = 900;

/**
 * Transactions of others wait, and have waited for long enough that every job must claim their fees; for as
 * long the two heard of each other, or not.
 */
async function withFees(stage: Stage, isAway = false): Promise<boolean> {
  const isOpen = await stage.open();
  fillMempool(stage.world.chain, TRANSACTIONS);
  if (isAway) await stage.world.time.advance(2 * FEES_LAG_MS);
  else await together(stage, 2 * FEES_LAG_MS);
  await stage.rounds(2);
  return isOpen;
}

const sells = (what: string, changes: FarmChanges): Strategy => ({
  what,
  row: 'F4',
  hostile,
  options: bound,
  begin: ({ world }) => {
    world.farm.changes = changes;
  },
  play: async (stage) => {
    if (await withFees(stage)) await stage.pay(2 + stage.random.below(3));
    await stage.liveOut();
  },
  judge: paidForNothing,
});

const script = fromHex(BOUND_SCRIPT_HEX);
const claiming =
  (amountOf: (valueSat: bigint) => bigint): NonNullable<FarmChanges['payees']> =>
  (valueSat) => [{ script, valueSat: amountOf(valueSat) }];

/** `shct`, with which the tag of a contract begins. */
const TAG_HEX = '73686374';
const EXTRANONCE_SIZE = 12;
/** The number of outputs, behind the tag and the sequence of the farm's coinbase. */
const OUTPUTS_AT = 5 + 4;

/** The subsidy of a regtest block this high. */
const SUBSIDY_SAT = 5_000_000_000n;

/** Work of jobs whose block the miner shows otherwise than asked, or whose block is none. */
const conceals = (
  what: string,
  { alter = itself, changes = {}, isRenewed = false, isUnknown = false }: Concealment,
): Strategy => ({
  what,
  row: 'F4',
  hostile,
  options: sampled,
  begin: ({ world }) => {
    world.farm.changes = changes;
    alterLines(world, alter);
    if (isUnknown) knowNothing(world.nodes.maker);
  },
  play: async (stage) => {
    if (await withFees(stage)) {
      await stage.pay(1);
      await unpaidUnshown(stage, isRenewed);
    }
    await stage.liveOut();
  },
});

/**
 * What is sold in vain, again where the maker dies in this life and there was something: it starts anew, asks
 * anew, and pays until the time for an answer is over. It dies but once.
 */
async function onceMore(stage: Stage, sold: () => Promise<number>): Promise<number> {
  const more = await sold();
  return more > 0 && stage.dies('maker') ? sold() : more;
}

/** Finds fault where shares are credited once the time to show what was asked for is over. */
async function unpaidUnshown(stage: Stage, isRenewed: boolean): Promise<void> {
  const more = await onceMore(stage, () => soldUnshown(stage, isRenewed));
  if (more > 0) stage.find('what is not shown is paid', `${more} more shares`);
}

/** Shares that are credited of four steps, once the time to show what was asked for is over. */
async function soldUnshown(stage: Stage, isRenewed: boolean): Promise<number> {
  await stage.world.time.advance(BY_PAYOUT.sampleSeconds * 1_000 + 2_000);
  await stage.rounds(2);
  const before = await credited(stage);
  for (let step = 0; step < 4; step += 1) {
    if (isRenewed) stage.world.farm.renew();
    await stage.pay(1);
  }
  return (await credited(stage)) - before;
}

type Concealment = {
  readonly alter?: Alter;
  readonly changes?: FarmChanges;
  /** Each step has a job of its own. */
  readonly isRenewed?: boolean;
  /** The mempool of the maker is empty. */
  readonly isUnknown?: boolean;
};

function knowNothing(node: SimNode): void {
  const { blocks } = node;
  node.blocks = {
    ...blocks,
    template: async () => ({ ...(await blocks.template()), transactions: [], feesSat: 0n }),
    mempoolTxids: async () => [],
  };
}

const isAsked = (about: string): boolean => about === 'work.template' || about === 'work.transactions';
const silent: Alter = ({ about, message }) => (isAsked(about) ? [] : [message]);

const away = (): Promise<never> => Promise.reject(new CodedError('chain_rpc', 'it makes no blocks'));

/** What goes to the maker at once. */
const BATCH_SHARES = 4;
/** Of blocks, so many may come late before credit pauses, and those of their batch. */
const LATE_BLOCKS = 3 + BATCH_SHARES;

/** Each share that was paid is a block, which the maker's node has. */
async function allPublished(stage: Stage): Promise<readonly Finding[]> {
  const hashes = await hashesOf(stage.world, 'maker');
  const { published } = stage.world.nodes.maker;
  const there = new Set(published.map((headerHex) => toHex(sha256d(fromHex(headerHex)))));
  const missing = hashes.filter((hash) => !there.has(hash)).length;
  // A miner that dies shows nobody the transactions of what it found last.
  if (missing <= (stage.dies('miner') ? BATCH_SHARES : 0)) return [];
  return [{ rule: 'a block was paid and never published', seen: `${missing} of ${hashes.length}` }];
}

/** Blocks that are withheld from everybody but the account. */
const withholding = (more: string, play: NonNullable<Strategy['play']>): Strategy => ({
  what: `the miner shows no block of its own jobs but in its batches${more}`,
  row: 'F4',
  hostile,
  options: () => ({ ...bound(), terms: { workTotalHashes: 120n * SHARE.workHashes, budgetSat: 300_000n } }),
  begin: ({ world }) => {
    world.tellsSolution = () => false;
  },
  play,
  judge: async (stage) => {
    const count = await credited(stage);
    const found = [...(await allPublished(stage))];
    if (count > LATE_BLOCKS) found.push({ rule: 'late blocks are paid', seen: `${count} of them` });
    return found;
  },
});

/** Jobs of the seller's own node, and what it says of them. */
const feesDouble = (what: string, { isAnew = false, isAway = false }): Strategy => ({
  what,
  row: 'F4',
  hostile: [],
  options: bound,
  play: async (stage) => {
    const { world, random } = stage;
    if (await withFees(stage)) {
      await stage.pay(1);
      for (let times = 2; times < 5; times += 1) {
        fillMempool(world.chain, times * TRANSACTIONS);
        // The job is as old as that, and is made anew after it.
        const forMs = 60_000 + random.below(180_000);
        if (isAway) await world.time.advance(FEES_LAG_MS + forMs);
        else await together(stage, forMs);
        if (isAnew) await world.kill('maker', 0);
        await stage.pay(1);
        world.farm.renew();
        await stage.pay(1);
      }
    }
    await stage.liveOut();
  },
  step: refusedNothing,
});

export const PAYOUT: Readonly<Record<string, Strategy>> = {
  'invents-time': sells('the block of the work is older than its chain allows', {
    template: (own) => ({ ...own, time: own.minTime - 1 }),
  }),
  'invents-amount': sells('the coinbase of the work claims three times what there is', {
    payees: claiming((sat) => sat * 3n),
  }),
  'invents-amount-at-once': {
    ...sells('the coinbase of the work claims too much, and is sold before the maker has a template', {
      payees: claiming((sat) => sat * 3n),
    }),
    begin: ({ world }) => {
      world.farm.changes = { payees: claiming((sat) => sat * 3n) };
      const { maker } = world.nodes;
      const { template } = maker.blocks;
      maker.blocks = {
        ...maker.blocks,
        template: () => sleep(world.time.timers, TEMPLATE_TAKES_MS).then(template),
      };
    },
    play: async (stage) => {
      if (await withFees(stage))
        for (let block = 0; block < 4; block += 1) {
          stage.world.chain.generate(1);
          await stage.pay(1);
        }
      await stage.liveOut();
    },
  },
  'claims-nothing': sells('the coinbase of the work claims one sat', { payees: claiming(() => 1n) }),
  'leaves-fees-out': sells('the coinbase of the work claims no fees', {
    payees: claiming(() => SUBSIDY_SAT),
  }),
  'leaves-fees-out-away': {
    what: 'the same, of a miner that hangs up while they come: one backlog may be so',
    row: 'F4',
    hostile,
    options: bound,
    begin: ({ world }) => {
      world.farm.changes = { payees: claiming(() => SUBSIDY_SAT) };
    },
    play: async (stage) => {
      const { maxUnpaidSteps, stepHashes } = stage.world.terms;
      // A little of it comes back in that time.
      const mostHashes = BigInt(maxUnpaidSteps + 2) * stepHashes;
      if (await withFees(stage, true)) await stage.pay(10);
      const hashes = BigInt(await credited(stage)) * SHARE.workHashes;
      // After its start a maker does not know for a while which fees were due.
      if (hashes > mostHashes && !stage.dies('maker'))
        stage.find('more than a backlog without fees is paid', `${hashes} hashes`);
      await stage.liveOut();
    },
  },
  'sells-the-seal-twice': {
    ...sells('the coinbase of the work names another contract, whose seal it is sold under too', {
      job: ({ coinb2, ...job }) => {
        const tag = toHex(coinb2).lastIndexOf(TAG_HEX) + TAG_HEX.length;
        const other = `${toHex(coinb2).slice(0, tag)}${'77'.repeat(32)}${toHex(coinb2).slice(tag + 64)}`;
        return { ...job, coinb2: fromHex(other) };
      },
    }),
    row: 'F20',
    options: () => ({ ...bound(), staked: true }),
    judge: async (stage) => {
      const count = await credited(stage);
      return count === 0 ? [] : [{ rule: 'worthless work is paid', seen: `${count} shares` }];
    },
  },
  'moves-outputs': sells('the extranonce of the work lies among the outputs of its coinbase', {
    job: ({ coinb1, coinb2, ...job }) => {
      const head = concat(coinb1, new Uint8Array(EXTRANONCE_SIZE), coinb2.subarray(0, -4));
      head[coinb1.length + EXTRANONCE_SIZE + OUTPUTS_AT]! += 1;
      // One more output, of no value, whose script the extranonce is.
      const moved = concat(head, new Uint8Array(8), Uint8Array.of(EXTRANONCE_SIZE));
      return { ...job, coinb1: moved, coinb2: coinb2.subarray(-4) };
    },
  }),
  'rolls-bits-of-all': sells('the work rolls version bits that nobody may roll', {
    versionMask: 0x3fffffff,
    job: (job) => ({ ...job, versionMask: 0x3fffffff }),
    share: (share) => ({ ...share, version: share.version ^ 0x20000000 }),
  }),
  'rolls-foreign-bits': sells('shares of the work roll version bits that their job does not', {
    share: (share) => ({ ...share, version: share.version ^ 0x40000000 }),
  }),
  'sells-the-past': sells('shares of the work are of a time before their job', {
    share: (share) => ({ ...share, ntime: share.ntime - 1 }),
  }),
  'sells-the-future': sells('shares of the work are of a time that no node takes', {
    share: (share) => ({ ...share, ntime: share.ntime + 100_000 }),
  }),
  'conceals-blocks': conceals('the miner refuses to show the blocks of its jobs', {
    alter: ({ about, message }) => {
      if (message.method !== undefined || !isAsked(about)) return [message];
      const { result: _none, ...rest } = message;
      return [{ ...rest, error: { code: -32_000, message: 'no', data: { code: 'unknown_job' } } }];
    },
  }),
  'says-nothing-of-blocks': conceals('the miner does not answer when blocks of its jobs are asked for', {
    alter: silent,
    isRenewed: true,
  }),
  'shows-other-blocks': conceals('the miner shows other transactions than its jobs have', {
    alter: ({ about, message }) => {
      const ids = message.result?.['short_ids'];
      if (about !== 'work.template' || typeof ids !== 'string') return [message];
      const others = Buffer.from(ids, 'base64').subarray(8).toString('base64');
      return [{ ...message, result: { ...message.result, short_ids: others } }];
    },
  }),
  'shows-other-transactions': conceals(
    'the miner shows other transactions than it named, where the maker knows none of them',
    {
      isUnknown: true,
      alter: ({ about, message }) => {
        const shown = message.result?.['transactions'];
        if (about !== 'work.transactions' || !Array.isArray(shown)) return [message];
        return [{ ...message, result: { transactions: shown.toReversed() } }];
      },
    },
  ),
  'invents-branches': conceals('the branches of the work are those of no transactions', {
    changes: { job: (job) => ({ ...job, branches: [new Uint8Array(32).fill(7)] }) },
    isRenewed: true,
  }),
  'invents-fees': conceals('the coinbase of the work claims one sat more than its transactions pay', {
    changes: { payees: claiming((sat) => sat + 1n) },
    isRenewed: true,
  }),
  'answers-late': {
    ...conceals('the miner shows the blocks of its jobs when their time is over', { alter: silent }),
    begin: (stage) => {
      const late: { readonly atMs: number; readonly text: string }[] = [];
      const { world } = stage;
      alterLines(world, (told) => {
        const { monotonicMs } = world.time.clock;
        if (told.message.method !== undefined || !isAsked(told.about)) {
          const due = late.filter(({ atMs }) => atMs <= monotonicMs());
          late.splice(0, due.length);
          return [...due.map(({ text }) => JSON.parse(text) as unknown), told.message];
        }
        late.push({ atMs: monotonicMs() + 11_000, text: told.line.text });
        return [];
      });
    },
  },
  'waits-for-blocks': {
    what: 'the blocks of the work are none, and once found the miner shows each when another has come',
    row: 'F4',
    hostile,
    options: sampled,
    begin: ({ world }) => {
      world.farm.changes = { payees: claiming((sat) => sat + 1n) };
    },
    play: async (stage) => {
      const { world } = stage;
      if (await withFees(stage)) {
        const held: string[] = [];
        let isHolding = false;
        alterLines(world, ({ about, message, line }) => {
          const isAnswer = message.method === undefined && isAsked(about);
          if (isAnswer && isHolding) held.push(line.text);
          if (isAnswer) return isHolding ? [] : [message];
          return isHolding
            ? [message]
            : [...held.splice(0).map((text) => JSON.parse(text) as unknown), message];
        });
        await stage.pay(1);
        const more = await onceMore(stage, async () => {
          const before = await credited(stage);
          for (let times = 0; times < 4; times += 1) {
            isHolding = true;
            world.farm.renew();
            world.work(2);
            await flow(world);
            world.chain.generate(1);
            isHolding = false;
            // What it says next brings the answers along.
            world.work(2);
            await stage.rounds(4);
          }
          return (await credited(stage)) - before;
        });
        if (more > 0) stage.find('what is shown too late to be judged is paid', `${more} more shares`);
      }
      await stage.liveOut();
    },
  },
  'conceals-blocks-over-starts': {
    ...conceals('the miner shows no block of its jobs, and the maker starts anew', { alter: silent }),
    play: async (stage) => {
      if (await withFees(stage)) {
        await stage.pay(1);
        const more = await onceMore(stage, async () => {
          await stage.world.time.advance(BY_PAYOUT.sampleSeconds * 1_000 + 2_000);
          await stage.pay(1);
          const before = await credited(stage);
          await stage.world.kill('maker', 0);
          await stage.rounds(4);
          await stage.pay(1);
          return (await credited(stage)) - before;
        });
        if (more > 0) stage.find('what is not shown is paid', `${more} more shares`);
      }
      await stage.liveOut();
    },
  },
  'conceals-blocks-while-asked': {
    ...conceals('the miner shows no block, and the maker starts anew while it waits for one', {
      alter: silent,
    }),
    play: async (stage) => {
      if (await withFees(stage)) {
        await stage.pay(1);
        await stage.world.kill('maker', 0);
        await stage.rounds(4);
        // It hears of the job again, and asks again.
        await stage.pay(1);
        await unpaidUnshown(stage, false);
      }
      await stage.liveOut();
    },
  },
  'withholds-own-blocks': withholding('', async (stage) => {
    await paid(stage, 24);
    await stage.liveOut();
  }),
  'withholds-own-blocks-anew': withholding(
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
  'shows-own-blocks-unknown': {
    what: 'both are honest, each share solves a block, and the maker knows no transaction of them',
    row: 'F4',
    hostile: [],
    options: sampled,
    begin: ({ world }) => knowNothing(world.nodes.maker),
    play: async (stage) => {
      if (await withFees(stage)) await stage.pay(3);
      await stage.liveOut();
    },
    step: refusedNothing,
    judge: allPublished,
  },
  'shows-blocks': {
    what: 'both are honest, whole blocks of all jobs are looked at, and the rest is chance',
    row: 'chance',
    hostile: [],
    options: sampled,
    play: async (stage) => {
      if (await withFees(stage)) await stage.pay(2);
      if (stage.dies('miner')) await stage.pay(1);
      if ((stage.world.maker?.status[0]?.ackedN ?? 0) < 2)
        stage.find('shown work is not paid', 'after two steps');
      await stage.noise(stage.random.below(30));
      await stage.liveOut();
    },
    // Chance kills too: who dies has not shown what it found last.
    step: (stage) => refusedNothing(stage, 'late_solutions'),
  },
  'shows-unknown': {
    what: 'both are honest, and the maker knows none of the transactions of the jobs',
    row: 'F4',
    hostile: [],
    options: sampled,
    begin: ({ world }) => knowNothing(world.nodes.maker),
    play: async (stage) => {
      if (await withFees(stage)) await stage.pay(3);
      await stage.blocks(1);
      fillMempool(stage.world.chain, TRANSACTIONS);
      await stage.world.time.advance(10_000);
      stage.world.farm.renew();
      await stage.pay(2);
      if (stage.dies('miner')) await stage.pay(1);
      if ((stage.world.maker?.status[0]?.ackedN ?? 0) < 5)
        stage.find('shown work is not paid', 'after five steps');
      await stage.liveOut();
    },
    step: refusedNothing,
  },
  'fees-double': feesDouble('both are honest, and the fees double within five minutes of each job', {}),
  'fees-double-anew': feesDouble('the same, and the maker starts anew between a job and its shares', {
    isAnew: true,
  }),
  'fees-double-away': feesDouble('the same, and nobody hears of the other for more than five minutes', {
    isAway: true,
  }),
  'makes-no-blocks': {
    what: 'both are honest, and the node of the maker makes and judges no blocks for a while',
    row: 'R13',
    hostile: [],
    options: sampled,
    begin: ({ world }) => {
      world.nodes.maker.blocks = {
        ...{ template: away, waitingFeesSat: away, mempoolTxids: away, mempoolTransaction: away },
        ...{ proposalFault: away, submitBlock: away },
      };
    },
    play: async (stage) => {
      const { blocks } = new SimNode(stage.world.chain, stage.world.time.timers);
      await paid(stage, 2);
      stage.world.nodes.maker.blocks = { ...blocks, proposalFault: away };
      await stage.world.time.advance(60_000);
      stage.world.farm.renew();
      await stage.pay(2);
      await stage.liveOut();
    },
    step: refusedNothing,
  },
};
