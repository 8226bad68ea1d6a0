import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { FaultRange } from '../../src/channel/fault-log.ts';
import { HeardRefusals } from '../../src/miner/heard-refusals.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const SHARES = 24;
const CODES = ['share_low', 'share_bad'] as const;

type Refused = { readonly seq: number; readonly code: string };

const fault = (code: string, first: number, count: number, evidence = 'shares'): FaultRange =>
  ({ code, first, count, evidence }) as FaultRange;

/** Consecutive shares of one code as one range. */
function rangesOf(codes: readonly (string | undefined)[]): FaultRange[] {
  const ranges: FaultRange[] = [];
  codes.forEach((code, seq) => {
    const last = ranges.at(-1);
    if (code === undefined) return;
    if (last?.code === code && last.first + last.count === seq)
      ranges[ranges.length - 1] = { ...last, count: last.count + 1 };
    else ranges.push(fault(code, seq, 1));
  });
  return ranges;
}

const shareCodes = fc.array(fc.constantFrom(undefined, ...CODES), { minLength: SHARES, maxLength: SHARES });
const refusedIn = (codes: readonly (string | undefined)[], from: number, to: number): Refused[] =>
  codes.flatMap((code, seq) => (code !== undefined && seq >= from && seq < to ? [{ seq, code }] : []));

it('a log agrees where it has each share that was heard of, for the reason that was heard', () => {
  fc.assert(
    fc.property(
      shareCodes,
      shareCodes,
      fc.nat(SHARES),
      fc.nat(SHARES),
      fc.nat(SHARES),
      (heard, logged, a, b, batch) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const refusals = HeardRefusals.create();
        refusals.take(0, 0, refusedIn(heard, 0, batch));
        refusals.take(batch, 0, refusedIn(heard, batch, SHARES));
        const isIn = heard.every((code, seq) => code === undefined || code === logged[seq]);
        expect(refusals.agrees(rangesOf(logged), 0, SHARES)).toBe(isIn);
        const isInPart = heard.every(
          (code, seq) => code === undefined || seq < from || seq >= to || code === logged[seq],
        );
        const part = rangesOf(logged.map((code, seq) => (seq >= from && seq < to ? code : undefined)));
        expect(refusals.agrees(part, from, to)).toBe(isInPart);
      },
    ),
  );
});

it('what a maker lost agrees with any reason, and with no share that it does not have', () => {
  const refusals = HeardRefusals.create();
  refusals.take(4, 0, [
    { seq: 5, code: 'share_low' },
    { seq: 6, code: 'share_bad' },
  ]);
  expect(refusals.agrees([fault('maker_restored', 5, 2, 'none')], 4, 8)).toBe(true);
  expect(refusals.agrees([fault('maker_restored', 0, 9, 'none')], 4, 8)).toBe(true);
  expect(refusals.agrees([fault('maker_restored', 5, 1, 'none')], 4, 8)).toBe(false);
  expect(refusals.agrees([fault('maker_restored', 5, 2)], 4, 8)).toBe(false);
  expect(refusals.agrees([], 4, 5)).toBe(true);
  expect(refusals.agrees([], 4, 6)).toBe(false);
  expect(refusals.agrees([], 7, 9)).toBe(true);
});

it('the answer to a batch that is sent again stands in the place of the first', () => {
  const refusals = HeardRefusals.create();
  refusals.take(
    0,
    0,
    [0, 1, 2, 3].map((seq) => ({ seq, code: 'share_low' })),
  );
  refusals.take(2, 0, [{ seq: 3, code: 'share_bad' }]);
  expect(refusals.agrees([fault('share_low', 0, 2), fault('share_bad', 3, 1)], 0, 4)).toBe(true);
  expect(refusals.agrees([fault('share_low', 0, 4)], 0, 4)).toBe(false);
  // What is signed is not kept.
  refusals.take(4, 2, []);
  expect(refusals.agrees([fault('share_bad', 3, 1)], 0, 4)).toBe(true);
  refusals.take(4, 4, []);
  expect(refusals.agrees([], 0, 4)).toBe(true);
});

it('is there after a restart, and nothing is known where there was too much of it', async () => {
  const ledger = new MemoryLedger();
  const loaded = (): Promise<HeardRefusals> => HeardRefusals.load(ledger, 'c');
  expect((await loaded()).agrees([], 0, 10)).toBe(true);
  const refusals = HeardRefusals.create();
  const every = (other: number, count: number): Refused[] =>
    Array.from({ length: count }, (_, at) => ({ seq: at * other, code: 'share_low' }));
  refusals.take(0, 0, every(2, LIMITS.faultRanges));
  await ledger.append([refusals.entry('c')]);
  expect((await loaded()).agrees([], 0, 1)).toBe(false);
  refusals.take(2 * LIMITS.faultRanges, 0, [{ seq: 2 * LIMITS.faultRanges, code: 'share_low' }]);
  await ledger.append([refusals.entry('c')]);
  expect(refusals.agrees([], 0, 1)).toBe(true);
  expect((await loaded()).agrees([], 0, 1)).toBe(true);
});
