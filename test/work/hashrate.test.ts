import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Hashrate } from '../../src/work/hashrate.ts';
import { WorkWindow } from '../../src/work/windows.ts';
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
    expect(meter.rates()).toEqual({ oneMinute: 0, fiveMinutes: 0, oneHour: 0 });
    clock.advance(3_600_000);
    expect(meter.rates()).toEqual({ oneMinute: 0, fiveMinutes: 0, oneHour: 0 });
  });

  it('shows a steady rate from the first minute on, in every window', () => {
    const clock = new ManualClock();
    const meter = new Hashrate({ clock });
    for (let minute = 0; minute < 90; minute += 1) {
      feed(clock, meter, 60, 5e12);
      const { oneMinute, fiveMinutes, oneHour } = meter.rates();
      for (const rate of [oneMinute, fiveMinutes, oneHour]) expect(rate / 5e12).toBeCloseTo(1, 1);
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

describe('WorkWindow', () => {
  it('is the exact sum of what is younger than the window, to a bucket', () => {
    const step = fc.tuple(fc.nat(4000), fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.nat(5));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (steps, buckets) => {
        const clock = new ManualClock();
        const window = new WorkWindow({ windowSeconds: 12, buckets }, { clock });
        const bucketMs = 12_000 / buckets;
        const bucketOf = (ms: number): number => Math.floor(ms / bucketMs);
        const added: { readonly ms: number; readonly work: bigint; readonly shares: number }[] = [];
        for (const [ms, work, shares] of steps) {
          clock.advance(ms);
          window.add(work, shares);
          added.push({ ms: clock.monotonicMs(), work, shares });
          const kept = added.filter((item) => bucketOf(item.ms) > bucketOf(clock.monotonicMs()) - buckets);
          const sum = window.sum();
          expect(sum.workHashes).toBe(kept.reduce((total, item) => total + item.work, 0n));
          expect(sum.shares).toBe(kept.reduce((total, item) => total + item.shares, 0));
          expect(sum.seconds).toBeLessThanOrEqual(12);
        }
      }),
    );
  });

  it('says how much time it covers', () => {
    const clock = new ManualClock(1_000_000);
    const window = new WorkWindow({ windowSeconds: 60 }, { clock });
    expect(window.sum().seconds).toBe(0);
    clock.advance(30_000);
    window.add(600n, 2);
    expect(window.sum()).toEqual({ workHashes: 600n, shares: 2, seconds: 30 });
    clock.advance(300_000);
    expect(window.sum()).toMatchObject({ workHashes: 0n, shares: 0 });
    expect(window.sum().seconds).toBeGreaterThan(58);
  });
});
