import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import type { Verification } from '../../src/ledger/verify.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from './memory-ledger.ts';
import { codeOfRejection, log } from './suite.ts';

const kind = fc.constantFrom('k', 'l');
const key = fc.constantFrom('a', 'b', 'ab');
const entry: fc.Arbitrary<LedgerEntry> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), kind, id: key, body: fc.constantFrom('1', '2', '') }),
  fc.record({ type: fc.constant('insert' as const), kind, id: key, body: fc.constantFrom('1', '2') }),
  fc
    .record({ first: fc.nat(4), count: fc.integer({ min: 1, max: 2 }), kind, key })
    .map((row) => log(row.first, row.count, row.key, row.kind)),
);
type Step = {
  readonly appends: readonly { readonly entries: readonly LedgerEntry[]; readonly now: boolean }[];
  readonly advanceMs: number;
  readonly reopen: boolean;
};
const step: fc.Arbitrary<Step> = fc.record({
  appends: fc.array(fc.record({ entries: fc.array(entry, { maxLength: 4 }), now: fc.boolean() }), {
    maxLength: 6,
  }),
  advanceMs: fc.integer({ min: -20, max: 100 }),
  reopen: fc.constantFrom(true, false, false),
});

async function outcome(ledger: Ledger, { appends }: Step): Promise<string[]> {
  return Promise.all(
    appends.map(({ entries, now }) =>
      codeOfRejection(now ? ledger.appendNow(entries) : ledger.append(entries)),
    ),
  );
}

async function everything(ledger: Ledger, sinceMs: number): Promise<unknown> {
  const logs = [];
  for (const stream of ['a', 'b', 'ab']) logs.push(await ledger.readLog('k', stream, 1, 3));
  return {
    logs,
    documents: [await ledger.list('k'), await ledger.list('l', 'a')],
    single: await ledger.get('l', 'ab'),
    since: await ledger.readLogSince('k', sinceMs),
    page: await ledger.readLogSince('l', 0, { afterSeq: 2, maxRows: 3 }),
  };
}

/** One ledger that can be opened again and again. */
export type Place = {
  readonly open: (clock: ManualClock) => Promise<Ledger>;
  readonly verify: () => Promise<Verification>;
};

/** An engine gives the answers that memory gives to the same calls, and its chain verifies. */
export function equivalenceWith(name: string, numRuns: number, newPlace: () => Place): void {
  it(`memory and ${name} give the same answers to the same calls, across reopening`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const place = newPlace();
        const clock = new ManualClock();
        const memory = new MemoryLedger({}, { clock });
        let ledger = await place.open(clock);
        let rows = 0;
        for (const next of steps) {
          const sinceMs = clock.nowMs();
          clock.advance(next.advanceMs);
          expect(await outcome(ledger, next)).toEqual(await outcome(memory, next));
          expect(await everything(ledger, sinceMs)).toEqual(await everything(memory, sinceMs));
          if (!next.reopen) continue;
          rows += ledger.stats.rows;
          await ledger.close();
          ledger = await place.open(clock);
        }
        rows += ledger.stats.rows;
        expect(rows).toBe(memory.stats.rows);
        await ledger.close();
        expect(await place.verify()).toMatchObject({ ok: true, rows });
      }),
      { numRuns },
    );
  }, 240_000);
}
