import * as fs from 'node:fs';
import { appendFrameSize, FrameWriter } from '../../src/ledger/frame.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { segmentFolder } from '../../src/ledger/segment-file.ts';
import { openSqliteFile, type SqliteFile } from '../../src/ledger/sqlite-file.ts';
import { SqliteJournal } from '../../src/ledger/sqlite-journal.ts';
import { SqliteMaintenance } from '../../src/ledger/sqlite-maintenance.ts';
import { writeSegment } from '../../src/ledger/write-segment.ts';
import type { CommitResult } from '../../src/ledger/writer-messages.ts';

/** Appends as one frame. */
export function frameOf(...appends: readonly (readonly LedgerEntry[])[]): Uint8Array {
  const writer = new FrameWriter();
  for (const entries of appends) writer.push(entries, appendFrameSize(entries));
  const { buffer, size } = writer.finish();
  return new Uint8Array(buffer, 0, size);
}

/** The writer's half of a ledger, in the thread of the test. */
export class JournalStand {
  readonly path: string;
  readonly file: SqliteFile;
  readonly journal: SqliteJournal;
  readonly maintenance: SqliteMaintenance;

  constructor(path: string) {
    this.path = path;
    this.file = openSqliteFile({ path, nowMs: 0 });
    // Nothing here is about what a disk keeps.
    this.file.db.exec('PRAGMA synchronous = OFF');
    this.journal = new SqliteJournal(this.file);
    this.maintenance = new SqliteMaintenance(this.file, this.journal);
  }

  /** One frame with some appends. */
  readonly commit = (atMs: number, ...appends: readonly (readonly LedgerEntry[])[]): CommitResult => {
    this.journal.begin();
    return this.journal.commit([frameOf(...appends)], atMs)[0]!;
  };

  /** Writes a segment of the rows up to one, and makes it known. */
  seal(lastSeq: number, evidenceKinds: readonly string[] = ['job']): void {
    const segment = writeSegment({ path: this.path, lastSeq, segmentBytes: 1e9, evidenceKinds });
    this.maintenance.answer({ type: 'seal', segment });
  }

  prune(evidenceKinds: readonly string[] = ['job']): void {
    while (this.maintenance.answer({ type: 'prune', evidenceKinds }) !== true);
  }

  letGo(beforeMs: number, held: readonly string[] = [], nowMs = 1e6): readonly string[] {
    const request = { type: 'let_go', beforeMs, held, evidenceKinds: ['job'], nowMs } as const;
    return this.maintenance.answer(request) as readonly string[];
  }

  /** Numbers of the rows in the journal's own table. */
  rows(): number[] {
    return this.file.db
      .prepare('SELECT seq FROM journal ORDER BY seq')
      .all()
      .map(({ seq }) => Number(seq));
  }

  /** State of each segment. */
  states(): number[] {
    return this.file.db
      .prepare('SELECT state FROM segment ORDER BY first_seq')
      .all()
      .map(({ state }) => Number(state));
  }

  segments(): string[] {
    const folder = segmentFolder(this.path);
    return fs.existsSync(folder) ? fs.readdirSync(folder).toSorted() : [];
  }

  /** As after a restart. */
  reopened(): JournalStand {
    this.close();
    return new JournalStand(this.path);
  }

  close(): void {
    this.journal.sealed.close();
    this.file.close();
  }
}
