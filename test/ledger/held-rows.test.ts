import nodeFs, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { backupLedger } from '../../src/ledger/backup.ts';
import { exportedRows, segmentsOf } from '../../src/ledger/export.ts';
import { segmentFolder } from '../../src/ledger/segment-file.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { type SealingTask, writeSegment } from '../../src/ledger/write-segment.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { JournalStand } from './journal-stand.ts';
import { insert, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();
let opened: JournalStand | undefined;
afterEach(() => {
  opened?.close();
  opened = undefined;
});

/** Rows 1 to 12: a job, an item of s and one of t, and a total, three times; sealed up to some. */
function filled(...sealed: readonly number[]): JournalStand {
  opened = new JournalStand(file('held.db'));
  for (let item = 0; item < 3; item += 1) {
    const entries = [insert(`j${item}`, '\u20ac'), log(item, 1), log(item, 1, 't'), put('s', `${item}`)];
    opened.commit(10 * (item + 1), entries);
  }
  for (const last of sealed) opened.seal(last);
  return opened;
}

const OPEN = '/proc/self/fd';
const openFiles = (): number => (fs.existsSync(OPEN) ? fs.readdirSync(OPEN).length : 0);
const pathOf = (made: JournalStand, number: number): string =>
  path.join(segmentFolder(made.path), made.segments()[number]!);

function damage(at: string): void {
  const bytes = fs.readFileSync(at);
  bytes[9]! ^= 1;
  fs.writeFileSync(at, bytes);
}

async function codeOfFailure(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'none';
  } catch (error) {
    return codeOf(error);
  }
}

