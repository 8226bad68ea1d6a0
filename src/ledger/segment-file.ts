import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { equal, isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { OP_CODES } from './frame.ts';
import type { BlockRow, JournalRow } from './journal-row.ts';
import { decodeBlock, encodeBlock } from './segment-block.ts';

/** At the start and at the end of every segment. */
const MAGIC = Buffer.from('SHSTSEG1', 'latin1');
/** `index size u32, sha256 of the index, magic`. */
const FOOTER_SIZE = 4 + 32 + MAGIC.length;
/** Bytes of rows in one block: what a look at one row costs, some 10 ms. */
const BLOCK_BYTES = 1024 * 1024;
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
const MAX_BLOCK_BYTES = 256 * 1024 * 1024;

export type SegmentBlock = {
  /** In the file. */
  readonly offset: number;
  readonly size: number;
  readonly firstSeq: number;
  readonly rows: number;
  readonly sha256: string;
  /** By `<kind>\0<stream>`: the first item in it, and the item behind the last. */
  readonly logs: Readonly<Record<string, readonly [number, number]>>;
};

/** What stands at the end of a segment: whose it is, where its rows are, and the ends of its chain. */
export type SegmentIndex = {
  readonly instance: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** 64 hex digits each: of the row before the first, and of the last. */
  readonly startHash: string;
  readonly endHash: string;
  readonly blocks: readonly SegmentBlock[];
  /** Ids of documents that are kept nowhere else, by kind. */
  readonly documents: Readonly<Record<string, readonly string[]>>;
};

/** Where the segments of a ledger lie: beside it, in a folder of their own. */
export function segmentFolder(ledgerPath: string): string {
  return `${ledgerPath}-segments`;
}

/** The name of a segment: first and last row, so that a listing is in order. */
export function segmentName(firstSeq: number, lastSeq: number): string {
  return `${String(firstSeq).padStart(16, '0')}-${String(lastSeq).padStart(16, '0')}.seg`;
}

/** Writes a segment row by row into a file that is given its name by `finish`, when all of it is on disk. */
export class SegmentWriter {
  readonly #folder: string;
  readonly #instance: string;
  readonly #temporary: string;
  readonly #descriptor: number;
  readonly #blocks: SegmentBlock[] = [];
  readonly #documents: Record<string, string[]> = {};
  #rows: JournalRow[] = [];
  #bytes = 0;
  #offset = 0;
  #first: JournalRow | undefined;
  #last: JournalRow | undefined;

  constructor(folder: string, { instance }: { readonly instance: string }) {
    this.#folder = folder;
    this.#instance = instance;
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#temporary = path.join(folder, 'next.tmp');
    this.#descriptor = fs.openSync(this.#temporary, 'w', 0o600);
    this.#write(MAGIC);
  }

  /**
   * Rows in order; bodies are not copied and must stay as they are.
   * @param isEvidence a document that will be found here alone
   */
  push(row: JournalRow, isEvidence: boolean): void {
    this.#first ??= row;
    this.#last = row;
    this.#rows.push(row);
    this.#bytes += row.body.length;
    if (isEvidence) {
      const ids = this.#documents[row.kind] ?? [];
      this.#documents[row.kind] = ids;
      ids.push(row.key);
    }
    if (this.#bytes >= BLOCK_BYTES) this.#flush();
  }

  /** The file has its name, and both are on disk, when this returns. */
  finish(startHash: Uint8Array): { readonly index: SegmentIndex; readonly digest: Uint8Array } {
    this.#flush();
    const [first, last] = [this.#first!, this.#last!];
    const index: SegmentIndex = {
      instance: this.#instance,
      ...{ firstSeq: first.seq, lastSeq: last.seq, firstAtMs: first.atMs, lastAtMs: last.atMs },
      ...{ startHash: toHex(startHash), endHash: toHex(last.hash) },
      ...{ blocks: this.#blocks, documents: this.#documents },
    };
    const packed = gzipSync(JSON.stringify(index));
    const digest = sha256(packed);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(packed.length);
    this.#write(Buffer.concat([packed, size, digest, MAGIC]));
    fs.fsyncSync(this.#descriptor);
    fs.closeSync(this.#descriptor);
    fs.renameSync(this.#temporary, path.join(this.#folder, segmentName(first.seq, last.seq)));
    syncFolder(this.#folder);
    syncFolder(path.dirname(this.#folder));
    return { index, digest };
  }

  /** Nothing is left of it. */
  abandon(): void {
    fs.closeSync(this.#descriptor);
    fs.rmSync(this.#temporary, { force: true });
  }

  #flush(): void {
    if (this.#rows.length === 0) return;
    const packed = gzipSync(encodeBlock(this.#rows), { level: 3 });
    const logs: Record<string, [number, number]> = {};
    for (const { op, kind, key, first, count } of this.#rows) {
      if (op !== OP_CODES.log) continue;
      const name = `${kind}\0${key}`;
      logs[name] = [logs[name]?.[0] ?? first, first + count];
    }
    this.#blocks.push({
      ...{ offset: this.#offset, size: packed.length, firstSeq: this.#rows[0]!.seq },
      ...{ rows: this.#rows.length, sha256: toHex(sha256(packed)), logs },
    });
    this.#write(packed);
    this.#rows = [];
    this.#bytes = 0;
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += fs.writeSync(this.#descriptor, bytes, done);
    this.#offset += bytes.length;
  }
}

/** A segment to read from. Everything it gives was checked against its digests. */
export class SegmentFile {
  readonly index: SegmentIndex;
  readonly #path: string;
  readonly #descriptor: number;

  /**
   * Throws `ledger_corrupt`, naming the file, where it is missing, cut short or altered.
   * @param digest of its index, where it is known
   */
  constructor(file: string, digest?: Uint8Array) {
    this.#path = file;
    try {
      this.#descriptor = fs.openSync(file, 'r');
    } catch (error) {
      throw this.#damaged(`it cannot be opened (${(error as NodeJS.ErrnoException).code})`);
    }
    try {
      this.index = this.#readIndex(digest);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The rows of a block, in order. Throws `ledger_corrupt`, naming file and rows. */
  block(number: number): (BlockRow & { readonly seq: number })[] {
    const block = this.index.blocks[number]!;
    const last = block.firstSeq + block.rows - 1;
    const where = `rows ${block.firstSeq} to ${last}`;
    const packed = this.#read(block.offset, block.size);
    if (toHex(sha256(packed)) !== block.sha256) throw this.#damaged(`${where} do not match their digest`);
    try {
      const rows = decodeBlock(gunzipSync(packed, { maxOutputLength: MAX_BLOCK_BYTES }));
      if (rows.length !== block.rows) throw this.#damaged(`${where} are not whole`);
      return rows.map((row, index) => ({ ...row, seq: block.firstSeq + index }));
    } catch (error) {
      throw error instanceof CodedError ? error : this.#damaged(`${where} cannot be unpacked`);
    }
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }

  #readIndex(digest: Uint8Array | undefined): SegmentIndex {
    const { size } = fs.fstatSync(this.#descriptor);
    const footerAt = size - FOOTER_SIZE;
    if (footerAt < MAGIC.length) throw this.#damaged('it is cut short');
    const footer = this.#read(footerAt, FOOTER_SIZE);
    const indexSize = footer.readUInt32LE();
    const isWhole = equal(this.#read(0, MAGIC.length), MAGIC) && equal(footer.subarray(36), MAGIC);
    if (!isWhole || indexSize > Math.min(footerAt, MAX_INDEX_BYTES))
      throw this.#damaged('it is no segment, or cut short');
    const packed = this.#read(footerAt - indexSize, indexSize);
    const found = sha256(packed);
    if (!equal(found, footer.subarray(4, 36)) || (digest !== undefined && !equal(found, digest)))
      throw this.#damaged('its index does not match its digest');
    const index: unknown = JSON.parse(
      gunzipSync(packed, { maxOutputLength: MAX_BLOCK_BYTES }).toString('utf8'),
    );
    if (!isRecord(index) || !isHex(index['endHash'], 32) || !Array.isArray(index['blocks']))
      throw this.#damaged('its index cannot be read');
    return index as SegmentIndex;
  }

  #read(offset: number, size: number): Buffer {
    const out = Buffer.alloc(size);
    const read = fs.readSync(this.#descriptor, out, 0, size, offset);
    if (read !== size) throw this.#damaged('it is cut short');
    return out;
  }

  #damaged(what: string): CodedError {
    return new CodedError('ledger_corrupt', `segment ${path.basename(this.#path)}: ${what}`);
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return crypto.hash('sha256', bytes, 'buffer');
}

function syncFolder(folder: string): void {
  const descriptor = fs.openSync(folder, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
