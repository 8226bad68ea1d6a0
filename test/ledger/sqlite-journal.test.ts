import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import { OP_CODES } from '../../src/ledger/frame.ts';
import type { BlockRow } from '../../src/ledger/journal-row.ts';
import { readInstance } from '../../src/ledger/schema.ts';
import { SqliteJournal } from '../../src/ledger/sqlite-journal.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { frameOf, JournalStand } from './journal-stand.ts';
import { insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
const stands: JournalStand[] = [];
afterEach(() => {
  for (const stand of stands.splice(0)) stand.close();
});

function stand(name = 'journal.db'): JournalStand {
  const made = new JournalStand(file(name));
  stands.push(made);
  return made;
}

function again(old: JournalStand): JournalStand {
  stands.splice(stands.indexOf(old), 1);
  const made = old.reopened();
  stands.push(made);
  return made;
}

/** A document as it is written again. */
const row = (id: string, body: string): BlockRow => ({
  ...{ atMs: 0, op: OP_CODES.put, kind: 'stream', key: id, first: 0, count: 0 },
  body: Buffer.from(body),
});

describe('a commit', () => {
  it('tells of each frame and each append in it', () => {
    const { journal } = stand();
    expect([journal.seq, journal.atMs]).toEqual([0, 0]);
    journal.begin();
    const results = journal.commit(
      [
        frameOf([log(0, 2)], [log(1, 1)], [put('a', '1'), insert('j', 'x')], [insert('j', 'y')]),
        frameOf([insert('j', 'x')], []),
        frameOf([log(2, 1), put('a', '2')]),
      ],
      50,
    );
    expect(results).toEqual([
      {
        ...{ rows: 3, atMs: 50 },
        conflicts: [
          { append: 1, detail: 'share s continues at 2, not 1' },
          { append: 3, detail: 'job j is stored with another body' },
        ],
      },
      { rows: 0, atMs: 50, conflicts: [] },
      { rows: 2, atMs: 50, conflicts: [] },
    ]);
    expect([journal.seq, journal.atMs, journal.get('stream', 'a')]).toEqual([5, 50, '2']);
  });

  it('without a row leaves the time of the newest as it was, and time never falls', () => {
    const { journal, commit } = stand();
    commit(50, [put('a', '1')]);
    expect(commit(90, [log(1, 1)])).toMatchObject({ rows: 0, atMs: 90 });
    expect(journal.atMs).toBe(50);
    expect(commit(40, [put('a', '2')])).toMatchObject({ rows: 1, atMs: 50 });
    expect(commit(51, [put('a', '3')])).toMatchObject({ rows: 1, atMs: 51 });
    expect(journal.atMs).toBe(51);
  });

  it('checks an append against what stands before it in the same append', () => {
    const { journal, commit } = stand();
    const details = (...entries: Parameters<typeof commit>[1][]): unknown =>
      commit(1, ...entries).conflicts.map(({ detail }) => detail);
    expect(details([log(0, 2), log(2, 1), log(3, 1)])).toEqual([]);
    expect(details([log(4, 2), log(5, 1)])).toEqual(['share s continues at 6, not 5']);
    // What was refused as a whole has moved no end.
    expect(details([log(4, 1), log(0, 1, 't')], [log(1, 1, 't')])).toEqual([]);
    expect(details([insert('a', '1'), insert('a', '2')])).toEqual(['job a is stored with another body']);
    expect(journal.get('job', 'a')).toBeUndefined();
    expect(details([put('b', '1', 'job'), insert('b', '1')])).toEqual([]);
    expect(details([put('b', '2', 'job'), insert('b', '1')])).toEqual([
      'job b is stored with another body',
    ]);
    expect(details([put('b', '3', 'job'), insert('b', '3'), put('b', '4', 'job')])).toEqual([]);
    expect(journal.get('job', 'b')).toBe('4');
    expect(details([log(0, 1, 's', 'other'), put('s', 'x', 'share')])).toEqual([]);
    expect(journal.logRange('other', 's')).toEqual({ first: 0, end: 1 });
  });

  it('is not begun while another program writes, and is when that has ended', () => {
    const { path, file: own, journal, commit } = stand();
    own.db.exec('PRAGMA busy_timeout = 0');
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    expect(journal.begin()).toBe(false);
    other.exec('ROLLBACK');
    other.close();
    expect(journal.begin()).toBe(true);
    expect(() => journal.begin()).toThrow('within a transaction');
    journal.commit([], 1);
    expect(commit(1, [put('a', '1')]).rows).toBe(1);
  });
});

describe('a journal that is opened', () => {
  it('goes on from its last row, be it the first one or not', async () => {
    let opened = stand();
    for (let round = 1; round <= 4; round += 1) {
      opened.commit(round * 10, [put('a', String(round))]);
      opened = again(opened);
      expect([opened.journal.seq, opened.journal.atMs]).toEqual([round, round * 10]);
    }
    expect(await verifyLedger(opened.path)).toMatchObject({ ok: true, rows: 4 });
  });

  it.each([
    ['one row, whose number is another', 1, 'UPDATE journal SET seq = 2'],
    ['one row, changed', 1, "UPDATE journal SET body = x'09'"],
    ['two rows, the last changed', 2, "UPDATE journal SET body = x'00' WHERE seq = 2"],
    ['two rows with a gap between', 2, 'UPDATE journal SET seq = 3 WHERE seq = 2'],
    ['two rows, the hash of the first changed', 2, 'UPDATE journal SET hash = zeroblob(32) WHERE seq = 1'],
    ['three rows, the middle one gone', 3, 'DELETE FROM journal WHERE seq = 2'],
    ['another instance', 1, "UPDATE identity SET instance = 'x'"],
  ])('with %s is corrupt', (_, rows, sql) => {
    const opened = stand();
    for (let each = 0; each < rows; each += 1) opened.commit(1, [log(each, 1)]);
    opened.file.db.exec(
      `DROP TRIGGER journal_is_never_updated; DROP TRIGGER journal_is_deleted_once_sealed; ${sql}`,
    );
    const instance = readInstance(opened.file.db);
    expect(() => new SqliteJournal({ ...opened.file, instance })).toThrow('ledger_corrupt');
  });
});

describe('rows that are written again', () => {
  it('stand at the head behind what is done with them, at a time that does not fall', async () => {
    const { path, journal, commit, file: own } = stand();
    commit(50, [put('a', '1')]);
    journal.rewrite([row('a', '2'), row('b', '3')], 40, () => {
      expect(own.db.isTransaction).toBe(true);
      expect(journal.seq).toBe(1);
    });
    expect([journal.seq, journal.atMs, journal.get('stream', 'a')]).toEqual([3, 50, '2']);
    journal.rewrite([row('a', '4')], 60, () => {});
    expect([journal.seq, journal.atMs]).toEqual([4, 60]);
    journal.rewrite([], 90, () => {});
    expect([journal.seq, journal.atMs]).toEqual([4, 60]);
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 4 });
  });

  it('are gone as a whole where anything of it fails, and the next row is as if nothing had been', async () => {
    const { path, journal, commit, file: own } = stand();
    commit(50, [put('a', '1')]);
    const bad = { ...row('b', '3'), op: 9 };
    expect(() => journal.rewrite([row('a', '2'), bad], 60, () => {})).toThrow('CHECK');
    const fail = (): void => {
      throw new Error('of the work');
    };
    expect(() => journal.rewrite([row('a', '2')], 60, fail)).toThrow('of the work');
    own.db.exec(
      "CREATE TRIGGER late BEFORE INSERT ON document WHEN NEW.id = 'z' BEGIN SELECT RAISE(ABORT, 'late'); END",
    );
    expect(() => journal.rewrite([row('a', '2'), row('z', '2')], 70, () => {})).toThrow('late');
    expect([journal.seq, journal.atMs, journal.get('stream', 'a')]).toEqual([1, 50, '1']);
    expect(commit(55, [put('a', '5')])).toMatchObject({ rows: 1, atMs: 55 });
    own.db.exec('DROP TRIGGER late');
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 2 });
  });
});

