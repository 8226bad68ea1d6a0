import { LEASE_MS } from '../fleet.ts';
import { Violation } from '../rules.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { paid, paidInFull, refusedNothing } from './tools.ts';

/**
 * The miner is two proxies on one ledger. The one that owns the channel stands still, as in a machine that is
 * paused, and the other takes over once the lease is over; then the first goes on where it was.
 */

/** Some lines and writes, but not all: something is on its way in all directions. */
async function halfway({ world, random }: Stage): Promise<void> {
  for (let left = random.below(12); left > 0; left -= 1) {
    const side = random.pick(['miner', 'maker'] as const);
    const what = random.below(4);
    if (what === 0) world.network.deliver(side, random.below(4));
    else if (what === 1) await world.disks[side].write();
    else if (what === 2) world.disks[side].answer();
    else world.work(1 + random.below(3));
    await world.time.settle();
  }
}

/** Until the next state, or another record of the channel, is on its way to the disk of the miner. */
async function untilStateIsAsked({ world }: Stage): Promise<void> {
  const disk = world.disks.miner;
  const { length } = disk.askedChannels;
  for (let left = 100; left > 0 && disk.askedChannels.length === length; left -= 1) {
    for (const side of ['maker', 'miner'] as const) {
      world.network.deliver(side, 0);
      await world.time.settle();
      if (disk.askedChannels.length > length) return;
      await world.disks[side].write();
      world.disks[side].answer();
      await world.time.settle();
    }
    await world.time.advance(60);
  }
}

/** The owner falls asleep at whatever it does; another has the channel, and has done some work. */
async function changesHands(stage: Stage, withClock: boolean): Promise<void> {
  const { world, random } = stage;
  world.work(4);
  if (random.once(2)) await untilStateIsAsked(stage);
  else await halfway(stage);
  if (!world.sleep(withClock)) return;
  await stage.held('the owner stands still');
  world.start('miner');
  await world.time.advance(LEASE_MS + random.below(LEASE_MS));
  await stage.held('its lease is over');
  await stage.rounds(4);
  await stage.pay(random.below(3));
  if (random.once(2)) await halfway(stage);
  await world.wake();
  await stage.held('it wakes up');
  await stage.rounds(2);
}

const endsInFull: Strategy['judge'] = (stage, books) => {
  refusedNothing(stage);
  return paidInFull(stage, books);
};

/** Less than a lease has left by then: who waited for its end would come too late. */
const HANDED_OVER_MS = LEASE_MS / 2;

/** The owner is asked to leave at whatever it does: another has the channel before the lease is over. */
async function isHandedOver(stage: Stage): Promise<void> {
  const { world, random } = stage;
  world.work(4);
  if (random.once(2)) await untilStateIsAsked(stage);
  else await halfway(stage);
  const untilMs = world.time.clock.monotonicMs() + HANDED_OVER_MS;
  const isOver = world.handOver();
  if (isOver === undefined) return;
  await stage.held('the owner is asked to leave');
  while (!isOver() && world.time.clock.monotonicMs() < untilMs) await stage.round();
  // One that died cannot give its lease back.
  if (!isOver() && stage.dies('miner')) await world.time.advance(LEASE_MS);
  else if (!isOver()) throw new Violation('a channel was not handed over', HANDED_OVER_MS);
  await stage.pay(1 + random.below(2));
}

export const FLEET: Readonly<Record<string, Strategy>> = {
  'owner-sleeps': {
    what: 'one of two proxies stands still beyond its lease, again and again, and wakes up',
    row: 'I46: an owner that slept',
    hostile: [],
    options: () => ({ fleet: true }),
    play: async (stage) => {
      await paid(stage, 2);
      for (let times = 3 + stage.random.below(3); times > 0; times -= 1) await changesHands(stage, false);
      await stage.liveOut();
    },
    judge: endsInFull,
  },
  'owner-sleeps-with-its-clock': {
    what: 'one of two proxies stands still with its machine, and knows nothing of the time when it wakes up',
    row: 'I46: an owner that slept',
    hostile: [],
    options: () => ({ fleet: true }),
    play: async (stage) => {
      await paid(stage, 2);
      for (let times = 3 + stage.random.below(3); times > 0; times -= 1) await changesHands(stage, true);
      await stage.liveOut();
    },
    judge: endsInFull,
  },
  'owner-sleeps-at-the-end': {
    what: 'one of two proxies stands still while the channel closes, and wakes up before it is over, or after',
    row: 'I46: an owner that slept',
    hostile: [],
    options: () => ({ fleet: true }),
    play: async (stage) => {
      const { world, random } = stage;
      await paid(stage, 2 + random.below(2));
      world.work(4);
      if (random.once(2)) await untilStateIsAsked(stage);
      else await halfway(stage);
      const isAsleep = world.sleep(random.once(2));
      await world.time.advance(2 * LEASE_MS);
      await stage.pay(1);
      if (random.once(2)) void world.miner?.close();
      await stage.until(random.pick([20, 2, -2]));
      if (isAsleep) await world.wake();
      await stage.liveOut();
    },
    judge: endsInFull,
  },
  'owner-hands-over': {
    what: 'the channel is moved from one proxy to the next, again and again, as in a drain',
    row: 'I46: an owner that is drained',
    hostile: [],
    options: () => ({ fleet: true }),
    play: async (stage) => {
      await paid(stage, 2);
      for (let times = 3 + stage.random.below(3); times > 0; times -= 1) await isHandedOver(stage);
      await stage.liveOut();
    },
    judge: (stage, books) => {
      // A maker that was down as the channel moved hears late of what was found, where each share is a block.
      refusedNothing(stage, stage.dies('maker') ? 'late_solutions' : undefined);
      return paidInFull(stage, books);
    },
  },
  'owner-dies': {
    what: 'proxies die one after the other, and their machines come back as others',
    row: 'I46: an owner that died',
    hostile: [],
    options: () => ({ fleet: true }),
    play: async (stage) => {
      const { world, random } = stage;
      await paid(stage, 1);
      for (let times = 2 + random.below(3); times > 0; times -= 1) {
        world.work(4);
        await halfway(stage);
        await world.kill('miner', random.below(3));
        world.start('miner');
        await world.time.advance(2 * LEASE_MS);
        await stage.pay(1);
      }
      await stage.noise(20);
      await stage.liveOut();
    },
    judge: (stage, books) => paidInFull(stage, books),
  },
};
