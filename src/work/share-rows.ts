import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { KernelJob, ShareKernel } from '../shares/kernel/kernel.ts';
import { hashBatches } from '../shares/verify.ts';
import type { JobId } from '../stratum/job-id.ts';

/** Bytes of one packed share. */
export const SHARE_RECORD_SIZE = 80;
/** Room for each extranonce in a record; both are left-justified. */
export const EXTRANONCE_ROOM = 8;

const EXTRANONCE1_AT = 16;
const EXTRANONCE2_AT = 24;
const SIZES_AT = 44;
const HASH_AT = 48;

/** A share as recorded: all that is needed, with its job, to hash it again and to weigh it. */
export type ShareRecord = {
  readonly jobId: JobId;
  /** As assigned; the target is exactly `targetOfDifficulty(difficulty)`. */
  readonly difficulty: number;
  readonly extranonce1: Uint8Array;
  readonly extranonce2: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  /** As hashed. */
  readonly version: number;
  /** Internal byte order. */
  readonly hash: Uint8Array;
};

/** A share as its job and session define it; the receiver computes its hash. */
export type WireShare = Omit<ShareRecord, 'hash'>;

/**
 * Shares as packed records, one behind the other, read by their index with no object for each: as they are in
 * the log, on the link and in a verifier. A hash that is not known is all zeros.
 */
export class ShareRows {
  readonly body: Uint8Array;
  readonly length: number;
  readonly #view: DataView;

  private constructor(body: Uint8Array) {
    this.body = body;
    this.length = body.length / SHARE_RECORD_SIZE;
    this.#view = new DataView(body.buffer, body.byteOffset, body.length);
  }

  /**
   * Reads a packed body, which is not copied. Strict, since the bytes may come from a peer: throws
   * `malformed` for a size that is no multiple of 80, a job id above 2^53, a difficulty that is no positive
   * number, or padding that is not zero.
   */
  static read(body: Uint8Array): ShareRows {
    const rows = ShareRows.unread(body);
    for (let index = 0; index < rows.length; index += 1) rows.#check(index);
    return rows;
  }

  /** The same unchecked, where only jobs and hashes are wanted. Throws `malformed` for the size. */
  static unread(body: Uint8Array): ShareRows {
    if (body.length % SHARE_RECORD_SIZE !== 0)
      throw new CodedError('malformed', `${body.length} bytes are no whole number of share records`);
    return new ShareRows(body);
  }

  /** So many rows of zeros, to be written. */
  static empty(count: number): ShareRows {
    return new ShareRows(new Uint8Array(count * SHARE_RECORD_SIZE));
  }

  /** Packs shares, those of the wire without a hash. */
  static of(shares: readonly (WireShare & Partial<Pick<ShareRecord, 'hash'>>)[]): ShareRows {
    const rows = ShareRows.empty(shares.length);
    shares.forEach(
      ({ jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version, hash }, index) => {
        rows.write(index, jobId, difficulty, extranonce1.length, extranonce2.length, ntime, nonce, version);
        rows.body.set(extranonce1, rows.extranonce1At(index));
        rows.body.set(extranonce2, rows.extranonce2At(index));
        if (hash !== undefined) rows.body.set(hash, rows.hashAt(index));
      },
    );
    return rows;
  }

  /** Copies of rows, one behind the other. */
  static joined(parts: readonly ShareRows[]): ShareRows {
    const joined = ShareRows.empty(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { body } of parts) {
      joined.body.set(body, at);
      at += body.length;
    }
    return joined;
  }

