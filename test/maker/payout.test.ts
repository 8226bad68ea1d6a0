import { Transaction } from 'bitcoinjs-lib';
import { afterEach, describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { branchesForCoinbase } from '../../src/bitcoin/merkle.ts';
import { TemplateWatch } from '../../src/chain/template-watch.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import type { BlockTemplate } from '../../src/devnet/chain/block.ts';
import { fillMempool } from '../../src/devnet/chain/traffic.ts';
import type { Job } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MAKER_SCRIPT_HEX, SHARE, until, World, type WorldOptions } from './world.ts';

let world: World;
let templates: TemplateWatch | undefined;
afterEach(async () => {
  templates?.stop();
  await world?.stop();
});

type Binding = Partial<Extract<TermsV3['binding'], { readonly type: 'payout' }>>;

/** A channel bound by payout, over a mempool with so many transactions. */
async function open(binding: Binding, transactions = 5, options: WorldOptions = {}): Promise<void> {
  world = new World({ ...options, isVersion3: true, binding: { minFeesPpm: 950_000, ...binding } });
  templates = new TemplateWatch(
    { network: 'regtest', kept: 8, pollMs: 10 },
    { chain: world.source, clock: systemClock, timers: systemTimers, log: silentLogger },
  );
  templates.start();
  world.minerDeps = { templates };
  await world.open();
  fillMempool(world.chain, transactions);
  await templates.look();
}

type Changes = {
  readonly outputs?: (valueSat: bigint) => readonly (readonly [scriptHex: string, valueSat: bigint])[];
  readonly template?: Partial<Pick<BlockTemplate, 'height' | 'bits' | 'previousHash' | 'time'>>;
  readonly branches?: readonly Uint8Array[];
};

const OTHER = `0014${'cd'.repeat(20)}`;

/** A job on the tip that is as an honest one but for the changes. */
function jobOf({ outputs, template: changed, branches }: Changes): Job {
  const template = { ...world.chain.template(), ...changed };
  const pay = outputs ?? ((valueSat: bigint) => [[MAKER_SCRIPT_HEX, valueSat]] as const);
  const paying = pay(template.coinbaseValueSat).map(
    ([script, valueSat]): CoinbaseOutput => ({ script: fromHex(script), valueSat }),
  );
  const { coinb1, coinb2 } = buildCoinbase({
    height: template.height,
    extranonceSize: 12,
    tag: new Uint8Array(4),
    outputs: [...paying, { script: template.witnessCommitmentScript, valueSat: 0n }],
  });
  const txids = template.transactions.map((each) => Uint8Array.from(each.getHash()));
  return world.table.add(
    'maker',
    world.contractId,
    {
      ...{ upstreamJobId: 'u', prevHash: parseDisplayHash(template.previousHash), coinb1, coinb2 },
      ...{ branches: branches ?? branchesForCoinbase(txids), version: template.version },
      ...{ bits: template.bits, time: template.time, clean: false, target: SHARE.target },
      ...{ extranonce1: new Uint8Array(4), extranonce2Size: 8, versionMask: 0x1fffe000 },
    },
    systemClock.monotonicMs(),
  );
}

/** Sells shares of a job. @returns the codes they were refused with, and how many were credited */
async function sell(job: Job, count = 2): Promise<Record<string, number>> {
  const before = { ...world.miner.stats.refused };
  const judged = world.miner.stats.batchesJudged;
  const credited = world.maker.status[0]!.verifiedWorkHashes;
  await world.deliver(world.find(job, count));
  await until('judged', () => world.miner.stats.batchesJudged > judged);
  const now = world.miner.stats.refused;
  const refused = Object.entries(now).map(([code, times]) => [code, times - (before[code] ?? 0)] as const);
  const work = world.maker.status[0]!.verifiedWorkHashes - credited;
  return Object.fromEntries([
    ...refused.filter(([, times]) => times > 0),
    ...(work > 0n ? [['credited', Number(work / SHARE.workHashes)] as const] : []),
  ]);
}