describe('rows that are read for export, a check or a segment', () => {
  it('leave no file open, however it ends', async () => {
    const made = filled(4, 7);
    made.prune();
    const before = openFiles();
    let copies = 0;
    const newCopy = (): string => {
      copies += 1;
      return file(`copy-${copies}.db`);
    };
    const uses: (() => unknown)[] = [
      () => [...exportedRows(made.path)],
      () => segmentsOf(made.path),
      () => verifyLedger(made.path),
      () => backupLedger(made.path, newCopy()),
      () => writeSegment({ path: made.path, lastSeq: 9, segmentBytes: 1e9, evidenceKinds: [] }),
    ];
    const rows = exportedRows(made.path);
    rows.next();
    rows.return(undefined);
    for (const use of uses) await use();
    expect(openFiles()).toBe(before);
    damage(pathOf(made, 1));
    for (const use of uses) await codeOfFailure(use);
    expect(openFiles()).toBe(before);
  });

  it('need files that are closed with the ledger', () => {
    const before = openFiles();
    const made = filled(4);
    expect(openFiles()).toBeGreaterThan(before);
    made.close();
    opened = undefined;
    expect(openFiles()).toBe(before);
  });

  it('of a segment hold it open, and none that was let go of', () => {
    const made = filled(4, 7);
    made.prune();
    const before = openFiles();
    expect(made.journal.list('job', '').map(({ id }) => id)).toEqual(['j0', 'j1', 'j2']);
    expect(openFiles()).toBe(before + 2);
    made.letGo(20);
    expect(openFiles()).toBe(before);
  });

  it('are as of one moment: what is written meanwhile is of the next', () => {
    const made = filled();
    const rows = exportedRows(made.path);
    expect(rows.next().value).toMatchObject({ seq: 1 });
    made.commit(40, [put('s', '9')]);
    expect([...rows].map(({ seq }) => seq)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect([...exportedRows(made.path)]).toHaveLength(13);
  });

  it('are printed with what each kind of row has', () => {
    const made = filled();
    const rows = [...exportedRows(made.path)].map((row) => ({ ...row, hash: undefined }));
    expect(rows.slice(0, 4)).toEqual([
      { seq: 1, at_ms: 10, op: 'insert', kind: 'job', key: 'j0', body: '\u20ac' },
      { seq: 2, at_ms: 10, op: 'log', kind: 'share', key: 's', first: 0, count: 1, body: 'AA==' },
      { seq: 3, at_ms: 10, op: 'log', kind: 'share', key: 't', first: 0, count: 1, body: 'AA==' },
      { seq: 4, at_ms: 10, op: 'put', kind: 'stream', key: 's', body: '0' },
    ]);
  });
});

describe('verifyLedger of a ledger with segments', () => {
  it('counts them, and their rows once', async () => {
    const made = filled(4, 7);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, rows: 12, segments: 2 });
    made.prune();
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, rows: 12, segments: 2 });
    made.letGo(20);
    expect(await verifyLedger(made.path)).toMatchObject({ ok: true, segments: 1, letGoRows: 4 });
  });

  const tampered = async (made: JournalStand, sql: string): Promise<unknown> => {
    made.file.db.exec(`DROP TRIGGER IF EXISTS journal_is_never_updated;
      DROP TRIGGER IF EXISTS journal_is_deleted_once_sealed; ${sql}`);
    const { ok, firstBadSeq, problem } = await verifyLedger(made.path);
    return ok ? 'ok' : [firstBadSeq, problem];
  };

  it.each([
    [
      'a row that is not yet deleted, changed',
      "UPDATE journal SET body = x'09' WHERE seq = 2",
      3,
      'row 2 is not as it was sealed',
    ],
    [
      'its hash',
      'UPDATE journal SET hash = zeroblob(32) WHERE seq = 3',
      4,
      'row 3 is not as it was sealed',
    ],
    ['its time', 'UPDATE journal SET at_ms = 9 WHERE seq = 1', 2, 'row 1 is not as it was sealed'],
    ['its key', "UPDATE journal SET key = 'x' WHERE seq = 2", 3, 'row 2 is not as it was sealed'],
    [
      'the checkpoint',
      'UPDATE segment SET end_hash = zeroblob(32) WHERE first_seq = 1',
      5,
      'segment 1-4 does not end at its checkpoint',
    ],
    ['the next row behind the last segment', 'DELETE FROM journal WHERE seq = 8', 8, 'row 8 is missing'],
    ['rows that may be deleted, which are', 'DELETE FROM journal WHERE seq IN (2, 3, 6)', undefined, 'ok'],
  ])('sees %s', async (_, sql, seq, problem) => {
    expect(await tampered(filled(4, 7), sql)).toEqual(seq === undefined ? 'ok' : [seq, problem]);
  });

  it('sees a segment that is not in the table, wherever it stands', async () => {
    const made = filled(4, 7);
    made.prune();
    expect(
      await tampered(made, 'DELETE FROM segment_log; DELETE FROM segment WHERE first_seq = 1'),
    ).toEqual([1, 'row 1 is in no segment']);
  });

  it('sees one whose last rows are of another length', async () => {
    const made = filled(4, 7);
    const name = pathOf(made, 0);
    fs.renameSync(name, name.replace('004.seg', '003.seg'));
    expect(await tampered(made, 'UPDATE segment SET last_seq = 3 WHERE first_seq = 1')).toEqual([
      5,
      'segment 1-3 does not end at its checkpoint',
    ]);
  });

  const LET_GO = 'what was let go of is not what the journal says';
  it.each<[string, string, number, string]>([
    ['another end', 'UPDATE segment SET last_seq = 3 WHERE state = 3', 4, 'row 4 is in no segment'],
    [
      'another hash',
      'UPDATE segment SET end_hash = zeroblob(32) WHERE state = 3',
      8,
      'segment 5-7 does not end at its checkpoint',
    ],
    ['no mark', "DELETE FROM document WHERE kind = 'segment'", 4, LET_GO],
    ['less', 'UPDATE segment SET state = 3', 7, LET_GO],
    ['a mark alone', 'DELETE FROM segment_log; DELETE FROM segment', 1, 'row 1 is missing'],
  ])('sees that the journal tells of %s than what was let go of', async (_, sql, seq, problem) => {
    const made = filled(4, 7);
    made.prune();
    made.letGo(20);
    expect(await tampered(made, sql)).toEqual([seq, problem]);
  });

  it('takes a turn every 2000 rows, and is as of one moment', async () => {
    opened = new JournalStand(file('long.db'));
    opened.commit(
      1,
      Array.from({ length: 4001 }, () => put('a', '')),
    );
    const time = new VirtualTime();
    let turns = 0;
    const afterTurn = (run: () => void): void => {
      turns += 1;
      opened!.commit(2, [put('a', '9'), put('new', '')]);
      time.timers.afterTurn(run);
    };
    const verifying = verifyLedger(opened.path, { timers: { ...time.timers, afterTurn } });
    await time.settle();
    expect(await verifying).toMatchObject({ ok: true, rows: 4001 });
    expect(turns).toBe(2);
  });
});