  /** Writes a row but for its extranonces and its hash. */
  write(
    index: number,
    jobId: JobId,
    difficulty: number,
    extranonce1Size: number,
    extranonce2Size: number,
    ntime: number,
    nonce: number,
    version: number,
  ): void {
    assert(extranonce1Size <= EXTRANONCE_ROOM, 'evidence_extranonce_size');
    assert(extranonce2Size >= 0 && extranonce2Size <= EXTRANONCE_ROOM, 'evidence_extranonce_size');
    const view = this.#view;
    const at = index * SHARE_RECORD_SIZE;
    view.setUint32(at, jobId % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(jobId / 2 ** 32), true);
    view.setFloat64(at + 8, difficulty, true);
    view.setUint32(at + 32, ntime, true);
    view.setUint32(at + 36, nonce, true);
    view.setUint32(at + 40, version, true);
    view.setUint8(at + SIZES_AT, extranonce1Size);
    view.setUint8(at + SIZES_AT + 1, extranonce2Size);
  }

  jobId(index: number): JobId {
    const at = index * SHARE_RECORD_SIZE;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  difficulty(index: number): number {
    return this.#view.getFloat64(index * SHARE_RECORD_SIZE + 8, true);
  }

  ntime(index: number): number {
    return this.#view.getUint32(index * SHARE_RECORD_SIZE + 32, true);
  }

  nonce(index: number): number {
    return this.#view.getUint32(index * SHARE_RECORD_SIZE + 36, true);
  }

  /** As hashed. */
  version(index: number): number {
    return this.#view.getUint32(index * SHARE_RECORD_SIZE + 40, true);
  }

  extranonce1Size(index: number): number {
    return this.body[index * SHARE_RECORD_SIZE + SIZES_AT]!;
  }

  extranonce2Size(index: number): number {
    return this.body[index * SHARE_RECORD_SIZE + SIZES_AT + 1]!;
  }

  /** Bytes of both extranonces. */
  extranonceSize(index: number): number {
    return this.extranonce1Size(index) + this.extranonce2Size(index);
  }

  /** Where the extranonces are in the body, and the hash. */
  extranonce1At(index: number): number {
    return index * SHARE_RECORD_SIZE + EXTRANONCE1_AT;
  }

  extranonce2At(index: number): number {
    return index * SHARE_RECORD_SIZE + EXTRANONCE2_AT;
  }

  hashAt(index: number): number {
    return index * SHARE_RECORD_SIZE + HASH_AT;
  }

  /** A view of the hash, internal byte order. */
  hash(index: number): Uint8Array {
    return this.body.subarray(this.hashAt(index), this.hashAt(index) + 32);
  }

  /** True of rows of one job, difficulty and sizes of extranonces. */
  areAlike(one: number, other: number): boolean {
    const view = this.#view;
    const [a, b] = [one * SHARE_RECORD_SIZE, other * SHARE_RECORD_SIZE];
    return (
      view.getUint32(a, true) === view.getUint32(b, true) &&
      view.getUint32(a + 4, true) === view.getUint32(b + 4, true) &&
      view.getFloat64(a + 8, true) === view.getFloat64(b + 8, true) &&
      view.getUint16(a + SIZES_AT, true) === view.getUint16(b + SIZES_AT, true)
    );
  }

  /** Writes both extranonces, one behind the other, into the beginning of `to`. */
  copyExtranonce(index: number, to: Uint8Array): void {
    const { body } = this;
    const size1 = this.extranonce1Size(index);
    const size = this.extranonceSize(index);
    const [at1, at2] = [this.extranonce1At(index), this.extranonce2At(index) - size1];
    for (let byte = 0; byte < size1; byte += 1) to[byte] = body[at1 + byte]!;
    for (let byte = size1; byte < size; byte += 1) to[byte] = body[at2 + byte]!;
  }

  /** The rows of a range, not copied. */
  slice(first: number, end: number): ShareRows {
    return new ShareRows(this.body.subarray(first * SHARE_RECORD_SIZE, end * SHARE_RECORD_SIZE));
  }

  /** The rows for which that is true, copied unless they are all. */
  filter(isWanted: (index: number) => boolean): ShareRows {
    const wanted = new Uint32Array(this.length);
    let count = 0;
    for (let index = 0; index < this.length; index += 1) {
      wanted[count] = index;
      if (isWanted(index)) count += 1;
    }
    if (count === this.length) return this;
    const rows = ShareRows.empty(count);
    for (let to = 0; to < count; to += 1) {
      const at = wanted[to]! * SHARE_RECORD_SIZE;
      rows.body.set(this.body.subarray(at, at + SHARE_RECORD_SIZE), to * SHARE_RECORD_SIZE);
    }
    return rows;
  }

  /** A copy of one share without its hash. */
  share(index: number): WireShare {
    const [at1, at2] = [this.extranonce1At(index), this.extranonce2At(index)];
    return {
      jobId: this.jobId(index),
      difficulty: this.difficulty(index),
      extranonce1: this.body.slice(at1, at1 + this.extranonce1Size(index)),
      extranonce2: this.body.slice(at2, at2 + this.extranonce2Size(index)),
      ntime: this.ntime(index),
      nonce: this.nonce(index),
      version: this.version(index),
    };
  }

  /** A copy of one share. */
  record(index: number): ShareRecord {
    const at = this.hashAt(index);
    return { ...this.share(index), hash: this.body.slice(at, at + 32) };
  }

  /** Copies of all shares without their hashes. */
  shares(): WireShare[] {
    return Array.from({ length: this.length }, (_, index) => this.share(index));
  }

  #check(index: number): void {
    const at = index * SHARE_RECORD_SIZE;
    const difficulty = this.difficulty(index);
    if (!Number.isSafeInteger(this.jobId(index))) throw new CodedError('malformed', 'job id out of range');
    if (!Number.isFinite(difficulty) || difficulty <= 0)
      throw new CodedError('malformed', 'difficulty out of range');
    if (this.#view.getUint16(at + SIZES_AT + 2, true) !== 0)
      throw new CodedError('malformed', 'reserved bytes are not zero');
    this.#checkPadding(this.extranonce1At(index), this.extranonce1Size(index));
    this.#checkPadding(this.extranonce2At(index), this.extranonce2Size(index));
  }

  #checkPadding(at: number, size: number): void {
    if (size > EXTRANONCE_ROOM) throw new CodedError('malformed', 'extranonce too long');
    for (let byte = at + size; byte < at + EXTRANONCE_ROOM; byte += 1)
      if (this.body[byte] !== 0) throw new CodedError('malformed', 'extranonce padding is not zero');
  }
}

