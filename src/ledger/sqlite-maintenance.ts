import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { unreachable } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { OP_CODES } from './frame.ts';
import { type BlockRow, JOURNAL_COLUMNS, toJournalRow } from './journal-row.ts';
import { LET_GO, letGoBody } from './let-go.ts';
import { SEGMENT_STATES, transaction } from './schema.ts';
import type { SealedRows, SegmentRecord } from './sealed-rows.ts';
import type { SqliteFile } from './sqlite-file.ts';
import type { SqliteJournal } from './sqlite-journal.ts';
import type { MaintenanceRequest, SealedSegment, SealingPolicy } from './writer-messages.ts';

/** Rows deleted at once: commits wait meanwhile. */
const ROWS_PER_PRUNE = 4096;
/** Segments let go of at once. */
const SEGMENTS_PER_TURN = 64;

/**
 * What the writer does so that old rows leave the journal for segments, and segments the disk. Each step is
 * one transaction; what was thrown in one left everything as it was.
 */
export class SqliteMaintenance {
  readonly #db: DatabaseSync;
  readonly #journal: SqliteJournal;
  readonly #sealed: SealedRows;
  readonly #statements: ReturnType<typeof prepareStatements>;
  /** Row up to which the oldest segment that is not pruned was; found again after a restart. */
  #prunedTo = 0;

  constructor({ db }: SqliteFile, journal: SqliteJournal) {
    this.#db = db;
    this.#journal = journal;
    this.#sealed = journal.sealed;
    this.#statements = prepareStatements(db);
  }

  answer(request: MaintenanceRequest): unknown {
    switch (request.type) {
      case 'sealable':
        return this.#sealable(request.policy);
      case 'seal':
        return this.#seal(request.segment);
      case 'prune':
        return this.#prune(request.evidenceKinds);
      case 'is_old':
        return this.#isOld(request.beforeMs);
      case 'let_go':
        return this.#letGo(request.beforeMs, new Set(request.held), request.evidenceKinds, request.nowMs);
      default:
        return unreachable(request);
    }
  }

  #sealable({ afterMs, keptRows, fromRows, waitMs }: SealingPolicy): number | undefined {
    const sealedTo = this.#sealed.newest()?.lastSeq ?? 0;
    const { seq, atMs } = this.#journal;
    const last = Math.min(this.#journal.firstSeqAt(atMs - afterMs) - 1, seq - Math.max(2, keptRows));
    if (last <= sealedTo) return undefined;
    const isDue =
      last - sealedTo >= fromRows || this.#journal.timeOf(sealedTo + 1) <= atMs - afterMs - waitMs;
    return isDue ? last : undefined;
  }

  /** From here on the rows of the segment are read from it. */
  #seal({ firstSeq, lastSeq, lastAtMs, endHash, digest, logs }: SealedSegment): void {
    const next = (this.#sealed.newest()?.lastSeq ?? 0) + 1;
    const last = this.#statements.hashOf.get(lastSeq)?.['hash'];
    const isSame = last instanceof Uint8Array && equal(last, endHash);
    if (firstSeq !== next || lastSeq >= this.#journal.seq || !isSame)
      throw new CodedError('ledger_corrupt', `segment ${firstSeq}-${lastSeq} is not what the journal has`);
    transaction(this.#db, () => {
      const { sealed } = SEGMENT_STATES;
      this.#statements.insertSegment.run(firstSeq, lastSeq, lastAtMs, endHash, digest, sealed);
      for (const { kind, key, first, end } of logs)
        this.#statements.insertLog.run(kind, key, first, end, firstSeq);
    });
  }

