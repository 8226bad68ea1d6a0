import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { Ledger, LedgerEntry } from '../../src/ledger/ledger.ts';
import { ManualClock } from '../base/manual-clock.ts';

export type SuiteOptions = {
  readonly clock: ManualClock;
  readonly maxQueuedWrites?: number;
  readonly maxRecordBytes?: number;
};

export const log = (first: number, count: number, stream = 's', kind = 'share'): LedgerEntry => ({
  type: 'log',
  kind,
  stream,
  first,
  count,
  body: Uint8Array.from({ length: count }, (_, index) => (first + index) % 256),
});
export const put = (id: string, body: string, kind = 'stream'): LedgerEntry => ({
  type: 'put',
  kind,
  id,
  body,
});
export const insert = (id: string, body: string, kind = 'job'): LedgerEntry => ({
  type: 'insert',
  kind,
  id,
  body,
});

export async function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => codeOf(error),
  );
}

/** What every ledger engine does alike. */
export function ledgerSuite(name: string, open: (options: SuiteOptions) => Promise<Ledger>): void {
  const withLedger = async (
    use: (ledger: Ledger, clock: ManualClock) => Promise<void>,
    options: Omit<SuiteOptions, 'clock'> = {},
  ): Promise<void> => {
    const clock = new ManualClock();
    const ledger = await open({ clock, ...options });
    try {
      await use(ledger, clock);
    } finally {
      await ledger.close();
    }
  };

  describe(`${name}: documents`, () => {
    it('keeps the latest body of a put', () =>
      withLedger(async (ledger) => {
        expect(await ledger.get('stream', 'a')).toBeUndefined();
        await ledger.append([put('a', 'one'), put('a', 'two'), put('b', '')]);
        await ledger.append([put('a', 'three \u20bf')]);
        expect(await ledger.get('stream', 'a')).toBe('three \u20bf');
        expect(await ledger.get('stream', 'b')).toBe('');
        expect(await ledger.get('job', 'a')).toBeUndefined();
      }));

    it('takes an insert once: the same body is a no-op, another one a conflict', () =>
      withLedger(async (ledger) => {
        await ledger.append([insert('1', 'x'), insert('1', 'x')]);
        await ledger.append([insert('1', 'x')]);
        expect(ledger.stats.rows).toBe(1);
        expect(await codeOfRejection(ledger.append([put('p', '1'), insert('1', 'y')]))).toBe(
          'ledger_conflict',
        );
        expect(await codeOfRejection(ledger.append([insert('2', 'x'), insert('2', 'y')]))).toBe(
          'ledger_conflict',
        );
        expect(await ledger.get('job', '1')).toBe('x');
        expect(await ledger.get('stream', 'p')).toBeUndefined();
        expect(await ledger.get('job', '2')).toBeUndefined();
        expect(ledger.stats.failed).toBe(false);
      }));

    it('lists by prefix in byte order of the ids', () =>
      withLedger(async (ledger) => {
        const ids = ['b', 'a', 'a:2', 'a:10', 'a\u{1f600}', 'a\uffee', 'aa', 'A'];
        await ledger.append(ids.map((id) => put(id, `body of ${id}`)));
        await ledger.append([put('a', 'other', 'other')]);
        const sorted = [...ids].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
        const documents = await ledger.list('stream');
        expect(documents).toEqual(sorted.map((id) => ({ id, body: `body of ${id}` })));
        expect((await ledger.list('stream', 'a:')).map(({ id }) => id)).toEqual(['a:10', 'a:2']);
        expect(await ledger.list('stream', 'c')).toEqual([]);
      }));
  });

  describe(`${name}: logs`, () => {
    it('reads rows that hold items from a given one on', () =>
      withLedger(async (ledger, clock) => {
        await ledger.append([log(0, 3), log(3, 2), log(0, 1, 't')]);
        clock.advance(1000);
        await ledger.append([log(5, 4)]);
        const firsts = async (from: number, maxRows: number): Promise<number[]> =>
          (await ledger.readLog('share', 's', from, maxRows)).map((row) => row.first);
        expect(await firsts(0, 10)).toEqual([0, 3, 5]);
        expect(await firsts(2, 10)).toEqual([0, 3, 5]);
        expect(await firsts(3, 10)).toEqual([3, 5]);
        expect(await firsts(4, 1)).toEqual([3]);
        expect(await firsts(8, 10)).toEqual([5]);
        expect(await firsts(9, 10)).toEqual([]);
        expect(await ledger.readLog('share', 'u', 0, 10)).toEqual([]);
        const [row] = await ledger.readLog('share', 's', 6, 1);
        expect(row).toEqual({
          seq: 4,
          first: 5,
          count: 4,
          atMs: clock.nowMs(),
          body: Uint8Array.of(5, 6, 7, 8),
        });
      }));

    it('starts at 0 and takes neither gap nor overlap', () =>
      withLedger(async (ledger) => {
        expect(await codeOfRejection(ledger.append([log(1, 1)]))).toBe('ledger_conflict');
        await ledger.append([log(0, 3)]);
        for (const first of [0, 2, 4]) {
          expect(await codeOfRejection(ledger.append([log(first, 1)]))).toBe('ledger_conflict');
        }
        expect(await codeOfRejection(ledger.append([log(3, 2), log(4, 1)]))).toBe('ledger_conflict');
        await ledger.append([log(3, 1), log(4, 1)]);
        expect((await ledger.readLog('share', 's', 0, 9)).map((row) => row.first)).toEqual([0, 3, 4]);
      }));

    it('refuses what was appended behind a refused row', () =>
      withLedger(async (ledger) => {
        const codes = await Promise.all(
          [
            [log(0, 2)],
            [log(2, 2), insert('1', 'x')],
            [log(4, 1), insert('1', 'y')],
            [log(5, 1)],
            [log(4, 9)],
          ].map((entries) => codeOfRejection(ledger.append(entries))),
        );
        expect(codes).toEqual(['resolved', 'resolved', 'ledger_conflict', 'ledger_conflict', 'resolved']);
      }));

    it('reads all streams of a kind since a time, page by page', () =>
      withLedger(async (ledger, clock) => {
        const times: number[] = [];
        for (let batch = 0; batch < 5; batch += 1) {
          times.push(clock.nowMs());
          await ledger.append([
            log(batch, 1),
            put('s', `${batch}`),
            log(batch, 1, 't'),
            log(batch, 1, 'v', 'other'),
          ]);
          clock.advance(10);
        }
        const rows = await ledger.readLogSince('share', times[3]!);
        expect(rows.map((row) => [row.stream, row.first])).toEqual([
          ['s', 3],
          ['t', 3],
          ['s', 4],
          ['t', 4],
        ]);
        expect(await ledger.readLogSince('share', times[2]! + 1)).toEqual(rows);
        expect(await ledger.readLogSince('share', 0)).toHaveLength(10);
        expect(await ledger.readLogSince('share', clock.nowMs())).toEqual([]);
        const page = await ledger.readLogSince('share', 0, { afterSeq: rows[0]!.seq, maxRows: 2 });
        expect(page).toEqual(rows.slice(1, 3));
      }));

    it('finds where the newest rows of a kind begin: by age, by number, by items', () =>
      withLedger(async (ledger, clock) => {
        const all = { memoryMs: 1e9, certainRows: 0, maxItems: 1e9 };
        expect(await ledger.recentLog('share', all)).toEqual({ afterSeq: 0, isCut: false });
        // Rows 1, 3, 5, 7, 9 are shares, three items each, 10 ms apart.
        for (let batch = 0; batch < 5; batch += 1) {
          await ledger.append([log(batch * 3, 3), put('s', `${batch}`)]);
          clock.advance(10);
        }
        await ledger.append([log(0, 9, 'x', 'other')]);
        const recent = async (bounds: Partial<typeof all>): Promise<unknown> => {
          const { afterSeq, isCut } = await ledger.recentLog('share', { ...all, ...bounds });
          return [afterSeq, isCut];
        };
        expect(await recent({})).toEqual([0, false]);
        expect(await recent({ memoryMs: 20 })).toEqual([4, false]);
        expect(await recent({ memoryMs: 0 })).toEqual([8, false]);
        expect(await recent({ memoryMs: 0, certainRows: 5 })).toEqual([4, false]);
        expect(await recent({ memoryMs: 0, certainRows: 4 })).toEqual([6, false]);
        expect(await recent({ maxItems: 9 })).toEqual([4, true]);
        expect(await recent({ maxItems: 8 })).toEqual([6, true]);
        expect(await recent({ maxItems: 1 })).toEqual([8, true]);
        expect(await recent({ maxItems: 15 })).toEqual([0, false]);
      }));

    it('never lets time fall, when the clock is set back', () =>
      withLedger(async (ledger, clock) => {
        await ledger.append([log(0, 1)]);
        clock.advance(-5000);
        await ledger.append([log(1, 1)]);
        const [first, second] = await ledger.readLog('share', 's', 0, 2);
        expect(second!.atMs).toBe(first!.atMs);
      }));
  });

  describe(`${name}: appends`, () => {
    it('takes the bytes at the call: the caller may reuse its buffer', () =>
      withLedger(async (ledger) => {
        const entry = log(0, 4);
        const done = ledger.append([entry]);
        if (entry.type === 'log') entry.body.fill(255);
        await done;
        expect((await ledger.readLog('share', 's', 0, 1))[0]!.body).toEqual(Uint8Array.of(0, 1, 2, 3));
      }));

    it('settles in the order of the calls, urgent ones included', () =>
      withLedger(async (ledger) => {
        const order: number[] = [];
        await Promise.all(
          Array.from({ length: 40 }, (_, index) => {
            const entries = [log(index, 1), put('last', `${index}`)];
            const done = index % 7 === 3 ? ledger.appendNow(entries) : ledger.append(entries);
            return done.then(() => order.push(index));
          }),
        );
        expect(order).toEqual(Array.from({ length: 40 }, (_, index) => index));
        expect(await ledger.get('stream', 'last')).toBe('39');
        const rows = await ledger.readLog('share', 's', 0, 100);
        expect(rows.reduce((items, { count }) => items + count, 0)).toBe(40);
      }));

    it('accepts an empty append', () =>
      withLedger(async (ledger) => {
        await ledger.append([]);
        await ledger.appendNow([]);
        expect(ledger.stats.rows).toBe(0);
      }));

    it('answers overload past the queue bound and goes on when it drained', () =>
      withLedger(
        async (ledger) => {
          const codes = await Promise.all(
            Array.from({ length: 6 }, (_, index) =>
              codeOfRejection(ledger.append([put(`${index}`, ''), put('x', '')])),
            ),
          );
          expect(codes).toEqual([...Array<string>(5).fill('resolved'), 'overload']);
          expect(ledger.stats.queuedWrites).toBe(0);
          await ledger.append([put('5', '')]);
          expect(await ledger.list('stream')).toHaveLength(7);
        },
        { maxQueuedWrites: 10 },
      ));

    it('bounds the size of a record', () =>
      withLedger(
        async (ledger) => {
          await ledger.append([put('a', 'x'.repeat(100)), log(0, 100)]);
          expect(await codeOfRejection(ledger.append([put('a', 'x'.repeat(101))]))).toBe('overload');
          expect(await codeOfRejection(ledger.append([put('a', '\u20bf'.repeat(34))]))).toBe('overload');
          expect(await codeOfRejection(ledger.append([log(100, 101)]))).toBe('overload');
        },
        { maxRecordBytes: 100 },
      ));

    it('counts commits, rows and the time of the last commit', () =>
      withLedger(async (ledger, clock) => {
        await ledger.append([log(0, 5), put('a', '1')]);
        clock.advance(77);
        await ledger.append([put('a', '2')]);
        expect(ledger.stats).toEqual({
          commits: 2,
          rows: 3,
          queuedWrites: 0,
          lastCommitAtMs: clock.nowMs(),
          lastCommitAtMonotonicMs: clock.monotonicMs(),
          failed: false,
        });
      }));
  });

  it(`${name}: close writes what waits, then refuses`, async () => {
    const ledger = await open({ clock: new ManualClock() });
    const waiting = ledger.append([put('a', '1')]);
    const closing = ledger.close();
    await waiting;
    await closing;
    await ledger.close();
    expect(await codeOfRejection(ledger.append([put('a', '2')]))).toBe('ledger_closed');
    expect(await codeOfRejection(ledger.appendNow([]))).toBe('ledger_closed');
    expect(await codeOfRejection(ledger.get('stream', 'a'))).toBe('ledger_closed');
  });
}
