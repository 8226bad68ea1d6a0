import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  SPLIT_OPTIONS,
  type SplitDestination,
  type SplitEvent,
  type SplitOptions,
  type SplitSession,
  type SplitState,
  targetsOf,
  transition,
  UNDIVIDED,
} from '../../src/upstream/split.ts';

const TH = 1_000_000_000_000n;

const weight = (name: string, value: number, isUsable = true): SplitDestination => ({
  name,
  isUsable,
  quota: { type: 'weight', weight: value },
});
const rate = (name: string, th: bigint, isUsable = true): SplitDestination => ({
  name,
  isUsable,
  quota: { type: 'rate', hashesPerSecond: th * TH },
});
const rest = (name: string, isUsable = true): SplitDestination => ({
  name,
  isUsable,
  quota: { type: 'rest' },
});

/** A farm whose sessions do as they are told. */
class Farm {
  sessions: SplitSession[];
  state: SplitState = UNDIVIDED;
  readonly options: SplitOptions;
  nowMs = 0;
  moves = 0;
  /** By destination, in hashes * 1000. */
  readonly delivered = new Map<string, bigint>();
  readonly movedAtMs = new Map<number, number[]>();

  constructor(rates: readonly bigint[], options: Partial<SplitOptions> = {}) {
    this.sessions = rates.map((hashesPerSecond, id) => ({ id, hashesPerSecond, destination: undefined }));
    this.options = { ...SPLIT_OPTIONS, ...options };
  }

  get total(): bigint {
    return this.sessions.reduce((sum, session) => sum + session.hashesPerSecond, 0n);
  }

  get largest(): bigint {
    return this.sessions.reduce((most, { hashesPerSecond: one }) => (one > most ? one : most), 0n);
  }

  at(name: string): bigint {
    return this.sessions
      .filter((session) => session.destination === name)
      .reduce((sum, session) => sum + session.hashesPerSecond, 0n);
  }

  round(destinations: readonly SplitDestination[], elapsedMs = 1_000) {
    this.nowMs += elapsedMs;
    for (const { destination, hashesPerSecond } of this.sessions) {
      const name = destination ?? 'nowhere';
      const before = this.delivered.get(name) ?? 0n;
      this.delivered.set(name, before + hashesPerSecond * BigInt(elapsedMs));
    }
    const frozen = structuredClone(this.state);
    const event: SplitEvent = { type: 'round', sessions: this.sessions, destinations };
    const { state, effects: moves } = transition(this.options, this.state, event, this.nowMs);
    expect(this.state).toEqual(frozen);
    this.state = state;
    for (const { session, from, to } of moves) {
      const one = this.sessions.find(({ id }) => id === session)!;
      expect(one.destination).toBe(from);
      expect(to).not.toBe(from);
      this.sessions[this.sessions.indexOf(one)] = { ...one, destination: to };
      this.movedAtMs.set(session, [...(this.movedAtMs.get(session) ?? []), this.nowMs]);
      this.moves += 1;
    }
    return { moves, accounts: state.accounts };
  }

  run(destinations: readonly SplitDestination[], rounds: number, elapsedMs = 1_000): this {
    for (let done = 0; done < rounds; done += 1) this.round(destinations, elapsedMs);
    return this;
  }
}

describe('targetsOf', () => {
  it('serves rates in order, then weights, and the own node only when nothing else can', () => {
    const all = [rate('r1', 30n), rate('r2', 50n), weight('w1', 3), weight('w2', 1), rest('own')];
    const of = (destinations: readonly SplitDestination[], th: bigint): Record<string, bigint> =>
      Object.fromEntries([...targetsOf(destinations, th * TH)].map(([name, value]) => [name, value / TH]));
    expect(of(all, 120n)).toEqual({ r1: 30n, r2: 50n, w1: 30n, w2: 10n, own: 0n });
    expect(of(all, 40n)).toEqual({ r1: 30n, r2: 10n, w1: 0n, w2: 0n, own: 0n });
    expect(of([rate('r1', 30n, false), ...all.slice(1)], 60n)).toEqual({
      r2: 50n,
      w1: 7n,
      w2: 2n,
      own: 0n,
    });
    expect(of([rate('r1', 30n), weight('w1', 3, false), rest('own')], 100n)).toEqual({ r1: 30n, own: 70n });
    expect(of([rate('r1', 30n), rest('own', false)], 100n)).toEqual({ r1: 100n });
    expect(of([rest('own'), rest('other')], 5n)).toEqual({ own: 5n, other: 0n });
    expect(of([], 5n)).toEqual({});
  });
});

