import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DestinationHealth,
  FAILOVER_OPTIONS,
  type FailoverState,
  isHealthy,
  isServing,
  isUsable,
  NO_CHOICE,
  transition,
} from '../../src/upstream/failover.ts';

const OPTIONS = { returnAfterMs: 60_000, maxRejectRatio: 0.5, minVerdicts: 20 };

function health(name: string, overrides: Partial<DestinationHealth> = {}): DestinationHealth {
  return {
    name,
    isUp: true,
    jobAgeMs: 1_000,
    jobAgeLimitMs: 900_000,
    rejectRatio: 0,
    verdicts: 0,
    rttMs: undefined,
    shapeChanges: 0,
    ...overrides,
  };
}

const down = (name: string): DestinationHealth => health(name, { isUp: false, jobAgeMs: undefined });

function choose(
  before: FailoverState,
  destinations: readonly DestinationHealth[],
  nowMs: number,
): { state: FailoverState; choice: string | undefined } {
  const { state, effects } = transition(OPTIONS, before, { type: 'health', destinations }, nowMs);
  const { choice } = state;
  expect(effects).toEqual(choice === before.choice ? [] : [{ type: 'switch', to: choice }]);
  return { state, choice };
}

/** Chooses step after step; each step says who is there, best first. */
function run(
  steps: readonly [nowMs: number, healths: readonly DestinationHealth[]][],
): (string | undefined)[] {
  let state: FailoverState = NO_CHOICE;
  return steps.map(([nowMs, healths]) => {
    const result = choose(state, healths, nowMs);
    state = result.state;
    return result.choice;
  });
}

describe('failover', () => {
  it('takes the best at the start, leaves it at once, returns after it was healthy for long', () => {
    const both = [health('a'), health('b')];
    const onlyB = [down('a'), health('b')];
    expect(
      run([
        [0, both],
        [1_000, onlyB],
        [2_000, both],
        [30_000, onlyB],
        [31_000, both],
        [90_999, both],
        [91_000, both],
      ]),
    ).toEqual(['a', 'b', 'b', 'b', 'b', 'b', 'a']);
  });

  it('gives the hashrate to the first by priority at the start, not to the one that connected before', () => {
    expect(
      run([
        [0, [down('a'), down('b')]],
        [5, [down('a'), health('b')]],
        [7, [health('a'), health('b')]],
      ]),
    ).toEqual([undefined, 'b', 'a']);
    const connected = health('a', { jobAgeMs: undefined });
    expect(
      run([
        [0, [connected, health('b')]],
        [2, [health('a'), health('b')]],
        [3, [down('a'), health('b')]],
        [4, [health('a'), health('b')]],
        [60_003, [health('a'), health('b')]],
        [60_004, [health('a'), health('b')]],
      ]),
    ).toEqual(['b', 'a', 'b', 'b', 'b', 'a']);
  });

  it('avoids what keeps changing the shape of its jobs, and calls nothing up that gives no work', () => {
    expect(isHealthy(FAILOVER_OPTIONS, health('a', { shapeChanges: 6 }))).toBe(true);
    expect(isHealthy(FAILOVER_OPTIONS, health('a', { shapeChanges: 7 }))).toBe(false);
    expect(isServing(health('a'))).toBe(true);
    expect(isServing(health('a', { jobAgeMs: undefined }))).toBe(false);
    expect(isServing(health('a', { jobAgeMs: 900_001 }))).toBe(false);
    expect(isServing(down('a'))).toBe(false);
  });

  it('prefers a steady destination to one that has just come back', () => {
    const flapping = [down('a'), down('b'), health('c')];
    expect(
      run([
        [0, [health('a'), down('b'), health('c')]],
        [100_000, [down('a'), health('b'), health('c')]],
        [130_000, flapping],
        [131_000, [health('a'), health('b'), down('c')]],
      ]),
    ).toEqual(['a', 'c', 'c', 'a']);
  });

  it('avoids what is stuck or refuses, unless there is nothing else', () => {
    const stuck = health('a', { jobAgeMs: 900_001 });
    const refusing = health('b', { rejectRatio: 0.6, verdicts: 20 });
    expect(run([[0, [stuck, refusing, health('c')]]])).toEqual(['c']);
    expect(run([[0, [stuck, refusing, down('c')]]])).toEqual(['a']);
    expect(run([[0, [health('a', { jobAgeMs: undefined }), down('b')]]])).toEqual([undefined]);
    expect(run([[0, [health('a', { rejectRatio: 1, verdicts: 19 })]]])).toEqual(['a']);
    expect(
      run([
        [0, [down('a'), refusing]],
        [1, [stuck, refusing]],
      ]),
    ).toEqual(['b', 'b']);
  });

  it('leaves what refuses once, and does not return while its reject ratio crosses the limit', () => {
    const at = (rejectRatio: number): readonly DestinationHealth[] => [
      health('a', { rejectRatio, verdicts: 50 }),
      health('b'),
    ];
    const steps = Array.from({ length: 600 }, (_, second): [number, readonly DestinationHealth[]] => [
      second * 1_000,
      at(second % 40 < 20 ? 0.45 : 0.55),
    ]);
    const choices = run(steps);
    expect(choices.slice(0, 21)).toEqual([...Array(20).fill('a'), 'b']);
    expect(new Set(choices.slice(20))).toEqual(new Set(['b']));
    expect(
      run([
        [0, at(0.55)],
        [1_000, at(0.45)],
        [60_999, at(0.45)],
        [61_000, at(0.45)],
      ]),
    ).toEqual(['b', 'b', 'b', 'a']);
  });

  it('avoids what answers late, when there is a limit', () => {
    const slow = health('a', { rttMs: 10_001 });
    expect(isHealthy(FAILOVER_OPTIONS, slow)).toBe(false);
    expect(isHealthy(FAILOVER_OPTIONS, health('a', { rttMs: 10_000 }))).toBe(true);
    expect(isHealthy(OPTIONS, slow)).toBe(true);
  });

  it('forgets destinations that are gone', () => {
    expect(
      run([
        [0, [health('a'), health('b')]],
        [1, [health('b')]],
        [2, []],
      ]),
    ).toEqual(['a', 'b', undefined]);
  });
});