  /** Documents stay where they are, but for evidence, which is found in its segment. */
  #prune(evidenceKinds: readonly string[]): boolean {
    const oldest = this.#statements.unpruned.get();
    if (oldest === undefined) return true;
    const firstSeq = Number(oldest['first_seq']);
    const lastSeq = Number(oldest['last_seq']);
    const from = Math.max(firstSeq, this.#prunedTo + 1);
    const to = Math.min(lastSeq, from + ROWS_PER_PRUNE - 1);
    transaction(this.#db, () => {
      this.#statements.prune.run(from, to, JSON.stringify(evidenceKinds));
      if (to === lastSeq) this.#statements.setState.run(SEGMENT_STATES.pruned, firstSeq, firstSeq);
    });
    this.#prunedTo = to;
    return false;
  }

  #isOld(beforeMs: number): boolean {
    const oldest = this.#statements.oldestHeld.get();
    return oldest !== undefined && Number(oldest['last_at_ms']) < beforeMs;
  }

  /**
   * Lets go of the oldest segments that are old enough and hold nothing of the streams `held`. Documents in
   * them that are still of use are written again at the head, so that the rest of the chain stands alone.
   */
  #letGo(
    beforeMs: number,
    held: ReadonlySet<string>,
    evidenceKinds: readonly string[],
    nowMs: number,
  ): string[] {
    const going: SegmentRecord[] = [];
    for (const segment of this.#sealed.all()) {
      if (segment.state === SEGMENT_STATES.letGo) continue;
      const streams = this.#statements.streamsOf.all(segment.firstSeq).map(({ key }) => String(key));
      const isNeeded = segment.lastAtMs >= beforeMs || streams.some((stream) => held.has(stream));
      if (isNeeded || segment.state !== SEGMENT_STATES.pruned || going.length === SEGMENTS_PER_TURN) break;
      going.push(segment);
    }
    const [oldest, newest] = [going[0], going.at(-1)];
    if (oldest === undefined || newest === undefined) return [];
    const isMarker = ({ kind, key }: BlockRow): boolean => kind === LET_GO.kind && key === LET_GO.id;
    const live = this.#statements.liveRows.all(newest.lastSeq).map(toJournalRow);
    const kept = live.filter((row) => !isMarker(row));
    const marker: BlockRow = {
      ...{ atMs: 0, op: OP_CODES.put, kind: LET_GO.kind, key: LET_GO.id, first: 0, count: 0 },
      body: Buffer.from(letGoBody(newest), 'utf8'),
    };
    this.#journal.rewrite([...kept, marker], nowMs, () => {
      for (const segment of going) this.#forgetEvidence(segment, evidenceKinds);
      this.#statements.deleteRows.run(newest.lastSeq);
      this.#statements.setState.run(SEGMENT_STATES.letGo, oldest.firstSeq, newest.firstSeq);
    });
    this.#sealed.close();
    return going.map((segment) => this.#sealed.pathOf(segment));
  }

  #forgetEvidence(segment: SegmentRecord, evidenceKinds: readonly string[]): void {
    let documents: Readonly<Record<string, readonly string[]>> | undefined;
    try {
      ({ documents } = this.#sealed.indexOf(segment));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
    const { firstSeq, lastSeq } = segment;
    // What cannot be read does not stay for ever either: all documents are looked at.
    if (documents === undefined)
      this.#statements.forgetAll.run(firstSeq, lastSeq, JSON.stringify(evidenceKinds));
    for (const [kind, ids] of Object.entries(documents ?? {}))
      for (const id of ids) this.#statements.forget.run(kind, id, firstSeq, lastSeq);
  }
}

const IS_EVIDENCE = 'kind IN (SELECT value FROM json_each(?))';
const IS_LIVE =
  'EXISTS (SELECT 1 FROM document AS d WHERE d.kind = j.kind AND d.id = j.key AND d.seq = j.seq)';

function prepareStatements(db: DatabaseSync) {
  const prepare = (sql: string): StatementSync => db.prepare(sql);
  const { sealed, letGo } = SEGMENT_STATES;
  return {
    hashOf: prepare('SELECT hash FROM journal WHERE seq = ?'),
    insertSegment: prepare('INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?)'),
    insertLog: prepare('INSERT INTO segment_log VALUES (?, ?, ?, ?, ?)'),
    unpruned: prepare(
      `SELECT first_seq, last_seq FROM segment WHERE state = ${sealed} ORDER BY first_seq LIMIT 1`,
    ),
    oldestHeld: prepare(
      `SELECT last_at_ms FROM segment WHERE state <> ${letGo} ORDER BY first_seq LIMIT 1`,
    ),
    prune: prepare(
      `DELETE FROM journal AS j WHERE seq BETWEEN ? AND ?
        AND (op = ${OP_CODES.log} OR NOT ${IS_LIVE} OR (op = ${OP_CODES.insert} AND ${IS_EVIDENCE}))`,
    ),
    setState: prepare('UPDATE segment SET state = ? WHERE first_seq BETWEEN ? AND ?'),
    streamsOf: prepare('SELECT key FROM segment_log WHERE segment = ?'),
    liveRows: prepare(
      `SELECT ${JOURNAL_COLUMNS} FROM journal AS j
        WHERE seq <= ? AND op <> ${OP_CODES.log} AND ${IS_LIVE} ORDER BY seq`,
    ),
    deleteRows: prepare('DELETE FROM journal WHERE seq <= ?'),
    forget: prepare('DELETE FROM document WHERE kind = ? AND id = ? AND seq BETWEEN ? AND ?'),
    forgetAll: prepare(`DELETE FROM document WHERE seq BETWEEN ? AND ? AND ${IS_EVIDENCE}`),
  };
}
