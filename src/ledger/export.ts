import { statSync } from 'node:fs';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { OP_CODES } from './frame.ts';
import { hashOfRow, type JournalRow, SELECT_JOURNAL, toJournalRow } from './journal-row.ts';
import { genesisHash, SEGMENT_STATES } from './schema.ts';
import { SealedRows } from './sealed-rows.ts';
import { SegmentFile } from './segment-file.ts';
import { openSqliteFileForReading, type SqliteFile } from './sqlite-file.ts';

/** A segment as `ledger segments` lists it. */
export type ListedSegment = {
  /** Null where it was let go of. */
  readonly file: string | null;
  readonly first: number;
  readonly last: number;
  /** When the last of its rows was written, ISO 8601. */
  readonly until: string;
  readonly end_hash: string;
  readonly bytes: number;
};

/** The segments of a ledger, oldest first. Throws as `openSqliteFileForReading`. */
export function segmentsOf(path: string): ListedSegment[] {
  const ledger = openSqliteFileForReading(path);
  try {
    const sealed = new SealedRows(ledger);
    return sealed.all().map((segment) => {
      const file = segment.state === SEGMENT_STATES.letGo ? null : sealed.pathOf(segment);
      return {
        ...{ file, first: segment.firstSeq, last: segment.lastSeq },
        until: new Date(segment.lastAtMs).toISOString(),
        end_hash: toHex(segment.endHash),
        bytes: file === null ? 0 : (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
      };
    });
  } finally {
    ledger.close();
  }
}

/** A row as `ledger export` prints it; bodies of logs in base64, those of documents as they are. */
export type ExportedRow = {
  readonly seq: number;
  readonly at_ms: number;
  readonly op: string;
  readonly kind: string;
  readonly key: string;
  readonly first?: number;
  readonly count?: number;
  readonly body: string;
  readonly hash: string;
};

/**
 * Every row that is held, in order, those in segments first; in bounded memory, and as of one moment. Throws
 * `ledger_corrupt` where a segment is damaged or a row cannot be read.
 */
export function* exportedRows(path: string): Generator<ExportedRow> {
  const ledger = openSqliteFileForReading(path);
  try {
    ledger.db.exec('BEGIN');
    for (const row of heldRows(ledger)) yield toExportedRow(row);
  } finally {
    ledger.close();
  }
}

function* heldRows(ledger: SqliteFile): Generator<JournalRow> {
  const sealed = new SealedRows(ledger);
  let hash = genesisHash(ledger.instance);
  let seq = 0;
  for (const segment of sealed.all()) {
    if (segment.state !== SEGMENT_STATES.letGo) {
      const file = new SegmentFile(sealed.pathOf(segment), segment.digest);
      try {
        for (const number of file.index.blocks.keys()) {
          for (const row of file.block(number)) {
            const next = hashOfRow(row, hash);
            if (next === undefined) throw new CodedError('ledger_corrupt', `row ${row.seq} cannot be read`);
            hash = next;
            yield { ...row, hash };
          }
        }
      } finally {
        file.close();
      }
    }
    hash = segment.endHash;
    seq = segment.lastSeq;
  }
  for (const row of ledger.db.prepare(`${SELECT_JOURNAL} WHERE seq > ? ORDER BY seq`).iterate(seq))
    yield toJournalRow(row);
}

function toExportedRow({ seq, atMs, op, kind, key, first, count, body, hash }: JournalRow): ExportedRow {
  const isLog = op === OP_CODES.log;
  const name = Object.entries(OP_CODES).find(([, code]) => code === op)?.[0] ?? String(op);
  return {
    ...{ seq, at_ms: atMs, op: name, kind, key },
    ...(isLog ? { first, count } : {}),
    body: Buffer.from(body).toString(isLog ? 'base64' : 'utf8'),
    hash: toHex(hash),
  };
}