describe('any history', () => {
  const names = ['a', 'b', 'c', 'd'];
  const arbitraryHealth = (name: string): fc.Arbitrary<DestinationHealth> =>
    fc
      .record({
        up: fc.boolean(),
        jobAgeMs: fc.option(fc.constantFrom(0, 10, 2_000_000), { nil: undefined }),
        rejectRatio: fc.constantFrom(0, 0, 0, 0.9),
        verdicts: fc.constantFrom(0, 100),
      })
      .map((overrides) => health(name, overrides));
  const history = fc.array(
    fc.record({ elapsedMs: fc.nat({ max: 40_000 }), healths: fc.tuple(...names.map(arbitraryHealth)) }),
    { maxLength: 60 },
  );

  it('of reject ratios returns to a better destination at most once in the time it must be healthy', () => {
    const ratios = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 300 });
    fc.assert(
      fc.property(ratios, (history) => {
        let state: FailoverState = NO_CHOICE;
        let returnedAtMs = Number.NEGATIVE_INFINITY;
        for (const [second, rejectRatio] of history.entries()) {
          const nowMs = second * 5_000;
          const before = state.choice;
          const result = choose(state, [health('a', { rejectRatio, verdicts: 30 }), health('b')], nowMs);
          state = result.state;
          if (rejectRatio > OPTIONS.maxRejectRatio) expect(result.choice).toBe('b');
          if (before !== 'b' || result.choice !== 'a') continue;
          expect(nowMs - returnedAtMs).toBeGreaterThanOrEqual(OPTIONS.returnAfterMs);
          returnedAtMs = nowMs;
        }
      }),
    );
  });

  it('keeps the rules', () => {
    fc.assert(
      fc.property(history, (steps) => {
        let state: FailoverState = NO_CHOICE;
        let nowMs = 0;
        const since = new Map<string, number>();
        const failed = new Set<string>();
        for (const { elapsedMs, healths } of steps) {
          nowMs += elapsedMs;
          const before = state.choice;
          const frozen = structuredClone(state);
          const result = choose(state, healths, nowMs);
          expect(state).toEqual(frozen);
          expect(choose(state, healths, nowMs)).toEqual(result);
          state = result.state;
          const healthy = new Set(healths.filter((one) => isHealthy(OPTIONS, one)).map((one) => one.name));
          const usable = new Set(healths.filter(isUsable).map((one) => one.name));
          for (const name of names) {
            if (!healthy.has(name)) {
              if (since.delete(name) || usable.has(name)) failed.add(name);
            } else if (!since.has(name)) since.set(name, nowMs);
          }
          const { choice } = result;
          if (healthy.size > 0) expect(healthy.has(choice!)).toBe(true);
          else if (usable.size > 0) expect(usable.has(choice!)).toBe(true);
          else expect(choice).toBeUndefined();
          if (before === undefined || !healthy.has(before) || choice === before) continue;
          expect(names.indexOf(choice!)).toBeLessThan(names.indexOf(before));
          if (failed.has(choice!))
            expect(nowMs - since.get(choice!)!).toBeGreaterThanOrEqual(OPTIONS.returnAfterMs);
        }
        const calm = names.map((name) => health(name));
        choose(state, calm, nowMs);
        state = choose(state, calm, nowMs).state;
        expect(choose(state, calm, nowMs + OPTIONS.returnAfterMs).choice).toBe('a');
      }),
      { numRuns: 300 },
    );
  });
});
