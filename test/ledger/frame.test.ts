import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/hash.ts';
import {
  appendFrameSize,
  bodySize,
  encodeRecord,
  entryKey,
  FrameWriter,
  type JournalRecord,
  MAX_KEY_BYTES,
  MAX_KIND_BYTES,
  OP_CODES,
  readFrame,
  sealRecord,
} from '../../src/ledger/frame.ts';
import { hashOfRow, type JournalRow, rowMatches, toJournalRow } from '../../src/ledger/journal-row.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { insert, log, put } from './suite.ts';

const HUGE = Number.MAX_SAFE_INTEGER;
const number = fc.oneof(fc.nat(3), fc.constantFrom(2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, HUGE), fc.nat());
/** A kind or key that is not refused. */
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => Buffer.byteLength(text) <= MAX_KIND_BYTES);
const entry: fc.Arbitrary<LedgerEntry> = fc.oneof(
  fc.record({
    type: fc.constant('log' as const),
    ...{ kind: name, stream: name, first: number, count: number, body: fc.uint8Array({ maxLength: 40 }) },
  }),
  fc.record({ type: fc.constantFrom('put' as const, 'insert' as const), kind: name, id: name, body: name }),
);

/** The columns of an entry, as the writer stores them. */
function columnsOf(written: LedgerEntry): Omit<JournalRow, 'seq' | 'atMs' | 'hash'> {
  const isLog = written.type === 'log';
  return {
    ...{ op: OP_CODES[written.type], kind: written.kind, key: isLog ? written.stream : written.id },
    ...{ first: isLog ? written.first : 0, count: isLog ? written.count : 0 },
    body: isLog ? written.body : new Uint8Array(Buffer.from(written.body, 'utf8')),
  };
}

const spare = fc.constantFrom(0, 1, 64, 100_000);

describe('a frame', () => {
  it('gives back every append that was put into it, whatever buffer it began with', () => {
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 5 }), { maxLength: 6 }), spare, (appends, size) => {
        const writer = new FrameWriter(new ArrayBuffer(size));
        let bytes = 0;
        for (const append of appends) {
          // Of what follows nothing: the tests below are of appends that go into one.
          const alone = [...append, insert('alone', '')];
          bytes += appendFrameSize(alone);
          writer.push(alone, appendFrameSize(alone));
          expect(writer.size).toBe(bytes);
        }
        const frame = writer.finish();
        expect(frame.size).toBe(bytes);
        const read = [...readFrame(Buffer.from(frame.buffer, 0, frame.size))];
        expect(read.map((records) => records.map(plain))).toEqual(
          appends.map((append) => [...append, insert('alone', '')].map(columnsOf)),
        );
      }),
    );
  });

  it('holds records as they are rebuilt from their columns, with the same hash', () => {
    fc.assert(
      fc.property(
        entry,
        number,
        number,
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (written, ...at) => {
          const [seq, atMs, before] = at;
          const writer = new FrameWriter();
          writer.push([written], appendFrameSize([written]));
          const { buffer, size } = writer.finish();
          const [record] = [...readFrame(Buffer.from(buffer, 0, size))].flat() as [JournalRecord];
          sealRecord(record.record, before, seq, atMs);
          const columns = columnsOf(written);
          const rebuilt = encodeRecord(columns)!;
          sealRecord(rebuilt, before, seq, atMs);
          expect(Buffer.compare(rebuilt, record.record)).toBe(0);
          const row = { ...columns, seq, atMs, hash: sha256(record.record) };
          expect(Buffer.compare(hashOfRow(row, before)!, row.hash)).toBe(0);
          expect(rowMatches(row, before)).toBe(true);
          // Every column, its place and the row before are covered.
          const flipped = before.slice();
          flipped[31]! ^= 1;
          expect(rowMatches(row, flipped)).toBe(false);
          for (const other of [
            { seq: seq === 0 ? 1 : seq - 1 },
            { atMs: atMs === 0 ? 1 : atMs - 1 },
            { op: row.op + 1 },
            { kind: `${row.kind}x` },
            { key: `${row.key}x` },
            { kind: `${row.kind}${row.key}`, key: '' },
            { first: row.first === 0 ? 1 : row.first - 1 },
            { count: row.count === 0 ? 1 : row.count - 1 },
            { body: Uint8Array.of(...row.body, 0) },
          ])
            expect(rowMatches({ ...row, ...other }, before), JSON.stringify(other)).toBe(false);
        },
      ),
    );
  });

  it('has no record of columns that cannot have been written', () => {
    const row = { op: 1, kind: 'k', key: 's', first: 0, count: 1, body: new Uint8Array(1) };
    const good = [
      {},
      { kind: 'k'.repeat(MAX_KIND_BYTES), key: 's'.repeat(MAX_KEY_BYTES) },
      { first: 0, count: 0 },
      { first: HUGE, count: HUGE },
    ];
    const bad = [
      { kind: 'k'.repeat(MAX_KIND_BYTES + 1) },
      { key: 's'.repeat(MAX_KEY_BYTES + 1) },
      { kind: '\u20bf'.repeat(22) },
      { first: -1 },
      { count: -1 },
      { first: HUGE + 1 },
      { count: HUGE + 1 },
      { first: 0.5 },
      { count: Number.NaN },
    ];
    for (const change of good) expect(encodeRecord({ ...row, ...change })).toBeDefined();
    for (const change of bad) {
      expect(encodeRecord({ ...row, ...change }), JSON.stringify(change)).toBeUndefined();
      const stored = { ...row, ...change, seq: 1, atMs: 1, hash: new Uint8Array(32) };
      expect(hashOfRow(stored, new Uint8Array(32))).toBeUndefined();
      expect(rowMatches(stored, new Uint8Array(32))).toBe(false);
    }
  });
});

