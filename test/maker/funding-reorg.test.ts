import { afterEach, expect, it } from 'vitest';
import { SHARE, until, World } from './world.ts';

const W = SHARE.workHashes;
let world: World;
afterEach(() => world.stop());

const signed = (): unknown => world.miner.status.signed?.workHashes;

/** Open, with four shares paid by state 1, at exactly the agreed depth. */
async function streaming(): Promise<void> {
  world = new World();
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  expect(world.miner.status).toMatchObject({ live: true, fundingDepth: world.terms.minDepth });
}

it.each([
  ['one block', 1],
  ['out of its block', 2],
])(
  'a reorganisation of the funding while it streams stops delivery, and nothing is lost: %s',
  async (_how, blocks) => {
    await streaming();
    world.chain.invalidateTip(blocks);
    await until('both know', () => {
      return (
        !world.miner.status.live && world.maker.status[0]!.fundingDepth === world.terms.minDepth - blocks
      );
    });
    // What was found meanwhile is taken and signed for: the miner has delivered it.
    await world.work(4);
    await until('signed', () => signed() === 8n * W);
    world.chain.generate(blocks - 1);
    await world.rest();
    expect(world.miner.status.live).toBe(false);
    world.chain.generate(1);
    await until('delivered again', () => world.miner.status.live);
    await world.work(4);
    await until('paid', () => signed() === 8n * W);
  },
);
