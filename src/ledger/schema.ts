import type { DatabaseSync } from 'node:sqlite';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { isRecord } from '../base/json.ts';

/** "SHST" in the file header: `file` and other programs can tell whose database this is. */
export const APPLICATION_ID = 0x53485354;

export type Migration = { readonly name: string; readonly sql: string };

/**
 * Numbered from 1 by position; `user_version` is the number applied. A migration that was released is
 * never edited: its checksum is stored. A document is a pointer to the journal row with its latest body,
 * so a body exists once.
 */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: 'journal, documents',
    sql: `
      CREATE TABLE migration (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        checksum TEXT NOT NULL,
        at_ms INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE identity (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        instance TEXT NOT NULL
      ) STRICT;
      CREATE TABLE journal (
        seq INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        op INTEGER NOT NULL CHECK (op IN (1, 2, 3)),
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        body BLOB NOT NULL
      ) STRICT;
      CREATE UNIQUE INDEX journal_log ON journal (kind, key, first) WHERE op = 1;
      CREATE TRIGGER journal_is_never_updated BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
      CREATE TRIGGER journal_is_never_deleted BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
      CREATE TABLE document (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        seq INTEGER NOT NULL REFERENCES journal (seq),
        PRIMARY KEY (kind, id)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: 'sealed segments',
    sql: `
      CREATE TABLE segment (
        first_seq INTEGER PRIMARY KEY,
        last_seq INTEGER NOT NULL,
        last_at_ms INTEGER NOT NULL,
        end_hash BLOB NOT NULL CHECK (length(end_hash) = 32),
        digest BLOB NOT NULL CHECK (length(digest) = 32),
        state INTEGER NOT NULL CHECK (state IN (1, 2, 3))
      ) STRICT;
      CREATE TABLE segment_log (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        first INTEGER NOT NULL,
        end INTEGER NOT NULL,
        segment INTEGER NOT NULL REFERENCES segment (first_seq),
        PRIMARY KEY (kind, key, first)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX segment_log_segment ON segment_log (segment);
      DROP TRIGGER journal_is_never_deleted;
      CREATE TRIGGER journal_is_deleted_once_sealed BEFORE DELETE ON journal
        WHEN OLD.seq > coalesce((SELECT last_seq FROM segment ORDER BY first_seq DESC LIMIT 1), 0)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
      CREATE TABLE document_of_rows (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO document_of_rows SELECT kind, id, seq FROM document;
      DROP TABLE document;
      ALTER TABLE document_of_rows RENAME TO document;
    `,
  },
];

/** States of a segment: its rows are still in the journal too; they are not; the segment is gone as well. */
export const SEGMENT_STATES = { sealed: 1, pruned: 2, letGo: 3 } as const;

/** For reading a ledger that was never opened by a program that seals: it has no segments. */
export const NO_SEGMENTS = `
  CREATE TEMP TABLE segment (first_seq, last_seq, last_at_ms, end_hash, digest, state);
  CREATE TEMP TABLE segment_log (kind, key, first, end, segment);
`;

/** The hash before the first row: ties the chain to the instance that wrote it. */
export function genesisHash(instance: string): Uint8Array {
  return sha256(new TextEncoder().encode(`sharestream/ledger/1:${instance}`));
}

/**
 * Throws `ledger_schema` when the file is not ours, newer than this program, or its migrations were
 * altered.
 */
export function checkSchema(db: DatabaseSync, migrations: readonly Migration[] = MIGRATIONS): number {
  const version = pragmaNumber(db, 'user_version');
  const applicationId = pragmaNumber(db, 'application_id');
  const tables = rowNumber(db.prepare('SELECT count(*) AS n FROM sqlite_schema').get(), 'n');
  if (tables === 0 && version === 0 && applicationId === 0) return 0;
  if (applicationId !== APPLICATION_ID)
    throw new CodedError('ledger_schema', 'the file is a database of another program');
  if (version > migrations.length) {
    throw new CodedError('ledger_schema', `schema ${version} is newer than ${migrations.length}`);
  }
  const applied = db.prepare('SELECT number, checksum FROM migration ORDER BY number').all();
  if (applied.length !== version) throw new CodedError('ledger_schema', 'migrations are missing');
  applied.forEach((row, index) => {
    const migration = migrations[index]!;
    if (row['number'] !== index + 1 || row['checksum'] !== checksumOf(migration)) {
      throw new CodedError('ledger_schema', `migration ${index + 1} was applied with another content`);
    }
  });
  return version;
}

/** Applies what is missing, each migration in a transaction of its own, and pins the instance. */
export function migrate(
  db: DatabaseSync,
  options: {
    readonly instance?: string;
    readonly nowMs: number;
    readonly migrations?: readonly Migration[];
  },
): { readonly instance: string } {
  const migrations = options.migrations ?? MIGRATIONS;
  for (let number = checkSchema(db, migrations) + 1; number <= migrations.length; number += 1) {
    const migration = migrations[number - 1]!;
    transaction(db, () => {
      db.exec(migration.sql);
      db.prepare('INSERT INTO migration (number, name, checksum, at_ms) VALUES (?, ?, ?, ?)').run(
        number,
        migration.name,
        checksumOf(migration),
        options.nowMs,
      );
      if (number === 1) {
        db.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
        db.prepare('INSERT INTO identity (only, instance) VALUES (1, ?)').run(options.instance ?? '');
      }
      db.exec(`PRAGMA user_version = ${number}`);
    });
  }
  const instance = readInstance(db);
  if (options.instance !== undefined && options.instance !== instance) {
    throw new CodedError('ledger_schema', `the ledger belongs to instance ${JSON.stringify(instance)}`);
  }
  return { instance };
}

/** The instance that a ledger file belongs to; empty where it was made for none. */
export function readInstance(db: DatabaseSync): string {
  const row = db.prepare('SELECT instance FROM identity').get();
  const instance = row?.['instance'];
  if (typeof instance !== 'string') throw new CodedError('ledger_corrupt', 'the identity row is missing');
  return instance;
}

/** Runs `work` in one write transaction; rolls back when it throws. */
export function transaction(db: DatabaseSync, work: () => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    work();
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** The single value of a pragma that is a number. */
export function pragmaNumber(db: DatabaseSync, name: string): number {
  return rowNumber(db.prepare(`PRAGMA ${name}`).get(), name);
}

function rowNumber(row: unknown, column: string): number {
  const value = isRecord(row) ? row[column] : undefined;
  if (typeof value !== 'number') throw new CodedError('ledger_corrupt', `${column} is not a number`);
  return value;
}

function checksumOf(migration: Migration): string {
  return toHex(sha256(new TextEncoder().encode(migration.sql)));
}