describe('an entry', () => {
  const KIND = 'k'.repeat(MAX_KIND_BYTES);
  const KEY = `${'\u20ac'.repeat(341)}x`;

  it('has a key, its stream or id, within the bounds', () => {
    expect(Buffer.byteLength(KEY)).toBe(MAX_KEY_BYTES);
    expect(entryKey(log(0, 1, 's'))).toBe('s');
    expect(entryKey(put('a', ''))).toBe('a');
    expect(entryKey(insert('b', 'x'))).toBe('b');
    expect(entryKey(put(KEY, '', KIND))).toBe(KEY);
    expect(entryKey(log(HUGE, 1, KEY, KIND))).toBe(KEY);
    for (const kind of ['a', 'z9', 'a-b_c']) expect(entryKey(put('a', '', kind))).toBe('a');
  });

  it.each<[string, LedgerEntry, string]>([
    ['no kind', put('a', '', ''), 'ledger_kind_size'],
    ['a kind too long', put('a', '', `${KIND}k`), 'ledger_kind_size'],
    ['a kind too long in bytes', put('a', '', `a${'\u20ac'.repeat(22)}`), 'ledger_kind_size'],
    ['no id', put('', ''), 'ledger_key_size'],
    ['no stream', log(0, 1, ''), 'ledger_key_size'],
    ['an id too long in bytes', put(`${KEY}x`, ''), 'ledger_key_size'],
    ['a stream too long', log(0, 1, `${KEY}x`), 'ledger_key_size'],
    ['a kind in capitals', put('a', '', 'Share'), 'ledger_key_text'],
    ['a kind that begins with a digit', put('a', '', '1a'), 'ledger_key_text'],
    ['a kind with a space behind', put('a', '', 'a b'), 'ledger_key_text'],
    ['a kind with a line before', put('a', '', '\na'), 'ledger_key_text'],
    ['half a character in an id', put('a\ud800', ''), 'ledger_key_text'],
    ['half a character in a stream', log(0, 1, '\udc00'), 'ledger_key_text'],
    ['half a character in a body', put('a', '\ud800'), 'ledger_body_text'],
    ['half a character in what is inserted', insert('a', '\ud800'), 'ledger_body_text'],
    ['a first item below 0', { ...log(0, 1), first: -1 } as LedgerEntry, 'ledger_log_first'],
    [
      'a first item that is no number of items',
      { ...log(0, 1), first: 0.5 } as LedgerEntry,
      'ledger_log_first',
    ],
    ['a first item too high', { ...log(0, 1), first: HUGE + 1 } as LedgerEntry, 'ledger_log_first'],
    ['no items', { ...log(0, 1), count: 0 } as LedgerEntry, 'ledger_log_count'],
    ['less than none', { ...log(0, 1), count: -1 } as LedgerEntry, 'ledger_log_count'],
    ['half an item', { ...log(0, 1), count: 1.5 } as LedgerEntry, 'ledger_log_count'],
  ])('with %s is a bug of the caller', (_, bad, code) => {
    expect(() => entryKey(bad)).toThrow(`invariant broken: ${code}`);
  });

  it('is as large as its body in UTF-8', () => {
    expect([bodySize(put('a', '\u20ac1')), bodySize(log(0, 7)), bodySize(insert('a', ''))]).toEqual([
      4, 7, 0,
    ]);
  });
});

describe('a stored row', () => {
  const stored = {
    ...{ seq: 7n, at_ms: 8, op: 1, kind: 'k', key: 's', first: 2, count: 3 },
    ...{ hash: new Uint8Array(32), body: new Uint8Array(4) },
  };

  it('has its columns', () => {
    expect(toJournalRow(stored)).toEqual({
      ...{ seq: 7, atMs: 8, op: 1, kind: 'k', key: 's', first: 2, count: 3 },
      ...{ hash: new Uint8Array(32), body: new Uint8Array(4) },
    });
  });

  it.each(['hash', 'body'])('whose %s is no blob is corrupt', (column) => {
    expect(() => toJournalRow({ ...stored, [column]: 'text' })).toThrow('ledger_corrupt');
  });
});

function plain(row: JournalRecord): unknown {
  return { ...row, record: undefined, body: Uint8Array.from(row.body) };
}

