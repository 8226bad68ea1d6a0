import * as crypto from 'node:crypto';
import { admit, nameOf } from '../admit.ts';
import { type JournalRecord, OP_CODES, sealRecord } from '../frame.ts';
import { LEASE_KIND, parseLeaseBody } from '../lease.ts';
import type { CommitResult, Conflict } from '../writer-messages.ts';
import { keyAt, packedSize, packRows } from './packed-rows.ts';

/** Where a chain ends. */
export type Head = { readonly seq: number; readonly atMs: number; readonly hash: Uint8Array };

/** What is held of the names that one commit may meet. */
export type Lookup = {
  readonly ends: ReadonlyMap<string, number>;
  readonly bodies: ReadonlyMap<string, Uint8Array>;
};

/** Appends of one commit, each with its records; by frame. */
export type Frames = readonly (readonly (readonly JournalRecord[])[])[];

/** One batch to be written, and what each frame is answered. */
export type Batch = {
  readonly head: Head;
  readonly results: readonly CommitResult[];
  /** Where logs end behind it, by `nameOf`. */
  readonly ends: ReadonlyMap<string, number>;
  /** Tokens of the leases under which rows of it are written, by resource. */
  readonly leases: ReadonlyMap<string, number>;
  /** Undefined where there is nothing to write. */
  readonly statement: readonly unknown[] | undefined;
};

type Pointer = { kind: string; key: number; keySize: number; body: number; bodySize: number; op: number };
type LogRange = { readonly kind: string; readonly key: string; readonly first: number; next: number };

/** Rows that follow a head, one behind the other. */
class BatchBuilder {
  readonly #before: Head;
  readonly #atMs: number;
  readonly #records: Uint8Array[] = [];
  readonly #documents = new Map<string, Pointer & { readonly seq: number }>();
  readonly #logs = new Map<string, LogRange>();
  readonly leases = new Map<string, number>();
  #hash: Uint8Array;
  #size = 4;

  constructor(before: Head, nowMs: number) {
    this.#before = before;
    this.#hash = before.hash;
    this.#atMs = Math.max(before.atMs, nowMs);
  }

  get rows(): number {
    return this.#records.length;
  }

