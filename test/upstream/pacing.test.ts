import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  SPLIT_OPTIONS,
  type SplitDestination,
  type SplitSession,
  type SplitState,
  transition,
  UNDIVIDED,
} from '../../src/upstream/split.ts';

/** Contracts with a rate, in virtual time: what each gets by the hour and in all. */
const TH = 1_000_000_000_000n;
const HOUR_MS = 3_600_000;
const ROUND_MS = 5_000;
const { sliceMs } = SPLIT_OPTIONS;

type Rig = { readonly id: number; readonly rate: bigint };

class Farm {
  state: SplitState = UNDIVIDED;
  nowMs = 0;
  readonly places = new Map<number, string | undefined>();
  /** In hashes * 1000. */
  readonly delivered = new Map<string, bigint>();
  readonly moves = new Map<number, number>();

  /** One round, after which everybody works for its length. */
  round(rigs: readonly Rig[], destinations: readonly SplitDestination[]): void {
    const sessions: SplitSession[] = rigs.map(({ id, rate }) => {
      return { id, hashesPerSecond: rate, destination: this.places.get(id) };
    });
    const event = { type: 'round', sessions, destinations } as const;
    const { state, effects } = transition(SPLIT_OPTIONS, this.state, event, this.nowMs);
    this.state = state;
    for (const { session, to } of effects) {
      this.places.set(session, to);
      this.moves.set(session, (this.moves.get(session) ?? 0) + 1);
    }
    for (const { id, rate } of rigs) {
      const at = this.places.get(id) ?? 'nowhere';
      this.delivered.set(at, (this.delivered.get(at) ?? 0n) + rate * BigInt(ROUND_MS));
    }
    this.nowMs += ROUND_MS;
  }

  hour(rigs: readonly Rig[], destinations: readonly SplitDestination[]): void {
    for (let ms = 0; ms < HOUR_MS; ms += ROUND_MS) this.round(rigs, destinations);
  }

  changed(): void {
    this.state = transition(SPLIT_OPTIONS, this.state, { type: 'destinations_changed' }, this.nowMs).state;
  }

  at(name: string): bigint {
    return this.delivered.get(name) ?? 0n;
  }
}

const OWN: SplitDestination = { name: 'own', quota: { type: 'rest' }, isUsable: true };
const contract = (name: string, rate: bigint): SplitDestination => ({
  ...{ name, isUsable: true },
  quota: { type: 'rate', hashesPerSecond: rate, maxHashesPerSecond: (rate * 5n) / 4n },
});
const sum = (rigs: readonly Rig[]): bigint => rigs.reduce((all, { rate }) => all + rate, 0n);
const largest = (rigs: readonly Rig[]): bigint =>
  rigs.reduce((most, { rate }) => (rate > most ? rate : most), 0n);
const off = (a: bigint, b: bigint): bigint => (a > b ? a - b : b - a);

/** Farms of very different machines: 0.5 to 500 TH/s. */
const farms = fc
  .array(fc.bigInt({ min: 1n, max: 1_000n }), { minLength: 1, maxLength: 25 })
  .map((rates) => rates.map((half, id): Rig => ({ id, rate: (half * TH) / 2n })));
/** Parts of the farm, in per mille, that contracts commit to; at most nine tenths in all. */
const parts = fc
  .array(fc.integer({ min: 20, max: 300 }), { minLength: 1, maxLength: 3 })
  .filter((list) => list.reduce((all, one) => all + one, 0) <= 800);

/** What the largest machine does in one slice: no assignment of whole sessions is sure to be nearer. */
const slice = (rigs: readonly Rig[]): bigint => largest(rigs) * BigInt(sliceMs);
const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
/** Where an hour begins and ends is up to the rounds: a slice is over by a few of them. */
const sliceAndRounds = (rigs: readonly Rig[]): bigint => (slice(rigs) * 5n) / 4n;
const ratesOf = (rigs: readonly Rig[], list: readonly number[]): bigint[] =>
  list.map((part) => (sum(rigs) * BigInt(part)) / 1000n);
const contracts = (rates: readonly bigint[]): SplitDestination[] => [
  ...rates.map((rate, at) => contract(`c${at}`, rate)),
  OWN,
];
const RUNS = { numRuns: 20 };

