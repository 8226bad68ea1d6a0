import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { TERMS_DEFAULTS } from '../../src/contract/terms-defaults.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import type { BraidpoolProfileName } from '../../src/devnet/braidpool/braidpool-profile.ts';
import { answer } from '../cli/program.ts';
import type { Orders } from './hostile/orders.ts';
import { Market, Neighbours, RACES, sayingOf, type Trick, until } from './market-play.ts';
import {
  BLOCK_HASHES,
  MAX_UNPAID_STEPS,
  type MakerName,
  POOL_SHARE_HASHES,
  PRICE_MSAT_PER_EH,
  type Sale,
  STEP_HASHES,
  startMarketStage,
  WITHDRAWALS,
} from './market-stage.ts';

/** One stage for all: three proxies, two makers, their pools and nodes. */
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const directory = mkdtempSync(join(tmpdir(), 'market-'));
/** Shares that were paid under one contract, for another. */
const KEPT = join(directory, 'kept');
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
let market: Market;
let fleet: AsicFleet;
let buyer: Orders;

/** Of the fleet; the third proxy has two miners. */
const MINERS = [
  { proxy: 'one', hashesPerSecond: 80_000 },
  { proxy: 'two', hashesPerSecond: 120_000 },
  { proxy: 'three', hashesPerSecond: 180_000 },
  { proxy: 'three', hashesPerSecond: 180_000 },
] as const;

const HONEST_ONE: Sale = {
  ...{ name: 'one', to: 'first', binding: 'work', priceMsatPerEh: 2n * PRICE_MSAT_PER_EH },
};
const HONEST_TWO: Sale = { ...HONEST_ONE, name: 'two', to: 'second' };
const CHEAP: Sale = { name: 'cheap', to: 'first', binding: 'work', priceMsatPerEh: PRICE_MSAT_PER_EH };
const DEAR: Sale = { ...CHEAP, name: 'dear', to: 'second', priceMsatPerEh: 4n * PRICE_MSAT_PER_EH };
const PAYOUT: Sale = { ...DEAR, name: 'payout', binding: 'payout' };
const SAMPLED: Sale = { ...PAYOUT, name: 'sampled', binding: 'sampled payout' };

beforeAll(async () => {
  market = new Market(await startMarketStage(directory, (step) => cleanups.push(step)));
  const { stage } = market;
  stage.sell('one', HONEST_ONE);
  stage.sell('two', HONEST_TWO);
  const { makers, proxies } = stage;
  [buyer] = await Promise.all([stage.startHostile(makers.second, 'buyer'), makers.first.process.start()]);
  await Promise.all([proxies.one.process.start(), proxies.two.process.start()]);
  fleet = await startAsics(
    MINERS.map(({ proxy, hashesPerSecond }, index) => ({
      ...{ ...proxies[proxy].stratum, worker: `farm.${proxy}${index}`, hashesPerSecond },
    })),
  );
  cleanups.push(() => fleet.stop());
  await Promise.all([market.opens('one'), market.opens('two'), market.startSelling(CHEAP)]);
});

