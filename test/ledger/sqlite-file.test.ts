import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { MIGRATIONS, migrate } from '../../src/ledger/schema.ts';
import { isSafeSqliteVersion } from '../../src/ledger/sqlite-file.ts';

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
  ['3.7.0', false],
  ['2.8.17', false],
  ['', false],
  ['3.53', false],
  ['3.53.4-beta', false],
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
