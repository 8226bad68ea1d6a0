import { afterEach, describe, expect, it } from 'vitest';
import { contractRefund, contractTopup, contractWithdraw } from '../../src/cli/contract-close.ts';
import type { WorldOptions } from '../maker/world.ts';
import { until } from '../maker/world.ts';
import { CommandStand } from './command-stand.ts';

const ROOM = { maxOpenContractsPerMiner: 4, maxTotalBudgetSat: 8_000_000n };
/** Four shares of 16 hashes are a step, and a hash 10 sat. */
const STEP_SAT = '640';

let stand: CommandStand;
afterEach(() => stand.end());

async function begun(options: WorldOptions = {}): Promise<CommandStand> {
  stand = new CommandStand({ policy: ROOM, ...options });
  await stand.begin();
  return stand;
}

const statusOf = (id: string) => stand.contracts.side(id)!.status;

describe('contract topup', () => {
  it('opens the next contract with the work that is asked for, which takes over once this one ends', async () => {
    const { world, contracts } = await begun();
    await stand.paid(4, 1);
    const asked = ['--work', '200000 H', '--dry-run'];
    const dry = await stand.say('miner', contractTopup, ...asked);
    expect(dry).toMatchObject({
      ...{ contract: world.contractId, dry_run: true },
      successor: { work_total_hashes: '200000', budget_sat: '2000000' },
    });
    expect(contracts.all).toHaveLength(1);
    expect(await stand.say('miner', contractTopup, '--work', '50000 H')).toMatchObject({
      refused: expect.stringContaining('--yes'),
    });

    const done = await stand.say('miner', contractTopup, '--work', '50000 H', '--yes');
    expect(done).toMatchObject({ successor: { work_total_hashes: '50000', budget_sat: '500000' } });
    const next = contracts.all[1]!;
    expect(next.name).toBe('first+1');
    expect((done['successor'] as { contract: string }).contract).toBe(next.contractId);
    // Nothing of the one that runs has changed.
    expect(statusOf(world.contractId)).toMatchObject({ live: true, signed: { n: 1, paidSat: 640n } });
    await stand.live(next.contractId);
    expect(statusOf(world.contractId).stream).toBe('live');
    // One at a time, and of the one that is delivered to.
    for (const [words, why] of [
      [[world.contractId], 'wrong_status: the next contract is opened already'],
      [[next.contractId], 'wrong_status: another contract of its line is delivered to'],
    ] as const)
      expect((await stand.say('miner', contractTopup, ...words, '--yes'))['refused']).toContain(why);

    void contracts.side(world.contractId)!.close();
    await until('closing', () => statusOf(world.contractId).stream !== 'live');
    expect(statusOf(next.contractId).stream).toBe('live');
    // Nobody asked for a third.
    await world.rest();
    expect(contracts.all).toHaveLength(2);
  });

  it('is refused at a maker, for a contract that it does not know, and for terms that no channel has', async () => {
    const { world } = await begun();
    const refused = async (side: 'miner' | 'maker', ...words: string[]): Promise<unknown> =>
      (await stand.say(side, contractTopup, '--yes', ...words))['refused'];
    expect(await refused('maker')).toContain('opened by the miner');
    expect(await refused('miner', 'abcd1234')).toContain('unknown_channel');
    expect(await refused('miner', '--work', '0 H')).toContain('bad_terms');
    // By the policy of the maker, before anything is opened.
    const tooMuch = await refused('miner', '--work', '100001 H');
    expect(tooMuch).toContain('bad_terms: budget_sat');
    expect(await refused('miner', '--work', 'much')).toContain('usage');
    expect(stand.contracts.all).toHaveLength(1);
    expect(statusOf(world.contractId).live).toBe(true);
  });
});

