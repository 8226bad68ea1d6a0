import { equal, toHex } from '../base/bytes.ts';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import { nameOf } from './admit.ts';
import { ChainReplay } from './chain-replay.ts';
import { hashOfRow, type JournalRow, SELECT_JOURNAL, toJournalRow } from './journal-row.ts';
import { LET_GO, letGoBody } from './let-go.ts';
import { genesisHash, SEGMENT_STATES } from './schema.ts';
import { SealedRows, type SegmentRecord } from './sealed-rows.ts';
import { SegmentFile } from './segment-file.ts';
import { openSqliteFileForReading, type SqliteFile, toLedgerError } from './sqlite-file.ts';

export type Verification = {
  /** Journal rows read, those in segments too, up to the first bad one. */
  readonly rows: number;
  /** Rows before them that were let go of; absent where none were. */
  readonly letGoRows?: number;
  /** Segments read; absent where there are none. */
  readonly segments?: number;
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
 * Replays the journal, sealed segments first: every row's hash, place and log continuity; then that the
 * documents are exactly what the journal says. Reads only, also beside a running writer. Throws
 * `ledger_schema`, `ledger_corrupt` or `ledger_io` when the file cannot be read at all.
 */
export async function verifyLedger(
  path: string,
  { timers }: { readonly timers: Timers } = { timers: systemTimers },
): Promise<Verification> {
  const file = openSqliteFileForReading(path);
  try {
    // One snapshot: rows committed meanwhile belong to the next verification.
    file.db.exec('BEGIN');
    const integrity = file.db.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
    if (integrity !== 'ok') throw new CodedError('ledger_corrupt', String(integrity));
    const replay = new Replay(file);
    let read = 0;
    for (const problem of replay.run()) {
      if (problem !== undefined) return replay.result(problem);
      read += 1;
      if (read % ROWS_PER_TURN === 0) await new Promise<void>((resolve) => timers.afterTurn(resolve));
    }
    const problem = replay.compareDocuments();
    return replay.result(problem?.text, problem?.seq);
  } catch (error) {
    throw toLedgerError(error);
  } finally {
    file.close();
  }
}

class Replay {
  readonly #file: SqliteFile;
  readonly #sealed: SealedRows;
  /** Where the chain begins: behind what was let go of. */
  readonly #base: SegmentRecord | undefined;
  readonly #chain: ChainReplay;
  #segments = 0;

  constructor(file: SqliteFile) {
    this.#file = file;
    this.#sealed = new SealedRows(file);
    this.#base = this.#sealed.all().findLast(({ state }) => state === SEGMENT_STATES.letGo);
    const { lastSeq, endHash, lastAtMs } = this.#base ?? {
      ...{ lastSeq: 0, lastAtMs: 0, endHash: genesisHash(file.instance) },
    };
    this.#chain = new ChainReplay({ seq: lastSeq, hash: endHash, atMs: lastAtMs });
    if (this.#base === undefined) return;
    const ends = `SELECT kind, key, max(end) AS end FROM segment_log AS l JOIN segment AS s
      ON s.first_seq = l.segment WHERE s.state = ${SEGMENT_STATES.letGo} GROUP BY kind, key`;
    for (const { kind, key, end } of file.db.prepare(ends).iterate())
      this.#chain.logEnds.set(nameOf(String(kind), String(key)), Number(end));
  }

  /** Takes row after row; yields what is wrong with each, if anything. */
  *run(): Generator<string | undefined> {
    for (const segment of this.#sealed.all())
      if (segment.state !== SEGMENT_STATES.letGo) yield* this.#runSegment(segment);
    const rows = this.#file.db.prepare(`${SELECT_JOURNAL} WHERE seq > ? ORDER BY seq`);
    for (const row of rows.iterate(this.#chain.seq)) yield this.#chain.take(toJournalRow(row));
  }

  *#runSegment(segment: SegmentRecord): Generator<string | undefined> {
    const { firstSeq, lastSeq, endHash } = segment;
    const copies = this.#file.db.prepare(`${SELECT_JOURNAL} WHERE seq BETWEEN ? AND ? ORDER BY seq`);
    let file: SegmentFile | undefined;
    try {
      file = new SegmentFile(this.#sealed.pathOf(segment), segment.digest);
      if (firstSeq !== this.#chain.seq + 1) yield `row ${this.#chain.seq + 1} is in no segment`;
      const inJournal = copies.iterate(firstSeq, lastSeq);
      let copy = nextRow(inJournal);
      for (const number of file.index.blocks.keys()) {
        for (const row of file.block(number)) {
          const hash = hashOfRow(row, this.#chain.hash);
          if (hash === undefined) yield `row ${row.seq} does not match its hash`;
          else yield this.#chain.take({ ...row, hash });
          if (copy?.seq !== row.seq) continue;
          if (hash !== undefined && !isSameRow(copy, { ...row, hash }))
            yield `row ${row.seq} is not as it was sealed`;
          copy = nextRow(inJournal);
        }
      }
      if (this.#chain.seq !== lastSeq || !equal(this.#chain.hash, endHash))
        yield `segment ${firstSeq}-${lastSeq} does not end at its checkpoint`;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      yield error.message;
    } finally {
      file?.close();
    }
    this.#segments += 1;
  }

  compareDocuments(): { readonly text: string; readonly seq: number } | undefined {
    const { db } = this.#file;
    const marker = this.#chain.documents.has(nameOf(LET_GO.kind, LET_GO.id));
    const body = db.prepare(
      'SELECT body FROM journal WHERE seq = (SELECT seq FROM document WHERE kind = ? AND id = ?)',
    );
    const said = body.get(LET_GO.kind, LET_GO.id)?.['body'];
    const text = said instanceof Uint8Array ? Buffer.from(said).toString('utf8') : undefined;
    if (marker !== (this.#base !== undefined) || (this.#base && text !== letGoBody(this.#base)))
      return { text: 'what was let go of is not what the journal says', seq: this.#base?.lastSeq ?? 1 };
    let count = 0;
    for (const row of db.prepare('SELECT kind, id, seq FROM document').iterate()) {
      const expected = this.#chain.documents.get(`${row['kind']}\0${row['id']}`);
      const name = `document ${row['kind']} ${row['id']}`;
      if (expected !== row['seq']) {
        return {
          text: `${name} points at row ${row['seq']}, not ${expected}`,
          seq: expected ?? Number(row['seq']),
        };
      }
      count += 1;
    }
    if (count === this.#chain.documents.size) return undefined;
    const stored = db.prepare('SELECT 1 FROM document WHERE kind = ? AND id = ?');
    for (const [name, seq] of this.#chain.documents) {
      const cut = name.indexOf('\0');
      const [kind, id] = [name.slice(0, cut), name.slice(cut + 1)];
      if (stored.get(kind, id) === undefined) return { text: `document ${kind} ${id} is missing`, seq };
    }
    throw new CodedError('ledger_corrupt', 'the documents cannot be counted');
  }

  result(problem?: string, badSeq = this.#chain.seq + 1): Verification {
    const headHash = toHex(this.#chain.hash);
    const letGo = this.#base === undefined ? {} : { letGoRows: this.#base.lastSeq };
    const segments = this.#segments === 0 ? {} : { segments: this.#segments };
    const read = { rows: this.#chain.seq - (this.#base?.lastSeq ?? 0), ...letGo, ...segments };
    if (problem === undefined) return { ...read, ok: true, headHash };
    return { ...read, ok: false, firstBadSeq: badSeq, problem, headHash };
  }
}

function nextRow(rows: Iterator<Record<string, unknown>>): JournalRow | undefined {
  const { value, done } = rows.next();
  return done === true || value === undefined ? undefined : toJournalRow(value);
}

function isSameRow(a: JournalRow, b: JournalRow): boolean {
  const fields = ['seq', 'atMs', 'op', 'kind', 'key', 'first', 'count'] as const;
  return fields.every((field) => a[field] === b[field]) && equal(a.hash, b.hash) && equal(a.body, b.body);
}
