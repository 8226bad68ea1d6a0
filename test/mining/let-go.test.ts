import { afterEach, expect, it } from 'vitest';
import { VirtualTime } from '../base/virtual-time.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { FakeDestination } from './fake-destination.ts';
import { STRATUM_TOML, Stand } from './stand.ts';

const stand = new Stand();
afterEach(() => stand.close());

const NOWHERE = '[[destination]]\nname = "gone"\nurl = "stratum+tcp://127.0.0.1:1"\nworker = "w"\n';

it('miners are let go after half a minute without work, and taken back with the first that comes', async () => {
  const time = new VirtualTime();
  const { mining } = await stand.mining(STRATUM_TOML + NOWHERE, time.clock, time.timers);
  await time.advance(29_000);
  expect(mining.server.letGoCause).toBeUndefined();
  await time.advance(1_000);
  expect(mining.server.letGoCause).toBe('upstream');
  let other: FakeDestination | undefined;
  const setup = {
    name: 'back',
    role: 'fallback',
    priority: 5,
    quota: undefined,
    extranonce1: 'auto',
  } as const;
  mining.addDestination(setup, (listener) => {
    other = new FakeDestination('back', listener);
    return other;
  });
  other!.give(plainWork(1));
  await time.advance(1_000);
  expect(mining.server.letGoCause).toBeUndefined();
  other!.isUp = false;
  await time.advance(29_000);
  expect(mining.server.letGoCause).toBeUndefined();
  other!.isUp = true;
  await time.advance(1_000);
  other!.isUp = false;
  await time.advance(29_000);
  expect(mining.server.letGoCause).toBeUndefined();
});
