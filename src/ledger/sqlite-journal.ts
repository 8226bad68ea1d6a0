import * as crypto from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { CodedError } from '../base/errors.ts';
import { admit, type Held, nameOf } from './admit.ts';
import { encodeRecord, type JournalRecord, OP_CODES, readFrame, sealRecord } from './frame.ts';
import { type BlockRow, bytes, JOURNAL_COLUMNS, rowMatches, toJournalRow } from './journal-row.ts';
import type {
  LedgerDocument,
  LedgerLogRange,
  LedgerLogRow,
  LedgerRecentLog,
  RecentBounds,
} from './ledger.ts';
import { genesisHash, transaction } from './schema.ts';
import { SealedRows } from './sealed-rows.ts';
import { isBusy, type SqliteFile } from './sqlite-file.ts';
import type { CommitResult, LogRowOfStream } from './writer-messages.ts';

/** The journal in its database: synchronous, single-threaded, knows nothing of threads or promises. */
export class SqliteJournal {
  readonly #db: DatabaseSync;
  readonly #statements: ReturnType<typeof prepareStatements>;
  /** Rows that have left the journal. */
  readonly sealed: SealedRows;
  #seq = 0;
  /** Of the newest row: no row is older than one before it. */
  #atMs = 0;
  #hash: Uint8Array;
  /** Where each log ends, by kind and stream; filled as streams are met. */
  readonly #logEnds = new Map<string, number>();
  readonly #held: Held = {
    logEnd: (kind, stream, name) => this.#logEnd(kind, stream, name),
    body: (kind, id) => this.#body(kind, id),
  };

  /** Takes up the chain at its last row. Throws `ledger_corrupt` when that row does not match its hash. */
  constructor(file: SqliteFile) {
    this.#db = file.db;
    this.#statements = prepareStatements(file.db);
    this.sealed = new SealedRows(file);
    this.#hash = genesisHash(file.instance);
    const [last, before] = this.#statements.lastRows.all();
    if (last === undefined) return;
    const row = toJournalRow(last);
    const previous = before === undefined ? this.#hash : bytes(before['hash']);
    if (row.seq !== (before === undefined ? 1 : Number(before['seq']) + 1) || !rowMatches(row, previous)) {
      throw new CodedError('ledger_corrupt', `journal row ${row.seq} does not match its hash`);
    }
    this.#seq = row.seq;
    this.#atMs = row.atMs;
    this.#hash = row.hash;
  }

  /** Begins the transaction of `commit`; false while another program writes to the file. */
  begin(): boolean {
    try {
      this.#statements.begin.run();
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
  }

  /**
   * Writes every append of the frames that has no conflict in the transaction that was begun; returns when it
   * is on disk. Anything thrown leaves it unknown what is on disk: the caller must not write again.
   * @returns for each frame
   */
  commit(frames: readonly Uint8Array[], nowMs: number): CommitResult[] {
    const atMs = Math.max(this.#atMs, nowMs);
    const before = this.#seq;
    const results = frames.map((frame) => this.#writeFrame(frame, atMs));
    this.#statements.commit.run();
    if (this.#seq > before) this.#atMs = atMs;
    return results;
  }

  #writeFrame(frame: Uint8Array, atMs: number): CommitResult {
    const conflicts: { append: number; detail: string }[] = [];
    const before = this.#seq;
    let append = 0;
    for (const records of readFrame(Buffer.from(frame.buffer, frame.byteOffset, frame.length))) {
      const admitted = admit(records, this.#held);
      if (typeof admitted === 'string') conflicts.push({ append, detail: admitted });
      else {
        for (const [name, end] of admitted.ends) this.#logEnds.set(name, end);
        for (const record of admitted.records) this.#write(record, atMs);
      }
      append += 1;
    }
    return { rows: this.#seq - before, atMs, conflicts };
  }

  /** Of the newest row; 0 where there is none. */
  get seq(): number {
    return this.#seq;
  }

  /** When the newest row was written. */
  get atMs(): number {
    return this.#atMs;
  }

  /**
   * Writes rows at the head in one transaction with `work`. After anything thrown it is as it was before.
   * @param rows bodies of documents
   */
  rewrite(rows: readonly BlockRow[], nowMs: number, work: () => void): void {
    const [seq, hash, oldMs] = [this.#seq, this.#hash, this.#atMs];
    const atMs = Math.max(this.#atMs, nowMs);
    try {
      transaction(this.#db, () => {
        work();
        for (const row of rows) this.#write({ ...row, record: encodeRecord(row)! }, atMs);
        if (rows.length > 0) this.#atMs = atMs;
      });
    } catch (error) {
      this.#seq = seq;
      this.#hash = hash;
      this.#atMs = oldMs;
      throw error;
    }
  }

  get(kind: string, id: string): string | undefined {
    const body = this.#body(kind, id);
    return body === undefined ? undefined : text(body);
  }

  list(kind: string, prefix: string): LedgerDocument[] {
    const out: LedgerDocument[] = [];
    for (const row of this.#statements.documents.iterate(kind, prefix)) {
      const id = String(row['id']);
      if (!id.startsWith(prefix)) break;
      out.push({ id, body: text(this.#bodyOf(row)) });
    }
    return out;
  }

  readLog(kind: string, stream: string, fromItem: number, maxRows: number): LedgerLogRow[] {
    const sealedEnd = this.sealed.logEnd(kind, stream);
    const old = fromItem < sealedEnd ? this.sealed.readLog(kind, stream, fromItem, maxRows) : [];
    if (old.length === maxRows) return old;
    const from = Math.max(fromItem, sealedEnd);
    const rows = this.#statements.log.all(kind, stream, from, maxRows - old.length);
    return [...old, ...rows.map(toLogRow)];
  }

  recentLog(kind: string, { memoryMs, certainRows, maxItems }: RecentBounds): LedgerRecentLog {
    let newest: { readonly seq: number; readonly atMs: number } | undefined;
    let afterSeq = 0;
    let items = 0;
    for (const row of this.#statements.newestOfKind.iterate(kind)) {
      const seq = Number(row['seq']);
      const atMs = Number(row['at_ms']);
      items += Number(row['count']);
      newest ??= { seq, atMs };
      const isRecent = atMs >= newest.atMs - memoryMs || seq > newest.seq - certainRows;
      if (!isRecent) break;
      if (items > maxItems && seq !== newest.seq) return { afterSeq, isCut: true };
      afterSeq = seq - 1;
    }
    return { afterSeq, isCut: false };
  }

  /** The items of a log that are held: the first, and the one behind the last. */
  logRange(kind: string, stream: string): LedgerLogRange {
    const end = this.#logEnd(kind, stream, nameOf(kind, stream));
    return { first: this.sealed.logStart(kind, stream), end };
  }

  readLogSince(kind: string, sinceMs: number, afterSeq: number, maxRows: number): LogRowOfStream[] {
    const from = Math.max(this.firstSeqAt(sinceMs), afterSeq + 1);
    return this.#statements.logSince
      .all(from, kind, maxRows)
      .map((row) => ({ ...toLogRow(row), stream: String(row['key']) }));
  }

  #write(row: JournalRecord, atMs: number): void {
    sealRecord(row.record, this.#hash, this.#seq + 1, atMs);
    const hash = crypto.hash('sha256', row.record, 'buffer');
    const { op, kind, key, first, count, body } = row;
    this.#statements.insertRow.run(this.#seq + 1, atMs, op, kind, key, first, count, hash, body);
    this.#seq += 1;
    this.#hash = hash;
    if (op !== OP_CODES.log) this.#statements.point.run(kind, key, this.#seq);
  }

  #body(kind: string, id: string): Uint8Array | undefined {
    const row = this.#statements.document.get(kind, id);
    return row === undefined ? undefined : this.#bodyOf(row);
  }

  #bodyOf({ seq, body }: Record<string, unknown>): Uint8Array {
    return bytes(body === null ? this.sealed.bodyAt(Number(seq)) : body);
  }

  #logEnd(kind: string, stream: string, name: string): number {
    const cached = this.#logEnds.get(name);
    if (cached !== undefined) return cached;
    const row = this.#statements.logEnd.get(kind, stream);
    const end = Number(row?.['end'] ?? this.sealed.logEnd(kind, stream));
    this.#logEnds.set(name, end);
    return end;
  }

  /** When a row that is not sealed was written. */
  timeOf(seq: number): number {
    return Number(this.#statements.timeOf.get(seq)?.['at_ms'] ?? 0);
  }

  /**
   * The first row written at or after a time, by bisection: at_ms never falls, and gaps in seq are where the
   * journal was sealed, which is older than what is asked for.
   */
  firstSeqAt(sinceMs: number): number {
    let low = 1;
    const last = this.#statements.lastSeq.get();
    let high = Number(last?.['seq'] ?? 0) + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.timeOf(middle) < sinceMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function prepareStatements(db: DatabaseSync) {
  const prepare = (sql: string): StatementSync => db.prepare(sql);
  return {
    begin: prepare('BEGIN IMMEDIATE'),
    commit: prepare('COMMIT'),
    insertRow: prepare(`INSERT INTO journal (${JOURNAL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    point: prepare(
      'INSERT INTO document (kind, id, seq) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq',
    ),
    lastRows: prepare(`SELECT ${JOURNAL_COLUMNS} FROM journal ORDER BY seq DESC LIMIT 2`),
    lastSeq: prepare('SELECT seq FROM journal ORDER BY seq DESC LIMIT 1'),
    newestOfKind: prepare(
      'SELECT seq, at_ms, count FROM journal WHERE op = 1 AND +kind = ? ORDER BY seq DESC',
    ),
    timeOf: prepare('SELECT at_ms FROM journal WHERE seq = ?'),
    document: prepare(
      'SELECT d.seq AS seq, j.body AS body FROM document AS d LEFT JOIN journal AS j ON j.seq = d.seq' +
        ' WHERE d.kind = ? AND d.id = ?',
    ),
    documents: prepare(
      'SELECT d.id AS id, d.seq AS seq, j.body AS body FROM document AS d' +
        ' LEFT JOIN journal AS j ON j.seq = d.seq' +
        ' WHERE d.kind = ? AND d.id >= ? ORDER BY d.id',
    ),
    logEnd: prepare(
      'SELECT first + count AS end FROM journal WHERE op = 1 AND kind = ? AND key = ?' +
        ' ORDER BY first DESC LIMIT 1',
    ),
    // Rows are contiguous: only the last one that starts at or before the item can hold it.
    log: prepare(
      `SELECT seq, at_ms, first, count, body FROM journal WHERE op = 1 AND kind = ?1 AND key = ?2
        AND first >= coalesce((SELECT first FROM journal
          WHERE op = 1 AND kind = ?1 AND key = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1), 0)
        AND first + count > ?3 ORDER BY first LIMIT ?4`,
    ),
    logSince: prepare(
      'SELECT seq, at_ms, key, first, count, body FROM journal WHERE seq >= ? AND op = 1 AND +kind = ?' +
        ' ORDER BY seq LIMIT ?',
    ),
  };
}

function toLogRow(row: Record<string, unknown>): LedgerLogRow {
  return {
    seq: Number(row['seq']),
    first: Number(row['first']),
    count: Number(row['count']),
    atMs: Number(row['at_ms']),
    body: bytes(row['body']),
  };
}

function text(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
}
