import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { EXTRANONCE_ROOM, ShareRows, type WireShare } from '../work/share-rows.ts';
import type { Codec } from './codec.ts';

export type { WireShare } from '../work/share-rows.ts';

const FORMAT = 1;
/** Most bytes of a context: varint of 53 bits, double, sizes, ntime. */
const CONTEXT_BYTES = 8 + 8 + 1 + 4;
/** Most bytes of a share: index below 1024, two extranonces, difference of 33 bits, nonce, version. */
const SHARE_BYTES = 2 + 2 * EXTRANONCE_ROOM + 5 + 4 + 4;
/** Most characters of the base64 of a full batch, of shares that have nothing in common. */
export const MAX_PACKED_CHARS =
  4 * Math.ceil((5 + LIMITS.peerBatchShares * (CONTEXT_BYTES + SHARE_BYTES)) / 3);

/** The fields that shares of a batch have in common, written once (`PACKED.md`). */
export type PackedContext = Pick<WireShare, 'jobId' | 'difficulty' | 'ntime'> & {
  readonly extranonce1Size: number;
  readonly extranonce2Size: number;
};

/** The codec of the shares of a batch in one base64 field (`PACKED.md`). Throws `protocol`. */
export const packedSharesCodec: Codec<ShareRows> = {
  parse: (value) => unpackRows(bytesOf(value)),
  print: (rows) => base64Of(packRows(rows)),
};

function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== 'string' || value.length > MAX_PACKED_CHARS) return refuse('is no text of its size');
  const bytes = Buffer.from(value, 'base64');
  // Node's decoder skips what it does not know: only the one spelling is taken.
  return bytes.toString('base64') === value ? bytes : refuse('is not base64');
}

