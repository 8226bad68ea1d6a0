import * as crypto from 'node:crypto';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { encodeRecord, sealRecord } from './frame.ts';

export const JOURNAL_COLUMNS = 'seq, at_ms, op, kind, key, first, count, hash, body';

export type JournalRow = {
  readonly seq: number;
  readonly atMs: number;
  readonly op: number;
  readonly kind: string;
  readonly key: string;
  readonly first: number;
  readonly count: number;
  readonly hash: Uint8Array;
  readonly body: Uint8Array;
};

export const SELECT_JOURNAL = `SELECT ${JOURNAL_COLUMNS} FROM journal`;

/** A row of `SELECT_JOURNAL`. */
export function toJournalRow(row: Record<string, unknown>): JournalRow {
  return {
    seq: Number(row['seq']),
    atMs: Number(row['at_ms']),
    op: Number(row['op']),
    kind: String(row['kind']),
    key: String(row['key']),
    first: Number(row['first']),
    count: Number(row['count']),
    hash: bytes(row['hash']),
    body: bytes(row['body']),
  };
}

/** True when the row's hash covers its columns and the hash before it. */
export function rowMatches(row: JournalRow, previousHash: Uint8Array): boolean {
  const hash = hashOfRow(row, previousHash);
  return hash !== undefined && equal(hash, row.hash);
}

/** The hash of a row behind the one with that hash. Undefined when no such row can have been written. */
export function hashOfRow(row: Omit<JournalRow, 'hash'>, previousHash: Uint8Array): Uint8Array | undefined {
  const record = encodeRecord(row);
  if (record === undefined) return undefined;
  sealRecord(record, previousHash, row.seq, row.atMs);
  return crypto.hash('sha256', record, 'buffer');
}

/** A row without what the chain gives: its place and its hash. */
export type BlockRow = Omit<JournalRow, 'seq' | 'hash'>;

/** A blob column. Throws `ledger_corrupt`. */
export function bytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array))
    throw new CodedError('ledger_corrupt', 'a blob column holds something else');
  return value;
}