describe('split', () => {
  it('meets weights to within one session, and then lets everybody be', () => {
    const farm = new Farm(
      Array.from({ length: 100 }, (_, at) => BigInt(90 + (at % 20)) * TH),
      { sliceMs: 0 },
    );
    const destinations = [weight('a', 3), weight('b', 1), rest('own')];
    farm.run(destinations, 3);
    const { moves } = farm;
    expect(moves).toBe(100);
    expect(farm.at('own')).toBe(0n);
    const off = farm.at('a') - (farm.total * 3n) / 4n;
    expect(off < farm.largest && -off < farm.largest).toBe(true);
    expect(farm.run(destinations, 600).moves).toBe(moves);
  });

  it('leaves a destination that fails at once, and comes back after the least stay', () => {
    const farm = new Farm(Array(10).fill(100n * TH), { minStayMs: 60_000 });
    const up = [weight('a', 1), weight('b', 1), rest('own')];
    farm.run(up, 2);
    expect([farm.at('a'), farm.at('b')]).toEqual([500n * TH, 500n * TH]);
    farm.round([weight('a', 1, false), weight('b', 1), rest('own')]);
    expect([farm.at('a'), farm.at('b')]).toEqual([0n, 1000n * TH]);
    farm.round([weight('a', 1, false), weight('b', 1, false), rest('own')]);
    expect(farm.at('own')).toBe(1000n * TH);
    farm.run(up, 30);
    expect(farm.at('own')).toBe(1000n * TH);
    farm.run(up, 40);
    expect([farm.at('a'), farm.at('b'), farm.at('own')]).toEqual([500n * TH, 500n * TH, 0n]);
    farm.round([weight('a', 1, false)]);
    expect(farm.sessions.every((session) => session.destination === undefined)).toBe(true);
  });

  it('holds nobody to the least stay once the destinations are others', () => {
    const farm = new Farm(Array(10).fill(100n * TH), { minStayMs: 60_000 });
    farm.run([weight('a', 1), rest('own')], 2);
    const others = [weight('a', 1), weight('b', 1), rest('own')];
    expect(farm.run(others, 2).at('b')).toBe(0n);
    const changed = transition(farm.options, farm.state, { type: 'destinations_changed' }, farm.nowMs);
    const settled = { atMs: undefined, shortfall: new Map() };
    expect(changed).toEqual({ state: { ...farm.state, ...settled, movedAtMs: new Map() }, effects: [] });
    farm.state = changed.state;
    expect(farm.run(others, 1).at('b')).toBe(500n * TH);
  });

  it('divides one miner by time', () => {
    const farm = new Farm([100n * TH], { sliceMs: 60_000, minStayMs: 10_000 });
    farm.run([weight('a', 3), weight('b', 1)], 6 * 3600);
    const part = Number(
      (farm.delivered.get('a')! * 1000n) / (farm.delivered.get('a')! + farm.delivered.get('b')!),
    );
    expect(part).toBeGreaterThan(740);
    expect(part).toBeLessThan(760);
    expect(farm.moves).toBeLessThan((6 * 3600) / 20);
  });

  it('gives a rate on average, whatever the miners are', () => {
    const farm = new Farm([110n * TH, 110n * TH, 110n * TH], { sliceMs: 120_000, minStayMs: 30_000 });
    farm.run([rate('contract', 150n), rest('own')], 4 * 3600);
    const mean = farm.delivered.get('contract')! / BigInt(farm.nowMs) / TH;
    expect(mean).toBeGreaterThanOrEqual(147n);
    expect(mean).toBeLessThanOrEqual(153n);
  });

  it('never moves a pinned session, and counts it', () => {
    const destinations = [weight('a', 1), weight('b', 1)];
    const farm = new Farm([10n * TH, 10n * TH, 10n * TH, 10n * TH], { minStayMs: 0 });
    farm.sessions = farm.sessions.map((session) => ({
      ...session,
      destination: 'a',
      isPinned: session.id < 3,
    }));
    farm.run(destinations, 600);
    expect([farm.at('a'), farm.at('b')]).toEqual([30n * TH, 10n * TH]);
    expect(farm.round([weight('a', 1, false), weight('b', 1)]).moves).toEqual([]);
  });

  it('spreads sessions whose hashrate is not known yet', () => {
    const farm = new Farm(Array(40).fill(0n));
    farm.round([weight('a', 1), weight('b', 1)]);
    expect(farm.sessions.filter((session) => session.destination === 'a')).toHaveLength(20);
  });

  it('is quick for as many sessions as there can be', () => {
    const farm = new Farm(Array.from({ length: 20_000 }, (_, at) => BigInt(50 + (at % 150)) * TH));
    const { accounts } = farm.round([weight('a', 5), weight('b', 2), weight('c', 1)]);
    expect(accounts.reduce((sum, account) => sum + account.assignedHashesPerSecond, 0n)).toBe(farm.total);
  });
});

