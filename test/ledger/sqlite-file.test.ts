import * as fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, vi } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { checkSchema, MIGRATIONS, migrate, pragmaNumber, transaction } from '../../src/ledger/schema.ts';
import {
  isBusy,
  isFree,
  isSafeSqliteVersion,
  lockLedger,
  openSqliteFile,
  openSqliteFileForReading,
  type SqliteFile,
  toLedgerError,
} from '../../src/ledger/sqlite-file.ts';
import { temporaryDirectory } from './temporary.ts';

const { file } = temporaryDirectory();

it.each([
  ['3.51.3', true],
  ['3.53.4', true],
  ['3.100.0', true],
  ['4.0.0', true],
  ['3.51.2', false],
  ['3.51.0', false],
  ['3.50.7', true],
  ['3.50.8', true],
  ['3.50.6', false],
  ['3.49.9', false],
  ['3.46.1', false],
  ['3.45.9', false],
  ['3.44.6', true],
  ['3.44.5', false],
  ['3.44.16', true],
  ['3.51.13', true],
  ['3.7.0', false],
  ['2.8.17', false],
  ['10.0.0', true],
  ['', false],
  ['3.53', false],
  ['3.53.4-beta', false],
  ['v3.53.4', false],
])('SQLite %s is safe: %s', (version, safe) => {
  expect(isSafeSqliteVersion(version)).toBe(safe);
});

it('applies each migration once, whole or not at all', () => {
  const db = new DatabaseSync(':memory:');
  const second = { name: 'second', sql: 'CREATE TABLE second (x) STRICT' };
  const broken = { name: 'second', sql: 'CREATE TABLE second (x INTEGER) STRICT; CREATE TABLE nonsense' };
  const good = { name: 'second', sql: 'CREATE TABLE second (x INTEGER) STRICT' };
  const version = (): unknown => db.prepare('PRAGMA user_version').get()!['user_version'];
  const tables = (): number => db.prepare("SELECT * FROM sqlite_schema WHERE name = 'second'").all().length;
  migrate(db, { nowMs: 1 });
  migrate(db, { nowMs: 2 });
  const applied = MIGRATIONS.length;
  expect(version()).toBe(applied);
  for (const migration of [second, broken]) {
    expect(() => migrate(db, { nowMs: 3, migrations: [...MIGRATIONS, migration] })).toThrow();
    expect([version(), tables()]).toEqual([applied, 0]);
  }
  migrate(db, { nowMs: 4, migrations: [...MIGRATIONS, good] });
  expect([version(), tables()]).toEqual([applied + 1, 1]);
  expect(() => migrate(db, { nowMs: 5 })).toThrow('newer');
  db.close();
});

