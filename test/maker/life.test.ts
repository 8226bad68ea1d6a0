import type { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { OFFERED_FEATURES } from '../../src/peer/features.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

const WITHOUT_FAULT_LOG = OFFERED_FEATURES.filter((bit) => bit !== 11);

describe('a contract from terms to close', () => {
  it.each<[name: string, WorldOptions]>([
    ['both of one age', {}],
    ['terms of version 3', { isVersion3: true }],
    ['a maker of the first protocol', { maker: { features: [] } }],
    ['a miner of the first protocol', { miner: { features: [] } }],
    ['a maker without fault logs', { maker: { features: WITHOUT_FAULT_LOG } }],
    ['a miner without fault logs', { miner: { features: WITHOUT_FAULT_LOG } }],
  ])('opens, streams five states and closes together: %s', async (_name, options) => {
    const world = new World(options);
    await world.open();
    for (let step = 1; step <= 5; step += 1) {
      await world.work(4);
      await until(`state ${step}`, () => world.miner.status.signed?.n === step);
    }
    const { status } = world.miner;
    const workHashes = 20n * SHARE.workHashes;
    expect(status.signed).toEqual({
      n: 5,
      workHashes,
      paidSat: owedSat(workHashes, world.terms.priceMsatPerEh),
    });
    expect(status.exposureHashes).toBe(0n);
    await until('last ack', () => world.maker.status[0]!.ackedN === 5);
    expect(world.maker.status[0]).toMatchObject({
      n: 5,
      verifiedWorkHashes: workHashes,
      sharesCredited: 20,
    });
    const minerStates = await world.states(world.minerStore);
    expect([...minerStates.keys()]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(minerStates).toEqual(await world.states(world.makerStore));

    await world.work(2);
    const closed = world.miner.close();
    await until('close broadcast', () => world.chain.mempoolEntries().length > 0);
    const [entry] = world.chain.mempoolEntries();
    world.chain.generate(2);
    await closed;
    expect(world.miner.status).toMatchObject({ live: false, channel: 'closed' });
    await until('maker closed', () => world.maker.status[0]!.channel === 'closed');

    const paidSat = owedSat(22n * SHARE.workHashes, world.terms.priceMsatPerEh);
    expect(world.miner.status.signed).toMatchObject({ n: 6, paidSat });
    const close: Transaction = entry!.transaction;
    expect(close.outs[0]!.value).toBe(world.terms.minerReserveSat + paidSat - entry!.feeSat);
    expect(close.outs[1]!.value).toBe(world.terms.reserveSat + world.terms.budgetSat - paidSat);
    expect(toHex(close.ins[0]!.hash.toReversed())).toBe(world.miner.status.fundingTxid);
    await world.stop();
  });
});
