import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { exportedRows, segmentsOf } from '../../src/ledger/export.ts';
import { segmentFolder } from '../../src/ledger/segment-file.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { writeSegment } from '../../src/ledger/write-segment.ts';
import type { SealedSegment, SealingPolicy } from '../../src/ledger/writer-messages.ts';
import { JournalStand } from './journal-stand.ts';
import { insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
let opened: JournalStand | undefined;
afterEach(() => {
  opened?.close();
  opened = undefined;
});

function stand(): JournalStand {
  opened = new JournalStand(file('kept.db'));
  return opened;
}

function again(): JournalStand {
  opened = opened!.reopened();
  return opened;
}

/** Rows 1 to `rows`, one at 10, the next at 20, and so on: items of stream s. */
function filled(rows: number): JournalStand {
  const made = stand();
  for (let item = 0; item < rows; item += 1) made.commit(10 * (item + 1), [log(item, 1)]);
  return made;
}

describe('rows that can be sealed', () => {
  const all: SealingPolicy = { afterMs: 0, keptRows: 0, fromRows: 1, waitMs: 1e9 };
  const sealable = (made: JournalStand, policy: Partial<SealingPolicy>): unknown =>
    made.maintenance.answer({ type: 'sealable', policy: { ...all, ...policy } });

  it('are older than the newest by so much, and not the newest so many, two at least', () => {
    const made = filled(10);
    // Row 8 was written 20 before the newest.
    expect(sealable(made, { afterMs: 20 })).toBe(7);
    expect(sealable(made, { afterMs: 19 })).toBe(8);
    expect(sealable(made, { afterMs: 21 })).toBe(7);
    expect(sealable(made, { afterMs: 0, keptRows: 5 })).toBe(5);
    expect(sealable(made, { afterMs: 20, keptRows: 2 })).toBe(7);
    expect(sealable(made, { afterMs: 10, keptRows: 1 })).toBe(8);
    expect(sealable(made, { afterMs: 0 })).toBe(8);
    expect(sealable(made, { keptRows: 9 })).toBe(1);
    expect(sealable(made, { keptRows: 10 })).toBeUndefined();
    expect(sealable(made, { afterMs: 1e9 })).toBeUndefined();
  });

  it('wait until there are enough, or they waited for long enough', () => {
    const made = filled(10);
    expect(sealable(made, { fromRows: 8 })).toBe(8);
    expect(sealable(made, { fromRows: 9 })).toBeUndefined();
    // The first of them was written 90 before the newest.
    expect(sealable(made, { fromRows: 99, waitMs: 90 })).toBe(8);
    expect(sealable(made, { fromRows: 99, waitMs: 91 })).toBeUndefined();
    expect(sealable(made, { fromRows: 99, afterMs: 20, waitMs: 70 })).toBe(7);
    expect(sealable(made, { fromRows: 99, afterMs: 20, waitMs: 71 })).toBeUndefined();
  });

  it('are those behind what is sealed', () => {
    const made = filled(10);
    made.seal(4);
    expect(sealable(made, { fromRows: 4 })).toBe(8);
    expect(sealable(made, { fromRows: 5 })).toBeUndefined();
    expect(sealable(made, { fromRows: 5, waitMs: 50 })).toBe(8);
    expect(sealable(made, { fromRows: 5, waitMs: 51 })).toBeUndefined();
    expect(sealable(made, { keptRows: 6 })).toBeUndefined();
    expect(sealable(made, { keptRows: 5 })).toBe(5);
    // However long the next ones waited.
    expect(sealable(made, { keptRows: 6, waitMs: 0 })).toBeUndefined();
    expect(sealable(made, { keptRows: 9, waitMs: 0 })).toBeUndefined();
    expect(sealable(made, { keptRows: 5, waitMs: 0 })).toBe(5);
  });

  it('are none where there are no rows', () => {
    expect(sealable(stand(), {})).toBeUndefined();
  });
});

describe('a segment that is made known', () => {
  const segmentOf = (made: JournalStand, lastSeq: number): SealedSegment =>
    writeSegment({ path: made.path, lastSeq, segmentBytes: 1e9, evidenceKinds: [] });

  it('begins behind the one before, ends at a row of the journal, and not at the newest', () => {
    const made = filled(10);
    const good = segmentOf(made, 4);
    const last = segmentOf(made, 10);
    const seal = (segment: SealedSegment): unknown => made.maintenance.answer({ type: 'seal', segment });
    for (const bad of [
      { ...good, firstSeq: 2 },
      { ...good, firstSeq: 0 },
      { ...good, lastSeq: 3 },
      { ...good, lastSeq: 5 },
      { ...good, lastSeq: 11 },
      { ...good, endHash: new Uint8Array(32) },
      last,
    ])
      expect(() => seal(bad)).toThrow('is not what the journal has');
    expect(made.states()).toEqual([]);
    const logs = [{ kind: 'share', key: 's', first: 0, end: 4 }];
    expect(good).toMatchObject({ firstSeq: 1, lastSeq: 4, lastAtMs: 40, logs });
    seal(good);
    expect(() => seal(good)).toThrow('is not what the journal has');
    expect(segmentOf(made, 9)).toMatchObject({ firstSeq: 5, lastSeq: 9 });
    seal(segmentOf(made, 9));
    expect(made.states()).toEqual([1, 1]);
  });

  it('is known as a whole or not at all', () => {
    const made = filled(10);
    const good = segmentOf(made, 4);
    const twice = { ...good, logs: [...good.logs, ...good.logs] };
    expect(() => made.maintenance.answer({ type: 'seal', segment: twice })).toThrow('UNIQUE');
    expect(made.states()).toEqual([]);
    made.maintenance.answer({ type: 'seal', segment: good });
  });
});

describe('rows that are in a segment', () => {
  it('leave the journal, but for documents that are of use and no evidence', async () => {
    const made = stand();
    made.commit(10, [insert('j1', 'a'), insert('t1', 'b', 'terms'), put('p', '1'), log(0, 1)]);
    made.commit(20, [put('p', '2'), put('p', '3'), put('j2', 'c', 'job'), log(1, 1), log(2, 1)]);
    made.commit(30, [log(3, 1), log(4, 1)]);
    made.seal(8);
    expect(made.rows()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    made.prune();
    // Left are the terms, the last of p, and what was put under the name of a job.
    expect(made.rows()).toEqual([2, 6, 7, 9, 10, 11]);
    expect(made.states()).toEqual([2]);
    expect(made.journal.get('job', 'j1')).toBe('a');
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, rows: 11, segments: 1 });
    expect(made.letGo(21)).toHaveLength(1);
    expect(['j1', 'j2'].map((id) => made.journal.get('job', id))).toEqual([undefined, 'c']);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, letGoRows: 8 });
  });

  it('are deleted 4,096 at a time, over a restart too, and those of the next segment after them', () => {
    let made = stand();
    made.commit(
      10,
      Array.from({ length: 5000 }, (_, item) => log(item, 1)),
    );
    made.seal(4100);
    made.seal(4990);
    const step = (): unknown => made.maintenance.answer({ type: 'prune', evidenceKinds: [] });
    const left = (): unknown => [made.rows()[0], made.rows().length, made.states()];
    expect([step(), left()]).toEqual([false, [4097, 904, [1, 1]]]);
    made = again();
    // What was deleted is not counted again: this step begins at the first row, and has none to delete.
    expect([step(), left()]).toEqual([false, [4097, 904, [1, 1]]]);
    expect([step(), left()]).toEqual([false, [4101, 900, [2, 1]]]);
    expect([step(), left()]).toEqual([false, [4991, 10, [2, 2]]]);
    expect([step(), left()]).toEqual([true, [4991, 10, [2, 2]]]);
  });

  it('are deleted to the last where they are exactly so many', () => {
    const made = stand();
    made.commit(
      10,
      Array.from({ length: 4099 }, (_, item) => log(item, 1)),
    );
    made.seal(4096);
    const step = (): unknown => made.maintenance.answer({ type: 'prune', evidenceKinds: [] });
    expect([step(), made.rows(), made.states(), step()]).toEqual([false, [4097, 4098, 4099], [2], true]);
  });
});