describe('under payout a maker pays', () => {
  it('for an honest job of the own node', async () => {
    await open({});
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
  });

  // Each is a strategy by which a miner sold work that was worth nothing to the maker.
  it.each<[string, Changes]>([
    [
      '1 sat output',
      {
        outputs: (sat) => [
          [MAKER_SCRIPT_HEX, 1n],
          [OTHER, sat - 1n],
        ],
      },
    ],
    ['foreign payee', { outputs: (sat) => [[OTHER, sat]] }],
    ['invented bits', { template: { bits: 0x1d00ffff } }],
    ['height', { template: { height: 900_000 } }],
    ['amount above the subsidy and all fees', { outputs: (sat) => [[MAKER_SCRIPT_HEX, sat * 3n]] }],
    ['amount of nothing', { outputs: () => [[MAKER_SCRIPT_HEX, 1n]] }],
    ['time before the least', { template: { time: 1_296_688_602 } }],
  ])('nothing for: %s', async (_strategy, changes) => {
    await open({});
    expect(await sell(jobOf(changes))).toEqual({ share_unbound: 2 });
    // What is honest is paid all the same.
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
  });

  it('nothing for: stale template', async () => {
    await open({}, 5, { terms: { staleGraceSeconds: 0 } });
    const stale = jobOf({});
    expect(await sell(stale)).toEqual({ credited: 2 });
    world.chain.generate(1);
    const [code] = Object.keys(await sell(stale));
    expect(['share_stale', 'stale_race']).toContain(code);
  });

  it('nothing for: fees left out', async () => {
    await open({});
    const { template } = world.source.blocks!;
    const more = async () => {
      const own = await template();
      return { ...own, feesSat: own.feesSat + 1_000_000n };
    };
    Object.assign(world.source.blocks!, { template: more });
    world.chain.generate(1);
    await templates!.look();
    expect(await sell(jobOf({}))).toEqual({ share_unbound: 2 });
    const all: Changes = { outputs: (sat) => [[MAKER_SCRIPT_HEX, sat + 950_000n]] };
    expect(await sell(jobOf(all))).toEqual({ credited: 2 });
  });

  it('for several payees, each its part', async () => {
    const outputs = [
      { scriptHex: MAKER_SCRIPT_HEX, ppm: 980_000 },
      { scriptHex: OTHER, ppm: 20_000 },
    ];
    const payout = { minOwnPpm: 980_000, minFeesPpm: 0, minSamplePpm: 0, maxSampleSeconds: 600 };
    await open({ outputs }, 5, { policy: { payout } });
    const part = (sat: bigint, ppm: bigint): bigint => (sat * ppm) / 1_000_000n;
    const fair: Changes = {
      outputs: (sat) => [
        [MAKER_SCRIPT_HEX, sat - part(sat, 20_000n)],
        [OTHER, part(sat, 20_000n)],
      ],
    };
    expect(await sell(jobOf(fair))).toEqual({ credited: 2 });
    const unfair: Changes = {
      outputs: (sat) => [
        [MAKER_SCRIPT_HEX, part(sat, 980_000n) - 1n],
        [OTHER, sat - part(sat, 980_000n) + 1n],
      ],
    };
    expect(await sell(jobOf(unfair))).toEqual({ share_unbound: 2 });
  });
});

describe('a sampled job', () => {
  const ALL = { samplePpm: 1_000_000, sampleSeconds: 5 };

  it('is paid once its whole block was judged by the own node', async () => {
    await open(ALL);
    const asked: string[] = [];
    const { blocks } = world.source;
    const { proposalFault } = blocks!;
    Object.assign(blocks!, {
      proposalFault: async (hex: string) => {
        asked.push(hex);
        return proposalFault(hex);
      },
    });
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
    await until('the proposal', () => asked.length === 1);
    const { length } = asked[0]!;
    expect(length).toBeGreaterThan(1000);
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
  });

  it('branches of nothing: not shown, not paid, and nothing more before it is', async () => {
    await open(ALL);
    const invented = jobOf({ branches: [new Uint8Array(32).fill(7)] });
    await sell(invented);
    await until('refused', async () => (await sell(invented, 1))['share_unshown'] === 1);
    // Honest work is paid after its sample, which comes at once.
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
    const another = jobOf({ branches: [new Uint8Array(32).fill(9)] });
    await until('refused again', async () => (await sell(another, 1))['share_unshown'] === 1);
  });

  it('whose coinbase claims more than its fees is not paid, nor is any after it', async () => {
    await open(ALL);
    const greedy: Changes = { outputs: (sat) => [[MAKER_SCRIPT_HEX, sat + 1n]] };
    const first = jobOf(greedy);
    await sell(first);
    await until('refused', async () => (await sell(first, 1))['share_unbound'] === 1);
    expect(await sell(jobOf(greedy))).toEqual({ share_unbound: 2 });
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
  });

  it('has transactions that the maker does not know shown to it', async () => {
    await open(ALL, 12);
    const { blocks } = world.source;
    const nothing = { template: blocks!.template, mempoolTxids: blocks!.mempoolTxids };
    // The maker's mempool is empty; the miner has its templates by now.
    const job = jobOf({});
    await templates!.look();
    templates!.stop();
    Object.assign(blocks!, {
      template: async () => ({ ...(await nothing.template()), transactions: [], feesSat: 0n }),
      mempoolTxids: async () => [],
    });
    const own = new Set(world.chain.mempoolEntries().map(({ txid }) => txid));
    expect(own.size).toBeGreaterThan(5);
    expect(await sell(job)).toEqual({ credited: 2 });
    await world.rest();
    expect(await sell(job)).toEqual({ credited: 2 });
  });

  it('of a node that makes no blocks is paid: a fault of the own side is none of the miner', async () => {
    await open(ALL);
    Object.assign(world.source.blocks!, {
      proposalFault: () => Promise.reject(new Error('not asked')),
      template: world.source.blocks!.template,
    });
    Object.assign(world.source.blocks!, { proposalFault: async () => 'inconclusive-not-best-prevblk' });
    const job = jobOf({});
    expect(await sell(job)).toEqual({ credited: 2 });
    expect(await sell(job)).toEqual({ credited: 2 });
  });
});

