import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { Identities, type Identity, type SessionMemory } from '../../src/downstream/session/identities.ts';

const memoryOf = (hasEarned = true): SessionMemory => ({ sent: [], difficulty: 1, hasEarned });

function make(options: { resumable?: number; resumeMs?: number; idSize?: 1 | 4 } = {}) {
  const clock = { monotonicMs: 1_000_000 };
  let seed = 0;
  const random = {
    bytes: (size: number) => {
      seed += 1;
      return Uint8Array.from({ length: size }, (_, index) => (seed * 31 + index * 7) & 255);
    },
  };
  const identities = new Identities<string>(
    { idSize: 4, quarantineMs: 5000, resumeMs: 1000, ...options },
    { random, monotonicMs: () => clock.monotonicMs },
  );
  return { identities, clock };
}

describe('identities', () => {
  it('name themselves by more than their extranonce1', () => {
    const { identities } = make();
    const { token, extranonce1 } = identities.open('a')!;
    expect(token).toMatch(/^[0-9a-f]{24}$/);
    expect(token.slice(0, 8)).toBe(toHex(extranonce1));
    expect(identities.holderOf(token)).toBe('a');
    expect(identities.resume(token, 'b')).toBeUndefined();
  });

  it('are given back once, within their time', () => {
    const { identities, clock } = make();
    const identity = identities.open('a')!;
    identities.leave(identity, memoryOf());
    clock.monotonicMs += 1000;
    expect(identities.resume(identity.token, 'b')).toEqual({ identity, memory: memoryOf() });
    expect(identities.resume(identity.token, 'c')).toBeUndefined();
    expect(identities.holderOf(identity.token)).toBe('b');
    identities.leave(identity, memoryOf());
    clock.monotonicMs += 1001;
    expect(identities.resume(identity.token, 'd')).toBeUndefined();
    expect(identities.departedCount).toBe(0);
  });

  it('are bounded: those that earned nothing go first', () => {
    const { identities } = make({ resumable: 4 });
    const opened = Array.from({ length: 8 }, (_, index) => identities.open(`s${index}`)!);
    const earned = [false, false, false, true, true, true, false, false];
    for (const [index, identity] of opened.entries()) identities.leave(identity, memoryOf(earned[index]));
    const resumed = opened.filter(({ token }) => identities.resume(token, 'again') !== undefined);
    expect(resumed).toEqual([1, 3, 4, 5].map((index) => opened[index]));
    expect(identities.stats.forgotten).toBe(1);
    const none = make({ resumable: 0 }).identities;
    const identity = none.open('a')!;
    none.leave(identity, memoryOf());
    expect(none.resume(identity.token, 'b')).toBeUndefined();
  });

  it('never belong to two, and rest before they belong to another, whatever comes and goes', () => {
    const step = fc.record({
      act: fc.constantFrom('open', 'open', 'leave', 'ban', 'resume', 'resume', 'wait', 'expire'),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 200, maxLength: 600 }), (steps) => {
        const { identities, clock } = make({ idSize: 1, resumable: 20 });
        const live = new Map<string, Identity>();
        const seen = new Map<number, { token: string; lastLiveMs: number }>();
        const enter = (identity: Identity): void => {
          for (const other of live.values()) expect(other.id).not.toBe(identity.id);
          const before = seen.get(identity.id);
          if (before !== undefined && before.token !== identity.token) {
            expect(clock.monotonicMs - before.lastLiveMs).toBeGreaterThanOrEqual(5000);
          }
          live.set(identity.token, identity);
          seen.set(identity.id, { token: identity.token, lastLiveMs: Number.POSITIVE_INFINITY });
        };
        for (const { act, pick } of steps) {
          const present = [...live.values()][pick % Math.max(1, live.size)];
          if (act === 'open') {
            const identity = identities.open('x');
            if (identity !== undefined) enter(identity);
          } else if (act === 'resume') {
            const tokens = [...seen.values()].map(({ token }) => token);
            const token = tokens[pick % Math.max(1, tokens.length)] ?? '';
            if (identities.holderOf(token) !== undefined) continue;
            const resumed = identities.resume(token, 'x');
            if (resumed !== undefined) enter(resumed.identity);
          } else if (act === 'wait') clock.monotonicMs += pick % 700;
          else if (act === 'expire') identities.expire();
          else if (present !== undefined) {
            identities.leave(present, act === 'ban' ? undefined : memoryOf(pick % 2 === 0));
            live.delete(present.token);
            seen.set(present.id, { token: present.token, lastLiveMs: clock.monotonicMs });
          }
          expect(identities.liveCount).toBe(live.size);
          expect(identities.departedCount).toBeLessThanOrEqual(20);
        }
      }),
      { numRuns: 60 },
    );
  });
});
