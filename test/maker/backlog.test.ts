import { expect, it } from 'vitest';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { Backlog } from '../../src/maker/backlog.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const STEP = 1000n;
const WINDOW_MS = 600_000;

it('of a contract whose step both signed anew is as many of the new steps, in the same process', () => {
  let terms: ContractTerms = makeTermsV3({ stepHashes: STEP, maxUnpaidSteps: 2, backlogMinutes: 10 });
  const clock = new ManualClock();
  const backlog = new Backlog(() => terms, WINDOW_MS, clock);
  expect(backlog.take(3n * STEP)).toBe(true);
  expect(backlog.take(1n)).toBe(false);
  clock.advance(WINDOW_MS);
  terms = { ...terms, stepHashes: 4n * STEP };
  expect(backlog.take(12n * STEP)).toBe(true);
  expect(backlog.take(4n)).toBe(false);
  backlog.putBack(12n * STEP);
  expect(backlog.take(12n * STEP)).toBe(true);
  clock.advance(WINDOW_MS);
  terms = { ...terms, stepHashes: STEP / 2n };
  expect([backlog.take(2n * STEP), backlog.take((3n * STEP) / 2n)]).toEqual([false, true]);
});