  get head(): Head {
    if (this.rows === 0) return this.#before;
    return { seq: this.#before.seq + this.rows, atMs: this.#atMs, hash: this.#hash };
  }

  get atMs(): number {
    return this.#atMs;
  }

  push({ record, op, kind, key, first, count, body }: JournalRecord): void {
    const seq = this.#before.seq + this.rows + 1;
    sealRecord(record, this.#hash, seq, this.#atMs);
    this.#hash = crypto.hash('sha256', record, 'buffer');
    const name = nameOf(kind, key);
    const at = keyAt(this.#size, kind);
    const keySize = Buffer.byteLength(key);
    if (op === OP_CODES.log) {
      const log = this.#logs.get(name);
      if (log === undefined) this.#logs.set(name, { kind, key, first, next: first + count });
      else log.next = first + count;
    } else {
      const pointer = { kind, key: at, keySize, body: at + keySize, bodySize: body.length, op };
      this.#documents.set(name, { ...pointer, seq });
    }
    this.#records.push(record);
    this.#size += packedSize(record);
  }

  /** Parameters of `COMMIT_BATCH` behind the chain and its epoch; of `COMMIT_FENCED`, with the leases. */
  get statement(): readonly unknown[] | undefined {
    if (this.rows === 0) return undefined;
    const logs = [...this.#logs.values()];
    const documents = [...this.#documents.values()];
    const { seq, atMs, hash } = this.head;
    return [
      ...[this.#before.hash, dayOf(atMs), this.#before.seq + 1, seq, atMs, hash, packRows(this.#records)],
      ...[logs.map((log) => log.kind), logs.map((log) => Buffer.from(log.key))],
      ...[logs.map((log) => log.first), logs.map((log) => log.next)],
      ...[documents.map((each) => each.kind), documents.map((each) => each.key + 1)],
      ...[documents.map((each) => each.keySize), documents.map((each) => each.body + 1)],
      ...[documents.map((each) => each.bodySize), documents.map((each) => each.op)],
      documents.map((each) => each.seq),
      ...(this.leases.size === 0
        ? []
        : [[...this.leases.keys()].map((resource) => Buffer.from(resource)), [...this.leases.values()]]),
    ];
  }
}

/**
 * Judges every append of the frames, in order, and makes the batch of what is taken.
 * @param lost leases that the database knows no more, by resource: what is written under such a token, or an
 *   older one, is refused
 */
export function makeBatch(
  frames: Frames,
  before: Head,
  nowMs: number,
  lookup: Lookup,
  lost: ReadonlyMap<string, number> = new Map(),
): Batch {
  const builder = new BatchBuilder(before, nowMs);
  const newest = newestTokens(frames);
  const isOver = ([resource, token]: Tokens[number]): boolean =>
    token < newest.get(resource)! || token <= (lost.get(resource) ?? 0);
  const ends = new Map<string, number>();
  const bodies = new Map<string, Uint8Array>();
  const held = {
    logEnd: (_kind: string, _stream: string, name: string) => ends.get(name) ?? lookup.ends.get(name) ?? 0,
    body: (_kind: string, _id: string, name: string) => bodies.get(name) ?? lookup.bodies.get(name),
  };
  const results = frames.map((appends): CommitResult => {
    const rows = builder.rows;
    const conflicts: Conflict[] = [];
    appends.forEach((records, append) => {
      const tokens = tokensOf(records);
      const over = tokens.find(isOver);
      if (over !== undefined) {
        conflicts.push({
          append,
          detail: `the lease ${over[1]} of ${over[0]} is over`,
          code: 'lease_lost',
        });
        return;
      }
      const admitted = admit(records, held);
      if (typeof admitted === 'string') {
        conflicts.push({ append, detail: admitted });
        return;
      }
      for (const [name, end] of admitted.ends) ends.set(name, end);
      for (const [resource, token] of tokens) builder.leases.set(resource, token);
      for (const record of admitted.records) {
        if (record.op !== OP_CODES.log) bodies.set(nameOf(record.kind, record.key), record.body);
        builder.push(record);
      }
    });
    return { rows: builder.rows - rows, atMs: builder.atMs, conflicts };
  });
  return { head: builder.head, results, ends, leases: builder.leases, statement: builder.statement };
}

type Tokens = readonly (readonly [resource: string, token: number])[];
const NO_TOKENS: Tokens = [];

/** Under which leases an append is written: most are under none. */
function tokensOf(records: readonly JournalRecord[]): Tokens {
  const isLease = ({ kind, op }: JournalRecord): boolean => kind === LEASE_KIND && op === OP_CODES.put;
  if (!records.some(isLease)) return NO_TOKENS;
  return records.filter(isLease).map(({ key, body }) => [key, parseLeaseBody(body).token]);
}

/** The newest token of each resource: with a newer one the owner says itself that an older is over. */
function newestTokens(frames: Frames): ReadonlyMap<string, number> {
  const newest = new Map<string, number>();
  for (const [resource, token] of frames.flat().flatMap(tokensOf))
    newest.set(resource, Math.max(token, newest.get(resource) ?? 0));
  return newest;
}

/** Rows written as they are, behind a head: for what is written again. */
export function batchOf(records: readonly JournalRecord[], before: Head, nowMs: number): Batch {
  const builder = new BatchBuilder(before, nowMs);
  for (const record of records) builder.push(record);
  const { head, leases, statement } = builder;
  return { head, results: [], ends: new Map(), leases, statement };
}

/** The day of a batch, in UTC: "2026-11-30". */
export function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/**
 * The rest of a commit behind its head: all of it is written only where the head moved. Bodies and ids are
 * taken out of the packed rows.
 */
const BEHIND_HEAD = `
  batch AS (
    INSERT INTO sharestream.batch (chain, day, first_seq, last_seq, at_ms, end_hash, rows)
      SELECT number, $4::date, $5::bigint, $6::bigint, $7::bigint, $8::bytea, $9::bytea FROM head),
  logs AS (
    INSERT INTO sharestream.batch_log (chain, day, kind, key, first, next, batch)
      SELECT number, $4::date, l.kind, l.key, l.first, l.next, $5::bigint FROM head,
        unnest($10::text[], $11::bytea[], $12::bigint[], $13::bigint[]) AS l (kind, key, first, next)),
  documents AS (
    INSERT INTO sharestream.document (chain, kind, id, seq, op, body)
      SELECT number, d.kind, substring($9::bytea FROM d.key FOR d.key_size), d.seq, d.op,
        substring($9::bytea FROM d.body FOR d.body_size) FROM head,
        unnest($14::text[], $15::integer[], $16::integer[], $17::integer[], $18::integer[], $19::smallint[],
          $20::bigint[]) AS d (kind, key, key_size, body, body_size, op, seq)
      ON CONFLICT (chain, kind, id) DO UPDATE SET seq = excluded.seq, op = excluded.op, body = excluded.body)`;

const MOVE_HEAD = `
    UPDATE sharestream.chain SET seq = $6::bigint, at_ms = $7::bigint, hash = $8::bytea
      WHERE number = $1::integer AND epoch = $2::bigint AND hash = $3::bytea`;

/** One commit in one statement: the head moves from one hash to the next, for who holds the epoch. */
export const COMMIT_BATCH = `
  WITH head AS (${MOVE_HEAD} RETURNING number), ${BEHIND_HEAD}
  SELECT count(*)::integer AS heads FROM head`;

/**
 * The same under leases: the head moves only while every token is the newest of its lease, which nobody can
 * take until this commit is over. Answers with the resources whose token is.
 */
export const COMMIT_FENCED = `
  WITH fence AS (
    SELECT l.resource FROM sharestream.lease AS l
      JOIN unnest($21::bytea[], $22::bigint[]) AS f (resource, token) ON l.resource = f.resource
      WHERE l.token = f.token FOR NO KEY UPDATE OF l),
  head AS (${MOVE_HEAD}
      AND (SELECT count(*) FROM fence) = cardinality($21::bytea[]) RETURNING number), ${BEHIND_HEAD},
  home AS (
    UPDATE sharestream.lease AS l SET chain = head.number FROM head
      WHERE l.resource = ANY ($21::bytea[]) AND l.chain IS DISTINCT FROM head.number)
  SELECT (SELECT count(*) FROM head)::integer AS heads,
    (SELECT coalesce(array_agg(resource), '{}') FROM fence) AS held`;