describe('a block found with a job of the miner', () => {
  const blocks = () => world.maker.status[0]!.blocks!;
  const headersOf = (hexes: readonly string[]): readonly string[] => hexes.map((hex) => hex.slice(0, 160));

  it('is given to the node of the maker at once, and is late where its batch shows it first', async () => {
    await open({});
    expect(await sell(jobOf({}))).toEqual({ credited: 2 });
    await until('published', () => blocks().verdicts.accepted === 2);
    expect(world.submitted).toHaveLength(2);
    expect(blocks()).toMatchObject({ solutions: 2, lateSolutions: 0, isPaused: false });
    expect(world.miner.blocks!.counts).toMatchObject({ accepted: 2 });
    world.tellsBlocks = false;
    // Three of them are beyond what a link that broke may lose, and pause the credit.
    expect(await sell(jobOf({}), 4)).toEqual({ credited: 2, late_solutions: 2 });
    await until('published too', () => blocks().verdicts.accepted === 6);
    expect(new Set(headersOf(world.submitted)).size).toBe(6);
    expect(blocks()).toMatchObject({ solutions: 6, lateSolutions: 4, isPaused: true });
  });

  it('of transactions that the maker does not have is built of what the miner shows', async () => {
    await open({ samplePpm: 0 }, 12);
    const { template } = world.source.blocks!;
    const job = jobOf({});
    await templates!.look();
    templates!.stop();
    Object.assign(world.source.blocks!, {
      template: async () => ({ ...(await template()), transactions: [], feesSat: 0n }),
      mempoolTxids: async () => [],
    });
    expect(await sell(job)).toEqual({ credited: 2 });
    await until('published', () => blocks().verdicts.accepted === 2);
    expect(world.submitted[0]!.length).toBeGreaterThan(2000);
  });

  it('that cannot be built costs the miner nothing, and both say why', async () => {
    await open({ samplePpm: 0 });
    expect(await sell(jobOf({ branches: [new Uint8Array(32).fill(7)] }))).toEqual({ credited: 2 });
    await until('given up', () => blocks().verdicts.lost === 2);
    expect(blocks().lastFault).toMatch(/no template of the own node is that of the job/);
    expect(world.miner.blocks!.lastReason).toMatch(/no template of the own node is that of the job/);
    expect(world.submitted).toEqual([]);
    expect(blocks()).toMatchObject({ lateSolutions: 0 });
  });

  it('that does not pay as agreed is not looked at', async () => {
    await open({});
    expect(await sell(jobOf({ outputs: (sat) => [[OTHER, sat]] }))).toEqual({ share_unbound: 2 });
    await until('refused', () => world.miner.blocks!.counts.refused === 2);
    expect(world.submitted).toEqual([]);
    expect(world.miner.blocks!.lastReason).toBe('share_unbound');
  });
});

describe('the block of a job', () => {
  it('is the chain’s own, with the coinbase of the job', async () => {
    await open({});
    const job = jobOf({});
    const coinbase = concat(job.coinb1, new Uint8Array(job.extranonceSize), job.coinb2);
    expect(Transaction.fromBuffer(Buffer.from(coinbase)).isCoinbase()).toBe(true);
  });
});