describe('letting go of segments', () => {
  /** Segments of two rows each: 1-2 of time 20, 3-4 of 40, and so on, each of a stream of its own. */
  function segmented(count: number): JournalStand {
    const made = stand();
    for (let each = 0; each < count; each += 1) {
      made.commit(20 * each + 10, [insert(`j${each}`, 'x'), log(0, 1, `s${each}`)]);
    }
    made.commit(1000, [put('a', '1'), put('a', '2')]);
    for (let each = 1; each <= count; each += 1) made.seal(2 * each);
    made.prune();
    return made;
  }
  const isOld = (made: JournalStand, beforeMs: number): unknown =>
    made.maintenance.answer({ type: 'is_old', beforeMs });

  it('takes the oldest that are old enough, up to one that is held', async () => {
    const made = segmented(4);
    expect([isOld(made, 10), isOld(made, 11)]).toEqual([false, true]);
    expect(made.letGo(10)).toEqual([]);
    expect(made.letGo(99, ['s0'])).toEqual([]);
    expect(made.states()).toEqual([2, 2, 2, 2]);
    const [first, ...rest] = made.segments().map((name) => path.join(segmentFolder(made.path), name));
    expect(made.letGo(30)).toEqual([first]);
    expect([made.states(), isOld(made, 30), isOld(made, 31)]).toEqual([[3, 2, 2, 2], false, true]);
    expect(made.letGo(99, ['s3', 'none'])).toEqual(rest.slice(0, 2));
    expect(made.states()).toEqual([3, 3, 3, 2]);
    expect(made.letGo(99)).toEqual(rest.slice(2));
    expect([isOld(made, 1e9), made.letGo(1e9)]).toEqual([false, []]);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, letGoRows: 8 });
  });

  it('takes none that is not pruned yet, nor one behind it', () => {
    const made = stand();
    for (let item = 0; item < 9; item += 1) made.commit(item, [log(item, 1)]);
    made.seal(2);
    made.prune();
    made.seal(4);
    expect(made.letGo(99)).toHaveLength(1);
    expect([made.states(), made.letGo(99)]).toEqual([[3, 1], []]);
  });

  it('leaves one mark, be the one before among what goes', async () => {
    const made = segmented(1);
    made.letGo(1e9);
    made.commit(2000, [log(0, 1, 'z'), log(1, 1, 'z')]);
    // Row 5 is the first mark.
    made.seal(6);
    made.prune();
    expect(made.letGo(1e9)).toHaveLength(1);
    const marks = [...exportedRows(made.path)].filter(({ kind }) => kind === 'segment');
    expect(marks.map(({ seq }) => seq)).toEqual([made.journal.seq]);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, letGoRows: 6 });
  });

  it('takes 64 of them at once', () => {
    const made = segmented(65);
    expect(made.letGo(1e9)).toHaveLength(64);
    expect(made.letGo(1e9)).toHaveLength(1);
  });

  it('forgets evidence, and writes what is of use again, once, behind which the mark stands', async () => {
    const made = stand();
    made.commit(10, [insert('j', 'x'), put('p', '1'), insert('t', 'x', 'terms'), put('q', '1'), log(0, 2)]);
    made.commit(20, [put('p', '2'), log(2, 1)]);
    made.commit(30, [put('q', '2'), log(3, 1)]);
    made.seal(5);
    made.seal(7);
    made.prune();
    expect(made.letGo(20, [], 25)).toHaveLength(1);
    // Row 3 is written again as row 10, and the mark is row 11, at a time that does not fall.
    expect(made.rows()).toEqual([6, 8, 9, 10, 11]);
    expect([made.journal.seq, made.journal.atMs]).toEqual([11, 30]);
    const hash = segmentsOf(made.path)[0]!.end_hash;
    expect(made.journal.get('segment', 'let-go')).toBe(JSON.stringify({ last_seq: 5, hash }));
    expect(made.journal.get('job', 'j')).toBeUndefined();
    expect(made.journal.get('terms', 't')).toBe('x');
    expect(made.letGo(21, [], 40)).toHaveLength(1);
    expect([made.rows(), made.journal.atMs]).toEqual([[8, 9, 10, 11, 12, 13], 40]);
    expect(['p', 'q'].map((id) => made.journal.get('stream', id))).toEqual(['2', '2']);
    expect(made.journal.logRange('share', 's')).toEqual({ first: 3, end: 4 });
    expect(await verifyLedger(made.path)).toEqual({
      ...{ ok: true, rows: 6, letGoRows: 7 },
      headHash: [...exportedRows(made.path)].at(-1)!.hash,
    });
    // A document that was let go of as evidence can be there anew; a log goes on where it was.
    const reopened = again();
    expect(reopened.commit(50, [insert('j', 'y'), log(4, 1)]).conflicts).toEqual([]);
    expect(reopened.commit(50, [log(3, 1)]).conflicts).toHaveLength(1);
  });

  it('forgets the evidence also of a segment that is gone or damaged', async () => {
    const made = segmented(3);
    const names = made.segments().map((name) => path.join(segmentFolder(made.path), name));
    fs.rmSync(names[0]!);
    fs.writeFileSync(names[1]!, 'damaged');
    expect(() => made.journal.get('job', 'j0')).toThrow('ledger_corrupt');
    expect(made.letGo(50)).toHaveLength(2);
    expect(made.journal.list('job', '').map(({ id }) => id)).toEqual(['j2']);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true });
  });

  it('leaves everything as it was where it fails', async () => {
    const made = segmented(2);
    made.file.db.exec("CREATE TRIGGER no BEFORE UPDATE ON segment BEGIN SELECT RAISE(ABORT, 'no'); END");
    expect(() => made.letGo(1e9)).toThrow('no');
    made.file.db.exec('DROP TRIGGER no');
    expect(made.states()).toEqual([2, 2]);
    expect(made.journal.get('job', 'j0')).toBe('x');
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, rows: 6 });
    expect(made.letGo(1e9)).toHaveLength(2);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true });
  });

  it('is told by what is listed and exported: the rows from there on', () => {
    const made = segmented(3);
    const before = [...exportedRows(made.path)];
    expect(before.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const name of made.letGo(30)) fs.rmSync(name);
    const listed = segmentsOf(made.path);
    expect(listed.map(({ file, first, last, bytes }) => [file, first, last, bytes > 0])).toEqual([
      [null, 1, 2, false],
      ...made
        .segments()
        .map((name, each) => [
          path.join(segmentFolder(made.path), name),
          ...[3 + 2 * each, 4 + 2 * each, true],
        ]),
    ]);
    expect(listed.map(({ until }) => Date.parse(until))).toEqual([10, 30, 50]);
    expect(listed[1]!.end_hash).toBe(before[3]!.hash);
    expect(listed[1]!.bytes).toBe(fs.statSync(listed[1]!.file!).size);
    const after = [...exportedRows(made.path)];
    expect(after.slice(0, 6)).toEqual(before.slice(2));
    expect(after.slice(6)).toMatchObject([{ op: 'put', kind: 'segment', key: 'let-go' }]);
    fs.rmSync(listed[1]!.file!);
    expect(segmentsOf(made.path)[1]!.bytes).toBe(0);
    expect(() => [...exportedRows(made.path)]).toThrow('ledger_corrupt');
  });
});
