import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { ChainClock } from '../../src/chain/chain-clock.ts';
import { ChainNodes } from '../../src/chain/chain-nodes.ts';
import type { ChainSource } from '../../src/chain/source.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { stateAmounts } from '../../src/channel/amounts.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MirrorNode } from '../devnet/mirror.ts';
import { SHARE, until, World } from './world.ts';

const EXPIRY = 600;
const BROADCAST = EXPIRY - 144;
const INTERVAL_MS = 600_000;
const HOUR_MS = 3_600_000;

const log = silentLogger;
let world: World;
let own: MirrorNode;
let nodes: ChainNodes | undefined;
let time: VirtualTime;
let chainClock: ChainClock | undefined;

afterEach(async () => {
  chainClock?.stop();
  await world.stop();
  nodes?.close();
});

/** A miner with a node of its own, and others if it has them; a channel with one acked state. */
async function streaming(
  others: readonly ((world: World) => ChainSource)[],
  blockIntervalMs = INTERVAL_MS,
) {
  world = new World({ terms: { expiryHeight: EXPIRY }, policy: { minExpiryBlocks: 300 } });
  own = new MirrorNode(world.chain, world.premine, { feeRateSatPerKvb: 2000 });
  time = new VirtualTime();
  startNodes(others, blockIntervalMs);
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  expect(world.miner.status.live).toBe(true);
}

function startNodes(
  others: readonly ((world: World) => ChainSource)[],
  blockIntervalMs = INTERVAL_MS,
): void {
  chainClock?.stop();
  nodes?.close();
  const sources = [own.source, ...others.map((other) => other(world))];
  nodes = new ChainNodes(
    sources.map((source, index) => ({ name: `n${index}`, source })),
    { pollMs: 5, genesisHash: world.chain.blockAt(0)!.hash },
    { clock: systemClock, timers: systemTimers, log },
  );
  const deps = { chain: nodes, clock: time.clock, timers: time.timers, log };
  chainClock = new ChainClock({ blockIntervalMs }, deps);
  chainClock.start();
  world.minerDeps = { chain: nodes, chainClock };
}

const theNetwork = (of: World): ChainSource => of.source;

function mineTo(height: number): void {
  world.chain.generate(height - world.chain.height);
}

/** The network holds the miner's close by state 1, to the satoshi, well before the expiry. */
async function expectClosed(): Promise<void> {
  await until('the close of the miner', () => world.chain.mempoolEntries().length === 1);
  const [entry] = world.chain.mempoolEntries();
  const { minerSat } = stateAmounts(world.terms, 4n * SHARE.workHashes);
  const script = toHex(p2wpkhScript(world.minerSigner.publicKey('wallet')));
  const balance = (): bigint => world.chain.utxos(script).reduce((sum, coin) => sum + coin.valueSat, 0n);
  const before = balance();
  world.chain.generate(2);
  expect(balance() - before).toBe(minerSat - entry!.feeSat);
  expect(world.chain.height).toBeLessThan(EXPIRY);
}

describe('an own node that stands still across the deadline (F7)', () => {
  it.each([
    ['frozen', false],
    ['dead', false],
    ['frozen, and a restart', true],
    ['dead, and a restart', true],
  ])('is no trouble with a second node: %s', async (trouble, restarts) => {
    await streaming([theNetwork]);
    await world.maker.close();
    own.isFrozen = true;
    own.isDead = trouble.startsWith('dead');
    mineTo(BROADCAST - 1);
    await world.rest();
    if (restarts) {
      startNodes([theNetwork]);
      await world.restartMiner();
    }
    await world.rest();
    expect(world.chain.mempoolEntries()).toEqual([]);
    mineTo(BROADCAST);
    await expectClosed();
    await until('closed', () => world.miner.status.channel === 'closed');
    expect(world.miner.status.live).toBe(false);
    if (!own.isDead) expect(own.chain.mempoolEntries()).toHaveLength(1);
  });

  it('ends delivery where it is the only one, and goes on when a block comes', async () => {
    await streaming([]);
    own.isFrozen = true;
    world.chain.generate(5);
    await time.advance(2 * HOUR_MS - 60_000);
    expect(world.miner.status.live).toBe(true);
    await time.advance(120_000);
    expect(world.miner.status.live).toBe(false);
    expect(chainClock!.standing).toMatchObject({ isStalled: true });
    // What was delivered is paid all the same.
    await world.work(4);
    await until('state 2', () => world.maker.status[0]!.ackedN === 2);
    own.thaw();
    await until('live again', () => world.miner.status.live);
    await world.work(4);
    await until('state 3', () => world.maker.status[0]!.ackedN === 3);
  });

  it('is known at a restart by the age of its tip', async () => {
    await streaming([]);
    own.isFrozen = true;
    // The blocks were found when the test began; the clock of this start is ahead.
    time = new VirtualTime();
    time.setWall(systemClock.nowMs() + 3 * HOUR_MS - time.clock.nowMs());
    startNodes([]);
    await world.restartMiner();
    await until('a tip', () => chainClock!.standing.height !== undefined);
    expect(world.miner.status.live).toBe(true);
    await time.advance(31_000);
    expect(world.miner.status.live).toBe(false);
  });

  it('is closed by the clock after hours, near the expiry, once any node takes it', async () => {
    await streaming([]);
    await world.maker.close();
    mineTo(BROADCAST - 40);
    await until('height', () => nodes!.best?.height === BROADCAST - 40);
    own.isDead = true;
    await time.advance(6 * HOUR_MS);
    await world.rest();
    expect(world.miner.status).toMatchObject({ channel: 'open', live: false });
    await time.advance(HOUR_MS);
    await until('closing', () => world.miner.status.channel === 'closing');
    expect(world.chain.mempoolEntries()).toEqual([]);
    own.isDead = false;
    own.isFrozen = true;
    await time.advance(60_000);
    await until('taken', () => own.chain.mempoolEntries().length === 1);
    await world.source.broadcast(own.chain.mempoolEntries()[0]!.transaction.toHex());
    await expectClosed();
  });

  it('is never told by the clock where projection is off', async () => {
    await streaming([], 0);
    own.isDead = true;
    await time.advance(1_000 * HOUR_MS);
    expect(world.miner.status).toMatchObject({ live: true, channel: 'open' });
    expect(chainClock!.standing).toMatchObject({ isStalled: false });
  });
});
