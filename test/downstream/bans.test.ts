import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../src/base/token-bucket.ts';
import { Bans, checkSanctionOptions, sanctionOf } from '../../src/downstream/session/bans.ts';

const LADDER = { resendAfter: 2, reconnectAfter: 4, banAfter: 6 };

describe('the ladder', () => {
  it('goes up one step after the other', () => {
    const steps = [1, 2, 3, 4, 5, 6, 7].map((count) => sanctionOf(count, LADDER));
    expect(steps).toEqual(['none', 'resend', 'none', 'reconnect', 'none', 'ban', 'ban']);
  });

  it('breaks on steps out of order', () => {
    checkSanctionOptions(LADDER);
    for (const bad of [
      { resendAfter: 0 },
      { reconnectAfter: 1 },
      { banAfter: 3 },
      { banAfter: Infinity },
    ]) {
      expect(() => checkSanctionOptions({ ...LADDER, ...bad })).toThrow(/ladder_ordered/);
    }
  });
});

describe('bans', () => {
  it('end by themselves', () => {
    const bans = new Bans({ banMs: 1000, strikes: 3, addresses: 10 });
    bans.ban('a', 0);
    expect([bans.isBanned('a', 999), bans.isBanned('a', 1000), bans.isBanned('b', 0)]).toEqual([
      true,
      false,
      false,
    ]);
    bans.expire(999);
    expect(bans.size).toBe(1);
    bans.expire(1000);
    expect(bans.size).toBe(0);
  });

  it('come from strikes that follow each other', () => {
    const bans = new Bans({ banMs: 1000, strikes: 3, addresses: 10 });
    expect([bans.strike('a', 0), bans.strike('a', 500)]).toEqual([false, false]);
    expect(bans.isBanned('a', 600)).toBe(false);
    expect(bans.strike('a', 1499)).toBe(true);
    expect([bans.isBanned('a', 2498), bans.isBanned('a', 2499)]).toEqual([true, false]);
    expect([bans.strike('b', 0), bans.strike('b', 1000), bans.strike('b', 2000)]).not.toContain(true);
    bans.forgive('a');
    expect(bans.isBanned('a', 1500)).toBe(false);
    expect(bans.stats.bans).toBe(1);
  });

  it('are bounded, and never outlast their time', () => {
    const step = fc.record({
      act: fc.constantFrom('ban', 'strike', 'wait', 'expire'),
      group: fc.nat({ max: 20 }).map(String),
      ms: fc.nat({ max: 600 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const bans = new Bans({ banMs: 1000, strikes: 2, addresses: 8 });
        const heardOf = new Map<string, number>();
        let nowMs = 0;
        for (const { act, group, ms } of steps) {
          if (act === 'wait') nowMs += ms;
          else if (act === 'expire') bans.expire(nowMs);
          else {
            if (act === 'ban') bans.ban(group, nowMs);
            else bans.strike(group, nowMs);
            heardOf.set(group, nowMs);
            if (act === 'ban') expect(bans.isBanned(group, nowMs)).toBe(true);
          }
          expect(bans.size).toBeLessThanOrEqual(8);
          for (const [other, atMs] of heardOf) {
            if (bans.isBanned(other, nowMs)) expect(nowMs - atMs).toBeLessThan(1000);
          }
        }
      }),
    );
  });
});

describe('a token bucket', () => {
  it('never gives more than its burst and its rate', () => {
    const rate = { perSecond: 10, burst: 5 };
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 300 }), { maxLength: 200 }), (waits) => {
        const bucket = new TokenBucket(rate, 0);
        let nowMs = 0;
        let taken = 0;
        for (const wait of waits) {
          nowMs += wait;
          if (bucket.take(nowMs)) taken += 1;
          expect(taken).toBeLessThanOrEqual(rate.burst + (nowMs / 1000) * rate.perSecond + 1e-6);
        }
      }),
    );
  });

  it('pays debts off before it gives again, and a clock that steps back gives nothing', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 5 }, 1000);
    expect(bucket.spend(25, 1000)).toBe(false);
    expect(bucket.spend(0, 500)).toBe(false);
    expect(bucket.spend(0, 2400)).toBe(false);
    expect(bucket.spend(0, 2500)).toBe(true);
  });
});
