import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SessionSnapshot, WorkerSnapshot } from '../../src/downstream/server/snapshot.ts';
import { isOfWorker, type WorkerQuery, workerTable } from '../../src/mining/worker-table.ts';

const ALL: WorkerQuery = { q: '', sort: 'name', order: 'ascending', offset: 0, limit: 1_000 };

function worker(name: string, rate = 0, judged: readonly [number, number] = [0, 0]): WorkerSnapshot {
  const [accepted, rejected] = judged;
  return {
    ...{ name, accepted, rejected, acceptedDifficulty: accepted, lastShareAtMs: accepted },
    ...{ hashesPerSecond: rate, hashesPerSecondOneMinute: 2 * rate, hashesPerSecondOneHour: 3 * rate },
  };
}

function session(
  id: number,
  workers: readonly WorkerSnapshot[],
  more: Partial<SessionSnapshot> = {},
): SessionSnapshot {
  return {
    ...{ id, address: '192.0.2.1', listener: 0, userAgentClass: 'other', userAgent: 'rig/1' },
    ...{ destination: 'pool', workers, workerCount: workers.length, difficulty: id, hashesPerSecond: 0 },
    ...{ accepted: 0, rejected: 0, inFlight: 0, versionRolling: true, connectedAtMs: 1_000 - id },
    ...{ connectedForMs: 0, lastSeenMs: 0, lastShareAtMs: 0, ...more },
  };
}

describe('the table of workers', () => {
  it('has the connections of a name together', () => {
    const sessions = [
      session(1, [worker('a', 5, [8, 2]), worker('b', 1, [3, 0])], { destination: 'pool@contract' }),
      session(2, [worker('a', 7, [10, 0])]),
      session(3, []),
    ];
    const { items, ...rest } = workerTable(sessions, ALL);
    expect(rest).toEqual({ total: 3, matched: 3, offset: 0, hashes_per_second_5m: 13 });
    expect(items.map(({ name, connections }) => [name, connections])).toEqual([
      ['', 1],
      ['a', 2],
      ['b', 1],
    ]);
    expect(items[1]).toEqual({
      ...{ name: 'a', connections: 2, accepted: 18, rejected: 2, reject_ratio: 0.1, difficulty: 1 },
      ...{ hashes_per_second_1m: 24, hashes_per_second_5m: 12, hashes_per_second_1h: 36 },
      ...{ user_agent: 'rig/1', destination: 'pool', last_share_at_ms: 10, connected_at_ms: 998 },
    });
    expect(sessions.filter((each) => isOfWorker(each, 'a')).map(({ id }) => id)).toEqual([1, 2]);
    expect(sessions.filter((each) => isOfWorker(each, '')).map(({ id }) => id)).toEqual([3]);
  });

  it('finds words in whatever a worker goes by', () => {
    const sessions = [
      session(1, [worker('Farm.rig1')], { address: '192.0.2.7', userAgent: 'Antminer' }),
      session(2, [worker('farm.rig2')], { destination: 'other@contract' }),
      session(3, [worker('farm.rig2')], { address: '192.0.2.9' }),
    ];
    const found = (q: string) => workerTable(sessions, { ...ALL, q }).items.map(({ name }) => name);
    expect(found('FARM')).toEqual(['Farm.rig1', 'farm.rig2']);
    expect(found('  antm rig1 ')).toEqual(['Farm.rig1']);
    expect(found('2.9 other')).toEqual(['farm.rig2']);
    expect(found('contract')).toEqual([]);
    expect(found('rig1 rig2')).toEqual([]);
  });

  it('in parts is what it is whole, and in order', () => {
    const names = fc.array(fc.tuple(fc.string({ maxLength: 3 }), fc.nat(5)), { maxLength: 40 });
    const asked = fc.record({
      sort: fc.constantFrom('name', 'hashes_per_second_1h', 'accepted', 'difficulty'),
      order: fc.constantFrom('ascending', 'descending'),
    });
    fc.assert(
      fc.property(names, asked, fc.integer({ min: 1, max: 9 }), (rows, { sort, order }, limit) => {
        const sessions = rows.map(([name, count], id) => session(id, [worker(name, count, [count, 0])]));
        const whole = workerTable(sessions, { ...ALL, sort, order });
        const parts = [];
        for (let offset = 0; offset < whole.total; offset += limit)
          parts.push(...workerTable(sessions, { ...ALL, sort, order, offset, limit }).items);
        expect(parts).toEqual(whole.items);
        expect(new Set(parts.map(({ name }) => name)).size).toBe(whole.total);
        for (const [at, row] of parts.slice(1).entries()) {
          const [before, after] = order === 'ascending' ? [parts[at]!, row] : [row, parts[at]!];
          expect(before[sort] <= after[sort]).toBe(true);
        }
      }),
    );
  });
});
