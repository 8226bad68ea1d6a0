import { describe, expect, it } from 'vitest';
import { calm, prelude } from './schedule.ts';
import { SimWorld } from './world.ts';

const MINUTE_MS = 60_000;
const SETTINGS = [20 * MINUTE_MS, -20 * MINUTE_MS, 24 * 60 * MINUTE_MS];

describe('a wall clock that is set while a contract runs', () => {
  it('stops no work, ends no connection, and makes the maker forget no share', async () => {
    const world = new SimWorld({ unpaidTimeoutMs: 2 * MINUTE_MS });
    const held = async (): Promise<void> => {
      await world.time.settle();
      if (world.problem !== undefined) throw world.problem;
    };
    world.start('maker');
    await world.time.settle();
    world.start('miner');
    await prelude(world, 1, held);
    const { connections } = world.miner!.stats;
    let step = 1;
    for (const byMs of SETTINGS) {
      // The miner waits for the maker to sign a step when the clock is set.
      world.work(4);
      await world.time.settle();
      await world.disks.miner.write();
      world.disks.miner.answer();
      await world.time.settle();
      world.time.setWall(byMs);
      await world.time.advance(1_500);
      expect(world.miner!.status.live).toBe(true);
      step += 1;
      await calm(world, held, 'a paid step', () => world.maker?.status[0]?.ackedN === step);
      expect(world.maker!.status[0]!.refused).toEqual(step === 2 ? {} : { share_duplicate: step - 2 });
      expect(world.resell()).toBe(true);
      await calm(
        world,
        held,
        'a refusal',
        () => world.maker!.status[0]!.refused['share_duplicate'] === step - 1,
      );
      expect(world.miner!.status).toMatchObject({ connected: true });
    }
    expect(world.miner!.stats.connections).toBe(connections);
    await world.kill('miner', 0);
    await world.kill('maker', 0);
    await world.time.settle();
  });
});
