import * as fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { openSqliteFile } from '../../src/ledger/sqlite-file.ts';
import { openSqliteLedger, type SqliteLedgerOptions } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { codeOfRejection, insert, ledgerSuite, log, put } from './suite.ts';
import { temporaryDirectory } from './temporary.ts';

/** Between two tries of a writer whose file another program holds, or more. */
const RETRY_MS = 50;

const temporary = temporaryDirectory();
let files = 0;
const newPath = (): string => {
  files += 1;
  return temporary.file(`${files}.db`);
};
const open = (options: SqliteLedgerOptions): Promise<Ledger> =>
  openSqliteLedger(options, { log: silentLogger });

ledgerSuite('sqlite', ({ clock, ...options }) =>
  openSqliteLedger({ path: newPath(), groupCommitMs: 0, ...options }, { log: silentLogger, clock }),
);
ledgerSuite('sqlite, grouped', ({ clock, ...options }) =>
  openSqliteLedger(
    { path: newPath(), groupCommitMs: 3, maxRowsPerCommit: 5, ...options },
    { log: silentLogger, clock },
  ),
);

describe('the file', () => {
  it('is private, in WAL mode with full sync, and says whose it is', async () => {
    const path = newPath();
    const ledger = await open({ path });
    await ledger.append([put('a', '1')]);
    for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.lock`]) {
      expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    }
    await ledger.close();
    expect(fs.existsSync(`${path}-wal`)).toBe(false);
    const header = fs.readFileSync(path);
    expect(header.toString('latin1', 68, 72)).toBe('SHST');
    expect(header.readUInt32BE(60)).toBe(2);
    const file = openSqliteFile({ path, nowMs: 0 });
    expect(file.db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    expect(file.db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(file.db.prepare('PRAGMA foreign_keys').get()).toEqual({ foreign_keys: 1 });
    expect(file.db.prepare('PRAGMA trusted_schema').get()).toEqual({ trusted_schema: 0 });
    file.close();
  });

  it('names the engine', async () => {
    const ledger = await open({ path: newPath() });
    expect(ledger.engine).toMatch(/^sqlite 3\.\d+\.\d+$/);
    await ledger.close();
  });

  it('is held by one writer at a time; readers are let in', async () => {
    const path = newPath();
    const ledger = await open({ path });
    await ledger.append([put('a', '1')]);
    expect(await codeOfRejection(open({ path }))).toBe('ledger_locked');
    const reader = await open({ path, readOnly: true });
    expect(await reader.get('stream', 'a')).toBe('1');
    await ledger.append([put('a', '2'), log(0, 3)]);
    expect(await reader.get('stream', 'a')).toBe('2');
    expect(await reader.readLogSince('share', 0)).toHaveLength(1);
    expect(await codeOfRejection(reader.append([put('a', '3')]))).toBe('ledger_io');
    expect((await verifyLedger(path)).ok).toBe(true);
    await reader.close();
    await ledger.close();
    await (await open({ path })).close();
  });

  it('waits, and answers meanwhile, while another program writes to the file', async () => {
    const path = newPath();
    const ledger = await open({ path });
    await ledger.append([put('a', '1')]);
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const written = [ledger.append([put('a', '2')]), ledger.appendNow([log(0, 3)])];
    let isWritten = false;
    void Promise.all(written).then(() => {
      isWritten = true;
    });
    for (let read = 0; read < 20; read += 1) expect(await ledger.get('stream', 'a')).toBe('1');
    expect([isWritten, ledger.stats.failed, ledger.stats.queuedWrites]).toEqual([false, false, 2]);
    other.exec('COMMIT');
    other.close();
    await Promise.all(written);
    expect(await ledger.get('stream', 'a')).toBe('2');
    await ledger.close();
    expect((await verifyLedger(path)).ok).toBe(true);
  });

  it('counts the time that another program held the file as time of the commit', async () => {
    const path = newPath();
    const seconds: number[] = [];
    const ledger = await openSqliteLedger(
      { path },
      { log: silentLogger, observeCommit: (each) => seconds.push(each) },
    );
    await ledger.append([put('a', '1')]);
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const written = ledger.appendNow([put('a', '2')]);
    // Answered behind the write: that was tried before.
    await ledger.get('stream', 'a');
    const triedMs = performance.now();
    while (performance.now() - triedMs < 4 * RETRY_MS) await ledger.get('stream', 'a');
    other.exec('COMMIT');
    other.close();
    await written;
    expect(seconds.at(-1)).toBeGreaterThan((3 * RETRY_MS) / 1000);
    await ledger.appendNow([put('a', '3')]);
    expect(seconds).toHaveLength(3);
    await ledger.close();
  });

  it('is closed also while another program holds it: what waits is refused', async () => {
    const path = newPath();
    const ledger = await open({ path });
    await ledger.append([put('a', '1')]);
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const waiting = codeOfRejection(ledger.append([put('a', '2')]));
    expect(await ledger.get('stream', 'a')).toBe('1');
    await ledger.close();
    expect(await waiting).toBe('ledger_io');
    other.close();
  });

  it('keeps everything across a reopen and goes on', async () => {
    const path = newPath();
    for (let round = 0; round < 3; round += 1) {
      const ledger = await open({ path });
      expect(await ledger.readLog('share', 's', 0, 99)).toHaveLength(round);
      for (const first of [round * 2 - 1, round * 2 + 1]) {
        if (first > 0)
          expect(await codeOfRejection(ledger.append([log(first, 1)]))).toBe('ledger_conflict');
      }
      await ledger.append([log(round * 2, 2), put('round', `${round}`), insert('once', 'same')]);
      await ledger.close();
    }
    const result = await verifyLedger(path);
    expect(result).toMatchObject({ ok: true, rows: 2 * 3 + 1 });
  });
});

describe('refusals at open', () => {
  const prepared = (sql: string): string => {
    const path = newPath();
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
    return path;
  };

  it('refuses the database of another program and leaves it as it is', async () => {
    for (const sql of [
      'CREATE TABLE t (x)',
      'PRAGMA application_id = 7; CREATE TABLE t (x)',
      'PRAGMA user_version = 3',
    ]) {
      const path = prepared(sql);
      const before = fs.readFileSync(path);
      expect(await codeOfRejection(open({ path }))).toBe('ledger_schema');
      expect(fs.readFileSync(path).equals(before)).toBe(true);
    }
  });

  it('refuses a file that is no database', async () => {
    const path = newPath();
    fs.writeFileSync(path, 'this is a text of more than a hundred bytes '.repeat(40));
    expect(await codeOfRejection(open({ path }))).toBe('ledger_schema');
    expect(await codeOfRejection(verifyLedger(path))).toBe('ledger_schema');
  });

  it('reports a path that cannot be opened', async () => {
    const file = newPath();
    fs.writeFileSync(file, '');
    expect(await codeOfRejection(open({ path: `${file}/below/a/file.db` }))).toBe('ledger_io');
    expect(await codeOfRejection(open({ path: newPath(), readOnly: true }))).toBe('ledger_io');
    expect(await codeOfRejection(verifyLedger(newPath()))).toBe('ledger_io');
  });
});

describe('a failed write', () => {
  it('fails everything from then on, and says so once', async () => {
    const path = newPath();
    const failures: string[] = [];
    const ledger = await openSqliteLedger(
      { path, groupCommitMs: 0 },
      { log: silentLogger, onFailure: (error) => failures.push(error.code) },
    );
    await ledger.append([log(0, 1), put('a', '1')]);
    const intruder = new DatabaseSync(path);
    intruder.exec('ALTER TABLE document RENAME TO elsewhere');
    const codes = await Promise.all([
      codeOfRejection(ledger.append([log(1, 1), put('a', '2')])),
      codeOfRejection(ledger.appendNow([put('b', '1')])),
      codeOfRejection(ledger.append([put('c', '1')])),
    ]);
    expect(codes).toEqual(['ledger_io', 'ledger_io', 'ledger_io']);
    expect(ledger.stats).toMatchObject({ failed: true, queuedWrites: 0, commits: 1, rows: 2 });
    expect(await codeOfRejection(ledger.append([]))).toBe('ledger_io');
    expect(await codeOfRejection(ledger.get('stream', 'a'))).toBe('ledger_io');
    await ledger.close();
    expect(failures).toEqual(['ledger_io']);
    intruder.exec('ALTER TABLE elsewhere RENAME TO document');
    intruder.close();
    expect(await verifyLedger(path)).toMatchObject({ ok: true, rows: 2 });
    const again = await open({ path });
    expect(await again.get('stream', 'a')).toBe('1');
    await again.close();
  });
});

describe('group commit', () => {
  it('puts what arrives meanwhile into one commit, and tells of each', async () => {
    const observed: number[] = [];
    const ledger = await openSqliteLedger(
      { path: newPath(), groupCommitMs: 60_000 },
      {
        log: silentLogger,
        clock: new ManualClock(),
        observeCommit: (_seconds, rows) => observed.push(rows),
      },
    );
    await Promise.all(Array.from({ length: 20 }, (_, index) => ledger.append([put(`${index}`, 'x')])));
    // The next group would wait a minute, but an urgent append takes along all that waits.
    const waiting = ledger.append([put('waits', 'x')]);
    await ledger.appendNow([put('urgent', 'x')]);
    await waiting;
    expect(observed).toEqual([20, 2]);
    expect(ledger.stats.commits).toBe(2);
    await ledger.close();
  });

  it('does not wait once a group is full', async () => {
    const ledger = await openSqliteLedger(
      { path: newPath(), groupCommitMs: 60_000, maxRowsPerCommit: 4 },
      { log: silentLogger, clock: new ManualClock() },
    );
    await ledger.append([put('first', 'x')]);
    await Promise.all(Array.from({ length: 4 }, (_, index) => ledger.append([put(`${index}`, 'x')])));
    expect(ledger.stats.rows).toBe(5);
    await ledger.close();
  });
});
