import { describe, expect, it } from 'vitest';
import { owedSat } from '../../src/base/units.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { closedTogether, toHeight } from './courses.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

const waiting = (height: number): Partial<TermsV3> => ({
  start: { notBeforeHeight: height + 6, notAfterHeight: height + 9 },
});

/** Both sides, with the channel open; whether it delivers is for the terms to say. */
async function opened(options: WorldOptions): Promise<World> {
  const world = new World({ isVersion3: true, ...options });
  await world.startMaker();
  await world.startMiner();
  await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  world.chain.generate(2);
  await until('open', () => world.miner.status.channel === 'open');
  await until('maker open', () => world.maker.status[0]?.channel === 'open');
  return world;
}

describe('a start in the terms', () => {
  it('earns nothing before its block, and is paid from it on (I3)', async () => {
    const world = await opened({ version3: waiting });
    expect(world.miner.status).toMatchObject({ live: false, stream: 'pending' });
    const early = world.find(world.job(), 2);
    await world.deliver(early);
    await until('refused', () => world.maker.status[0]!.refused['not_begun'] === 2);
    expect(world.maker.status[0]).toMatchObject({ verifiedWorkHashes: 0n, stream: 'pending' });
    await toHeight(world, world.startHeight + 6);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    // What was early has its reason: it is not unpaid.
    expect(world.miner.status.exposureHashes).toBe(0n);
    const workHashes = 4n * SHARE.workHashes;
    expect(world.miner.status.signed).toMatchObject({ workHashes });
    await world.stop();
  });

  it('survives a start of either side, pending and begun', async () => {
    const world = await opened({ version3: waiting });
    await world.restartMaker();
    await world.restartMiner();
    await until('there again', () => world.miner.status.connected && world.maker.status[0]!.connected);
    expect(world.miner.status.live).toBe(false);
    await toHeight(world, world.startHeight + 6);
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await world.restartMiner();
    await world.restartMaker();
    await until('live again', () => world.miner.status.live);
    await world.work(4);
    await until('paid again', () => world.miner.status.signed?.n === 2);
    await world.stop();
  });

  it('that nobody keeps voids the contract: everybody has all back, at once', async () => {
    const world = await opened({ version3: waiting });
    await toHeight(world, world.startHeight + 9);
    expect(world.miner.status.channel).toBe('open');
    world.chain.generate(1);
    const { minerSat, makerSat, feeSat } = await closedTogether(world);
    const { minerReserveSat, budgetSat, reserveSat } = world.terms;
    expect([minerSat + feeSat, makerSat]).toEqual([minerReserveSat, budgetSat + reserveSat]);
    await world.stop();
  });
});

describe('a duration in the terms (I45)', () => {
  it('ends the contract with the rest paid, to the sat, and closes it', async () => {
    const world = await opened({ version3: () => ({ durationBlocks: 5 }) });
    await until('live', () => world.miner.status.live);
    await world.work(6);
    await until('paid', () => world.miner.status.signed?.n === 1);
    // The funding was deep at the height of now.
    await toHeight(world, world.startHeight + 2 + 4);
    expect(world.miner.status).toMatchObject({ live: true, channel: 'open' });
    world.chain.generate(1);
    const { minerSat, makerSat, feeSat } = await closedTogether(world);
    const paidSat = owedSat(6n * SHARE.workHashes, world.terms.priceMsatPerEh);
    const { minerReserveSat, budgetSat, reserveSat } = world.terms;
    expect([minerSat + feeSat, makerSat]).toEqual([
      minerReserveSat + paidSat,
      budgetSat + reserveSat - paidSat,
    ]);
    await world.stop();
  });

  it('gives unvested bonds back, where the maker allows no earlier end', async () => {
    const bonds = { bondMode: 'hostage', makerBondSat: 5_000n, collateralSat: 5_000n } as const;
    const world = await opened({
      terms: { bonds },
      version3: () => ({ durationBlocks: 3 }),
      policy: {
        stakes: {
          ...{ bondModes: ['hostage'], maxMakerBondSat: 5_000n, minCollateralSat: 5_000n },
          ...{ auditorKeysHex: [], minBondCsvBlocks: 1, maxBondCsvBlocks: 100, seal: 'never' },
          ...{ minClaimFeeRateSatPerKvb: 100, earlyClose: 'refused' },
        },
      },
    });
    await until('live', () => world.miner.status.live);
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await expect(world.miner.closeNow()).rejects.toMatchObject({ code: 'bonds_at_stake' });
    await until('goes on', () => world.miner.status.live);
    await toHeight(world, world.startHeight + 2 + 3);
    const { minerSat, feeSat } = await closedTogether(world);
    const paidSat = owedSat(4n * SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(minerSat + feeSat).toBe(world.terms.minerReserveSat + paidSat + bonds.collateralSat);
    await world.stop();
  });
});
