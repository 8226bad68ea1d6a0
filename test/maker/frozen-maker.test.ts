import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { ChainClock } from '../../src/chain/chain-clock.ts';
import { ChainNodes } from '../../src/chain/chain-nodes.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MirrorNode } from '../devnet/mirror.ts';
import { SHARE, until, World } from './world.ts';

const HOUR_MS = 3_600_000;
const log = silentLogger;

let world: World;
let own: MirrorNode;
let nodes: ChainNodes;
let time: VirtualTime;
let chainClock: ChainClock;

afterEach(async () => {
  chainClock.stop();
  await world.stop();
  nodes.close();
});

/** A maker with a node of its own, of which a clock knows how silent it is. */
async function startMaker(): Promise<void> {
  world = new World();
  own = new MirrorNode(world.chain, world.premine, { feeRateSatPerKvb: 2000 });
  time = new VirtualTime();
  nodes = new ChainNodes(
    [{ name: 'own', source: own.source }],
    { pollMs: 5, genesisHash: world.chain.blockAt(0)!.hash },
    { clock: systemClock, timers: systemTimers, log },
  );
  chainClock = new ChainClock(
    { blockIntervalMs: 600_000 },
    { chain: nodes, clock: time.clock, timers: time.timers, log },
  );
  chainClock.start();
  await world.startMaker({}, { chain: nodes, chainClock });
}

/** A maker with a node of its own, whose time is in the hands of the test; one step is paid. */
async function streaming(): Promise<void> {
  await startMaker();
  await world.startMiner();
  await until('a funding', () => world.chain.mempoolEntries().length > 0);
  world.chain.generate(world.terms.minDepth);
  await until('live', () => world.miner.status.live && world.maker.status[0]?.channel === 'open');
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
}

it('takes no work on blocks of the past while its node stands still, and goes on when a block comes', async () => {
  await streaming();
  own.isFrozen = true;
  // What came before it is known to stand still is paid.
  await world.work(4);
  await until('state 2', () => world.maker.status[0]!.ackedN === 2);
  await world.work(2);
  await until('half a step', () => world.maker.status[0]!.unsignedWorkHashes === 2n * SHARE.workHashes);
  await time.advance(3 * HOUR_MS);
  expect(world.maker.status[0]!.frozen).toBeUndefined();
  const { verifiedWorkHashes } = world.maker.status[0]!;
  await world.work(8);
  await until('refused', () => !world.maker.status[0]!.connected);
  expect(world.maker.status[0]).toMatchObject({ verifiedWorkHashes, n: 2 });
  own.thaw();
  world.chain.generate(1);
  await until('all of it is paid', () => world.maker.status[0]!.ackedN >= 3);
  expect(world.maker.status[0]!.verifiedWorkHashes).toBe(18n * SHARE.workHashes);
});

it('opens nothing meanwhile', async () => {
  await startMaker();
  await until('a tip', () => chainClock.standing.height !== undefined);
  await time.advance(3 * HOUR_MS);
  expect(chainClock.standing.isStalled).toBe(true);
  await world.startMiner();
  await until('refused', () => world.miner.status.lastError === 'wrong_status');
  expect(world.maker.status).toEqual([]);
  world.chain.generate(1);
  await until('a contract', () => world.maker.status[0]?.channel === 'opening');
});