describe('any farm', () => {
  const rates = fc.array(
    fc.bigInt({ min: 1n, max: 500n }).map((th) => th * TH),
    { minLength: 1, maxLength: 30 },
  );
  const quota = fc.oneof(
    fc.integer({ min: 1, max: 100 }).map((value) => ({ type: 'weight' as const, weight: value / 4 })),
    fc.bigInt({ min: 0n, max: 2_000n }).map((th) => ({ type: 'rate' as const, hashesPerSecond: th * TH })),
    fc.constant({ type: 'rest' as const }),
  );
  const wishes = fc.array(quota, { minLength: 1, maxLength: 4 });
  const steps = fc.array(
    fc.record({
      isUsable: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      rounds: fc.integer({ min: 1, max: 30 }),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const named = (
    list: readonly SplitDestination['quota'][],
    isUsable: readonly boolean[],
  ): SplitDestination[] =>
    list.map((one, at) => ({ name: `d${at}`, quota: one, isUsable: isUsable[at] === true }));

  it('is accounted for to the hash; the unusable get nothing, and nobody is moved too often', () => {
    fc.assert(
      fc.property(rates, wishes, steps, fc.constantFrom(0, 60_000), (hashrates, list, plan, sliceMs) => {
        const farm = new Farm(hashrates, { minStayMs: 20_000, sliceMs });
        let changedAtMs = 0;
        for (const { isUsable, rounds } of plan) {
          const destinations = named(list, isUsable);
          changedAtMs = farm.nowMs;
          for (let done = 0; done < rounds; done += 1) {
            const { accounts } = farm.round(destinations);
            const placed = destinations.some((one) => one.isUsable) ? farm.total : 0n;
            const sum = (values: readonly bigint[]): bigint => values.reduce((all, one) => all + one, 0n);
            expect(sum(accounts.map((account) => account.assignedHashesPerSecond))).toBe(placed);
            expect(sum(accounts.map((account) => account.targetHashesPerSecond))).toBe(placed);
            for (const [at, account] of accounts.entries()) {
              expect(account.assignedHashesPerSecond).toBe(farm.at(account.name));
              if (!destinations[at]!.isUsable) expect(account.sessions).toBe(0);
            }
          }
          for (const times of farm.movedAtMs.values()) {
            const since = times.filter((time) => time > changedAtMs + 1_000);
            for (const [at, time] of since.slice(1).entries())
              expect(time - since[at]!).toBeGreaterThanOrEqual(20_000);
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it('comes to rest near its targets when there are no time slices', () => {
    fc.assert(
      fc.property(rates, wishes, (hashrates, list) => {
        const farm = new Farm(hashrates, { minStayMs: 5_000, sliceMs: 0, tolerance: 0 });
        const destinations = named(list, [true, true, true, true]);
        farm.run(destinations, 60);
        const { moves } = farm;
        const { accounts } = farm.run(destinations, 30).round(destinations);
        expect(farm.moves).toBe(moves);
        for (const { targetHashesPerSecond: target, assignedHashesPerSecond: assigned } of accounts) {
          const off = assigned > target ? assigned - target : target - assigned;
          expect(off <= farm.largest * BigInt(list.length)).toBe(true);
        }
      }),
      { numRuns: 80 },
    );
  });

  it('meets weights on average with time slices', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.bigInt({ min: 50n, max: 300n }).map((th) => th * TH),
          { minLength: 1, maxLength: 6 },
        ),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 3 }),
        (hashrates, weights) => {
          const farm = new Farm(hashrates, { minStayMs: 10_000, sliceMs: 60_000 });
          const destinations = weights.map((value, at) => weight(`d${at}`, value));
          farm.run(destinations, 2_000, 5_000);
          const sum = weights.reduce((all, value) => all + value, 0);
          const all = Number(farm.total) * farm.nowMs;
          for (const [at, value] of weights.entries()) {
            const part = Number(farm.delivered.get(`d${at}`) ?? 0n) / all;
            expect(Math.abs(part - value / sum)).toBeLessThan(0.03);
          }
        },
      ),
      { numRuns: 15 },
    );
  });
});
