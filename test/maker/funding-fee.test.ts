import { describe, expect, it } from 'vitest';
import { CodedError, until, World } from './world.ts';

/** The maker's node asks for this much; the miner's for 2 sat/vB. */
async function opening(satPerKvb: number): Promise<World> {
  const world = new World();
  const chain = { ...world.source, feeRateSatPerKvb: async () => satPerKvb };
  await world.startMaker({}, { chain });
  await world.startMiner();
  return world;
}

describe('the fee of a funding, which the maker names', () => {
  it('is not paid above twice what the own node asks for', async () => {
    const world = await opening(4_001);
    await until('refused', () => world.miner.status.lastError === 'bad_funding');
    expect(world.chain.mempoolEntries()).toEqual([]);
    expect(world.miner.status.fundingTxid).toBeUndefined();
    await world.stop();
  });

  it('is paid up to that', async () => {
    const world = await opening(4_000);
    await until('funding', () => world.chain.mempoolEntries().length === 1);
    await world.stop();
  });

  it.each([
    [10_000, 'is paid as configured where the own node does not answer'],
    [10_001, 'is not paid above that either'],
  ])('%i: %s', async (satPerKvb) => {
    const world = new World({ miner: { maxFeeRateSatPerKvb: 10_000 } });
    const chain = { ...world.source, feeRateSatPerKvb: async () => satPerKvb };
    Object.assign(world.source, {
      feeRateSatPerKvb: async () => {
        throw new CodedError('chain_rpc', 'no estimates here');
      },
    });
    await world.startMaker({}, { chain });
    await world.startMiner();
    if (satPerKvb > 10_000) await until('refused', () => world.miner.status.lastError === 'bad_funding');
    else await until('funding', () => world.chain.mempoolEntries().length === 1);
    await world.stop();
  });
});