type RowAndTotal = readonly [LedgerEntry & { type: 'log' }, LedgerEntry & { type: 'put' }];

/** Batches as streams of shares have them: mostly the next of one of two streams, now and then with a gap. */
const batches: fc.Arbitrary<readonly RowAndTotal[]> = fc
  .array(
    fc.record({
      stream: fc.constantFrom('a', 'a', 'a', 'b'),
      count: fc.integer({ min: 1, max: 400 }),
      itemSize: fc.constantFrom(80, 80, 80, 48),
      gap: fc.constantFrom(0, 0, 0, 0, 1, -1),
      total: fc.nat(),
    }),
    { maxLength: 40 },
  )
  .map((wanted) => {
    const ends = new Map([
      ['a', 5],
      ['b', 5],
    ]);
    return wanted.map(({ stream, count, itemSize, gap, total }, index): RowAndTotal => {
      const first = ends.get(stream)! + gap;
      ends.set(stream, first + count);
      const body = new Uint8Array(count * itemSize).fill(index + 1);
      const text = `${total}`;
      return [
        { type: 'log', kind: 'share', stream, first, count, body },
        { type: 'put', kind: 'stream', id: stream, body: text },
      ];
    });
  });

/** What a frame holds after these appends, joined one by one by the words of `FrameWriter`. */
function joined(appends: readonly RowAndTotal[]): { readonly rows: RowAndTotal[]; readonly at: number[] } {
  const rows: RowAndTotal[] = [];
  const at = appends.map(([row, total]) => {
    const [before] = rows.at(-1) ?? [];
    const isNext =
      before !== undefined &&
      before.stream === row.stream &&
      before.first + before.count === row.first &&
      before.body.length / before.count === row.body.length / row.count &&
      before.body.length + row.body.length <= 32 * 1024;
    if (isNext) {
      const body = Uint8Array.of(...before.body, ...row.body);
      rows[rows.length - 1] = [{ ...before, count: before.count + row.count, body }, total];
    } else rows.push([row, total]);
    return rows.length - 1;
  });
  return { rows, at };
}

function writtenBy(appends: readonly (readonly LedgerEntry[])[], writer = new FrameWriter()) {
  const at = appends.map((entries) => writer.push(entries, appendFrameSize(entries)));
  const { buffer, size } = writer.finish();
  return { at, appends: [...readFrame(Buffer.from(buffer, 0, size))].map((records) => records.map(plain)) };
}

describe('appends of a row and a total', () => {
  it('are one where the items follow, and nothing of them is lost or moved', () => {
    fc.assert(
      fc.property(batches, spare, (appends, size) => {
        const expected = joined(appends);
        const written = writtenBy(appends, new FrameWriter(new ArrayBuffer(size)));
        expect(written.at).toEqual(expected.at);
        expect(written.appends).toEqual(expected.rows.map((append) => append.map(columnsOf)));
      }),
    );
  });

  const batch = (first: number): readonly LedgerEntry[] => [log(first, 2), put('s', `${first + 2}`)];

  it('are one row and the last total', () => {
    const { at, appends } = writtenBy([batch(0), batch(2), batch(4)]);
    expect(at).toEqual([0, 0, 0]);
    const body = [0, 2, 4].flatMap((first) => [...(log(first, 2) as { body: Uint8Array }).body]);
    const row = { ...log(0, 6), body: Uint8Array.from(body) } as LedgerEntry;
    expect(appends).toEqual([[row, put('s', '6')].map(columnsOf)]);
  });

  it.each<[string, readonly LedgerEntry[], readonly LedgerEntry[]]>([
    ['another kind of log', batch(0), [{ ...log(2, 2), kind: 'other' } as LedgerEntry, put('s', '4')]],
    ['another log', batch(0), [{ ...log(2, 2), stream: 't' } as LedgerEntry, put('s', '4')]],
    ['a gap', batch(0), batch(3)],
    ['an overlap', batch(0), batch(1)],
    [
      'items of another size',
      batch(0),
      [{ ...log(2, 2), body: new Uint8Array(4) } as LedgerEntry, put('s', '4')],
    ],
    ['another document', batch(0), [log(2, 2), put('t', '4')]],
    ['another kind of document', batch(0), [log(2, 2), { ...put('s', '4'), kind: 'other' } as LedgerEntry]],
    ['a document that is written once', batch(0), [log(2, 2), insert('s', '4')]],
    ['more than these', batch(0), [log(2, 2), put('s', '4'), put('s', '5')]],
    ['a row alone', batch(0), [log(2, 2)]],
    ['the document first', batch(0), [put('s', '4'), log(2, 2)]],
    ['one behind more than these', [...batch(0), put('x', '')], batch(2)],
    ['one behind an empty one', [], batch(0)],
  ])('are two where it is %s', (_, first, second) => {
    const { at, appends } = writtenBy([first, second]);
    expect(at).toEqual([0, 1]);
    expect(appends).toEqual([first, second].map((append) => append.map(columnsOf)));
  });
});
