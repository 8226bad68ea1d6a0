import { CodedError } from '../../base/errors.ts';
import { RECORD_HEADER_SIZE } from '../frame.ts';
import type { BlockRow } from '../journal-row.ts';

/**
 * Rows of one batch, packed: `rows u32`, then each record of `frame.ts` without its first 48 bytes, which
 * follow from the batch: `op u8, kind size u8, key size u16, body size u32, first u64, count u64`, kind, key,
 * body; little-endian.
 */
const LEFT_OUT = 48;
const HEAD_SIZE = RECORD_HEADER_SIZE - LEFT_OUT;

export type PackedRow = BlockRow & { readonly seq: number };

/** @param records whole records of `frame.ts` */
export function packRows(records: readonly Uint8Array[]): Buffer {
  const size = records.reduce((sum, record) => sum + record.length - LEFT_OUT, 4);
  const out = Buffer.allocUnsafe(size);
  out.writeUInt32LE(records.length);
  let at = 4;
  for (const record of records) {
    out.set(record.subarray(LEFT_OUT), at);
    at += record.length - LEFT_OUT;
  }
  return out;
}

/** Bytes that a record takes in a batch. */
export function packedSize(record: Uint8Array): number {
  return record.length - LEFT_OUT;
}

/** Where the key of a record that is packed at `at` begins. */
export function keyAt(at: number, kind: string): number {
  return at + HEAD_SIZE + Buffer.byteLength(kind);
}

/** The inverse of `packRows`. Throws `ledger_corrupt` where the bytes are no rows. */
export function unpackRows(packed: Buffer, batch: { firstSeq: number; atMs: number }): PackedRow[] {
  const broken = (): CodedError =>
    new CodedError('ledger_corrupt', `the batch of row ${batch.firstSeq} cannot be unpacked`);
  if (packed.length < 4) throw broken();
  const count = packed.readUInt32LE();
  const rows: PackedRow[] = [];
  let at = 4;
  for (let index = 0; index < count; index += 1) {
    if (at + HEAD_SIZE > packed.length) throw broken();
    const key = at + HEAD_SIZE + packed[at + 1]!;
    const body = key + packed.readUInt16LE(at + 2);
    const end = body + packed.readUInt32LE(at + 4);
    if (end > packed.length) throw broken();
    rows.push({
      ...{ seq: batch.firstSeq + index, atMs: batch.atMs, op: packed[at]! },
      ...{ kind: packed.toString('utf8', at + HEAD_SIZE, key), key: packed.toString('utf8', key, body) },
      ...{ first: Number(packed.readBigUInt64LE(at + 8)), count: Number(packed.readBigUInt64LE(at + 16)) },
      body: packed.subarray(body, end),
    });
    at = end;
  }
  if (at !== packed.length) throw broken();
  return rows;
}