describe('a backup with segments', () => {
  it('has those that are held, in a folder of its own, and is refused where that exists', async () => {
    const made = filled(4, 7);
    made.prune();
    for (const name of made.letGo(20)) fs.rmSync(name);
    const out = file('copy.db');
    fs.mkdirSync(segmentFolder(out));
    expect(await codeOfFailure(() => backupLedger(made.path, out))).toBe('output_refused');
    expect([fs.existsSync(out), fs.existsSync(segmentFolder(out))]).toEqual([false, true]);
    fs.rmdirSync(segmentFolder(out));
    expect(await backupLedger(made.path, out)).toEqual(await verifyLedger(made.path));
    expect(fs.readdirSync(segmentFolder(out))).toEqual(made.segments());
    expect(fs.statSync(segmentFolder(out)).mode & 0o777).toBe(0o700);
  });

  it('has no folder where there are none', async () => {
    const made = filled();
    await backupLedger(made.path, file('copy.db'));
    expect(fs.existsSync(segmentFolder(file('copy.db')))).toBe(false);
  });

  it.each<[string, (at: string) => void, string]>([
    ['gone', (at) => fs.rmSync(at), 'ledger_io'],
    ['damaged', damage, 'ledger_corrupt'],
  ])('leaves nothing where a segment is %s', async (_, change, code) => {
    const made = filled(4, 7);
    made.prune();
    change(pathOf(made, 1));
    const out = file('copy.db');
    expect(await codeOfFailure(() => backupLedger(made.path, out))).toBe(code);
    expect([fs.existsSync(out), fs.existsSync(segmentFolder(out))]).toEqual([false, false]);
  });

  it('says what is wrong with its copy', async () => {
    const made = filled();
    made.file.db.exec(
      "DROP TRIGGER journal_is_never_updated; UPDATE journal SET body = x'09' WHERE seq = 2",
    );
    await expect(backupLedger(made.path, file('copy.db'))).rejects.toMatchObject({
      message: 'ledger_corrupt: the copy does not verify; row 2: row 2 does not match its hash',
      meta: { verification: { ok: false, firstBadSeq: 2 } },
    });
  });
});

