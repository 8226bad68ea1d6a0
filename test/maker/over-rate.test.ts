import { expect, it } from 'vitest';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { SHARE, until, World, type WorldOptions } from './world.ts';

/** Of the deep funding's block 37 blocks' worth may be credited: 22,200 hashes at one a second. */
const LIMIT = 37n * 600n;
const WORLD: WorldOptions = {
  isVersion3: true,
  terms: { stepHashes: 2000n, maxUnpaidSteps: 15 },
  policy: { maxUnpaidSteps: 15 },
  version3: (): Partial<TermsV3> => ({
    rate: { committed: 1n, min: 1n, max: 1n },
    overDelivery: 'refuse',
    ...{ refusedPpm: 0, latePpm: 1_000_000 },
  }),
};
/** The share that reaches a bound is the last. */
const sharesUpTo = (hashes: bigint): number => Number((hashes - 1n) / SHARE.workHashes) + 1;

it('work beyond the greatest rate is refused from exactly the share on, with a reason the miner confirms', async () => {
  const world = new World(WORLD);
  await world.open();
  const limitShares = sharesUpTo(LIMIT);
  await world.deliver(world.find(world.job(), limitShares - 1));
  await until('judged', () => world.maker.status[0]!.sharesCredited === limitShares - 1);
  expect(world.maker.status[0]!.refused).toEqual({});
  await world.deliver(world.find(world.job(), 3));
  await until('refused', () => world.maker.status[0]!.refused['over_rate'] === 2);
  expect(world.maker.status[0]!.sharesCredited).toBe(limitShares);
  await until('explained', () => world.miner.status.unexplainedWorkHashes === 0n);
  // The next block has room for 37 shares more.
  world.chain.generate(1);
  await world.rest();
  await world.deliver(world.find(world.job(), 40));
  const more = sharesUpTo(LIMIT + 600n) - limitShares;
  await until('full again', () => world.maker.status[0]!.refused['over_rate'] === 2 + 40 - more);
  await until('explained again', () => world.miner.status.unexplainedWorkHashes === 0n);
  await world.stop();
});

it('the proxy takes no share that would be refused, and comes back with the next block', async () => {
  const world = new World(WORLD);
  await world.open();
  const found = world.find(world.job(), sharesUpTo(LIMIT));
  let taken = 0;
  while (world.miner.admits(SHARE.workHashes)) taken += 1;
  const landedHashes = SHARE.workHashes * BigInt(taken);
  const sold = found.slice(0, taken);
  // On this chain each share solves a block.
  for (const { submission } of sold) world.miner.onBlock(submission);
  await world.meters.commit(world.minerLedger, sold);
  world.miner.onDurable(world.contractId, world.meters.total(world.contractId), landedHashes);
  // A block less than the maker takes: work may still come on the one before.
  expect(taken).toBe(sharesUpTo(LIMIT - 600n));
  await until('held', () => !world.miner.status.live);
  await world.restartMiner();
  await until('there again', () => world.miner.status.connected);
  await until('held again', () => !world.miner.status.live);
  expect(world.miner.admits(SHARE.workHashes)).toBe(false);
  await until('all credited', () => world.maker.status[0]!.verifiedWorkHashes === landedHashes);
  expect(world.maker.status[0]!.refused).toEqual({});
  // Also while the maker is away: it is asked for nothing.
  await world.maker.close();
  await until('away', () => !world.miner.status.connected);
  world.chain.generate(1);
  await until('live', () => world.miner.status.live);
  expect(world.miner.admits(SHARE.workHashes)).toBe(true);
  await world.stop();
});