describe('reads of rows, wherever they are', () => {
  /** Ten times three items of stream s, a job and one item of t, at 10, 20, ...; sealed up to some. */
  function filled(...sealed: readonly number[]): JournalStand {
    const made = stand();
    for (let item = 0; item < 10; item += 1)
      made.commit(10 * (item + 1), [
        log(item * 3, 3),
        insert(`j${item}`, `job ${item}`),
        log(item, 1, 't'),
      ]);
    for (const last of sealed) made.seal(last);
    if (sealed.length > 0) made.prune();
    return made;
  }
  const SEALED = [[], [1], [4], [6], [9, 15], [3, 6, 9, 12, 15, 18, 21, 24], [28]];

  it.each(SEALED)('are as before with %j sealed, and so is what may follow', (...sealed) => {
    const opened = filled(...sealed);
    expectLogs(opened);
    expectDocuments(opened);
    const reopened = again(opened);
    expectDocuments(reopened);
    const appends = [[log(29, 1)], [insert('j0', 'other')], [log(30, 1), insert('j0', 'job 0')]];
    expect(reopened.commit(200, ...appends).conflicts.map(({ append }) => append)).toEqual([0, 1]);
    expect(reopened.journal.logRange('share', 's').end).toBe(31);
  });

  function expectLogs({ journal }: JournalStand): void {
    for (let from = 0; from <= 31; from += 1) {
      for (const most of [1, 2, 3, 10, 99]) {
        const firsts = Array.from({ length: 10 }, (_, each) => each * 3).filter(
          (first) => first + 3 > from,
        );
        const rows = journal.readLog('share', 's', from, most);
        expect(rows.map(({ first }) => first)).toEqual(firsts.slice(0, most));
        for (const { seq, first, count, atMs, body } of rows) {
          expect([seq, count, atMs]).toEqual([first + 1, 3, 10 * (first / 3 + 1)]);
          expect([...body]).toEqual([first, first + 1, first + 2]);
        }
      }
    }
    expect(journal.readLog('share', 't', 7, 2).map(({ seq }) => seq)).toEqual([24, 27]);
    expect(journal.readLog('other', 's', 0, 9)).toEqual([]);
    expect(journal.readLog('share', 'u', 0, 9)).toEqual([]);
    expect(journal.logRange('share', 's')).toEqual({ first: 0, end: 30 });
    expect(journal.logRange('share', 'u')).toEqual({ first: 0, end: 0 });
  }

  function expectDocuments({ journal }: JournalStand): void {
    const jobs = Array.from({ length: 10 }, (_, item) => ({ id: `j${item}`, body: `job ${item}` }));
    expect(journal.list('job', '')).toEqual(jobs);
    expect(journal.list('job', 'j3')).toEqual([jobs[3]]);
    expect(journal.list('job', 'i')).toEqual([]);
    expect(jobs.map(({ id }) => journal.get('job', id))).toEqual(jobs.map(({ body }) => body));
  }

  it('find the first row that was written at or after a time', () => {
    const { journal } = filled();
    const seqs = [0, 10, 11, 20, 100, 101].map((atMs) => journal.firstSeqAt(atMs));
    expect(seqs).toEqual([1, 1, 4, 4, 28, 31]);
    expect([journal.timeOf(1), journal.timeOf(30), journal.timeOf(31)]).toEqual([10, 100, 0]);
    expect(stand('empty.db').journal.firstSeqAt(5)).toBe(1);
  });

  it('find the rows since a time, of one kind, page by page', () => {
    const { journal, commit } = filled(6);
    commit(110, [log(0, 1, 's', 'other')]);
    const seqs = (sinceMs: number, after: number, most: number): number[] =>
      journal.readLogSince('share', sinceMs, after, most).map(({ seq }) => seq);
    expect(seqs(91, 0, 99)).toEqual([28, 30]);
    expect(seqs(90, 0, 99)).toEqual([25, 27, 28, 30]);
    expect(seqs(90, 25, 99)).toEqual([27, 28, 30]);
    expect(seqs(90, 26, 2)).toEqual([27, 28]);
    expect(seqs(90, 30, 2)).toEqual([]);
    expect(journal.readLogSince('share', 100, 0, 9)).toEqual([
      { seq: 28, first: 27, count: 3, atMs: 100, body: Uint8Array.of(27, 28, 29), stream: 's' },
      { seq: 30, first: 9, count: 1, atMs: 100, body: Uint8Array.of(9), stream: 't' },
    ]);
    expect(journal.readLogSince('other', 0, 0, 9).map(({ seq }) => seq)).toEqual([31]);
  });
});
