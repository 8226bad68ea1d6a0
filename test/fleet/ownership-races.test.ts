import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualTime } from '../base/virtual-time.ts';
import { SeededRandom } from '../sim/random.ts';
import { LEASE_MS, ModelDatabase, ModelInstance } from './fleet-model.ts';
import '../seed.ts';

type Step =
  | { readonly type: 'time'; readonly ms: number }
  | { readonly type: 'stop'; readonly at: number; readonly withClock: boolean }
  | { readonly type: 'wake' | 'cut' | 'heal'; readonly at: number }
  | { readonly type: 'database_clock'; readonly ms: number };

const at = fc.nat({ max: 2 });
const CALM: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('time'), ms: fc.integer({ min: 1, max: 9_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('stop'), at, withClock: fc.constant(false) }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constantFrom('wake', 'cut', 'heal'), at }) },
);
/** Clocks that stand still with their machine, and one of the database that is set. */
const WILD: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: CALM },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('stop'), at, withClock: fc.constant(true) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('database_clock'),
      ms: fc.integer({ min: -60_000, max: 60_000 }),
    }),
  },
);
const MOMENT_MS = 250;
/** By which clocks differ in speed from that of the database. */
const RATES = fc.tuple(...[0, 1, 2].map(() => fc.constantFrom(0.82, 0.97, 1, 1.03, 1.2)));

class Fleet {
  readonly time = new VirtualTime();
  readonly database: ModelDatabase;
  readonly all: readonly ModelInstance[];

  constructor(rates: readonly number[], seed: number, isFencing = true) {
    const random = new SeededRandom(seed);
    this.database = new ModelDatabase(this.time, isFencing);
    this.all = rates.map(
      (rate, index) => new ModelInstance(`i${index}`, this.database, this.time, rate, random),
    );
  }

  async play(steps: readonly Step[], onMoment: () => void = () => {}): Promise<void> {
    for (const step of steps) {
      if (step.type === 'time') {
        for (let left = step.ms; left > 0; left -= MOMENT_MS) {
          await this.time.advance(Math.min(left, MOMENT_MS));
          onMoment();
        }
      } else if (step.type === 'database_clock') this.database.aheadMs += step.ms;
      else if (step.type === 'stop') this.all[step.at]!.stop(step.withClock);
      else if (step.type === 'wake') this.all[step.at]!.wake();
      else this.all[step.at]!.isCut = step.type === 'cut';
      await this.time.settle();
      onMoment();
    }
  }

  /** Everything heals; some owner goes on, and in the end all leave. */
  async heal(): Promise<void> {
    for (const each of this.all) {
      each.isCut = false;
      each.wake();
    }
    await this.time.settle();
    // A clock that was set back has what was taken before hold for longer.
    this.database.untilMs = Math.min(this.database.untilMs, this.database.nowMs + LEASE_MS);
    const { n } = this.database;
    await this.time.advance(4 * LEASE_MS);
    expect(this.database.n).toBeGreaterThan(n);
    const closed = Promise.all(this.all.map((each) => each.owner.close()));
    await this.time.advance(4 * LEASE_MS);
    await closed;
  }

  /** Each state once, tokens in their order, and nothing acknowledged that is not there. */
  expectOneOwner(): void {
    expect(this.all.map(({ problem }) => problem)).toEqual(this.all.map(() => undefined));
    const { written } = this.database;
    expect(written.map(({ n }) => n)).toEqual(written.map((_, index) => index + 1));
    const tokens = written.map(({ token }) => token);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    for (const { acked } of this.all)
      for (const { n, token } of acked) expect(written[n - 1]?.token).toBe(token);
  }
}

/** One is the owner for a while, then something happens to it at a moment of its course, and time passes. */
async function cutShort(rate: number, moment: number, what: 'cut' | 'sleep'): Promise<void> {
  const fleet = new Fleet([rate, 1, 1], moment);
  fleet.all[1]!.stop(false);
  fleet.all[2]!.stop(false);
  await fleet.play([{ type: 'time', ms: 25_000 + moment * MOMENT_MS }]);
  expect(fleet.all[0]!.owner.fresh).toBeDefined();
  for (const each of fleet.all) each.wake();
  if (what === 'cut') fleet.all[0]!.isCut = 'lease';
  else fleet.all[0]!.stop(false);
  let most = 0;
  await fleet.play(
    [
      { type: 'time', ms: 20_000 },
      { type: 'wake', at: 0 },
    ],
    () => {
      const believers = fleet.all.filter((each) => !each.isStopped && each.owner.fresh !== undefined);
      most = Math.max(most, believers.length);
    },
  );
  expect(most).toBe(1);
  expect(fleet.database.token).toBeGreaterThan(1);
  expect(fleet.all[0]!.signed.filter(({ wasTaken }) => wasTaken)).toEqual([]);
}
const MOMENTS = Array.from({ length: 16 }, (_, moment) => moment);

describe('three instances on one ledger', () => {
  it('have one owner at a time, by what each believes, and nobody else signs, while clocks run', async () => {
    await fc.assert(
      fc.asyncProperty(
        RATES,
        fc.nat(),
        fc.array(CALM, { maxLength: 60, size: 'max' }),
        async (rates, seed, steps) => {
          const fleet = new Fleet(rates, seed);
          await fleet.play(steps, () => {
            // One that stands still believes nothing; what it believes when it wakes up is seen then.
            const believers = fleet.all.filter((each) => !each.isStopped && each.owner.fresh !== undefined);
            expect(believers.length).toBeLessThanOrEqual(1);
          });
          await fleet.heal();
          fleet.expectOneOwner();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('are not two where the owner has a slow clock and can renew no more, at any moment', async () => {
    for (const moment of MOMENTS) await cutShort(0.82, moment, 'cut');
  });

  it('are not two where the owner slept, and it signs nothing when it wakes up', async () => {
    for (const moment of MOMENTS) await cutShort(1, moment, 'sleep');
  });

  it('write as one owner whatever clocks do', async () => {
    await fc.assert(
      fc.asyncProperty(
        RATES,
        fc.nat(),
        fc.array(WILD, { maxLength: 60, size: 'max' }),
        async (rates, seed, steps) => {
          const fleet = new Fleet(rates, seed);
          await fleet.play(steps);
          await fleet.heal();
          fleet.expectOneOwner();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('would not, if the database asked for no token: a machine that stood still goes on where it was', async () => {
    const course: readonly Step[] = [
      { type: 'time', ms: 30_000 },
      { type: 'stop', at: 0, withClock: true },
      { type: 'stop', at: 1, withClock: true },
      { type: 'time', ms: 60_000 },
      { type: 'wake', at: 0 },
      { type: 'wake', at: 1 },
      { type: 'time', ms: 5_000 },
      { type: 'stop', at: 2, withClock: true },
      { type: 'time', ms: 60_000 },
      { type: 'wake', at: 2 },
      { type: 'time', ms: 5_000 },
    ];
    const fenced = new Fleet([1, 1, 1], 1);
    await fenced.play(course);
    fenced.expectOneOwner();
    expect(new Set(fenced.database.written.map(({ by }) => by)).size).toBeGreaterThan(1);
    const open = new Fleet([1, 1, 1], 1, false);
    await open.play(course);
    expect(() => open.expectOneOwner()).toThrow();
  });
});
