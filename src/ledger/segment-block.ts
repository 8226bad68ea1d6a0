import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { OP_CODES } from './frame.ts';
import type { BlockRow } from './journal-row.ts';

/**
 * Bytes of a row's head in a block: `at_ms u64, op u8, kind size u8, key size u16, body size u32, first u64,
 * count u64`.
 */
const HEAD_SIZE = 32;
/** Items of at most so many bytes are stored by columns. */
const MAX_ITEM_BYTES = 4096;

/**
 * Some rows as bytes that compress well (`SEGMENTS.md`): like fields lie together, so that what is the same
 * in every share, or counts up, is next to itself.
 */
export function encodeBlock(rows: readonly BlockRow[]): Buffer {
  const heads = Buffer.alloc(rows.length * HEAD_SIZE);
  const names: Buffer[] = [];
  const plain: Uint8Array[] = [];
  const items = new Map<number, Uint8Array[]>();
  rows.forEach((row, index) => {
    const kind = Buffer.from(row.kind, 'utf8');
    const key = Buffer.from(row.key, 'utf8');
    const at = index * HEAD_SIZE;
    heads.writeBigUInt64LE(BigInt(row.atMs), at);
    heads[at + 8] = row.op;
    heads[at + 9] = kind.length;
    heads.writeUInt16LE(key.length, at + 10);
    heads.writeUInt32LE(row.body.length, at + 12);
    heads.writeBigUInt64LE(BigInt(row.first), at + 16);
    heads.writeBigUInt64LE(BigInt(row.count), at + 24);
    names.push(kind, key);
    const size = itemSize(row.op, row.count, row.body.length);
    if (size === undefined) plain.push(row.body);
    else if (items.has(size)) items.get(size)!.push(row.body);
    else items.set(size, [row.body]);
  });
  const head = Buffer.alloc(4);
  head.writeUInt32LE(rows.length);
  const columns = [...items].map(([size, bodies]) => byColumns(Buffer.concat(bodies), size));
  return Buffer.concat([head, byColumns(heads, HEAD_SIZE), ...names, ...plain, ...columns]);
}

/** The inverse of `encodeBlock`. Throws `ledger_corrupt` where the bytes are no block. */
export function decodeBlock(block: Buffer): BlockRow[] {
  const take = reader(block);
  const count = take(4).readUInt32LE();
  const heads = byRows(take(count * HEAD_SIZE), HEAD_SIZE);
  const rows = Array.from({ length: count }, (_, index) => {
    const at = index * HEAD_SIZE;
    const kind = take(heads[at + 9]!).toString('utf8');
    const key = take(heads.readUInt16LE(at + 10)).toString('utf8');
    return {
      ...{ atMs: Number(heads.readBigUInt64LE(at)), op: heads[at + 8]!, kind, key },
      ...{ first: Number(heads.readBigUInt64LE(at + 16)), count: Number(heads.readBigUInt64LE(at + 24)) },
      size: heads.readUInt32LE(at + 12),
    };
  });
  /** Bytes of all items of a size, in the order in which the sizes appear. */
  const items = new Map<number, number>();
  const plain = rows.map(({ op, count: items_, size }) => {
    const item = itemSize(op, items_, size);
    if (item === undefined) return take(size);
    items.set(item, (items.get(item) ?? 0) + size);
    return undefined;
  });
  const bodies = new Map<number, (size: number) => Buffer>();
  for (const [size, bytes] of items) bodies.set(size, reader(byRows(take(bytes), size)));
  take.end();
  return rows.map(({ size, ...row }, index) => {
    const body = plain[index] ?? bodies.get(itemSize(row.op, row.count, size)!)!(size);
    return { ...row, body };
  });
}

/** Bytes of each item of a log row, where they are of one size; undefined where the body is kept as it is. */
function itemSize(op: number, count: number, bodySize: number): number | undefined {
  if (op !== OP_CODES.log || count === 0 || bodySize % count !== 0) return undefined;
  const size = bodySize / count;
  return size > 1 && size <= MAX_ITEM_BYTES ? size : undefined;
}

/** The first byte of every item, then the second of every item, and so on. */
function byColumns(bytes: Buffer, size: number): Buffer {
  const count = bytes.length / size;
  assert(Number.isInteger(count), 'segment_columns', bytes.length);
  const out = Buffer.allocUnsafe(bytes.length);
  let at = 0;
  for (let item = 0; item < count; item += 1)
    for (let column = 0; column < size; column += 1, at += 1) out[column * count + item] = bytes[at]!;
  return out;
}

/** The inverse of `byColumns`. */
function byRows(bytes: Buffer, size: number): Buffer {
  const count = bytes.length / size;
  const out = Buffer.allocUnsafe(bytes.length);
  let at = 0;
  for (let item = 0; item < count; item += 1)
    for (let column = 0; column < size; column += 1, at += 1) out[at] = bytes[column * count + item]!;
  return out;
}

type Taker = ((size: number) => Buffer) & { end(): void };

/** Takes bytes one part after the other. Throws `ledger_corrupt` where there are not so many. */
function reader(bytes: Buffer): Taker {
  let at = 0;
  const take = (size: number): Buffer => {
    if (at + size > bytes.length)
      throw new CodedError('ledger_corrupt', 'a block of a segment is too short');
    at += size;
    return bytes.subarray(at - size, at);
  };
  const end = (): void => {
    if (at !== bytes.length) throw new CodedError('ledger_corrupt', 'a block of a segment is too long');
  };
  return Object.assign(take, { end });
}