describe('a ledger file', () => {
  const opened = (path: string, instance?: string): SqliteFile =>
    openSqliteFile({ path, nowMs: 7, ...(instance === undefined ? {} : { instance }) });
  const made = (name: string, sql = ''): string => {
    const path = file(name);
    opened(path, 'site').close();
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
    return path;
  };
  /** Code and message of what is thrown. */
  const thrownBy = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      expect(error).toBeInstanceOf(CodedError);
      return (error as CodedError).message;
    }
    return 'nothing';
  };

  it('has its settings, its instance and its schema, for writing and for reading', () => {
    const path = made('settings.db');
    const writer = opened(path);
    const pragma = (db: DatabaseSync, name: string): unknown =>
      Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0];
    const names = [
      'journal_mode',
      'synchronous',
      'foreign_keys',
      'trusted_schema',
      'wal_autocheckpoint',
      'mmap_size',
    ];
    expect(names.map((name) => pragma(writer.db, name))).toEqual(['wal', 2, 1, 0, 4096, 0]);
    expect(pragma(writer.db, 'busy_timeout')).toBe(5000);
    expect([writer.instance, writer.path]).toEqual(['site', path]);
    const reader = openSqliteFileForReading(path);
    expect([reader.instance, reader.path, reader.engine]).toEqual(['site', path, writer.engine]);
    expect(reader.engine).toMatch(/^sqlite 3\.\d+\.\d+$/);
    expect(pragma(reader.db, 'trusted_schema')).toBe(0);
    expect(pragma(reader.db, 'busy_timeout')).toBe(5000);
    expect(() => reader.db.exec('DELETE FROM identity')).toThrow('readonly');
    expect(reader.db.prepare('SELECT number, name, at_ms FROM migration').all()).toEqual(
      MIGRATIONS.map(({ name }, index) => ({ number: index + 1, name, at_ms: 7 })),
    );
    writer.close();
    reader.close();
    expect(() => reader.db.exec('SELECT 1')).toThrow('not open');
    expect(() => writer.db.exec('SELECT 1')).toThrow('not open');
  });

  it('is checkpointed when it is closed, but not in the middle of a transaction', () => {
    const path = made('checkpoint.db');
    const committed = opened(path);
    committed.db.exec("INSERT INTO document VALUES ('k', 'a', 1)");
    expect(fs.statSync(`${path}-wal`).size).toBeGreaterThan(0);
    committed.close();
    expect(fs.existsSync(`${path}-wal`)).toBe(false);
    const begun = opened(path);
    begun.db.exec("BEGIN; INSERT INTO document VALUES ('k', 'b', 1)");
    begun.close();
    const reader = openSqliteFileForReading(path);
    expect(reader.db.prepare('SELECT id FROM document').all()).toEqual([{ id: 'a' }]);
    reader.close();
  });

  const settings = (found: string): string => `ledger_settings: ${found}`;

  it.each<[string, Record<string, string | number>, string]>([
    ['SELECT sqlite_version', { version: '3.51.2' }, 'ledger_version: SQLite 3.51.2'],
    ['SELECT sqlite_version', { version: 3 }, 'ledger_version: SQLite 3'],
    [
      'PRAGMA journal_mode',
      { journal_mode: 'delete' },
      settings('journal_mode=delete synchronous=2 foreign_keys=1'),
    ],
    ['PRAGMA synchronous', { synchronous: 1 }, settings('journal_mode=wal synchronous=1 foreign_keys=1')],
    ['PRAGMA foreign_keys', { foreign_keys: 0 }, settings('journal_mode=wal synchronous=2 foreign_keys=0')],
  ])('is not opened where %s says %j, as with another SQLite or file system', (start, says, why) => {
    const path = made('refused.db');
    const { prepare } = DatabaseSync.prototype;
    const spy = vi.spyOn(DatabaseSync.prototype, 'prepare').mockImplementation(function (
      this: DatabaseSync,
      sql,
    ) {
      const statement = prepare.call(this, sql);
      if (sql.startsWith(start)) statement.get = () => says;
      return statement;
    });
    try {
      expect(thrownBy(() => opened(path))).toBe(why);
    } finally {
      spy.mockRestore();
    }
    opened(path).close();
  });

  it('is locked from when it is opened until it is closed, or its opening failed', () => {
    const path = made('locked.db');
    const first = opened(path);
    expect(thrownBy(() => opened(path))).toBe(`ledger_locked: ${path}.lock`);
    expect(thrownBy(() => lockLedger(path))).toBe(`ledger_locked: ${path}.lock`);
    first.close();
    const lock = lockLedger(path);
    expect(thrownBy(() => opened(path))).toBe(`ledger_locked: ${path}.lock`);
    openSqliteFileForReading(path).close();
    lock.close();
    expect(thrownBy(() => opened(path, 'other'))).toContain(
      'ledger_schema: the ledger belongs to instance "site"',
    );
    opened(path, 'site').close();
    expect(thrownBy(() => lockLedger(`${path}/below`))).toContain('ledger_io');
    for (const name of [path, `${path}.lock`]) expect(fs.statSync(name).mode & 0o777).toBe(0o600);
  });

  it('is free unless another program writes to it', () => {
    const path = made('free.db');
    expect(isFree(path)).toBe(true);
    const other = new DatabaseSync(path);
    other.exec('BEGIN');
    expect(isFree(path)).toBe(true);
    other.exec('COMMIT; BEGIN IMMEDIATE');
    expect(isFree(path)).toBe(false);
    other.exec('ROLLBACK');
    other.close();
    expect(isFree(path)).toBe(true);
    fs.writeFileSync(path, 'no database at all, '.repeat(100));
    expect(thrownBy(() => isFree(path))).toContain('ledger_schema');
    expect(thrownBy(() => isFree(`${path}/below`))).toContain('ledger_io');
  });

  it('is not read where there is none', () => {
    const none = file('none.db');
    expect(thrownBy(() => openSqliteFileForReading(none))).toBe(`ledger_io: ${none} does not exist`);
    expect(fs.existsSync(none)).toBe(false);
    const folder = file('folder');
    fs.mkdirSync(folder);
    expect(thrownBy(() => openSqliteFileForReading(folder))).toBe(`ledger_io: ${folder} is not a file`);
    fs.writeFileSync(none, '');
    expect(thrownBy(() => openSqliteFileForReading(none))).toBe('ledger_schema: the file is empty');
    expect(thrownBy(() => opened(`${none}/below`))).toContain('ledger_io');
  });

  it.each([
    [
      'another program',
      'PRAGMA application_id = 7',
      'ledger_schema: the file is a database of another program',
    ],
    [
      'a later version',
      'PRAGMA user_version = 9',
      `ledger_schema: schema 9 is newer than ${MIGRATIONS.length}`,
    ],
    ['fewer migrations', 'DELETE FROM migration WHERE number = 1', 'ledger_schema: migrations are missing'],
    [
      'more migrations',
      "INSERT INTO migration VALUES (9, 'x', 'x', 0)",
      'ledger_schema: migrations are missing',
    ],
    [
      'a first migration of another content',
      "UPDATE migration SET checksum = 'x' WHERE number = 1",
      'ledger_schema: migration 1 was applied with another content',
    ],
    [
      'a second migration of another content',
      "UPDATE migration SET checksum = 'x' WHERE number = 2",
      'ledger_schema: migration 2 was applied with another content',
    ],
    [
      'a migration of another number',
      'UPDATE migration SET number = 7 WHERE number = 2',
      'ledger_schema: migration 2 was applied with another content',
    ],
    ['no identity', 'DELETE FROM identity', 'ledger_corrupt: the identity row is missing'],
  ])('of %s is refused as that, for writing and for reading, and stays as it is', (name, sql, why) => {
    const path = made(`of-${name.replaceAll(' ', '-')}.db`, sql);
    const before = fs.readFileSync(path);
    expect(thrownBy(() => opened(path))).toBe(why);
    expect(thrownBy(() => openSqliteFileForReading(path))).toBe(why);
    expect(fs.readFileSync(path).equals(before)).toBe(true);
    lockLedger(path).close();
  });

  it('of a version without segments is read as one that has none', () => {
    const path = file('old.db');
    const db = new DatabaseSync(path);
    migrate(db, { nowMs: 0, instance: 'old', migrations: MIGRATIONS.slice(0, 1) });
    db.close();
    const reader = openSqliteFileForReading(path);
    expect(reader.instance).toBe('old');
    for (const table of ['segment', 'segment_log'])
      expect(reader.db.prepare(`SELECT * FROM ${table}`).all()).toEqual([]);
    reader.close();
    opened(path, 'old').close();
    const migrated = openSqliteFileForReading(path);
    expect(pragmaNumber(migrated.db, 'user_version')).toBe(MIGRATIONS.length);
    migrated.close();
  });

  it('refuses an empty file that is marked in any way', () => {
    for (const sql of ['PRAGMA user_version = 1', 'PRAGMA application_id = 1', 'CREATE TABLE t (x)']) {
      const path = file('marked.db');
      const db = new DatabaseSync(path);
      db.exec(sql);
      expect(
        thrownBy(() => checkSchema(db)),
        sql,
      ).toContain('ledger_schema');
      db.close();
      fs.rmSync(path);
    }
    expect(checkSchema(new DatabaseSync(':memory:'))).toBe(0);
    expect(thrownBy(() => pragmaNumber(new DatabaseSync(':memory:'), 'journal_mode'))).toBe(
      'ledger_corrupt: journal_mode is not a number',
    );
  });
});

