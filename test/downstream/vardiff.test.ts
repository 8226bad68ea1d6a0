import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkVardiffOptions,
  countShares,
  powerOfTwoBelow,
  startVardiff,
  transition,
  type VardiffEvent,
  type VardiffOptions,
  type VardiffState,
} from '../../src/downstream/session/vardiff.ts';

const OPTIONS: VardiffOptions = { sharesPerMinute: 12, start: 16_384, floor: 2 ** -20, ceiling: 2 ** 50 };
const HASHES_PER_DIFFICULTY = 2 ** 32;

/** A step, and that it counts the moves of the rate and no others. */
function stepped(
  options: VardiffOptions,
  before: VardiffState,
  event: VardiffEvent,
  nowMs: number,
): VardiffState {
  const { state, effects } = transition(options, before, event, nowMs);
  const moved = event.type === 'job_due' ? Math.sign(state.difficulty - before.difficulty) : 0;
  expect(effects).toEqual(moved === 0 ? [] : [{ type: moved > 0 ? 'raised' : 'lowered' }]);
  return state;
}

const nextVardiff = (options: VardiffOptions, state: VardiffState, nowMs: number): VardiffState =>
  stepped(options, state, { type: 'job_due' }, nowMs);

/** Mulberry32: a seeded stream of numbers in [0, 1). */
function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Shares arrive as a Poisson process; a job leaves every `jobMs`. Returns the difficulty of each job. */
function mine(
  hashesPerSecond: number,
  jobs: number,
  options = OPTIONS,
  jobMs = 30_000,
  seed = 1,
): number[] {
  const random = randomStream(seed);
  let state = startVardiff(options, 0);
  const difficulties: number[] = [];
  for (let job = 1; job <= jobs; job += 1) {
    difficulties.push(state.difficulty);
    const mean = (hashesPerSecond * jobMs) / 1000 / (state.difficulty * HASHES_PER_DIFFICULTY);
    const shares = Math.min(poisson(mean, random), 100_000);
    for (let share = 0; share < shares; share += 1) countShares(state, 1, state.difficulty);
    state = nextVardiff(options, state, job * jobMs);
  }
  return difficulties;
}

/** Shares that a miner sends in that many jobs. */
function mineShares(hashesPerSecond: number, jobs: number, options: VardiffOptions, jobMs: number): number {
  const expected = (difficulty: number): number =>
    (hashesPerSecond * jobMs) / 1000 / (difficulty * HASHES_PER_DIFFICULTY);
  return mine(hashesPerSecond, jobs, options, jobMs).reduce((sum, each) => sum + expected(each), 0);
}

function poisson(mean: number, random: () => number): number {
  if (mean > 500) {
    const gauss = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * gauss));
  }
  let count = -1;
  for (let product = 1; product > Math.exp(-mean); count += 1) product *= random();
  return count;
}

const ideal = (hashesPerSecond: number): number => (hashesPerSecond * 5) / HASHES_PER_DIFFICULTY;

