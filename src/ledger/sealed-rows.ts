import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { LRUCache } from 'lru-cache';
import { OP_CODES } from './frame.ts';
import type { LedgerLogRow } from './ledger.ts';
import { SEGMENT_STATES } from './schema.ts';
import { SegmentFile, segmentFolder, segmentName } from './segment-file.ts';
import type { SqliteFile } from './sqlite-file.ts';

/** A segment as the ledger's own table has it. */
export type SegmentRecord = {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly lastAtMs: number;
  readonly endHash: Uint8Array;
  /** SHA-256 of its index. */
  readonly digest: Uint8Array;
  readonly state: number;
};

type BlockRows = ReturnType<SegmentFile['block']>;

/** Files held open, and blocks of a megabyte held unpacked, for reads one behind the other. */
const FILES_OPEN = 8;
const BLOCKS_KEPT = 4;

/** Reads rows that have left the journal for a segment. Throws `ledger_corrupt`, naming what is damaged. */
export class SealedRows {
  readonly #folder: string;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #files = new LRUCache<string, SegmentFile>({
    max: FILES_OPEN,
    dispose: (file) => file.close(),
  });
  readonly #blocks = new LRUCache<string, BlockRows>({ max: BLOCKS_KEPT });

  constructor({ db, path }: Pick<SqliteFile, 'db' | 'path'>) {
    this.#folder = segmentFolder(path);
    this.#statements = prepareStatements(db);
  }

  /** Oldest first, those let go of too. */
  all(): SegmentRecord[] {
    return this.#statements.all.all().map(toSegmentRecord);
  }

  newest(): SegmentRecord | undefined {
    const row = this.#statements.newest.get();
    return row === undefined ? undefined : toSegmentRecord(row);
  }

  /** Where a segment lies. */
  pathOf({ firstSeq, lastSeq }: Pick<SegmentRecord, 'firstSeq' | 'lastSeq'>): string {
    return join(this.#folder, segmentName(firstSeq, lastSeq));
  }

  /** Items of a log that left the journal: 0 where none did. */
  logEnd(kind: string, stream: string): number {
    return Number(this.#statements.logEnd.get(kind, stream)?.['end'] ?? 0);
  }

  /** The first item of a log that has not been let go of. */
  logStart(kind: string, stream: string): number {
    return Number(this.#statements.logStart.get(kind, stream)?.['start'] ?? 0);
  }

  /** As `Ledger.readLog`, of what is in segments. */
  readLog(kind: string, stream: string, fromItem: number, maxRows: number): LedgerLogRow[] {
    const out: LedgerLogRow[] = [];
    const name = `${kind}\0${stream}`;
    for (const row of this.#statements.segmentsOfLog.iterate(kind, stream, fromItem)) {
      const file = this.#file(toSegmentRecord(row));
      for (const [number, block] of file.index.blocks.entries()) {
        const range = block.logs[name];
        if (range === undefined || range[1] <= fromItem) continue;
        for (const { op, key, seq, first, count, atMs, body, ...rest } of this.#block(file, number)) {
          if (op !== OP_CODES.log || rest.kind !== kind || key !== stream || first + count <= fromItem)
            continue;
          out.push({ seq, first, count, atMs, body });
          if (out.length === maxRows) return out;
        }
      }
    }
    return out;
  }

  /** The body of a row; undefined where it was let go of, or is in no segment. */
  bodyAt(seq: number): Uint8Array | undefined {
    const row = this.#statements.segmentOfRow.get(seq, seq);
    if (row === undefined) return undefined;
    const file = this.#file(toSegmentRecord(row));
    const number = file.index.blocks.findLastIndex(({ firstSeq }) => firstSeq <= seq);
    return this.#block(file, number)[seq - file.index.blocks[number]!.firstSeq]?.body;
  }

  /** The index of a segment. */
  indexOf(segment: SegmentRecord): SegmentFile['index'] {
    return this.#file(segment).index;
  }

  /** Lets go of the files that are held open. */
  close(): void {
    this.#files.clear();
    this.#blocks.clear();
  }

  #file(segment: SegmentRecord): SegmentFile {
    const path = this.pathOf(segment);
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = new SegmentFile(path, segment.digest);
    this.#files.set(path, file);
    return file;
  }

  #block(file: SegmentFile, number: number): BlockRows {
    const name = `${file.index.firstSeq} ${number}`;
    const known = this.#blocks.get(name);
    if (known !== undefined) return known;
    const rows = file.block(number);
    this.#blocks.set(name, rows);
    return rows;
  }
}

const COLUMNS = 's.first_seq, s.last_seq, s.last_at_ms, s.end_hash, s.digest, s.state';

function prepareStatements(db: DatabaseSync) {
  const prepare = (sql: string): StatementSync => db.prepare(sql);
  const { letGo } = SEGMENT_STATES;
  return {
    all: prepare(`SELECT ${COLUMNS} FROM segment AS s ORDER BY first_seq`),
    newest: prepare(`SELECT ${COLUMNS} FROM segment AS s ORDER BY first_seq DESC LIMIT 1`),
    logEnd: prepare('SELECT end FROM segment_log WHERE kind = ? AND key = ? ORDER BY first DESC LIMIT 1'),
    logStart: prepare(
      `SELECT max(l.end) AS start FROM segment_log AS l JOIN segment AS s ON s.first_seq = l.segment
        WHERE l.kind = ? AND l.key = ? AND s.state = ${letGo}`,
    ),
    segmentsOfLog: prepare(
      `SELECT ${COLUMNS} FROM segment_log AS l JOIN segment AS s ON s.first_seq = l.segment
        WHERE l.kind = ? AND l.key = ? AND l.end > ? AND s.state <> ${letGo} ORDER BY l.first`,
    ),
    segmentOfRow: prepare(
      `SELECT ${COLUMNS} FROM (SELECT * FROM segment WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1) AS s
        WHERE s.last_seq >= ? AND s.state <> ${letGo}`,
    ),
  };
}

function toSegmentRecord(row: Record<string, unknown>): SegmentRecord {
  return {
    firstSeq: Number(row['first_seq']),
    lastSeq: Number(row['last_seq']),
    lastAtMs: Number(row['last_at_ms']),
    endHash: row['end_hash'] as Uint8Array,
    digest: row['digest'] as Uint8Array,
    state: Number(row['state']),
  };
}
