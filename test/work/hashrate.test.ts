import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Hashrate } from '../../src/work/hashrate.ts';
import { ManualClock } from '../base/manual-clock.ts';

describe('Hashrate', () => {
  const feed = (
    clock: ManualClock,
    meter: Hashrate,
    seconds: number,
    work: number,
    everyMs = 1000,
  ): void => {
    for (let ms = 0; ms < seconds * 1000; ms += everyMs) {
      clock.advance(everyMs);
      meter.add(work);
    }
  };

  it('is zero before any work', () => {
    const clock = new ManualClock();
    const meter = new Hashrate({ clock });
    expect(meter.rates()).toEqual({ oneMinute: 0, fiveMinutes: 0, oneHour: 0, oneDay: 0 });
    clock.advance(3_600_000);
    expect(meter.rates()).toEqual({ oneMinute: 0, fiveMinutes: 0, oneHour: 0, oneDay: 0 });
  });

  it('shows a steady rate from the first minute on, in every window', () => {
    const clock = new ManualClock();
    const meter = new Hashrate({ clock });
    for (let minute = 0; minute < 90; minute += 1) {
      feed(clock, meter, 60, 5e12);
      const { oneMinute, fiveMinutes, oneHour, oneDay } = meter.rates();
      for (const rate of [oneMinute, fiveMinutes, oneHour, oneDay]) expect(rate / 5e12).toBeCloseTo(1, 1);
    }
  });

  it('forgets: the short windows first', () => {
    const clock = new ManualClock();
    const meter = new Hashrate({ clock });
    feed(clock, meter, 7200, 1e12);
    clock.advance(300_000);
    const { oneMinute, fiveMinutes, oneHour } = meter.rates();
    expect(oneMinute / 1e12).toBeCloseTo(Math.exp(-5), 2);
    expect(fiveMinutes / 1e12).toBeCloseTo(Math.exp(-1), 2);
    // Two hours of an hour's average, then five minutes of nothing.
    expect(oneHour / 1e12).toBeCloseTo(
      (1 - Math.exp(-2)) * Math.exp(-1 / 12) * (1 / (1 - Math.exp(-2.0833))),
      2,
    );
  });

  it('depends on the work and its time, not on how often it is looked at or how it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1000, max: 60_000 }), fc.nat(1e6))),
        fc.nat(4),
        (steps, parts) => {
          const clock = new ManualClock();
          const [whole, cut] = [new Hashrate({ clock }), new Hashrate({ clock })];
          for (const [ms, work] of steps) {
            clock.advance(ms);
            whole.add(work);
            cut.rates();
            for (let part = 0; part <= parts; part += 1) cut.add(work / (parts + 1));
          }
          clock.advance(1000);
          const [a, b] = [whole.rates(), cut.rates()];
          expect(b.oneMinute).toBeCloseTo(a.oneMinute, 3);
          expect(b.oneHour).toBeCloseTo(a.oneHour, 3);
        },
      ),
    );
  });

  it('does not explode at the first share', () => {
    const clock = new ManualClock();
    const meter = new Hashrate({ clock });
    meter.add(1e12);
    clock.advance(1);
    expect(meter.rates().oneMinute).toBeLessThan(1.2e11);
  });
});