describe('vardiff', () => {
  const miners: readonly [who: string, hashesPerSecond: number, searchJobs: number][] = [
    ['a farm of 50 PH/s', 50e15, 4],
    ['an S21', 200e12, 4],
    ['a Bitaxe', 1.2e12, 4],
    ['a NerdMiner, 25 powers of two away,', 350e3, 6],
  ];
  it.each(miners)('finds the difficulty of %s and keeps it', (_who, rate, searchJobs) => {
    const seeds = 20;
    let jobs = 0;
    let far = 0;
    let changes = 0;
    for (let seed = 1; seed <= seeds; seed += 1) {
      const found = mine(rate, 500, OPTIONS, 30_000, seed).slice(searchJobs);
      jobs += found.length;
      far += found.filter((difficulty) => Math.abs(Math.log2(difficulty / ideal(rate))) > 1.05).length;
      changes += found.filter((difficulty, at) => at > 0 && difficulty !== found[at - 1]).length;
    }
    expect(far / jobs).toBeLessThan(0.002);
    expect(changes / seeds).toBeLessThan(4);
  });

  const rates = [5e9, 20e9, 100e9, 500e9, 1.2e12, 5e12, 20e12, 100e12, 200e12, 500e12];
  const starts = [512, 16_384];
  const jobTimes = [1000, 5000, 15_000, 30_000];
  const searches = rates.flatMap((rate) =>
    starts.flatMap((start) => jobTimes.map((jobMs) => [rate, start, jobMs] as const)),
  );
  it.each(searches)('finds %d H/s from %d with a job every %d ms in two minutes', (rate, start, jobMs) => {
    const seeds = 100;
    let close = 0;
    for (let seed = 1; seed <= seeds; seed += 1) {
      const jobs = 120_000 / jobMs + 1;
      const found = mine(rate, jobs, { ...OPTIONS, start }, jobMs, seed * 7919).at(-1)!;
      if (Math.abs(Math.log2(found / ideal(rate))) <= 1.05) close += 1;
    }
    expect(close / seeds).toBeGreaterThanOrEqual(0.9);
  });

  it('asks a new miner for no more than some hundred shares before it knows', () => {
    for (const rate of rates) {
      const jobs = mineShares(rate, 121, { ...OPTIONS, start: 16_384 }, 1000);
      expect(jobs).toBeLessThan(200);
    }
  });

  it('is wrong about a steady miner no more often than Poisson says', () => {
    let changes = 0;
    const days = 40;
    for (let seed = 1; seed <= days; seed += 1) {
      const found = mine(100e12, 2880, OPTIONS, 30_000, seed).slice(8);
      changes += found.filter((difficulty, at) => at > 0 && difficulty !== found[at - 1]).length;
    }
    expect(changes / days).toBeLessThan(2);
  });

  it('heeds the same suggestion once, however often it comes', () => {
    const suggest = (state: VardiffState, difficulty: number, nowMs: number): VardiffState =>
      stepped(OPTIONS, state, { type: 'suggested', difficulty }, nowMs);
    let state = suggest(startVardiff(OPTIONS, 0), 1_000, 0);
    expect(state.difficulty).toBe(1_024);
    const alone = { ...state };
    // Every 30 s, while the rate speaks for another difficulty.
    let plain: VardiffState = alone;
    for (let job = 1; job <= 20; job += 1) {
      for (const one of [state, plain]) countShares(one, 600, one.difficulty);
      state = suggest(nextVardiff(OPTIONS, state, job * 30_000), 1_000, job * 30_000);
      plain = nextVardiff(OPTIONS, plain, job * 30_000);
      expect(state).toEqual(plain);
    }
    expect(state.difficulty).toBeGreaterThan(1_024);
    expect(suggest(state, 2_000, 700_000).difficulty).toBe(2_048);
    expect(suggest(suggest(state, 2_000, 700_000), 1_000, 701_000).difficulty).toBe(1_024);
  });

  it('follows a miner that grew or shrank', () => {
    let state = startVardiff({ ...OPTIONS, start: 1024 }, 0);
    const run = (perJob: number, from: number): VardiffState => {
      for (let job = 1; job <= 12; job += 1) {
        for (let share = 1; share <= perJob / state.difficulty; share += 1)
          countShares(state, 1, state.difficulty);
        state = nextVardiff(OPTIONS, state, from + job * 30_000);
      }
      return state;
    };
    expect(run(6 * 1024, 0).difficulty).toBe(1024);
    expect(run(6 * 16_384, 360_000).difficulty).toBe(16_384);
    expect([512, 1024]).toContain(run(6 * 512, 720_000).difficulty);
  });

  it('goes down in silence, not on a short pause', () => {
    const settled: VardiffState = { ...startVardiff(OPTIONS, 0), isSettled: true };
    expect(nextVardiff(OPTIONS, settled, 45_000).difficulty).toBe(16_384);
    expect(nextVardiff(OPTIONS, settled, 46_000).difficulty).toBe(2048);
    expect(nextVardiff(OPTIONS, startVardiff(OPTIONS, 0), 9000).difficulty).toBe(16_384);
    const silent = nextVardiff(OPTIONS, startVardiff(OPTIONS, 0), 10_000);
    expect(silent.difficulty).toBe(1024);
    expect(nextVardiff(OPTIONS, silent, 20_000).difficulty).toBe(64);
  });

  it('does nothing when no time passed', () => {
    const state = startVardiff(OPTIONS, 1000);
    for (let share = 0; share < 100; share += 1) countShares(state, 1, 1);
    expect(nextVardiff(OPTIONS, state, 1000)).toBe(state);
    expect(nextVardiff(OPTIONS, state, 500)).toBe(state);
  });

  it('starts again from a suggestion and keeps a fixed difficulty', () => {
    const state = startVardiff(OPTIONS, 0);
    expect(stepped(OPTIONS, state, { type: 'suggested', difficulty: 1000 }, 0).difficulty).toBe(1024);
    const fixed = stepped(OPTIONS, state, { type: 'fixed', difficulty: 1_000_000 }, 0);
    expect(fixed.difficulty).toBe(1_000_000);
    expect(stepped(OPTIONS, fixed, { type: 'suggested', difficulty: 1 }, 0)).toBe(fixed);
    expect(nextVardiff(OPTIONS, fixed, 600_000).difficulty).toBe(1_000_000);
    expect(stepped(OPTIONS, state, { type: 'fixed', difficulty: 16_777_217 }, 0).difficulty).toBe(
      16_777_216,
    );
  });

  it('is a power of two between the bounds, whatever happens', () => {
    const options = { ...OPTIONS, floor: 0.25, ceiling: 2 ** 30 };
    const step = fc.record({ shares: fc.nat({ max: 200 }), waitMs: fc.nat({ max: 700_000 }) });
    fc.assert(
      fc.property(
        fc.double({ min: 1e-6, max: 1e12, noNaN: true }),
        fc.array(step, { maxLength: 30 }),
        (start, steps) => {
          let state = startVardiff({ ...options, start }, 0);
          let nowMs = 0;
          for (const { shares, waitMs } of steps) {
            nowMs += waitMs;
            for (let share = 0; share < shares; share += 1) countShares(state, 1, state.difficulty);
            state = nextVardiff(options, state, nowMs);
            expect(state.difficulty).toBeGreaterThanOrEqual(options.floor);
            expect(state.difficulty).toBeLessThanOrEqual(options.ceiling);
            expect(Number.isInteger(Math.log2(state.difficulty))).toBe(true);
          }
        },
      ),
    );
  });

  it('rounds down to powers of two exactly', () => {
    for (const [value, power] of [
      [1, 1],
      [1.999, 1],
      [0.3, 0.25],
      [1638, 1024],
      [2 ** 47, 2 ** 47],
      [2 ** 47 - 1, 2 ** 46],
    ] as const) {
      expect(powerOfTwoBelow(value)).toBe(power);
    }
  });

  it('breaks on options that make no sense', () => {
    for (const bad of [
      { sharesPerMinute: 0 },
      { floor: 0 },
      { floor: 2, ceiling: 1 },
      { start: Number.NaN },
    ]) {
      expect(() => checkVardiffOptions({ ...OPTIONS, ...bad })).toThrow(/vardiff/);
    }
  });
});
