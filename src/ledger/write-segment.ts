import * as fs from 'node:fs';
import * as path from 'node:path';
import { equal, fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { OP_CODES } from './frame.ts';
import { rowMatches, SELECT_JOURNAL, toJournalRow } from './journal-row.ts';
import { genesisHash, SEGMENT_STATES } from './schema.ts';
import { SealedRows, type SegmentRecord } from './sealed-rows.ts';
import { SegmentFile, type SegmentIndex, SegmentWriter, segmentFolder } from './segment-file.ts';
import { openSqliteFileForReading, type SqliteFile } from './sqlite-file.ts';
import type { SealedSegment } from './writer-messages.ts';

export type SealingTask = {
  readonly path: string;
  /** The last row that may be sealed. */
  readonly lastSeq: number;
  /** Bytes of rows in a segment, about. */
  readonly segmentBytes: number;
  readonly evidenceKinds: readonly string[];
};

/**
 * Writes the next segment of a ledger, reading beside its writer; it is on disk when this returns, and the
 * ledger does not know of it yet. Throws `ledger_corrupt` where a row does not match its hash.
 */
export function writeSegment(task: SealingTask): SealedSegment {
  const ledger = openSqliteFileForReading(task.path);
  const folder = segmentFolder(task.path);
  try {
    const newest = removeLeftovers(ledger, folder);
    const startHash = newest?.endHash ?? genesisHash(ledger.instance);
    const writer = new SegmentWriter(folder, ledger);
    try {
      writeRows(ledger, writer, { ...task, sealedTo: newest?.lastSeq ?? 0, startHash });
      const { index, digest } = writer.finish(startHash);
      const { firstSeq, lastSeq, lastAtMs, endHash } = index;
      return { firstSeq, lastSeq, lastAtMs, endHash: fromHex(endHash), digest, logs: logsOf(index) };
    } catch (error) {
      writer.abandon();
      throw error;
    }
  } finally {
    ledger.close();
  }
}

function writeRows(
  ledger: SqliteFile,
  writer: SegmentWriter,
  from: SealingTask & { readonly sealedTo: number; readonly startHash: Uint8Array },
): void {
  const evidence = new Set(from.evidenceKinds);
  const rows = ledger.db.prepare(`${SELECT_JOURNAL} WHERE seq BETWEEN ? AND ? ORDER BY seq`);
  let { startHash: hash, sealedTo: seq } = from;
  let bytes = 0;
  for (const stored of rows.iterate(seq + 1, from.lastSeq)) {
    const row = toJournalRow(stored);
    seq += 1;
    if (row.seq !== seq || !rowMatches(row, hash))
      throw new CodedError('ledger_corrupt', `row ${seq} does not match its hash`);
    hash = row.hash;
    writer.push(row, row.op === OP_CODES.insert && evidence.has(row.kind));
    bytes += row.body.length;
    if (bytes >= from.segmentBytes) return;
  }
}

function logsOf(index: SegmentIndex): SealedSegment['logs'] {
  const logs = new Map<string, readonly [number, number]>();
  for (const block of index.blocks)
    for (const [name, [first, end]] of Object.entries(block.logs))
      logs.set(name, [logs.get(name)?.[0] ?? first, end]);
  return [...logs].map(([name, [first, end]]) => {
    const cut = name.indexOf('\0');
    return { kind: name.slice(0, cut), key: name.slice(cut + 1), first, end };
  });
}

/**
 * Removes what a run that was killed left: half a segment, one that the ledger did not come to know of, those
 * let go of. One with rows that are not in this journal is kept: a ledger had it that an older copy replaced.
 */
function removeLeftovers(ledger: SqliteFile, folder: string): SegmentRecord | undefined {
  const sealed = new SealedRows(ledger);
  const newest = sealed.newest();
  if (!fs.existsSync(folder)) return newest;
  const states = new Map(
    sealed.all().map((segment) => [path.basename(sealed.pathOf(segment)), segment.state]),
  );
  for (const name of fs.readdirSync(folder)) {
    const file = path.join(folder, name);
    const state = states.get(name);
    const isLeftover =
      name.endsWith('.tmp') ||
      state === SEGMENT_STATES.letGo ||
      (name.endsWith('.seg') && state === undefined && isInJournal(ledger, file));
    if (isLeftover) fs.rmSync(file, { force: true });
  }
  return newest;
}

function isInJournal({ db }: SqliteFile, path: string): boolean {
  let file: SegmentFile | undefined;
  try {
    file = new SegmentFile(path);
    const row = db.prepare('SELECT hash FROM journal WHERE seq = ?').get(file.index.lastSeq);
    return row?.['hash'] instanceof Uint8Array && equal(row['hash'], fromHex(file.index.endHash));
  } catch (error) {
    if (error instanceof CodedError) return false;
    throw error;
  } finally {
    file?.close();
  }
}
