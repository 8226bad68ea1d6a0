import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IDS_WITHOUT_LEASE, idsOfRange, RANGES } from '../../src/fleet/extranonce-range.ts';
import { SessionIds } from '../../src/stratum/extranonce.ts';
import { SeededRandom } from '../sim/random.ts';
import '../seed.ts';

const range = fc.nat({ max: RANGES - 1 });

it('no two instances give out the same session id: by ranges of their own, or without one', () => {
  fc.assert(
    fc.property(range, range, fc.nat(), fc.integer({ min: 1, max: 6_000 }), (a, b, seed, count) => {
      fc.pre(a !== b);
      const random = new SeededRandom(seed);
      const all = [idsOfRange(a), idsOfRange(b), IDS_WITHOUT_LEASE].map(
        (ids) => new SessionIds({ size: 4, quarantineMs: 0, range: ids }, random),
      );
      const seen = new Set<number>();
      for (let at = 0; at < count; at += 1) for (const ids of all) seen.add(ids.allocate(at));
      expect(seen.size).toBe(3 * count);
    }),
    { numRuns: 20 },
  );
});

it('ranges lie end to end, and the last of them ends where the ids without a lease begin', () => {
  for (let number = 0; number < RANGES; number += 1) {
    const { first, count } = idsOfRange(number);
    const next = number + 1 < RANGES ? idsOfRange(number + 1) : IDS_WITHOUT_LEASE;
    expect(first + count).toBe(next.first);
  }
  expect(IDS_WITHOUT_LEASE.first + IDS_WITHOUT_LEASE.count).toBe(2 ** 32);
});

it('a range is walked to its end and begun anew, and never left', () => {
  const { first, count } = idsOfRange(3);
  const ids = new SessionIds(
    { size: 4, quarantineMs: 10, range: { first, count: 1024 } },
    new SeededRandom(1),
  );
  const seen = new Set<number>();
  for (let at = 0; at < 5_000; at += 1) {
    const id = ids.allocate(at);
    seen.add(id);
    ids.release(id, at);
  }
  expect(seen.size).toBe(1024);
  expect([Math.min(...seen), Math.max(...seen)]).toEqual([first, first + 1023]);
  expect(count).toBeGreaterThan(1024);
});
