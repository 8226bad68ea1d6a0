import { toHex } from '../base/bytes.ts';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import { OP_CODES } from './frame.ts';
import { genesisHash } from './schema.ts';
import { openSqliteFileForReading, type SqliteFile, toLedgerError } from './sqlite-file.ts';
import { type JournalRow, rowMatches, SELECT_JOURNAL, toJournalRow } from './sqlite-journal.ts';

export type Verification = {
  /** Journal rows read, up to the first bad one. */
  readonly rows: number;
  readonly ok: boolean;
  /** The first row that is missing, altered or in the wrong place. */
  readonly firstBadSeq?: number;
  /** What is wrong, in words. */
  readonly problem?: string;
  /**
   * The last good hash, 64 hex digits: compare it with one noted elsewhere to see that no rows were cut
   * off.
   */
  readonly headHash: string;
};

const ROWS_PER_TURN = 2000;

/**
 * Replays the journal: every row's hash, place and log continuity; then that the documents are exactly
 * what the journal says. Reads only, also beside a running writer. Throws `ledger_schema`,
 * `ledger_corrupt` or `ledger_io` when the file cannot be read at all.
 */
export async function verifyLedger(
  path: string,
  { timers }: { readonly timers: Timers } = { timers: systemTimers },
): Promise<Verification> {
  const file = openSqliteFileForReading(path);
  try {
    // One snapshot: rows committed meanwhile belong to the next verification.
    file.db.exec('BEGIN');
    const replay = new Replay(file);
    const integrity = file.db.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
    if (integrity !== 'ok') throw new CodedError('ledger_corrupt', String(integrity));
    let read = 0;
    for (const row of file.db.prepare(`${SELECT_JOURNAL} ORDER BY seq`).iterate()) {
      const problem = replay.take(toJournalRow(row));
      if (problem !== undefined) return replay.result(problem);
      read += 1;
      if (read % ROWS_PER_TURN === 0) await new Promise<void>((resolve) => timers.afterTurn(resolve));
    }
    const problem = replay.compareDocuments(file);
    return replay.result(problem?.text, problem?.seq);
  } catch (error) {
    throw toLedgerError(error);
  } finally {
    file.close();
  }
}

class Replay {
  #rows = 0;
  #hash: Uint8Array;
  #atMs = 0;
  /** By kind and id: the row with the latest body. */
  readonly #documents = new Map<string, number>();
  readonly #logEnds = new Map<string, number>();

  constructor(file: SqliteFile) {
    this.#hash = genesisHash(file.instance);
  }

  /** What is wrong with the row, if anything. */
  take(row: JournalRow): string | undefined {
    const seq = this.#rows + 1;
    if (row.seq !== seq) return `row ${seq} is missing`;
    if (!rowMatches(row, this.#hash)) return `row ${seq} does not match its hash`;
    if (row.atMs < this.#atMs) return `row ${seq} is older than the row before it`;
    const name = `${row.kind}\0${row.key}`;
    if (row.op === OP_CODES.log) {
      const end = this.#logEnds.get(name) ?? 0;
      if (end !== row.first) return `row ${seq} leaves a gap in ${row.kind} ${row.key}`;
      this.#logEnds.set(name, row.first + row.count);
    } else if (row.op === OP_CODES.insert && this.#documents.has(name)) {
      return `row ${seq} inserts ${row.kind} ${row.key} again`;
    } else {
      this.#documents.set(name, seq);
    }
    this.#rows = seq;
    this.#atMs = row.atMs;
    this.#hash = row.hash;
    return undefined;
  }

  compareDocuments(file: SqliteFile): { readonly text: string; readonly seq: number } | undefined {
    let count = 0;
    for (const row of file.db.prepare('SELECT kind, id, seq FROM document').iterate()) {
      const expected = this.#documents.get(`${row['kind']}\0${row['id']}`);
      const name = `document ${row['kind']} ${row['id']}`;
      if (expected !== row['seq']) {
        return {
          text: `${name} points at row ${row['seq']}, not ${expected}`,
          seq: expected ?? Number(row['seq']),
        };
      }
      count += 1;
    }
    if (count === this.#documents.size) return undefined;
    const stored = file.db.prepare('SELECT 1 FROM document WHERE kind = ? AND id = ?');
    for (const [name, seq] of this.#documents) {
      const cut = name.indexOf('\0');
      const [kind, id] = [name.slice(0, cut), name.slice(cut + 1)];
      if (stored.get(kind, id) === undefined) return { text: `document ${kind} ${id} is missing`, seq };
    }
    throw new CodedError('ledger_corrupt', 'the documents cannot be counted');
  }

  result(problem?: string, badSeq = this.#rows + 1): Verification {
    const headHash = toHex(this.#hash);
    if (problem === undefined) return { rows: this.#rows, ok: true, headHash };
    return { rows: this.#rows, ok: false, firstBadSeq: badSeq, problem, headHash };
  }
}
