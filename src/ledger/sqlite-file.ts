import * as fs from 'node:fs';
import * as path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CodedError, type ErrorCode } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { checkSchema, migrate, NO_SEGMENTS, pragmaNumber, readInstance } from './schema.ts';

/** An open ledger file. The lock is held by the operating system for this process and dies with it. */
export type SqliteFile = {
  readonly db: DatabaseSync;
  readonly path: string;
  readonly instance: string;
  /** For logs and `build_info`: "sqlite 3.53.4". */
  readonly engine: string;
  close(): void;
};

export type SqliteFileOptions = {
  readonly path: string;
  /** Pinned when the file is created; another value later is refused. */
  readonly instance?: string;
  readonly nowMs: number;
};

/** WAL pages between checkpoints: 16 MiB, so that a busy ledger does not write each page twice. */
const WAL_CHECKPOINT_PAGES = 4096;
const CHECKPOINT = 'PRAGMA wal_checkpoint(TRUNCATE)';
const SYNCHRONOUS_FULL = 2;

/** A foreign program that looks into the file may hold it for a moment. */
const BUSY_TIMEOUT_MS = 5000;

/** SQLite's primary result codes. */
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/**
 * Opens or creates the ledger for writing, alone: a second process is refused with `ledger_locked`.
 * Throws `ledger_version`, `ledger_settings`, `ledger_schema`, `ledger_corrupt`, `ledger_io`.
 */
export function openSqliteFile(options: SqliteFileOptions): SqliteFile {
  const lock = coded(() => lockFile(`${options.path}.lock`));
  try {
    createPrivate(options.path);
    const db = coded(() => new DatabaseSync(options.path, { timeout: BUSY_TIMEOUT_MS }));
    try {
      return coded(() => {
        const version = checkSqliteVersion(db);
        // Before anything is written: a file that is not ours must stay as it is.
        checkSchema(db);
        applySettings(db);
        const { instance } = migrate(db, options);
        // The schema, and what a killed process left, go into the file itself.
        db.exec(CHECKPOINT);
        const close = (): void => {
          try {
            // Not after a failed write: its transaction is still open, and is rolled back by closing.
            if (!db.isTransaction) db.exec(CHECKPOINT);
          } finally {
            db.close();
            lock.close();
          }
        };
        return { db, path: options.path, instance, engine: `sqlite ${version}`, close };
      });
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    lock.close();
    throw toLedgerError(error);
  }
}

/**
 * Opens an existing ledger for reading only, also while its writer runs: what is committed is seen.
 * Throws as `openSqliteFile`, without the lock.
 */
export function openSqliteFileForReading(file: string): SqliteFile {
  return coded(() => {
    const status = fs.statSync(file, { throwIfNoEntry: false });
    if (status === undefined) throw new CodedError('ledger_io', `${file} does not exist`);
    if (!status.isFile()) throw new CodedError('ledger_io', `${file} is not a file`);
    const db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    try {
      const version = checkSqliteVersion(db);
      db.exec('PRAGMA trusted_schema = OFF');
      const schema = checkSchema(db);
      if (schema === 0) throw new CodedError('ledger_schema', 'the file is empty');
      if (schema === 1) db.exec(NO_SEGMENTS);
      return {
        ...{ db, path: file },
        instance: readInstance(db),
        engine: `sqlite ${version}`,
        close: () => db.close(),
      };
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/**
 * Takes the lock of a ledger without opening it, so that nobody else opens it meanwhile. Throws
 * `ledger_locked`, and `ledger_io` where the folder takes no lock.
 */
export function lockLedger(path: string): { close(): void } {
  return coded(() => lockFile(`${path}.lock`));
}

/**
 * SQLite 3.7.0 to 3.51.2 can corrupt a WAL that is reset while it is read; fixed in 3.51.3, 3.50.7 and
 * 3.44.6.
 * @param version as `sqlite_version()` gives it
 */
export function isSafeSqliteVersion(version: string): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(version);
  if (parts === null) return false;
  const [major, minor, patch] = parts.slice(1).map(Number) as [number, number, number];
  if (major !== 3) return major > 3;
  if (minor === 44) return patch >= 6;
  if (minor === 50) return patch >= 7;
  if (minor === 51) return patch >= 3;
  return minor > 51;
}

/** True where another connection holds the file. */
export function isBusy(error: unknown): boolean {
  return (
    isRecord(error) && typeof error['errcode'] === 'number' && (error['errcode'] & 0xff) === SQLITE_BUSY
  );
}

/** True where a ledger could be written to now: no other program does. Throws `ledger_io`. */
export function isFree(path: string): boolean {
  return coded(() => {
    const db = new DatabaseSync(path, { timeout: 0 });
    try {
      db.exec('BEGIN IMMEDIATE');
      db.exec('ROLLBACK');
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    } finally {
      db.close();
    }
  });
}

/** Anything thrown by SQLite or the file system, as the coded error an operator reads. */
export function toLedgerError(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const errcode = isRecord(error) && typeof error['errcode'] === 'number' ? error['errcode'] & 0xff : 0;
  if (errcode === SQLITE_NOTADB) return new CodedError('ledger_schema', message, {}, { cause: error });
  if (errcode === SQLITE_CORRUPT) return new CodedError('ledger_corrupt', message, {}, { cause: error });
  return new CodedError('ledger_io', message, { errcode }, { cause: error });
}

/** The same for another thread: an error does not keep its class on the way. */
export function toLedgerFailure(error: unknown): { readonly code: ErrorCode; readonly detail: string } {
  const { code, message } = toLedgerError(error);
  return { code, detail: message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message };
}

/**
 * A database of its own, held in an exclusive transaction for as long as the ledger is open: readers of
 * the ledger are not shut out, a second writer is, and the operating system lets go of it whatever way
 * the process ends.
 */
function lockFile(file: string): DatabaseSync {
  createPrivate(file);
  const db = new DatabaseSync(file);
  try {
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch (error) {
    db.close();
    if (isBusy(error)) {
      throw new CodedError('ledger_locked', file, {}, { cause: error });
    }
    throw error;
  }
}

/** Creates the file with mode 0600 (SQLite gives its companions the same) and makes its name durable. */
function createPrivate(file: string): void {
  fs.closeSync(fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600));
  const directory = fs.openSync(path.dirname(path.resolve(file)), fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

function applySettings(db: DatabaseSync): void {
  db.exec('PRAGMA trusted_schema = OFF');
  db.exec('PRAGMA foreign_keys = ON');
  db.exec('PRAGMA mmap_size = 0');
  db.exec(`PRAGMA wal_autocheckpoint = ${WAL_CHECKPOINT_PAGES}`);
  db.exec('PRAGMA synchronous = FULL');
  const journalMode = db.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'];
  const synchronous = pragmaNumber(db, 'synchronous');
  const foreignKeys = pragmaNumber(db, 'foreign_keys');
  if (journalMode !== 'wal' || synchronous !== SYNCHRONOUS_FULL || foreignKeys !== 1) {
    const found = `journal_mode=${journalMode} synchronous=${synchronous} foreign_keys=${foreignKeys}`;
    throw new CodedError('ledger_settings', found);
  }
}

function checkSqliteVersion(db: DatabaseSync): string {
  const version = db.prepare('SELECT sqlite_version() AS version').get()?.['version'];
  if (typeof version !== 'string' || !isSafeSqliteVersion(version)) {
    throw new CodedError('ledger_version', `SQLite ${version}`);
  }
  return version;
}

function coded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toLedgerError(error);
  }
}
