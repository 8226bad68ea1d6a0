import { describe, expect, it } from 'vitest';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { SHARE, until, World } from './world.ts';

/** A kernel of a maker that finds every so manyth share too weak, and nobody knows why. */
function lyingKernel(every: number): ShareKernel {
  const kernel = createPortableKernel(64);
  let seen = 0;
  const { run } = kernel;
  kernel.run = (count) => {
    run.call(kernel, count);
    for (let slot = 0; slot < count; slot += 1) {
      seen += 1;
      if (seen % every === 0) kernel.hashes.fill(0xff, slot * 32, slot * 32 + 32);
    }
  };
  return kernel;
}

async function opened(every = Number.POSITIVE_INFINITY): Promise<World> {
  const world = new World();
  await world.startMaker({}, { kernel: lyingKernel(every) });
  await world.startMiner();
  await until('funding broadcast', () => world.chain.mempoolEntries().length > 0);
  world.chain.generate(world.terms.minDepth);
  await until('live', () => world.miner.status.live);
  await until('maker open', () => world.maker.status[0]?.channel === 'open');
  return world;
}

async function judged(world: World): Promise<void> {
  const total = world.meters.total(world.contractId).workHashes;
  await until('all judged', () => {
    const { judgedWorkHashes, refusedWorkHashes } = world.miner.status;
    return judgedWorkHashes + refusedWorkHashes === total;
  });
}

function unpaidShares({ miner }: World): number {
  const { ownWorkHashes, signed } = miner.status;
  return Number((ownWorkHashes - (signed?.workHashes ?? 0n)) / SHARE.workHashes);
}

/** Steps of four shares, three of them, and one share. */
const MOST = 13;

describe('what a miner may have unpaid', () => {
  it('counts refusals that its own rules do not confirm, whatever is signed meanwhile', async () => {
    const world = await opened(3);
    for (let count = 0; count < 100 && world.miner.status.live; count += 1) {
      await world.work(1);
      await judged(world);
      // All that can be signed is signed before the next.
      await until('signed', () => {
        const { unsignedWorkHashes, n, ackedN } = world.maker.status[0]!;
        return unsignedWorkHashes < world.terms.stepHashes && n === ackedN;
      });
    }
    expect(world.miner.status).toMatchObject({ live: false, channel: 'open' });
    expect(unpaidShares(world)).toBeLessThanOrEqual(MOST);
    expect(world.miner.status.unexplainedWorkHashes).toBeGreaterThan(0n);
    await world.stop();
  });

  it('counts them with what is unsigned, across a restart', async () => {
    const world = await opened(3);
    await world.work(9);
    await judged(world);
    await until('signed', () => world.miner.status.signed?.n === 1);
    expect(world.miner.status.refusedWorkHashes).toBe(3n * SHARE.workHashes);
    await world.maker.close();
    await world.restartMiner();
    for (let count = 0; count < 100; count += 1) {
      await new Promise(setImmediate);
      if (world.miner.status.live) await world.work(1);
    }
    expect(world.miner.status.live).toBe(false);
    expect(unpaidShares(world)).toBeLessThanOrEqual(MOST);
    await world.stop();
  });

  it('does not count what was refused for a reason, which is remembered', async () => {
    const world = await opened();
    const job = world.job();
    for (let count = 0; count < 4; count += 1) {
      const outsideMask = ({ submission, hash }: ReturnType<World['find']>[number]) => ({
        ...{ submission: { ...submission, version: 1 }, hash },
      });
      await world.deliver(world.find(job, 4).map(outsideMask));
      await judged(world);
    }
    await until('explained', () => world.miner.status.exposureHashes === 0n);
    expect(world.miner.status).toMatchObject({ live: true, unexplainedWorkHashes: 0n });
    await world.restartMiner();
    await until('live again', () => world.miner.status.live && world.miner.status.connected);
    expect(world.miner.status.unexplainedWorkHashes).toBe(0n);
    await world.stop();
  });

  it('takes no more shares that come together than may be unpaid', async () => {
    const world = await opened();
    await world.maker.close();
    const taken = world.find(world.job(), 40).filter(() => world.miner.admits(SHARE.workHashes));
    expect(taken).toHaveLength(MOST - 1);
    await until('held', () => !world.miner.status.live);
    // A write that failed frees what it took.
    world.miner.lost(BigInt(taken.length) * SHARE.workHashes);
    await until('free', () => world.miner.status.live);
    await world.stop();
  });
});
