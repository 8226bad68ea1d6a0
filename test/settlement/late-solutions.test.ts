import { expect, it } from 'vitest';
import {
  countSolution,
  isLatePause,
  LATE_PAUSE_MS,
  type LateSolutions,
  NO_SOLUTIONS,
} from '../../src/settlement/late-solutions.ts';

/** A tenth of the solutions may be late. */
const PPM = 100_000;

/** What comes of solutions, one a second: late, or not. */
function count(...lates: readonly boolean[]): LateSolutions {
  return lates.reduce(
    (sum, isLate, second) => countSolution(PPM, sum, isLate, second * 1000),
    NO_SOLUTIONS,
  );
}
const many = (size: number, isLate: boolean): boolean[] => Array.from({ length: size }, () => isLate);

it('solutions are counted, and two that are late are always forgiven', () => {
  expect(isLatePause(NO_SOLUTIONS, 0)).toBe(false);
  expect(count(false, true, true)).toEqual({ ...NO_SOLUTIONS, solutions: 3, late: 2 });
  expect(count(false, true, true, true)).toEqual({
    ...{ solutions: 4, late: 3 },
    pausedUntilMs: 3000 + LATE_PAUSE_MS,
  });
});

it('those that the terms allow are forgiven, to the last; the next one pauses', () => {
  expect(count(...many(26, false), ...many(3, true)).pausedUntilMs).toBe(28_000 + LATE_PAUSE_MS);
  const allowed = count(...many(27, false), ...many(3, true));
  expect(allowed).toEqual({ ...NO_SOLUTIONS, solutions: 30, late: 3 });
  const beyond = countSolution(PPM, allowed, true, 70_000);
  expect(beyond.pausedUntilMs).toBe(130_000);
  // What comes in time neither pauses nor ends a pause.
  expect(countSolution(PPM, beyond, false, 71_000)).toEqual({ ...beyond, solutions: 32 });
});

it('a pause ends at its time, and for who looks at the other side a little later', () => {
  const paused = { ...NO_SOLUTIONS, pausedUntilMs: 1_000 };
  expect(isLatePause(paused, 999)).toBe(true);
  expect(isLatePause(paused, 1_000)).toBe(false);
  expect(isLatePause(paused, 1_000, 500)).toBe(true);
  expect(isLatePause(paused, 1_500, 500)).toBe(false);
});
