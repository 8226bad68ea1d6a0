import { describe, expect, it } from 'vitest';
import type { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { OpeningBudget } from '../../src/maker/opening-budget.ts';
import { ManualClock } from '../base/manual-clock.ts';

const OPENING_MS = 600_000;

function setup() {
  const clock = new ManualClock();
  const budget = new OpeningBudget({ openingMs: OPENING_MS }, { clock });
  /** Seconds that it says one has to wait; 0 where it need not. */
  const waits = (...names: string[]): number => {
    try {
      budget.assertFree(names);
      return 0;
    } catch (error) {
      expect((error as CodedError).code).toBe('too_often');
      return Number(/in (\d+) s$/.exec((error as CodedError).message)![1]);
    }
  };
  return { clock, budget, waits };
}

describe('an opening that came to nothing', () => {
  it('lets the peer and its coins wait for as long as the coins were held, to the millisecond', () => {
    const { clock, budget, waits } = setup();
    expect([waits('peer'), waits()]).toEqual([0, 0]);
    budget.failed(['peer', 'coin']);
    expect([waits('peer'), waits('coin'), waits('other'), waits('other', 'coin')]).toEqual([
      600, 600, 0, 600,
    ]);
    clock.advance(OPENING_MS - 1001);
    expect(waits('peer')).toBe(2);
    clock.advance(1000);
    expect(waits('peer')).toBe(1);
    clock.advance(1);
    expect([waits('peer'), waits('coin')]).toEqual([0, 0]);
  });

  it('doubles the pause each time, eight times at the most, until one comes to a channel', () => {
    const { clock, budget, waits } = setup();
    const pauses: number[] = [];
    for (let failure = 0; failure < 11; failure += 1) {
      budget.failed(['peer']);
      pauses.push(waits('peer') / 600);
      clock.advance(waits('peer') * 1000);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
    budget.failed(['peer']);
    budget.succeeded(['peer', 'unknown']);
    expect(waits('peer')).toBe(0);
    budget.failed(['peer']);
    expect(waits('peer')).toBe(600);
  });

  it('is remembered of so many names, those seen last', () => {
    const { budget, waits } = setup();
    budget.failed(['oldest', 'kept']);
    expect(waits('oldest')).toBe(600);
    budget.failed(Array.from({ length: LIMITS.trackedAddresses - 1 }, (_, each) => String(each)));
    expect([waits('oldest') + waits('kept'), waits('0')]).toEqual([600, 600]);
  });
});
