import { until, type World } from './world.ts';

/** What happens to the contract of a world, as several files have it happen. */

/** One block after the other, each seen by both. */
export async function toHeight(world: World, height: number): Promise<void> {
  while (world.chain.height < height) {
    world.chain.generate(1);
    await world.rest();
  }
}

/** The close that both signed, in a block and deep. */
export async function closedTogether(
  world: World,
): Promise<{ minerSat: bigint; makerSat: bigint; feeSat: bigint }> {
  await until('close broadcast', () => world.chain.mempoolEntries().length > 0);
  const { transaction, feeSat } = world.chain.mempoolEntries()[0]!;
  world.chain.generate(2);
  await until('closed', () => world.miner.status.channel === 'closed');
  await until('maker closed', () => world.maker.status[0]!.channel === 'closed');
  const [miner, maker] = transaction.outs;
  return { minerSat: miner!.value, makerSat: maker!.value, feeSat };
}
