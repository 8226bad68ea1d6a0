import { assert } from '../base/assert.ts';
import type { LedgerEntry } from './ledger.ts';

/**
 * How entries travel to the writer and what the hash chain covers: one spelling for both, so that the
 * writer hashes the bytes it received. All integers little-endian:
 *
 *   0 previous hash (32) | 32 seq u64 | 40 at_ms u64 | 48 op u8 | 49 kind size u8 | 50 key size u16
 *   52 body size u32 | 56 first u64 | 64 count u64 | 72 kind, key, body
 *
 * The record's hash is sha256 over all of it. The first 48 bytes are left zero by the sender and filled
 * by the writer.
 */
export const RECORD_HEADER_SIZE = 72;
const SEQ_AT = 32;
const AT_MS_AT = 40;
const OP_AT = 48;
const BODY_SIZE_AT = 52;
const COUNT_AT = 64;

/** How an operation is stored. */
export const OP_CODES = { log: 1, put: 2, insert: 3 } as const satisfies Record<
  LedgerEntry['type'],
  number
>;

/** Longest kind and key (document id or stream), in bytes of UTF-8. */
export const MAX_KIND_BYTES = 64;
export const MAX_KEY_BYTES = 1024;

export type JournalRecord = {
  readonly op: number;
  readonly kind: string;
  /** Document id or stream. */
  readonly key: string;
  readonly first: number;
  readonly count: number;
  /** A view into the frame. */
  readonly body: Uint8Array;
  /** The whole record, header included: what is hashed. */
  readonly record: Uint8Array;
};

/**
 * The parts of an entry every engine checks and stores alike. Broken bounds are bugs of the caller and
 * assert.
 */
export function entryKey(entry: LedgerEntry): string {
  const key = entry.type === 'log' ? entry.stream : entry.id;
  assert(entry.kind.length > 0 && Buffer.byteLength(entry.kind) <= MAX_KIND_BYTES, 'ledger_kind_size');
  assert(key.length > 0 && Buffer.byteLength(key) <= MAX_KEY_BYTES, 'ledger_key_size', {
    kind: entry.kind,
  });
  assert(/^[a-z][a-z0-9_-]*$/.test(entry.kind) && key.isWellFormed(), 'ledger_key_text', {
    kind: entry.kind,
  });
  if (entry.type === 'log') {
    assert(Number.isSafeInteger(entry.first) && entry.first >= 0, 'ledger_log_first', entry.first);
    assert(Number.isSafeInteger(entry.count) && entry.count > 0, 'ledger_log_count', entry.count);
  } else {
    assert(entry.body.isWellFormed(), 'ledger_body_text', { kind: entry.kind });
  }
  return key;
}

/** Bytes of an entry's body as stored. */
export function bodySize(entry: LedgerEntry): number {
  return entry.type === 'log' ? entry.body.length : Buffer.byteLength(entry.body);
}

/** Bytes an append takes in a frame. */
export function appendFrameSize(entries: readonly LedgerEntry[]): number {
  let size = 4;
  for (const entry of entries) {
    const key = entry.type === 'log' ? entry.stream : entry.id;
    size += RECORD_HEADER_SIZE + Buffer.byteLength(entry.kind) + Buffer.byteLength(key) + bodySize(entry);
  }
  return size;
}

/**
 * Most bytes of a row that several appends are put into: a commit writes one row then, and a read of a
 * thousand rows still fits.
 */
const JOINED_BODY_BYTES = 32 * 1024;

/** An append of one log row and one document, which is what a batch of shares is. */
type RowAndTotal = { readonly row: LedgerEntry & { type: 'log' }; readonly total: LedgerEntry };

/**
 * Collects appends into one transferable buffer: per append a u32 count, then its records. An append of a
 * log row and a document goes into the one before it where that is the same with the items before: then there
 * is one row and one document of both, and both are written or neither.
 */
export class FrameWriter {
  #buffer: Buffer<ArrayBuffer>;
  #size = 0;
  #appends = 0;
  /** The last append, where another may go into it. */
  #last:
    | (RowAndTotal & { readonly rowAt: number; readonly totalAt: number; readonly bodySize: number })
    | undefined;

