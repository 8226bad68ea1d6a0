import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { DiskSpace } from '../../src/daemon/disk-space.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const GB = 1e9;
const HOUR_MS = 3_600_000;

it('says how much is free, and when a disk that fills will be full', async () => {
  const clock = new ManualClock();
  let bytes = 100 * GB;
  const space = new DiskSpace('/', { clock, timers: systemTimers, free: async () => bytes });
  expect([space.freeBytes, space.secondsToFull]).toEqual([undefined, undefined]);
  await space.look();
  expect([space.freeBytes, space.secondsToFull]).toEqual([100 * GB, undefined]);
  // A gigabyte an hour; a minute of it says nothing yet.
  for (let hour = 1; hour <= 10; hour += 1) {
    clock.advance(HOUR_MS);
    bytes -= GB;
    await space.look();
  }
  expect(space.freeBytes).toBe(90 * GB);
  expect(space.secondsToFull).toBeCloseTo(90 * 3600);
  // What is older than a day does not count: now it is two gigabytes an hour.
  for (let hour = 1; hour <= 30; hour += 1) {
    clock.advance(HOUR_MS);
    bytes -= 2 * GB;
    await space.look();
  }
  expect(space.secondsToFull).toBeCloseTo((30 / 2) * 3600);
  bytes = 100 * GB;
  await space.look();
  expect(space.secondsToFull).toBeUndefined();
});

it('says nothing of a disk that does not answer, and goes on when it does', async () => {
  let isGone = true;
  const free = async (): Promise<number> => {
    if (isGone) throw new Error('EIO');
    return GB;
  };
  const space = new DiskSpace('/', { clock: new ManualClock(), timers: systemTimers, free });
  await space.look();
  expect(space.freeBytes).toBeUndefined();
  isGone = false;
  await space.look();
  expect(space.freeBytes).toBe(GB);
});

it('asks the system', async () => {
  const space = new DiskSpace(tmpdir(), { clock: systemClock, timers: systemTimers });
  await space.look();
  expect(space.freeBytes).toBeGreaterThan(0);
});

it('asks a disk that hangs once, and not again at each look', async () => {
  const time = new VirtualTime();
  const answer = Promise.withResolvers<number>();
  let asked = 0;
  const free = (): Promise<number> => {
    asked += 1;
    return answer.promise;
  };
  const space = new DiskSpace('/', { clock: time.clock, timers: time.timers, free });
  space.start();
  await time.advance(10 * 60_000);
  expect([asked, space.freeBytes]).toEqual([1, undefined]);
  answer.resolve(GB);
  await time.settle();
  await time.advance(60_000);
  expect([asked, space.freeBytes]).toEqual([2, GB]);
  space.stop();
});
