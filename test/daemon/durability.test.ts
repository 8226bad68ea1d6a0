import { describe, expect, it } from 'vitest';
import {
  DURABILITY,
  Durability,
  type DurabilityLevel,
  SOUND,
  transition,
} from '../../src/daemon/durability.ts';
import { Selling } from '../../src/daemon/selling.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { ContractWork } from '../../src/mining/work-routes.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

function watched() {
  const time = new VirtualTime();
  const stats = { failed: false, queuedWrites: 0, commits: 0 };
  const levels: [number, DurabilityLevel][] = [];
  const onChange = (level: DurabilityLevel): void => void levels.push([time.clock.monotonicMs(), level]);
  const { clock, timers } = time;
  const deps = { stats: () => stats, clock, timers, log: silentLogger, onChange };
  const durability = new Durability(deps);
  durability.start();
  return { time, stats, levels, durability };
}

describe('whether shares can be kept', () => {
  it('a lock of seven seconds: held after three, sound again two after it, and nobody is let go', async () => {
    const { time, stats, levels, durability } = watched();
    await time.advance(10_000);
    stats.queuedWrites = 5;
    await time.advance(7_000);
    expect(() => durability.assertSound()).toThrow('ledger_late');
    expect(durability.check()).toBe('commits are late');
    stats.queuedWrites = 0;
    stats.commits = 1;
    await time.advance(10_000);
    expect(levels).toEqual([
      [13_000, 'held'],
      [19_000, 'sound'],
    ]);
    expect(durability.check()).toBe(true);
  });

  it('a failed write: held at once, miners let go five seconds later, for good', async () => {
    const { time, stats, levels, durability } = watched();
    stats.failed = true;
    durability.look();
    expect(levels).toEqual([[0, 'held']]);
    await time.advance(60_000);
    expect(levels.slice(1)).toEqual([[5_000, 'lost']]);
    expect(durability.check()).toBe('failed');
  });

  it('a lock of a minute: let go, and taken back when it is over', async () => {
    const { time, stats, levels } = watched();
    stats.queuedWrites = 1;
    await time.advance(60_000);
    stats.queuedWrites = 0;
    await time.advance(10_000);
    expect(levels.map(([, level]) => level)).toEqual(['held', 'lost', 'sound']);
    expect(levels[1]![0] - levels[0]![0]).toBe(5_000);
  });

  it('a slow disk that goes on, and a process that was stopped, are no fault', async () => {
    const { time, stats, levels } = watched();
    for (let seconds = 0; seconds < 60; seconds += 2) {
      stats.queuedWrites = 50;
      await time.advance(2_000);
      stats.commits += 1;
    }
    expect(levels).toEqual([]);
    // However much time passed, it is one look.
    const look = { isFailed: false, queuedWrites: 9, commits: 0 };
    expect(transition(DURABILITY, SOUND, look, 3_600_000)).toMatchObject({
      state: { level: 'sound' },
      effects: [],
    });
  });

  it('what is not kept is not sold', async () => {
    const told: Pick<ContractWork, 'contractId' | 'isDelivering'>[] = [];
    let level: DurabilityLevel = 'sound';
    const config = {
      destinations: [{ name: 'buyer', role: 'contract' }],
    } as unknown as ConstructorParameters<typeof Selling>[0];
    const selling = new Selling(config, {
      mining: {
        setContract: (work) => void told.push(work),
        endContract: () => {},
        ...{ addDestination: () => {}, removeDestination: () => true },
      },
      log: silentLogger,
      work: { assign: () => {} },
      durability: {
        get level() {
          return level;
        },
      },
    });
    selling.update();
    expect(told).toEqual([]);
    const sold = (live: boolean) => ({
      status: { contractId: 'c', live, channel: 'open' as const },
      ...{ terms: makeTermsV3(), shareDifficulty: 8, work: undefined },
    });
    selling.onStatus(sold(true));
    level = 'held';
    selling.update();
    level = 'sound';
    selling.update();
    selling.onStatus(sold(false));
    expect(told.map(({ isDelivering }) => isDelivering)).toEqual([true, false, true, false]);
  });
});