afterAll(async () => {
  buyer?.end();
  await market?.end();
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const bothHonest = new Neighbours(
  () => market,
  [
    ['first', 'one'],
    ['second', 'two'],
  ],
);

const unbound = 'it is not made of the job that it names';

describe('a proxy that sells work on the jobs of a maker', () => {
  it.each<Trick>([
    { trick: 'own pool', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    { trick: 'foreign payee', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    { trick: '1 sat outputs', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    { trick: 'invented bits', codes: ['share_unbound'], says: `${unbound}: other nbits` },
    { trick: 'height', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    { trick: 'branches', codes: ['share_unbound'], says: `${unbound}: other merkle branches` },
    { trick: 'too much', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    // Of a contract at twice the price, by the same maker.
    { trick: 'job of another contract', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
    { trick: 'harder share', codes: ['share_low'], says: 'does not meet its target' },
    { trick: 'easier share', codes: ['share_low'], says: 'does not meet its target' },
    { trick: 'same shares again', codes: ['share_duplicate'], says: 'was already credited' },
    { trick: 'stale template', codes: ['share_stale'], says: 'replaced too long ago' },
  ])('$trick: nothing is paid, the log says why, the honest lose nothing', (trick) =>
    market.play('first', trick, bothHonest),
  );

  it('is paid for solutions that its maker’s pool refuses, and the log says so', async () => {
    const { pool } = market.stage.makers.first;
    const hears = sayingOf(market.stage.proxies.three);
    await bothHonest.begin();
    const before = (await market.rowOf('first', 'three'))!;
    pool.faults.refuseShares = true;
    await market.sells('honest', 6);
    await hears("the market maker's pool refuses a solution; it is credited all the same");
    pool.faults.refuseShares = false;
    const after = (await market.rowOf('first', 'three'))!;
    expect(after.shares_credited).toBeGreaterThan(before.shares_credited);
    expect((await market.stage.makers.first.page()).pools[0]!.solutions.refused).toBeGreaterThan(0);
    await bothHonest.expectUnharmed();
  });

  it.each(['solution late', 'solution withheld'])(
    '%s: a part of the solutions may be, then credit pauses, and the log says so',
    async (trick) => {
      await bothHonest.begin();
      const log = market.stage.makers.first.log;
      await market.seller.give({ do: 'play', trick });
      await until('solutions are too late', async () =>
        (await market.soldBy(trick)).refused['late_solutions'] === undefined ? undefined : true,
      );
      const [withheld, late, honest] = await Promise.all(
        ['solution withheld', 'solution late', 'honest'].map((each) => market.soldBy(each)),
      );
      const solutions = withheld!.shares + late!.shares + honest!.shares;
      const forgiven = Math.max(2, Math.floor((solutions * TERMS_DEFAULTS.latePpm) / 1_000_000));
      expect(withheld!.credited + late!.credited).toBeLessThanOrEqual(forgiven);
      expect(log()).toContain('too many solutions first came in a batch');
      await bothHonest.expectUnharmed();
    },
  );
});

describe('a proxy that sells work at a price above its neighbour’s', () => {
  beforeAll(async () => {
    await market.seller.give({ do: 'keep', file: KEPT });
    await market.startSelling(DEAR);
  });

  it.each<Trick>([
    { trick: 'job of another contract', codes: ['share_unbound'], says: `${unbound}: another coinbase` },
  ])('$trick: nothing is paid, the log says why, the honest lose nothing', (trick) =>
    market.play('second', trick, bothHonest),
  );
});

describe('a proxy that sells work on templates of its own', () => {
  beforeAll(async () => {
    await market.startSelling(PAYOUT);
    await market.seller.give({ do: 'bring', file: KEPT });
  });

  const payees = 'the coinbase does not pay each script of the terms its part';
  it.each<Trick>([
    { trick: 'own pool', codes: ['share_unbound'], says: payees },
    { trick: 'foreign payee', codes: ['share_unbound'], says: payees },
    { trick: '1 sat outputs', codes: ['share_unbound'], says: payees },
    { trick: 'invented bits', codes: ['share_unbound'], says: 'its nbits are not those of the next block' },
    { trick: 'height', codes: ['share_unbound'], says: 'the coinbase is of another height' },
    { trick: 'too little', codes: ['share_unbound'], says: 'the coinbase claims less than the subsidy' },
    { trick: 'too much', codes: ['share_unbound'], says: 'the coinbase claims more than the subsidy' },
    {
      trick: 'stale template',
      codes: ['share_stale', 'stale_race'],
      says: 'the share builds on a block that',
    },
    // Paid by the other maker, under a contract at a quarter of the price.
    { trick: 'shares of another contract', codes: ['share_unbound'], says: payees },
  ])('$trick: nothing is paid, the log says why, the honest lose nothing', (trick) =>
    market.play('second', trick, bothHonest),
  );
});

describe('a proxy whose every template is drawn for a sample', () => {
  beforeAll(() => market.startSelling(SAMPLED));

  it.each<Trick>([
    // The sample of an honest job that was on its way makes good for the first.
    {
      trick: 'branches',
      codes: ['share_unshown'],
      jobsOnceFound: 1,
      says: 'a sampled job was not shown in time',
    },
    { trick: 'one sat too much', codes: ['share_unbound'], jobsOnceFound: 0, says: 'bad-cb-amount' },
  ])('$trick: is not paid once it is found, the log says why, the honest lose nothing', (trick) =>
    market.play('second', trick, bothHonest),
  );
});

describe('a proxy whose Braidpool node', () => {
  it.each<[BraidpoolProfileName, MakerName, number]>([
    ['asIs', 'first', 1],
    ['of2025', 'second', 0.5],
  ])(
    '(%s, of maker %s) redirects beads ends its contract at the first of them',
    async (profile, to, part) => {
      const { node } = market.stage.makers[to];
      for (const miner of [2, 3]) fleet.setRate(miner, 500_000);
      await market.startSelling({ name: profile, to, binding: 'bead', priceMsatPerEh: PRICE_MSAT_PER_EH });
      await bothHonest.begin();
      const hears = sayingOf(market.stage.makers[to]);
      node.theft = { part, payoutAddress: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig' };
      const row = await until('a stolen bead is seen', async () => {
        const found = await market.rowOf(to, 'three');
        return found?.beads?.stolen === undefined ? undefined : found;
      });
      node.theft = undefined;
      await until('its shares are refused', async () =>
        ((await market.rowOf(to, 'three'))?.refused['share_unbound'] ?? 0) > 0 ? true : undefined,
      );
      const after = (await market.rowOf(to, 'three'))!;
      // What was in the batch that brought the bead, and no more.
      const more = BigInt(after.verified_work_hashes) - BigInt(row.verified_work_hashes);
      expect(more).toBeLessThan(2n * BLOCK_HASHES);
      await hears('a bead of a share that was sold pays another: no more is credited');
      await bothHonest.expectUnharmed();
    },
  );
});

describe('a maker of whose jobs a proxy sells work', () => {
  const honest = new Neighbours(() => market, [['first', 'one']]);
  const BREAKS = 'a job of the market maker is not mined: it breaks the terms';
  const refusedJobs = async () => (await market.statusOf('two')).contract!.work!.refused_jobs;

  /** What the second proxy has delivered and is not paid for stays within what its terms allow. */
  async function expectBounded(): Promise<void> {
    const [row, status] = [(await market.rowOf('second', 'two'))!, await market.statusOf('two')];
    const { contract } = status;
    const delivered = BigInt(contract!.work_hashes);
    // What a block overtook is not owed.
    const raced = [...RACES].reduce((sum, code) => sum + (row.refused[code] ?? 0), 0);
    const signed = BigInt(contract!.channel.signed_work_hashes) + BigInt(raced) * POOL_SHARE_HASHES;
    const unpaid = delivered - signed;

    const allowed = (delivered * BigInt(TERMS_DEFAULTS.refusedPpm)) / 1_000_000n;
    expect(unpaid).toBeLessThanOrEqual(MAX_UNPAID_STEPS * STEP_HASHES + allowed + POOL_SHARE_HASHES);
  }

  /** The second proxy goes on to be paid. */
  const expectPaid = async (): Promise<void> => {
    const before = (await market.statusOf('two')).contract!.channel.state_number;
    await until('the second proxy is paid again', async () => {
      const number = (await market.statusOf('two')).contract?.channel.state_number ?? 0;
      return number > before ? true : undefined;
    });
  };

  beforeAll(async () => {
    await market.end();
    fleet.setRate(1, 0);
    await market.expectEqual('second', 'two', HONEST_TWO);
    fleet.setRate(1, 300_000);
    await honest.begin();
  });

  it.each([
    ['same id', 'id', 'its id was used before'],
    ['same work', 'repeated', 'it is the work of job'],
    ['clean on the same block', 'clean', 'it voids jobs on the same block'],
    ['little extranonce', 'extranonce', 'it leaves 7 bytes'],
    ['time ahead', 'time', 'too far ahead'],
  ])('%s: the job is not mined, and the log says why', async (trick, reason, says) => {
    const hears = sayingOf(market.stage.proxies.two);
    expect(await buyer.give({ do: 'give', trick })).toBe('work_refused');
    expect(await refusedJobs()).toHaveProperty(reason);
    await hears(says);
    await hears(BREAKS);
    await expectBounded();
  });

  it('churn: no more jobs are withdrawn on a block than agreed, and the rest is mined on', async () => {
    const { pool } = market.stage.makers.second;
    const hears = sayingOf(market.stage.proxies.two);
    await until('more jobs are taken back than agreed', async () => {
      // Its pool has another job each time; the maker takes back what it may, and then more.
      for (let job = 0; job < 3 * WITHDRAWALS; job += 1) pool.changeExtranonces();
      const said = await buyer.give<readonly string[]>({ do: 'withdraw' });
      return said.includes('work_refused') ? true : undefined;
    });
    await hears(`more than ${WITHDRAWALS} jobs of one block withdrawn`);
    await expectPaid();
    await expectBounded();
  });

  it.each([
    ['easy share target', 'is out of the range'],
    ['hard share target', 'is out of the range'],
    ['foreign chain', 'the own bitcoin node does not know the block of its jobs yet'],
  ])('%s: the hashrate is at the fallback, and the log says why', async (trick, says) => {
    const hears = sayingOf(market.stage.proxies.two);
    await buyer.give({ do: 'play', trick });
    market.stage.chain.generate(1);
    await hears(says);
    await until('the hashrate is at the fallback', async () => {
      return (await market.statusOf('two')).destination === 'own-pool' ? true : undefined;
    });
    await buyer.give({ do: 'play' });
    market.stage.chain.generate(1);
    await expectPaid();
    await expectBounded();
  });

  it('nothing signed: no more is delivered than may be unpaid, and the log says so', async () => {
    const hears = sayingOf(market.stage.proxies.two);
    await buyer.give({ do: 'play', trick: 'nothing signed' });
    await hears('nothing more is delivered: too much is unpaid');
    await expectBounded();
    await buyer.give({ do: 'play' });
    await expectPaid();
  });

  it('refuses without a reason: no more is delivered than may be unpaid, and the log says so', async () => {
    const hears = sayingOf(market.stage.proxies.two);
    await buyer.give({ do: 'play', trick: 'refuses without a reason' });
    await hears('nothing more is delivered: too much is unpaid, some of it refused without a reason');
    await expectBounded();
    await honest.expectUnharmed();
  });
});

describe('an honest proxy', () => {
  it('found blocks of the chain through jobs of its maker', () => {
    expect(market.stage.makers.first.pool.stats.blocks).toBeGreaterThan(0);
  });

  it('has the same account on both sides, to the hash and the sat, by the evidence of either', async () => {
    await fleet.stop();
    const { id, paidSat } = await market.expectEqual('first', 'one', HONEST_ONE);
    await market.stage.proxies.one.process.stop();
    await market.stage.makers.first.process.stop();
    const files = await Promise.all(
      [market.stage.proxies.one, market.stage.makers.first].map(async ({ dataDir }) => {
        const file = join(dataDir, 'evidence');
        const words = ['--ledger', join(dataDir, 'ledger.sqlite'), '--out', file];
        await answer(['evidence', 'export', id, ...words]);
        return file;
      }),
    );
    const report = await answer(['audit', ...files]);
    expect(report).toMatchObject({ verdict: 'agreed', finding: null, rulings: [] });
    for (const { paid_sat } of report['files'] as { paid_sat: string }[]) expect(paid_sat).toBe(paidSat);
  });
});