describe('contracts with a rate', () => {
  it('get it in each hour to 1 % or little more than a slice, exactly over all hours, and nobody is moved often', () => {
    fc.assert(
      fc.property(farms, parts, (rigs, list) => {
        const farm = new Farm();
        const rates = ratesOf(rigs, list);
        for (let hour = 0; hour < 8; hour += 1) {
          const before = rates.map((_rate, at) => farm.at(`c${at}`));
          farm.hour(rigs, contracts(rates));
          for (const [at, rate] of rates.entries()) {
            const due = rate * BigInt(HOUR_MS);
            const got = farm.at(`c${at}`) - before[at]!;
            expect(off(got, due)).toBeLessThanOrEqual(most(due / 100n, sliceAndRounds(rigs)));
          }
        }
        for (const [at, rate] of rates.entries())
          expect(off(farm.at(`c${at}`), rate * BigInt(farm.nowMs))).toBeLessThanOrEqual(slice(rigs));
        for (const moves of farm.moves.values()) expect(moves / 8).toBeLessThanOrEqual(30);
      }),
      RUNS,
    );
  });

  it('within 1 % of each hour where no machine is above a tenth of the rate', () => {
    const many = fc
      .array(fc.bigInt({ min: 50n, max: 150n }), { minLength: 60, maxLength: 80 })
      .map((list) => list.map((th, id): Rig => ({ id, rate: th * TH })));
    fc.assert(
      fc.property(many, fc.integer({ min: 300, max: 800 }), (rigs, part) => {
        const [rate] = ratesOf(rigs, [part]);
        const farm = new Farm();
        for (let hour = 1; hour <= 3; hour += 1) {
          const before = farm.at('c0');
          farm.hour(rigs, contracts([rate!]));
          const due = rate! * BigInt(HOUR_MS);
          expect(off(farm.at('c0') - before, due)).toBeLessThanOrEqual(due / 100n);
        }
      }),
      { numRuns: 5 },
    );
  });

  it('get it with few and large machines, which are divided by time', () => {
    for (const machines of [1, 2, 3]) {
      const rigs = Array.from({ length: machines }, (_, id): Rig => ({ id, rate: 100n * TH }));
      const rates = ratesOf(rigs, [137, 311]);
      const farm = new Farm();
      for (let hour = 0; hour < 24; hour += 1) farm.hour(rigs, contracts(rates));
      for (const [at, rate] of rates.entries())
        expect(off(farm.at(`c${at}`), rate * BigInt(farm.nowMs))).toBeLessThanOrEqual(slice(rigs));
      for (const moves of farm.moves.values()) expect(moves / 24).toBeLessThanOrEqual(30);
    }
  });

  it('make up for hours without enough hashrate, never above their most, and are then exact again', () => {
    fc.assert(
      fc.property(
        farms,
        fc.integer({ min: 100, max: 600 }),
        fc.integer({ min: 1, max: 4 }),
        (rigs, part, lost) => {
          const [rate] = ratesOf(rigs, [part]);
          const atMost = (rate! * 5n) / 4n;
          const farm = new Farm();
          for (let hour = 0; hour < lost; hour += 1) farm.hour([], contracts([rate!]));
          const outage = farm.at('c0');
          expect(outage).toBe(0n);
          for (let hour = 0; hour < 4 * lost + 12; hour += 1) {
            const before = farm.at('c0');
            farm.hour(rigs, contracts([rate!]));
            const got = farm.at('c0') - before;
            expect(got).toBeLessThanOrEqual(atMost * BigInt(HOUR_MS) + sliceAndRounds(rigs));
          }
          // What is owed is made up for by a part of it an hour, so that little of it is left.
          const left = (rate! * BigInt(lost * HOUR_MS)) / 20n;
          expect(off(farm.at('c0'), rate! * BigInt(farm.nowMs))).toBeLessThanOrEqual(left + slice(rigs));
        },
      ),
      RUNS,
    );
  });

  it('get it where machines come and go, as long as there are enough', () => {
    const shifts = fc.array(fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(farms, shifts, (guests, plan) => {
        const base = Array.from({ length: 6 }, (_, id): Rig => ({ id: 100 + id, rate: 200n * TH }));
        const rates = ratesOf(base, [200, 500]);
        const farm = new Farm();
        for (const isThere of plan) {
          const rigs = [...base, ...guests.filter(({ id }) => isThere[id % 12] === true)];
          farm.hour(rigs, contracts(rates));
        }
        for (const [at, rate] of rates.entries())
          expect(off(farm.at(`c${at}`), rate * BigInt(farm.nowMs))).toBeLessThanOrEqual(
            2n * slice([...base, ...guests]),
          );
      }),
      RUNS,
    );
  });

  it('are owed nothing for the time in which they take no part, and the others get what they leave', () => {
    fc.assert(
      fc.property(farms, fc.integer({ min: 1, max: 5 }), (rigs, hours) => {
        const rates = ratesOf(rigs, [250, 400]);
        const all = contracts(rates);
        const [, second] = all;
        const farm = new Farm();
        farm.hour(rigs, all);
        const paused = farm.at('c0');
        farm.changed();
        for (let hour = 0; hour < hours; hour += 1) farm.hour(rigs, [second!, OWN]);
        expect(farm.at('c0')).toBe(paused);
        farm.changed();
        for (let hour = 0; hour < 4; hour += 1) farm.hour(rigs, all);
        const shared = BigInt(5 * HOUR_MS);
        expect(off(farm.at('c0'), rates[0]! * shared)).toBeLessThanOrEqual(slice(rigs));
        expect(off(farm.at('c1'), rates[1]! * BigInt(farm.nowMs))).toBeLessThanOrEqual(slice(rigs));
      }),
      RUNS,
    );
  });
});
