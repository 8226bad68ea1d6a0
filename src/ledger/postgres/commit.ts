import * as crypto from 'node:crypto';
import { admit, nameOf } from '../admit.ts';
import { type JournalRecord, OP_CODES, sealRecord } from '../frame.ts';
import type { CommitResult } from '../writer-messages.ts';
import { keyAt, packedSize, packRows } from './packed-rows.ts';

/** Where a chain ends. */
export type Head = { readonly seq: number; readonly atMs: number; readonly hash: Uint8Array };

/** What is held of the names that one commit may meet. */
export type Lookup = {
  readonly ends: Map<string, number>;
  readonly bodies: Map<string, Uint8Array>;
};

/** Appends of one commit, each with its records; by frame. */
export type Frames = readonly (readonly (readonly JournalRecord[])[])[];

/** One batch to be written, and what each frame is answered. */
export type Batch = {
  readonly head: Head;
  readonly results: readonly CommitResult[];
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

  /** Parameters of `COMMIT_BATCH` behind the chain and its epoch. */
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
    ];
  }
}

/** Judges every append of the frames, in order, and makes the batch of what is taken. */
export function makeBatch(frames: Frames, before: Head, nowMs: number, { ends, bodies }: Lookup): Batch {
  const builder = new BatchBuilder(before, nowMs);
  const held = {
    logEnd: (_kind: string, _stream: string, name: string) => ends.get(name) ?? 0,
    body: (_kind: string, _id: string, name: string) => bodies.get(name),
  };
  const results = frames.map((appends): CommitResult => {
    const rows = builder.rows;
    const conflicts: { append: number; detail: string }[] = [];
    appends.forEach((records, append) => {
      const admitted = admit(records, held);
      if (typeof admitted === 'string') {
        conflicts.push({ append, detail: admitted });
        return;
      }
      for (const [name, end] of admitted.ends) ends.set(name, end);
      for (const record of admitted.records) {
        if (record.op !== OP_CODES.log) bodies.set(nameOf(record.kind, record.key), record.body);
        builder.push(record);
      }
    });
    return { rows: builder.rows - rows, atMs: builder.atMs, conflicts };
  });
  return { head: builder.head, results, statement: builder.statement };
}

/** Rows written as they are, behind a head: for what is written again. */
export function batchOf(records: readonly JournalRecord[], before: Head, nowMs: number): Batch {
  const builder = new BatchBuilder(before, nowMs);
  for (const record of records) builder.push(record);
  return { head: builder.head, results: [], statement: builder.statement };
}

/** The day of a batch, in UTC: "2026-11-30". */
export function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/**
 * One commit in one statement: the head moves from one hash to the next, for the holder of the epoch alone,
 * and all the rest is written only then. Bodies and ids are taken out of the packed rows.
 */
export const COMMIT_BATCH = `
  WITH head AS (
    UPDATE sharestream.chain SET seq = $6::bigint, at_ms = $7::bigint, hash = $8::bytea
      WHERE number = $1::integer AND epoch = $2::bigint AND hash = $3::bytea RETURNING number),
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
      ON CONFLICT (chain, kind, id) DO UPDATE SET seq = excluded.seq, op = excluded.op, body = excluded.body)
  SELECT count(*)::integer AS heads FROM head`;