describe('contract withdraw and refund', () => {
  it('close the channel for what is signed, and refuse where there is nothing; the maker cannot (I18)', async () => {
    const { world } = await begun();
    const nothing = await stand.say('miner', contractWithdraw, '--yes');
    expect(nothing['refused']).toContain('wrong_status: no state pays anything yet');
    await stand.paid(4, 1);
    expect((await stand.say('maker', contractWithdraw, '--yes'))['refused']).toContain('only the miner');
    const dry = await stand.say('miner', contractWithdraw, '--dry-run');
    const unspent = (world.terms.budgetSat - BigInt(STEP_SAT)).toString();
    expect(dry).toMatchObject({ paid_sat: STEP_SAT, unspent_sat: unspent, successor: null });
    expect(dry['plan']).toMatchObject({ action: 'close', can_confirm: { now: true } });
    expect(world.chain.mempoolEntries()).toEqual([]);

    const done = await stand.say('miner', contractWithdraw, '--yes');
    expect(done).toMatchObject({ paid_sat: STEP_SAT, closing: true });
    await until('close', () => world.chain.mempoolEntries().length > 0);
    const [close] = world.chain.mempoolEntries();
    const { minerReserveSat, reserveSat, budgetSat } = world.terms;
    const values = close!.transaction.outs.map(({ value }) => value);
    const feeSat = minerReserveSat + reserveSat + budgetSat - values.reduce((sum, each) => sum + each, 0n);
    expect(values).toContain(budgetSat - BigInt(STEP_SAT) + reserveSat);
    expect(values).toContain(BigInt(STEP_SAT) + minerReserveSat - feeSat);
    // Nothing more is earned in it.
    expect(statusOf(world.contractId).live).toBe(false);
    await world.deliver(world.find(world.job(), 4));
    await world.rest();
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(64n);
    expect(statusOf(world.contractId).signed).toMatchObject({ paidSat: BigInt(STEP_SAT) });
  });

  it('a maker asks for its refund by agreement, and for none where all is earned', async () => {
    const { world } = await begun({ terms: { workTotalHashes: 640n, budgetSat: 6400n } });
    await stand.paid(4, 1);
    const dry = await stand.say('maker', contractRefund, '--dry-run');
    expect(dry).toMatchObject({ paid_sat: STEP_SAT, unspent_sat: '5760', closing: false });
    const goOn = await stand.say('maker', contractRefund, '--go-on', '--yes');
    expect(goOn['refused']).toContain('opened by the miner');
    expect(await stand.say('maker', contractRefund, '--yes')).toMatchObject({ closing: true });
    await until('close', () => world.chain.mempoolEntries().length > 0);
    await stand.end();

    const done = (await begun({ terms: { workTotalHashes: 640n, budgetSat: 6400n } })).world;
    await done.work(40);
    await until('all', () => done.maker.status[0]?.verifiedWorkHashes === 640n);
    const said = await stand.say('maker', contractRefund, '--yes');
    expect(said['refused']).toContain('wrong_status: all of the budget is earned');
  });

  it('with the next contract no hashrate is without one: it is deep before this one closes', async () => {
    const { world } = await begun();
    await stand.paid(4, 1);
    const done = await stand.say('miner', contractWithdraw, '--go-on', '--yes');
    const rest = world.terms.workTotalHashes - 64n;
    expect(done).toMatchObject({
      closing: false,
      successor: { work_total_hashes: rest.toString(), budget_sat: (rest * 10n).toString() },
    });
    const next = stand.contracts.all[1]!;
    await world.rest();
    // What was asked for is not forgotten by a process that dies.
    await stand.restart();
    await until('live again', () => statusOf(world.contractId).live);
    expect(statusOf(world.contractId)).toMatchObject({ stream: 'live', channel: 'open' });
    await stand.live(next.contractId);
    await until('close', () => world.chain.mempoolEntries().length > 0);
    expect(statusOf(next.contractId)).toMatchObject({ live: true, stream: 'live' });
    world.chain.generate(6);
    await until('closed', () => statusOf(world.contractId).channel === 'closed');
  });

  it('does not go on while bonds are at stake, for the maker may refuse the close', async () => {
    await begun({
      terms: {
        bonds: { bondMode: 'hostage', makerBondSat: 20_000n, collateralSat: 20_000n },
      },
      policy: {
        ...ROOM,
        stakes: {
          ...{ bondModes: ['hostage'], maxMakerBondSat: 40_000n, minCollateralSat: 1000n },
          ...{ auditorKeysHex: [], minBondCsvBlocks: 1, maxBondCsvBlocks: 2016 },
          ...{ seal: 'never', minClaimFeeRateSatPerKvb: 100, earlyClose: 'refused' },
        },
      },
    });
    await stand.paid(4, 1);
    const said = await stand.say('miner', contractWithdraw, '--go-on', '--yes');
    expect(said['refused']).toContain('bonds_at_stake');
    expect(stand.contracts.all).toHaveLength(1);
    // The same of a close that the maker refuses: the stream goes on.
    expect((await stand.say('miner', contractWithdraw, '--yes'))['refused']).toContain('bonds_at_stake');
    await stand.paid(4, 2);
  });
});
