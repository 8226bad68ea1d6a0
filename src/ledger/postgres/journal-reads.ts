import { CodedError } from '../../base/errors.ts';
import { nameOf } from '../admit.ts';
import { OP_CODES } from '../frame.ts';
import { bytes } from '../journal-row.ts';
import type {
  LedgerDocument,
  LedgerLogRange,
  LedgerLogRow,
  LedgerRecentLog,
  RecentBounds,
} from '../ledger.ts';
import type { LogRowOfStream } from '../writer-messages.ts';
import { type PackedRow, unpackRows } from './packed-rows.ts';
import type { Row, Session } from './session.ts';

/** Batches fetched at once. */
const BATCHES_PER_TURN = 64;

/** One batch as it is stored. */
export type StoredBatch = {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly atMs: number;
  readonly endHash: Uint8Array;
  readonly rows: Buffer;
};

const BATCH = 'b.first_seq, b.last_seq, b.at_ms, b.end_hash, b.rows';

/** Reads of one chain. Rows up to `letGoSeq` are gone, whether they are deleted yet or not. */
export class JournalReads {
  readonly #session: Session;
  readonly #chain: number;
  readonly #letGoSeq: number;

  constructor(session: Session, chain: number, letGoSeq: number) {
    this.#session = session;
    this.#chain = chain;
    this.#letGoSeq = letGoSeq;
  }

  async get(kind: string, id: string): Promise<string | undefined> {
    const found = await this.#session.query(
      'SELECT body FROM sharestream.document WHERE chain = $1 AND kind = $2 AND id = $3',
      [this.#chain, kind, Buffer.from(id)],
      'get',
    );
    return found[0] === undefined ? undefined : textOf(found[0]['body']);
  }

  async list(kind: string, prefix: string): Promise<LedgerDocument[]> {
    const from = Buffer.from(prefix);
    const to = endOfPrefix(from);
    const found = await this.#session.query(
      `SELECT id, body FROM sharestream.document
        WHERE chain = $1 AND kind = $2 AND id >= $3 AND ($4::bytea IS NULL OR id < $4) ORDER BY id`,
      [this.#chain, kind, from, to ?? null],
    );
    return found.map((row) => ({ id: textOf(row['id']), body: textOf(row['body']) }));
  }

  async readLog(kind: string, stream: string, fromItem: number, maxRows: number): Promise<LedgerLogRow[]> {
    const out: LedgerLogRow[] = [];
    let from = fromItem;
    for (;;) {
      const found = await this.#session.query(
        `SELECT ${BATCH}, l.next FROM sharestream.batch_log AS l
          JOIN sharestream.batch AS b ON b.chain = l.chain AND b.day = l.day AND b.first_seq = l.batch
          WHERE l.chain = $1 AND l.kind = $2 AND l.key = $3 AND l.next > $4 AND l.batch > $5
            AND l.first >= coalesce((SELECT max(first) FROM sharestream.batch_log
              WHERE chain = $1 AND kind = $2 AND key = $3 AND first <= $4), 0)
          ORDER BY l.first LIMIT ${BATCHES_PER_TURN}`,
        [this.#chain, kind, Buffer.from(stream), from, this.#letGoSeq],
        'read_log',
      );
      for (const row of found) {
        for (const each of rowsOf(toBatch(row))) {
          const isWanted = each.op === OP_CODES.log && each.kind === kind && each.key === stream;
          if (!isWanted || each.first + each.count <= from) continue;
          out.push(toLogRow(each));
          if (out.length === maxRows) return out;
        }
        from = Number(row['next']);
      }
      if (found.length < BATCHES_PER_TURN) return out;
    }
  }

  async recentLog(
    kind: string,
    { memoryMs, certainRows, maxItems }: RecentBounds,
  ): Promise<LedgerRecentLog> {
    let newest: PackedRow | undefined;
    let afterSeq = 0;
    let items = 0;
    for await (const batch of this.#newestFirst()) {
      const rows = rowsOf(batch).filter((row) => row.op === OP_CODES.log && row.kind === kind);
      for (const row of rows.toReversed()) {
        items += row.count;
        newest ??= row;
        const isRecent = row.atMs >= newest.atMs - memoryMs || row.seq > newest.seq - certainRows;
        if (!isRecent) return { afterSeq, isCut: false };
        if (items > maxItems && row !== newest) return { afterSeq, isCut: true };
        afterSeq = row.seq - 1;
      }
    }
    return { afterSeq, isCut: false };
  }

  async logRange(kind: string, stream: string): Promise<LedgerLogRange> {
    const [row] = await this.logEnds([{ kind, key: stream }]);
    return { first: Number(row!['let_go']), end: Number(row!['end']) };
  }