  constructor(buffer: ArrayBuffer = new ArrayBuffer(16 * 1024)) {
    this.#buffer = Buffer.from(buffer);
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Copies the entries: their bodies may be reused at once.
   * @returns the index of the append of the frame that they are in
   */
  push(entries: readonly LedgerEntry[], frameSize: number): number {
    this.#reserve(frameSize);
    const next = rowAndTotal(entries);
    if (next !== undefined && this.#join(next)) return this.#appends - 1;
    const buffer = this.#buffer;
    const rowAt = this.#size + 4;
    let lastAt = rowAt;
    buffer.writeUInt32LE(entries.length, this.#size);
    this.#size = rowAt;
    for (const entry of entries) {
      lastAt = this.#size;
      this.#size = writeRecord(buffer, this.#size, entry);
    }
    this.#last = next && { ...next, rowAt, totalAt: lastAt, bodySize: next.row.body.length };
    this.#appends += 1;
    return this.#appends - 1;
  }

  /** The collected bytes; the buffer may then be transferred and this writer must not be used again. */
  finish(): { readonly buffer: ArrayBuffer; readonly size: number } {
    return { buffer: this.#buffer.buffer, size: this.#size };
  }

  /** Puts the items behind those of the last append, where they are its next, and its document anew. */
  #join(next: RowAndTotal): boolean {
    const last = this.#last;
    if (last === undefined || !isNext(last, next)) return false;
    const { row, total } = next;
    const bodySize = last.bodySize + row.body.length;
    if (bodySize > JOINED_BODY_BYTES) return false;
    const buffer = this.#buffer;
    const count = last.row.count + row.count;
    buffer.set(row.body, last.totalAt);
    buffer.writeUInt32LE(bodySize, last.rowAt + BODY_SIZE_AT);
    writeU64(buffer, count, last.rowAt + COUNT_AT);
    const totalAt = last.totalAt + row.body.length;
    this.#size = writeRecord(buffer, totalAt, total);
    this.#last = {
      rowAt: last.rowAt,
      totalAt,
      bodySize,
      total,
      row: { ...row, first: last.row.first, count },
    };
    return true;
  }

  #reserve(more: number): void {
    const needed = this.#size + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.from(new ArrayBuffer(2 ** Math.ceil(Math.log2(needed))));
    grown.set(this.#buffer.subarray(0, this.#size));
    this.#buffer = grown;
  }
}

function rowAndTotal(entries: readonly LedgerEntry[]): RowAndTotal | undefined {
  const [row, total] = entries;
  const isOne = entries.length === 2 && row?.type === 'log' && total?.type === 'put';
  return isOne ? { row, total } : undefined;
}

/** True where these items follow those, in the same log and of one size, and the document is the same one. */
function isNext(last: RowAndTotal & { readonly bodySize: number }, { row, total }: RowAndTotal): boolean {
  return (
    row.kind === last.row.kind &&
    row.stream === last.row.stream &&
    row.first === last.row.first + last.row.count &&
    row.body.length * last.row.count === last.bodySize * row.count &&
    total.kind === last.total.kind &&
    documentId(total) === documentId(last.total)
  );
}

function documentId(entry: LedgerEntry): string | undefined {
  return entry.type === 'log' ? undefined : entry.id;
}

function writeRecord(buffer: Buffer, start: number, entry: LedgerEntry): number {
  buffer.fill(0, start, start + OP_AT);
  let at = start + RECORD_HEADER_SIZE;
  const kindSize = buffer.write(entry.kind, at);
  at += kindSize;
  const keySize = buffer.write(entry.type === 'log' ? entry.stream : entry.id, at);
  at += keySize;
  if (entry.type === 'log') {
    buffer.set(entry.body, at);
    at += entry.body.length;
  } else {
    at += buffer.write(entry.body, at);
  }
  buffer[start + 48] = OP_CODES[entry.type];
  buffer[start + 49] = kindSize;
  buffer.writeUInt16LE(keySize, start + 50);
  buffer.writeUInt32LE(at - start - RECORD_HEADER_SIZE - kindSize - keySize, start + 52);
  writeU64(buffer, entry.type === 'log' ? entry.first : 0, start + 56);
  writeU64(buffer, entry.type === 'log' ? entry.count : 0, start + 64);
  return at;
}

/** Reads the appends of a frame made by `FrameWriter`. */
export function* readFrame(frame: Buffer): Generator<JournalRecord[]> {
  let at = 0;
  while (at < frame.length) {
    const records: JournalRecord[] = [];
    let remaining = frame.readUInt32LE(at);
    at += 4;
    for (; remaining > 0; remaining -= 1) {
      const record = readRecord(frame, at);
      records.push(record);
      at += record.record.length;
    }
    yield records;
  }
}

function readRecord(frame: Buffer, start: number): JournalRecord {
  const keyAt = start + RECORD_HEADER_SIZE + frame[start + 49]!;
  const bodyAt = keyAt + frame.readUInt16LE(start + 50);
  const end = bodyAt + frame.readUInt32LE(start + 52);
  return {
    op: frame[start + OP_AT]!,
    kind: frame.toString('utf8', start + RECORD_HEADER_SIZE, keyAt),
    key: frame.toString('utf8', keyAt, bodyAt),
    first: readU64(frame, start + 56),
    count: readU64(frame, start + 64),
    body: frame.subarray(bodyAt, end),
    record: frame.subarray(start, end),
  };
}

/** Fills what only the writer knows, in place; the record can then be hashed. */
export function sealRecord(record: Uint8Array, previousHash: Uint8Array, seq: number, atMs: number): void {
  const buffer = Buffer.from(record.buffer, record.byteOffset, record.length);
  buffer.set(previousHash, 0);
  writeU64(buffer, seq, SEQ_AT);
  writeU64(buffer, atMs, AT_MS_AT);
}

/**
 * A record rebuilt from stored columns, unsealed: for verification. Undefined when no such record can
 * have been written.
 */
export function encodeRecord(row: Omit<JournalRecord, 'record'>): Uint8Array | undefined {
  const kindSize = Buffer.byteLength(row.kind);
  const keySize = Buffer.byteLength(row.key);
  const isItem = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (kindSize > MAX_KIND_BYTES || keySize > MAX_KEY_BYTES || !isItem(row.first) || !isItem(row.count)) {
    return undefined;
  }
  const out = Buffer.from(new ArrayBuffer(RECORD_HEADER_SIZE + kindSize + keySize + row.body.length));
  out[48] = row.op;
  out[49] = kindSize;
  out.writeUInt16LE(keySize, 50);
  out.writeUInt32LE(row.body.length, 52);
  writeU64(out, row.first, 56);
  writeU64(out, row.count, 64);
  out.write(row.kind, RECORD_HEADER_SIZE);
  out.write(row.key, RECORD_HEADER_SIZE + kindSize);
  out.set(row.body, RECORD_HEADER_SIZE + kindSize + keySize);
  return out;
}

function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 2 ** 32, at);
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32;
}
