import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { extranonceLayout, SessionIds, upstreamExtranonce2 } from '../../src/stratum/extranonce.ts';

const startAt = (...bytes: number[]) => ({ bytes: () => Uint8Array.from(bytes) });

describe('extranonceLayout', () => {
  it('pads what the upstream leaves over', () => {
    const sizes = { sessionIdSize: 4, minerExtranonce2Size: 4 };
    expect(extranonceLayout({ ...sizes, upstreamExtranonce2Size: 8 })).toEqual({
      padSize: 0,
      extranonceSize: 8,
    });
    expect(extranonceLayout({ ...sizes, upstreamExtranonce2Size: 12 })).toEqual({
      padSize: 4,
      extranonceSize: 8,
    });
    expect(() => extranonceLayout({ ...sizes, upstreamExtranonce2Size: 7 })).toThrow(
      /extranonce_too_small/,
    );
    expect(() => extranonceLayout({ ...sizes, upstreamExtranonce2Size: 1 })).toThrow(/leaves 1 byte/);
  });

  it('puts the zeros before the session', () => {
    expect(toHex(upstreamExtranonce2(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 10))).toBe(
      '00000102030405060708',
    );
  });
});

describe('SessionIds', () => {
  it('counts on from a random start, big-endian, round the end', () => {
    const ids = new SessionIds({ size: 4, quarantineMs: 1000 }, startAt(0xff, 0xff, 0xff, 0xfe));
    const texts = Array.from({ length: 4 }, () => toHex(ids.bytesOf(ids.allocate(0))));
    expect(texts).toEqual(['fffffffe', 'ffffffff', '00000000', '00000001']);
  });

  it('refuses when all are in use and again gives what has rested', () => {
    const ids = new SessionIds({ size: 1, quarantineMs: 1000 }, startAt(7));
    for (let count = 0; count < 256; count += 1) ids.allocate(0);
    expect(() => ids.allocate(0)).toThrow(/session_limit/);
    ids.release(100, 500);
    expect(() => ids.allocate(1499)).toThrow(/session_limit/);
    expect(ids.allocate(1500)).toBe(100);
  });

  it('breaks when an id is released twice', () => {
    const ids = new SessionIds({ size: 1, quarantineMs: 0 }, startAt(0));
    const id = ids.allocate(0);
    ids.release(id, 0);
    expect(() => ids.release(id, 0)).toThrow(/session_id_live/);
  });

  it('never gives an id that is live or in quarantine, whatever comes and goes', () => {
    const step = fc.record({
      act: fc.constantFrom('connect', 'connect', 'connect', 'disconnect', 'wait'),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2),
        fc.nat({ max: 0xffff }),
        fc.array(step, { minLength: 300, maxLength: 900 }),
        (size, start, steps) => {
          const quarantineMs = 50;
          const ids = new SessionIds(
            { size: size as 1 | 2, quarantineMs },
            startAt(...(size === 1 ? [start & 255] : [start >> 8, start & 255])),
          );
          const live: number[] = [];
          const releasedAt = new Map<number, number>();
          let nowMs = 0;
          for (const { act, pick } of steps) {
            if (act === 'wait') nowMs += pick % 40;
            else if (act === 'disconnect' && live.length > 0) {
              const [id] = live.splice(pick % live.length, 1);
              ids.release(id!, nowMs);
              releasedAt.set(id!, nowMs);
            } else if (act === 'connect') {
              let id: number;
              try {
                id = ids.allocate(nowMs);
              } catch {
                continue;
              }
              expect(live).not.toContain(id);
              expect(nowMs - (releasedAt.get(id) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(
                quarantineMs,
              );
              live.push(id);
            }
          }
          expect(ids.liveCount).toBe(live.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('skips an old id that is released in the block it is walking', () => {
    const ids = new SessionIds({ size: 2, quarantineMs: 1000 }, startAt(0, 5));
    const old = ids.allocate(0);
    const lap = 65_536;
    let nowMs = 0;
    for (let count = 1; count < lap; count += 1) {
      nowMs += 1;
      const id = ids.allocate(nowMs);
      if (id === old - 1) break;
      ids.release(id, nowMs);
    }
    ids.release(old, nowMs);
    expect(ids.allocate(nowMs)).toBe(old + 1);
  });
});
