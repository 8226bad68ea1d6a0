import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { EXTRANONCE_ROOM, type ShareRecord } from '../work/evidence.ts';
import type { Codec } from './codec.ts';

/** A share as its job and session define it; the receiver computes its hash. */
export type WireShare = Omit<ShareRecord, 'hash'>;

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
export const packedSharesCodec: Codec<readonly WireShare[]> = {
  parse: (value) => unpackWireShares(bytesOf(value)),
  print: (shares) => Buffer.from(packWireShares(shares)).toString('base64'),
};

function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== 'string' || value.length > MAX_PACKED_CHARS) return refuse('is no text of its size');
  const bytes = Buffer.from(value, 'base64');
  // Node's decoder skips what it does not know: only the one spelling is taken.
  return bytes.toString('base64') === value ? Uint8Array.from(bytes) : refuse('is not base64');
}

function refuse(why: string): never {
  throw new CodedError('protocol', `packed ${why}`);
}

/** Packs 1 to 1024 shares; the inverse of `unpackWireShares`. */
export function packWireShares(shares: readonly WireShare[]): Uint8Array {
  const contexts: PackedContext[] = [];
  const indexes = new Map<string, number>();
  let last: WireShare | undefined;
  let lastIndex = 0;
  const indexOf = shares.map((share) => {
    // The next share is mostly of the same job: no text is made of it.
    if (last === undefined || !isLike(share, last)) lastIndex = contextOf(share);
    last = share;
    return lastIndex;
  });
  function contextOf({ jobId, difficulty, ntime, extranonce1, extranonce2 }: WireShare): number {
    const key = `${jobId}:${difficulty}:${extranonce1.length}:${extranonce2.length}`;
    const known = indexes.get(key);
    if (known !== undefined) return known;
    indexes.set(key, contexts.length);
    const sizes = { extranonce1Size: extranonce1.length, extranonce2Size: extranonce2.length };
    contexts.push({ jobId, difficulty, ntime, ...sizes });
    return contexts.length - 1;
  }
  const out = new Writer(5 + contexts.length * CONTEXT_BYTES + shares.length * SHARE_BYTES);
  out.u8(FORMAT);
  out.varint(contexts.length);
  for (const context of contexts) {
    out.varint(context.jobId);
    out.f64(context.difficulty);
    out.u8(context.extranonce1Size * 16 + context.extranonce2Size);
    out.u32(context.ntime);
  }
  out.varint(shares.length);
  shares.forEach((share, index) => {
    const difference = share.ntime - contexts[indexOf[index]!]!.ntime;
    out.varint(indexOf[index]!);
    out.bytes(share.extranonce1);
    out.bytes(share.extranonce2);
    out.varint(difference >= 0 ? 2 * difference : -2 * difference - 1);
    out.u32(share.nonce);
    out.u32(share.version);
  });
  return out.done();
}

/** True of shares of one context. */
function isLike(a: WireShare, b: WireShare): boolean {
  return (
    a.jobId === b.jobId &&
    a.difficulty === b.difficulty &&
    a.extranonce1.length === b.extranonce1.length &&
    a.extranonce2.length === b.extranonce2.length
  );
}

/** Unpacks shares. Throws `protocol` for bytes that `packWireShares` does not make. */
export function unpackWireShares(bytes: Uint8Array): WireShare[] {
  const packed = new PackedShares(bytes);
  const shares: WireShare[] = [];
  packed.each((index, at, ntime, nonce, version) => {
    const { jobId, difficulty, extranonce1Size, extranonce2Size } = packed.contexts[index]!;
    const middle = at + extranonce1Size;
    const extranonce1 = bytes.slice(at, middle);
    const extranonce2 = bytes.slice(middle, middle + extranonce2Size);
    shares.push({ jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version });
  });
  return shares;
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

  bytes(value: Uint8Array): void {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
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