function base64Of({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('base64');
}

function refuse(why: string): never {
  throw new CodedError('protocol', `packed ${why}`);
}

/** Packs 1 to 1024 rows, whose hashes stay behind; the inverse of `unpackRows`. */
export function packRows(rows: ShareRows): Uint8Array {
  const { length, body } = rows;
  const { contexts, indexOf } = contextsOf(rows);
  const out = new Writer(5 + contexts.length * CONTEXT_BYTES + length * SHARE_BYTES);
  out.u8(FORMAT);
  out.varint(contexts.length);
  for (const context of contexts) {
    out.varint(context.jobId);
    out.f64(context.difficulty);
    out.u8(context.extranonce1Size * 16 + context.extranonce2Size);
    out.u32(context.ntime);
  }
  out.varint(length);
  for (let index = 0; index < length; index += 1) {
    const { extranonce1Size, extranonce2Size, ntime } = contexts[indexOf[index]!]!;
    const difference = rows.ntime(index) - ntime;
    out.varint(indexOf[index]!);
    out.copy(body, rows.extranonce1At(index), extranonce1Size);
    out.copy(body, rows.extranonce2At(index), extranonce2Size);
    out.varint(difference >= 0 ? 2 * difference : -2 * difference - 1);
    out.u32(rows.nonce(index));
    out.u32(rows.version(index));
  }
  return out.done();
}

/** The contexts of rows, in the order in which they are first used, and which is whose. */
function contextsOf(rows: ShareRows): {
  readonly contexts: readonly PackedContext[];
  readonly indexOf: Uint32Array;
} {
  const contexts: PackedContext[] = [];
  const indexes = new Map<string, number>();
  const indexOf = new Uint32Array(rows.length);
  for (let at = 0; at < rows.length; at += 1) {
    // The next share is mostly of the same job: no text is made of it.
    if (at > 0 && rows.areAlike(at, at - 1)) {
      indexOf[at] = indexOf[at - 1]!;
      continue;
    }
    const [jobId, difficulty] = [rows.jobId(at), rows.difficulty(at)];
    const [extranonce1Size, extranonce2Size] = [rows.extranonce1Size(at), rows.extranonce2Size(at)];
    const key = `${jobId}:${difficulty}:${extranonce1Size}:${extranonce2Size}`;
    const known = indexes.get(key) ?? contexts.length;
    indexOf[at] = known;
    if (known < contexts.length) continue;
    indexes.set(key, known);
    contexts.push({ jobId, difficulty, ntime: rows.ntime(at), extranonce1Size, extranonce2Size });
  }
  return { contexts, indexOf };
}

/** Unpacks rows, without their hashes. Throws `protocol` for bytes that `packRows` does not make. */
export function unpackRows(bytes: Uint8Array): ShareRows {
  const packed = new PackedShares(bytes);
  const rows = ShareRows.empty(packed.count);
  const { body } = rows;
  let row = 0;
  packed.each((index, at, ntime, nonce, version) => {
    const { jobId, difficulty, extranonce1Size, extranonce2Size } = packed.contexts[index]!;
    rows.write(row, jobId, difficulty, extranonce1Size, extranonce2Size, ntime, nonce, version);
    copyBytes(bytes, at, body, rows.extranonce1At(row), extranonce1Size);
    copyBytes(bytes, at + extranonce1Size, body, rows.extranonce2At(row), extranonce2Size);
    row += 1;
  });
  return rows;
}

/** A loop, since so few bytes are copied sooner by it than by a call. */
function copyBytes(from: Uint8Array, at: number, to: Uint8Array, toAt: number, size: number): void {
  for (let byte = 0; byte < size; byte += 1) to[toAt + byte] = from[at + byte]!;
}

/** Packs 1 to 1024 shares; the inverse of `unpackWireShares`. */
export function packWireShares(shares: readonly WireShare[]): Uint8Array {
  return packRows(ShareRows.of(shares));
}

/** Unpacks shares. Throws `protocol` for bytes that `packWireShares` does not make. */
export function unpackWireShares(bytes: Uint8Array): WireShare[] {
  return unpackRows(bytes).shares();
}

/** Packed shares, read one after the other without an object for each. */
export class PackedShares {
  readonly contexts: readonly PackedContext[];
  readonly count: number;
  readonly #reader: Reader;

  /** Reads the contexts. Throws `protocol`, as `each` does, for bytes that `packWireShares` does not make. */
  constructor(bytes: Uint8Array) {
    const reader = new Reader(bytes);
    if (reader.u8() !== FORMAT) refuse('has an unknown format');
    this.contexts = readContexts(reader);
    this.count = reader.varint(LIMITS.peerBatchShares);
    if (this.count < this.contexts.length) refuse('has a context without a share');
    this.#reader = reader;
  }

  /**
   * Reads the shares; once.
   * @param use both extranonces lie from `extranonceAt` on, one behind the other
   */
  each(
    use: (context: number, extranonceAt: number, ntime: number, nonce: number, version: number) => void,
  ): void {
    const reader = this.#reader;
    const { contexts } = this;
    const sizes = Uint8Array.from(contexts, (each) => each.extranonce1Size + each.extranonce2Size);
    let used = 0;
    for (let left = this.count; left > 0; left -= 1) {
      const index = reader.varint(used);
      if (index >= contexts.length) refuse('names a context that is not there');
      const extranonceAt = reader.skip(sizes[index]!);
      const zigzag = reader.varint(2 ** 33);
      const ntime = contexts[index]!.ntime + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
      if (ntime < 0 || ntime > 0xffff_ffff) refuse('has an ntime out of range');
      if (index === used) {
        if (zigzag !== 0) refuse('has a context of another ntime than its first share');
        used += 1;
      }
      const nonce = reader.u32();
      use(index, extranonceAt, ntime, nonce, reader.u32());
    }
    if (used !== contexts.length) refuse('has a context without a share');
    reader.end();
  }
}

function readContexts(reader: Reader): PackedContext[] {
  const contexts: PackedContext[] = [];
  const keys = new Set<string>();
  for (let left = reader.varint(LIMITS.peerBatchShares); left > 0; left -= 1) {
    const jobId = reader.varint(Number.MAX_SAFE_INTEGER);
    const difficulty = reader.f64();
    const sizes = reader.u8();
    const extranonce1Size = sizes >> 4;
    const extranonce2Size = sizes & 15;
    if (!Number.isFinite(difficulty) || difficulty <= 0) refuse('has a difficulty out of range');
    if (extranonce1Size > EXTRANONCE_ROOM || extranonce2Size > EXTRANONCE_ROOM)
      refuse('has an extranonce too long');
    keys.add(`${jobId}:${difficulty}:${sizes}`);
    contexts.push({ jobId, difficulty, extranonce1Size, extranonce2Size, ntime: reader.u32() });
  }
  if (contexts.length === 0) refuse('has no share');
  if (keys.size !== contexts.length) refuse('has a context twice');
  return contexts;
}

/** A writer into a buffer that is large enough. */
class Writer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): void {
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.u8((rest % 0x80) + 0x80);
    this.u8(rest);
  }

  copy(from: Uint8Array, at: number, size: number): void {
    copyBytes(from, at, this.#bytes, this.#at, size);
    this.#at += size;
  }
}

/** A reader of bytes from a peer; all methods throw `protocol` past the end. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u32(): number {
    const bytes = this.#bytes;
    const at = this.#take(4);
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A varint in its shortest form, at most `max`. */
  varint(max: number): number {
    const first = this.u8();
    // Nearly all of them are of one byte.
    if (first < 0x80) return first <= max ? first : refuse('has a number out of range');
    let value = first % 0x80;
    for (let scale = 0x80; scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.u8();
      value += (byte % 0x80) * scale;
      if (byte >= 0x80) continue;
      if (byte === 0 || value > max) refuse('has a number out of range');
      return value;
    }
    return refuse('has a number out of range');
  }

  /** Skips bytes. @returns where they are */
  skip(size: number): number {
    return this.#take(size);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) refuse('goes on after the last share');
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) refuse('ends early');
    this.#at = at + size;
    return at;
  }
}