describe('a transaction', () => {
  it('is there as a whole, or not at all, and its error is the one that is thrown', () => {
    const db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE t (x UNIQUE)');
    const rows = (): unknown[] =>
      db
        .prepare('SELECT x FROM t')
        .all()
        .map(({ x }) => x);
    transaction(db, () => db.exec('INSERT INTO t VALUES (1)'));
    expect([rows(), db.isTransaction]).toEqual([[1], false]);
    const fails = (): void => {
      db.exec('INSERT INTO t VALUES (2)');
      throw new Error('of my own');
    };
    expect(() => transaction(db, fails)).toThrow('of my own');
    expect([rows(), db.isTransaction]).toEqual([[1], false]);
    const ends = (): void => {
      db.exec('INSERT INTO t VALUES (3); ROLLBACK');
      throw new Error('of its own');
    };
    expect(() => transaction(db, ends)).toThrow('of its own');
    expect([rows(), db.isTransaction]).toEqual([[1], false]);
  });
});

describe('an error of SQLite', () => {
  const from = (errcode: unknown): Error => Object.assign(new Error('what it says'), { errcode });

  it.each([
    [26, 'ledger_schema', undefined],
    [11, 'ledger_corrupt', undefined],
    [11 + 256 * 3, 'ledger_corrupt', undefined],
    [13, 'ledger_io', 13],
    [5, 'ledger_io', 5],
    [10 + 256, 'ledger_io', 10],
    ['x', 'ledger_io', 0],
  ])('%s is %s', (errcode, code, told) => {
    const cause = from(errcode);
    const error = toLedgerError(cause);
    expect(error).toMatchObject({ code, message: `${code}: what it says`, cause });
    expect(error.meta['errcode']).toBe(told);
  });

  it('is what it was where it has a code, and a text where it is none', () => {
    const coded = new CodedError('ledger_locked');
    expect(toLedgerError(coded)).toBe(coded);
    expect(toLedgerError('a text')).toMatchObject({ code: 'ledger_io', message: 'ledger_io: a text' });
    expect(toLedgerError(undefined)).toMatchObject({ code: 'ledger_io', meta: { errcode: 0 } });
  });

  it('says busy where another connection holds the file, whatever else it says', () => {
    expect([from(5), from(5 + 256), from(6), from(0), from('5')].map(isBusy)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(['busy', undefined, null, {}].map(isBusy)).toEqual([false, false, false, false]);
  });
});
