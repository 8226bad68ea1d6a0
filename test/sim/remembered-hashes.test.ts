import { describe, expect, it } from 'vitest';
import { flow, prelude } from './schedule.ts';
import { SimWorld } from './world.ts';

describe('what a maker remembers of credited work', () => {
  it('is gone once nothing on its block can be credited, and not before', async () => {
    const world = new SimWorld();
    const held = async (): Promise<void> => {
      await world.time.settle();
      if (world.problem !== undefined) throw world.problem;
    };
    world.start('maker');
    await world.time.settle();
    world.start('miner');
    await prelude(world, 1, held);
    const before = world.maker!.rememberedHashes;
    expect(before).toBeGreaterThan(0);
    const pass = async (ms: number): Promise<void> => {
      for (let passedMs = 0; passedMs < ms; passedMs += 10_000) {
        await world.time.advance(10_000);
        await flow(world);
        await held();
      }
    };
    const { staleGraceSeconds } = world.terms;
    world.chain.generate(1);
    await pass(staleGraceSeconds * 1000 - 20_000);
    world.chain.generate(1);
    await held();
    expect(world.maker!.rememberedHashes).toBe(before);
    // The wall clock says nothing about it.
    world.time.setWall(86_400_000);
    world.chain.generate(1);
    await held();
    expect(world.maker!.rememberedHashes).toBe(before);
    // A backlog may be delivered for ten minutes after a connection.
    await pass(620_000);
    world.chain.generate(1);
    await held();
    expect(world.maker!.rememberedHashes).toBe(0);
    expect(world.miner!.status.connected).toBe(true);
    await world.kill('miner', 0);
    await world.kill('maker', 0);
    await world.time.settle();
  });
});
