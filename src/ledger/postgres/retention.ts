import { encodeRecord, type JournalRecord, OP_CODES } from '../frame.ts';
import { bytes } from '../journal-row.ts';
import { LET_GO, letGoBody } from '../let-go.ts';
import type { LetGoRequest } from '../writer-messages.ts';
import { batchOf, dayOf, type Head } from './commit.ts';
import { textOf } from './journal-reads.ts';
import type { PostgresWriter } from './postgres-writer.ts';
import type { Row } from './session.ts';

const DAY_MS = 86_400_000;

/** The oldest day that a chain has rows of. */
type OldestDay = { readonly day: string; readonly end: Head };

/** True where the oldest day is so old that it may go. */
export async function isOld(writer: PostgresWriter, beforeMs: number): Promise<boolean> {
  const oldest = await oldestDay(writer);
  return oldest !== undefined && isOver(oldest, beforeMs, writer.head);
}

/**
 * Lets go of the oldest day, where it is old enough and holds nothing of the streams `held`. Documents in it
 * that are still of use are written again at the head, so that the rest of the chain stands alone; the rows
 * go with their partition, once every chain has let go of it.
 * @returns the day, where it went
 */
export async function letGo(writer: PostgresWriter, request: LetGoRequest): Promise<string | undefined> {
  const { beforeMs, held, evidenceKinds, nowMs } = request;
  const oldest = await oldestDay(writer);
  if (oldest === undefined || !isOver(oldest, beforeMs, writer.head)) return undefined;
  const { day, end } = oldest;
  const streams = held.map((stream) => Buffer.from(stream));
  const isNeeded = await writer.read(async (_reads, { link, chain }) => {
    const needed = await link.reader.query(
      'SELECT FROM sharestream.batch_log WHERE chain = $1 AND day = $2 AND key = ANY ($3::bytea[]) LIMIT 1',
      [chain.number, day, streams],
    );
    return needed.length > 0;
  });
  if (isNeeded) return undefined;
  const live = await writer.read((_reads, { link, chain }) =>
    link.reader.query(
      `SELECT kind, id, op, body FROM sharestream.document WHERE chain = $1 AND seq <= $2
        AND NOT (op = ${OP_CODES.insert} AND kind = ANY ($3)) AND kind <> $4 ORDER BY seq`,
      [chain.number, end.seq, evidenceKinds, LET_GO.kind],
    ),
  );
  const batch = batchOf([...live.map(toRecord), marker(end)], writer.head, nowMs);
  await writer.move(batch.head, async (up) => {
    const { link, chain } = up;
    await writer.ensureDay(up, batch.head.atMs);
    await link.write('BEGIN');
    await writer.writeRows(up, batch);
    await link.write(
      `INSERT INTO sharestream.let_go_log (chain, kind, key, next)
        SELECT chain, kind, key, max(next) FROM sharestream.batch_log WHERE chain = $1 AND day = $2
          AND batch <= $3 GROUP BY chain, kind, key
        ON CONFLICT (chain, kind, key) DO UPDATE SET next = excluded.next`,
      [chain.number, day, end.seq],
    );
    await link.write('DELETE FROM sharestream.document WHERE chain = $1 AND seq <= $2', [
      ...[chain.number, end.seq],
    ]);
    await link.write(
      'UPDATE sharestream.chain SET let_go_seq = $2, let_go_at_ms = $3, let_go_hash = $4 WHERE number = $1',
      [chain.number, end.seq, end.atMs, end.hash],
    );
    await link.write('COMMIT');
  });
  writer.letGoOf(end);
  return day;
}

/** Deletes all days up to one of which nobody has anything left, and that nobody reads. */
export async function dropDays(writer: PostgresWriter, upTo: string): Promise<void> {
  await writer.read(async (_reads, { link }) => {
    const parts = await link.reader.query(
      `SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::text AS day FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'sharestream.batch'::regclass`,
    );
    for (const { day } of parts)
      if (String(day) <= upTo) await link.write('SELECT sharestream.drop_day($1)', [day]);
  });
}

async function oldestDay(writer: PostgresWriter): Promise<OldestDay | undefined> {
  return await writer.read(async (_reads, { link, chain }) => {
    const [row] = await link.reader.query(
      `SELECT day::text AS day, last_seq, at_ms, end_hash FROM sharestream.batch WHERE chain = $1 AND day = (
          SELECT day FROM sharestream.batch WHERE chain = $1 AND first_seq > $2 ORDER BY first_seq LIMIT 1)
        ORDER BY first_seq DESC LIMIT 1`,
      [chain.number, chain.letGo.seq],
    );
    if (row === undefined) return undefined;
    const end = { seq: Number(row['last_seq']), atMs: Number(row['at_ms']), hash: bytes(row['end_hash']) };
    return { day: String(row['day']), end };
  });
}

/** The whole day was before, and the head is not in it. */
function isOver({ day }: OldestDay, beforeMs: number, head: Head): boolean {
  return Date.parse(day) + DAY_MS <= beforeMs && dayOf(head.atMs) > day;
}

function toRecord(row: Row): JournalRecord {
  const [op, kind, key] = [Number(row['op']), String(row['kind']), textOf(row['id'])];
  return recordOf({ op, kind, key, body: bytes(row['body']) });
}

function marker({ seq, hash }: Head): JournalRecord {
  const body = Buffer.from(letGoBody({ lastSeq: seq, endHash: hash }), 'utf8');
  return recordOf({ op: OP_CODES.put, kind: LET_GO.kind, key: LET_GO.id, body });
}

function recordOf(document: Pick<JournalRecord, 'op' | 'kind' | 'key' | 'body'>): JournalRecord {
  const row = { ...document, first: 0, count: 0 };
  return { ...row, record: encodeRecord(row)! };
}