  /** Of each log, in their order, the item behind the last (`end`) and behind the last let go of. */
  async logEnds(logs: readonly { readonly kind: string; readonly key: string }[]): Promise<readonly Row[]> {
    return await this.#session.query(
      `SELECT coalesce(g.next, 0) AS let_go, coalesce((SELECT l.next FROM sharestream.batch_log AS l
          WHERE l.chain = $1 AND l.kind = n.kind AND l.key = n.key ORDER BY l.first DESC LIMIT 1),
          g.next, 0) AS "end"
        FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS n (kind, key, place)
        LEFT JOIN sharestream.let_go_log AS g ON g.chain = $1 AND g.kind = n.kind AND g.key = n.key
        ORDER BY n.place`,
      [this.#chain, logs.map(({ kind }) => kind), logs.map(({ key }) => Buffer.from(key))],
      'log_ends',
    );
  }

  /** Bodies of the documents that there are, by `nameOf`. */
  async bodies(
    documents: readonly { readonly kind: string; readonly key: string }[],
  ): Promise<Map<string, Uint8Array>> {
    const found = await this.#session.query(
      `SELECT d.kind, d.id, d.body FROM unnest($2::text[], $3::bytea[]) AS n (kind, id)
        JOIN sharestream.document AS d ON d.chain = $1 AND d.kind = n.kind AND d.id = n.id`,
      [this.#chain, documents.map(({ kind }) => kind), documents.map(({ key }) => Buffer.from(key))],
      'bodies',
    );
    return new Map(
      found.map((row) => [nameOf(String(row['kind']), textOf(row['id'])), bytes(row['body'])] as const),
    );
  }

  async readLogSince(
    kind: string,
    sinceMs: number,
    afterSeq: number,
    maxRows: number,
  ): Promise<LogRowOfStream[]> {
    const out: LogRowOfStream[] = [];
    for await (const batch of this.batches(Math.max(afterSeq, this.#letGoSeq), sinceMs)) {
      for (const row of rowsOf(batch)) {
        if (row.op !== OP_CODES.log || row.kind !== kind || row.seq <= afterSeq) continue;
        out.push({ ...toLogRow(row), stream: row.key });
        if (out.length === maxRows) return out;
      }
    }
    return out;
  }

  /** Batches with rows behind one, that were written at or after a time, in order. */
  async *batches(afterSeq: number, sinceMs = 0): AsyncGenerator<StoredBatch> {
    let from = afterSeq;
    for (;;) {
      const found = await this.#session.query(
        `SELECT ${BATCH} FROM sharestream.batch AS b WHERE b.chain = $1 AND b.first_seq >= greatest(
            (SELECT max(first_seq) FROM sharestream.batch WHERE chain = $1 AND first_seq <= $2 + 1),
            (SELECT first_seq FROM sharestream.batch WHERE chain = $1 AND at_ms >= $3
              ORDER BY at_ms, first_seq LIMIT 1))
          AND b.last_seq > $2 AND b.at_ms >= $3 ORDER BY b.first_seq LIMIT ${BATCHES_PER_TURN}`,
        [this.#chain, from, sinceMs],
        'batches',
      );
      for (const row of found) yield toBatch(row);
      if (found.length < BATCHES_PER_TURN) return;
      from = Number(found.at(-1)!['last_seq']);
    }
  }

  async *#newestFirst(): AsyncGenerator<StoredBatch> {
    let before = Number.MAX_SAFE_INTEGER;
    for (;;) {
      const found = await this.#session.query(
        `SELECT ${BATCH} FROM sharestream.batch AS b WHERE b.chain = $1 AND b.first_seq < $2
          AND b.first_seq > $3 ORDER BY b.first_seq DESC LIMIT ${BATCHES_PER_TURN}`,
        [this.#chain, before, this.#letGoSeq],
        'newest_batches',
      );
      for (const row of found) yield toBatch(row);
      if (found.length < BATCHES_PER_TURN) return;
      before = Number(found.at(-1)!['first_seq']);
    }
  }
}

/** With a body of its own, for another thread. */
function toLogRow({ seq, first, count, atMs, body }: PackedRow): LedgerLogRow {
  return { seq, first, count, atMs, body: new Uint8Array(body) };
}

export function toBatch(row: Row): StoredBatch {
  return {
    ...{ firstSeq: Number(row['first_seq']), lastSeq: Number(row['last_seq']), atMs: Number(row['at_ms']) },
    ...{ endHash: bytes(row['end_hash']), rows: bufferOf(row['rows']) },
  };
}

/** The rows of a batch. Throws `ledger_corrupt`. */
export function rowsOf(batch: StoredBatch): PackedRow[] {
  const rows = unpackRows(batch.rows, batch);
  if (rows.at(-1)?.seq === batch.lastSeq) return rows;
  throw new CodedError('ledger_corrupt', `the batch of row ${batch.firstSeq} has not the rows it says`);
}

function bufferOf(value: unknown): Buffer {
  const found = bytes(value);
  return Buffer.from(found.buffer, found.byteOffset, found.length);
}

/** A text that is stored as its UTF-8, since PostgreSQL's own texts hold no NUL. */
export function textOf(value: unknown): string {
  return bufferOf(value).toString('utf8');
}

/** The first bytes behind all that begin so; undefined where there are none. */
export function endOfPrefix(prefix: Buffer): Buffer | undefined {
  const last = prefix.findLastIndex((byte) => byte !== 0xff);
  if (last < 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, last + 1));
  end[last]! += 1;
  return end;
}