describe('a segment that is written', () => {
  const task = (made: JournalStand, changes: Partial<SealingTask> = {}): SealingTask => ({
    ...{ path: made.path, lastSeq: 9, segmentBytes: 1e9, evidenceKinds: ['job'], ...changes },
  });

  it('has rows up to the last that may be, or to so many bytes', () => {
    const made = filled();
    expect(writeSegment(task(made))).toMatchObject({ firstSeq: 1, lastSeq: 9, lastAtMs: 30 });
    // A job is three bytes, an item one, and so is a total.
    expect(writeSegment(task(made, { segmentBytes: 6 }))).toMatchObject({ lastSeq: 4, lastAtMs: 10 });
    expect(writeSegment(task(made, { segmentBytes: 7 }))).toMatchObject({ lastSeq: 5, lastAtMs: 20 });
    expect(made.segments()).toHaveLength(1);
  });

  it('begins behind the one before, and knows its logs and its evidence', () => {
    const made = filled(2);
    const written = writeSegment(task(made));
    expect(written).toMatchObject({ firstSeq: 3, lastSeq: 9 });
    expect(written.logs).toEqual([
      { kind: 'share', key: 't', first: 0, end: 2 },
      { kind: 'share', key: 's', first: 1, end: 2 },
    ]);
    made.maintenance.answer({ type: 'seal', segment: written });
    made.prune();
    expect(made.journal.list('job', '').map(({ id }) => id)).toEqual(['j0', 'j1', 'j2']);
    made.letGo(31);
    expect(made.journal.list('job', '')).toEqual([]);
  });

  it('is on disk before it has its name, and its name before the journal may lose a row', () => {
    const made = filled();
    const calls: string[] = [];
    const names = new Map<number, string>();
    const { openSync, fsyncSync, renameSync } = nodeFs;
    vi.spyOn(nodeFs, 'openSync').mockImplementation((...parameters) => {
      const descriptor = openSync(...parameters);
      names.set(descriptor, path.relative(file(''), String(parameters[0])));
      return descriptor;
    });
    vi.spyOn(nodeFs, 'fsyncSync').mockImplementation((descriptor) => {
      calls.push(`sync ${names.get(descriptor)}`);
      fsyncSync(descriptor);
    });
    vi.spyOn(nodeFs, 'renameSync').mockImplementation((from, to) => {
      calls.push(`name ${path.basename(String(to))}`);
      renameSync(from, to);
    });
    syncBuiltinESMExports();
    try {
      writeSegment(task(made));
    } finally {
      vi.restoreAllMocks();
      syncBuiltinESMExports();
    }
    expect(calls).toEqual([
      'sync held.db-segments/next.tmp',
      'name 0000000000000001-0000000000000009.seg',
      'sync held.db-segments',
      'sync ',
    ]);
  });

  it('is not made of rows that do not follow', async () => {
    for (const sql of [
      "UPDATE journal SET body = x'09' WHERE seq = 3",
      'DELETE FROM journal WHERE seq = 3',
    ]) {
      const made = filled();
      made.file.db.exec(
        `DROP TRIGGER journal_is_never_updated; DROP TRIGGER journal_is_deleted_once_sealed; ${sql}`,
      );
      expect(() => writeSegment(task(made))).toThrow('row 3 does not match its hash');
      expect(made.segments()).toEqual([]);
      made.close();
      opened = undefined;
      fs.rmSync(made.path);
    }
  });

  it('takes away what a killed run left, and nothing that may be of use', () => {
    const made = filled(2, 4);
    made.prune();
    const kept = pathOf(made, 1);
    const gone = pathOf(made, 0);
    const bytes = fs.readFileSync(gone);
    for (const name of made.letGo(11, ['t'])) fs.rmSync(name);
    fs.writeFileSync(gone, bytes);
    const folder = segmentFolder(made.path);
    const unknown = writeSegment(task(made, { lastSeq: 6 }));
    const orphan = path.join(folder, made.segments().at(-1)!);
    expect(path.basename(orphan)).toContain(`${unknown.lastSeq}.seg`);
    // A copy of an older ledger had these: a segment of another chain, and one that cannot be read.
    const foreign = path.join(folder, '0000000000000001-0000000000000099.seg');
    fs.copyFileSync(orphan, foreign);
    damageFooter(foreign);
    const note = path.join(folder, 'note.txt');
    fs.writeFileSync(note, 'mine');
    fs.writeFileSync(path.join(folder, 'other.tmp'), 'half');
    writeSegment(task(made));
    expect(made.segments().map((name) => path.join(folder, name))).toEqual(
      [foreign, kept, path.join(folder, '0000000000000005-0000000000000009.seg'), note].toSorted(),
    );
  });

  it('leaves one of another ledger where it is', () => {
    const other = new JournalStand(file('other.db'));
    other.commit(5, [put('x', '1'), put('x', '2'), put('x', '3'), put('x', '4'), put('x', '5')]);
    writeSegment({ path: other.path, lastSeq: 3, segmentBytes: 1e9, evidenceKinds: [] });
    const made = filled();
    fs.mkdirSync(segmentFolder(made.path));
    const [name] = other.segments();
    fs.copyFileSync(
      path.join(segmentFolder(other.path), name!),
      path.join(segmentFolder(made.path), name!),
    );
    other.close();
    writeSegment(task(made));
    expect(made.segments()).toEqual([name, '0000000000000001-0000000000000009.seg']);
  });

  function damageFooter(at: string): void {
    const bytes = fs.readFileSync(at);
    bytes[bytes.length - 1]! ^= 1;
    fs.writeFileSync(at, bytes);
  }
});

it('a ledger whose journal cannot be counted is corrupt', async () => {
  const made = filled();
  made.close();
  opened = undefined;
  const db = new DatabaseSync(made.path);
  // The same document twice, which the table itself forbids.
  db.exec(`PRAGMA foreign_keys = OFF; CREATE TABLE d AS SELECT * FROM document; DROP TABLE document;
    ALTER TABLE d RENAME TO document; INSERT INTO document SELECT * FROM document`);
  db.close();
  expect(await codeOfFailure(() => verifyLedger(made.path))).toBe('ledger_corrupt');
});