/** The work in hashes of all rows; those of one difficulty are counted, then multiplied. */
export function workOfRows(rows: ShareRows, workOf: (difficulty: number) => bigint): bigint {
  let work = 0n;
  for (let first = 0, end = 1; end <= rows.length; end += 1) {
    const difficulty = rows.difficulty(first);
    if (end < rows.length && rows.difficulty(end) === difficulty) continue;
    work += BigInt(end - first) * workOf(difficulty);
    first = end;
  }
  return work;
}

/**
 * Hashes rows straight from their bytes into the kernel's memory.
 * @param indexes of the rows to hash
 * @param jobOf index into `jobs` for each of them
 * @returns 32 bytes for each, in their order
 * @throws CodedError as `hashBatches`, and `share_bad` for a share that does not fit its job
 */
export function hashRows(
  kernel: ShareKernel,
  jobs: readonly KernelJob[],
  rows: ShareRows,
  indexes: Uint32Array,
  jobOf: Uint32Array,
): Uint8Array {
  const extranonces = jobs.map(({ extranonceSize }) => new Uint8Array(extranonceSize));
  return hashBatches(kernel, jobs, indexes.length, (slot, at, handles) => {
    const index = indexes[at]!;
    const job = jobOf[at]!;
    const extranonce = extranonces[job]!;
    const size = rows.extranonceSize(index);
    if (size !== extranonce.length)
      throw new CodedError('share_bad', `extranonce of ${size} bytes, job has ${extranonce.length}`);
    rows.copyExtranonce(index, extranonce);
    const [ntime, nonce, version] = [rows.ntime(index), rows.nonce(index), rows.version(index)];
    kernel.setShare(slot, handles[job]!, extranonce, ntime, nonce, version);
  });
}
