import { describe, expect, it } from 'vitest';
import { owedSat } from '../../src/base/units.ts';
import { closedTogether, toHeight } from './courses.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

/** Both sides, with the channel open and work taken. */
async function opened(options: WorldOptions = {}): Promise<World> {
  const world = new World({ isVersion3: true, ...options });
  await world.open();
  return world;
}

const bonds = { bondMode: 'hostage', makerBondSat: 5_000n, collateralSat: 5_000n } as const;
const BONDED: WorldOptions = {
  terms: { bonds },
  policy: {
    minNoticeBlocks: 5,
    stakes: {
      ...{ bondModes: ['hostage'], maxMakerBondSat: 5_000n, minCollateralSat: 5_000n },
      ...{ auditorKeysHex: [], minBondCsvBlocks: 1, maxBondCsvBlocks: 100, seal: 'never' },
      ...{ minClaimFeeRateSatPerKvb: 100, earlyClose: 'refused' },
    },
  },
  version3: () => ({ end: { cancelFeePpm: 0, noticeBlocks: 5 } }),
};

describe('a pause', () => {
  it('of the miner stops delivery at once, is known to the maker, and outlives a start', async () => {
    const world = await opened();
    const asked = { type: 'pause', reason: 'maintenance' } as const;
    await world.miner.notice(asked, true);
    expect(world.miner.status).toMatchObject({ live: true, stream: 'live' });
    await world.miner.notice(asked, false);
    expect(world.miner.status).toMatchObject({ live: false, stream: 'paused' });
    const heard = () => world.maker.status[0]!.notices.pauses.miner?.reason;
    expect(heard()).toBe('maintenance');
    // What was under way is taken and paid all the same (I27).
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await world.restartMiner();
    await until('there again', () => world.miner.status.connected);
    expect(world.miner.status.live).toBe(false);
    await world.restartMaker();
    await until('told again', () => heard() === 'maintenance');
    await world.miner.notice({ type: 'resume' }, false);
    await until('live', () => world.miner.status.live && heard() === undefined);
    await world.stop();
  });

  it('of the maker sends the hashrate elsewhere, also after a start, until it is resumed', async () => {
    const world = await opened();
    const { contractId } = world;
    const asked = { type: 'pause', reason: 'pool_down', blocks: 10 } as const;
    await world.maker.notice(contractId, asked, false);
    expect(world.miner.status).toMatchObject({ live: false, stream: 'paused' });
    expect(world.miner.status.notices.pauses.maker).toMatchObject({ reason: 'pool_down' });
    await world.restartMaker();
    await until('told again', () => world.miner.status.connected && !world.miner.status.live);
    await world.rest();
    expect(world.miner.status.live).toBe(false);
    await until('there', () => world.maker.status[0]!.connected);
    await world.maker.notice(contractId, { type: 'resume' }, false);
    expect(world.miner.status.live).toBe(true);
    // By its time alone, too.
    await world.maker.notice(contractId, asked, false);
    expect(world.miner.status.live).toBe(false);
    await toHeight(world, world.chain.height + 10);
    await until('live again', () => world.miner.status.live);
    await world.stop();
  });

  it('of a maker is refused while nobody hears it, or knows what it is', async () => {
    const world = await opened({ miner: { features: [1, 3, 5] } });
    const asked = { type: 'pause', reason: 'other' } as const;
    await expect(world.maker.notice(world.contractId, asked, false)).rejects.toMatchObject({
      code: 'unsupported',
    });
    await world.miner.stop();
    await until('gone', () => !world.maker.status[0]!.connected);
    await expect(world.maker.notice(world.contractId, asked, false)).rejects.toMatchObject({
      code: 'peer_closed',
    });
    await world.stop();
  });
});

describe('a notice of the end', () => {
  it.each(['miner', 'maker'] as const)(
    'of the %s ends the contract at its height, paid, with the bonds back',
    async (by) => {
      const world = await opened(BONDED);
      await world.work(6);
      await until('paid', () => world.miner.status.signed?.n === 1);
      const asked = { type: 'end' } as const;
      const height = world.chain.height + 5;
      if (by === 'miner') await world.miner.notice(asked, false);
      else await world.maker.notice(world.contractId, asked, false);
      for (const { notices } of [world.miner.status, world.maker.status[0]!])
        expect(notices.ends[by]).toEqual({ height, isTaken: true });
      await world.restartMiner();
      await world.restartMaker();
      await until('there again', () => world.miner.status.connected && world.miner.status.live);
      await toHeight(world, height - 1);
      expect(world.miner.status).toMatchObject({ live: true, channel: 'open' });
      world.chain.generate(1);
      const { minerSat, makerSat, feeSat } = await closedTogether(world);
      const paidSat = owedSat(6n * SHARE.workHashes, world.terms.priceMsatPerEh);
      const { minerReserveSat, budgetSat, reserveSat } = world.terms;
      expect([minerSat + feeSat, makerSat]).toEqual([
        minerReserveSat + paidSat + bonds.collateralSat,
        budgetSat + reserveSat - paidSat + bonds.makerBondSat,
      ]);
      await world.stop();
    },
  );
});

describe('a void', () => {
  it('of the miner ends the contract for good, over a start too, with all paid that is signed (I36)', async () => {
    const world = await opened();
    await world.work(4);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await world.work(1);
    await until('judged', () => world.miner.status.judgedWorkHashes === 5n * SHARE.workHashes);
    await world.maker.close();
    await until('away', () => !world.miner.status.connected);
    const { writtenOffSat } = await world.miner.notice({ type: 'void' }, false);
    const oneSat = owedSat(SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(writtenOffSat).toBe(oneSat);
    expect(world.miner.status).toMatchObject({ live: false, stream: 'ending' });
    await world.restartMiner();
    expect(world.miner.status).toMatchObject({ live: false, stream: 'ending' });
    await world.startMaker();
    const { minerSat, feeSat } = await closedTogether(world);
    // The maker signs what it has credited: no void takes that away.
    const paidSat = minerSat + feeSat - world.terms.minerReserveSat;
    expect(paidSat).toBe(owedSat(5n * SHARE.workHashes, world.terms.priceMsatPerEh));
    await world.stop();
  });

  it('of the maker signs what is earned, and then both close', async () => {
    const world = await opened();
    await world.work(5);
    await until('paid', () => world.miner.status.signed?.n === 1);
    await world.maker.notice(world.contractId, { type: 'void' }, false);
    const { minerSat, feeSat } = await closedTogether(world);
    const paidSat = minerSat + feeSat - world.terms.minerReserveSat;
    expect(paidSat).toBe(owedSat(5n * SHARE.workHashes, world.terms.priceMsatPerEh));
    await world.stop();
  });
});
