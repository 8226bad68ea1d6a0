import { fromHex, isHex, toHex, u32hex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { swapWords } from '../bitcoin/header.ts';
import { difficultyOfTarget } from '../bitcoin/target.ts';
import type { Job } from '../jobs/job.ts';
import type { AcceptedShare } from '../shares/share.ts';
import { type JobId, parseJobId, printJobId } from '../stratum/job-id.ts';
import { EXTRANONCE_ROOM, type ShareRecord, ShareRows } from './share-rows.ts';

/** Ledger kinds of the evidence: packed shares (log), jobs (insert), totals of a stream (put). */
export const SHARE_KIND = 'share';
export const JOB_KIND = 'job';
export const STREAM_KIND = 'stream';

export { EXTRANONCE_ROOM, SHARE_RECORD_SIZE, type ShareRecord } from './share-rows.ts';

/**
 * Packs shares one behind the other into a buffer of `SHARE_RECORD_SIZE * shares` bytes. No allocation
 * per share.
 */
export class SharePacker {
  readonly #rows: ShareRows;
  readonly #extranonce1Size: number;
  #count = 0;

  /**
   * @param extranonce1Size bytes of a submission's extranonce that the miner knows as extranonce1. Where a
   * session has jobs of its own its extranonce1 is part of their coinb1, and none.
   */
  constructor(shares: number, extranonce1Size: number) {
    this.#rows = ShareRows.empty(shares);
    this.#extranonce1Size = extranonce1Size;
  }

  get bytes(): Uint8Array {
    return this.#rows.body;
  }

  add(share: AcceptedShare): void {
    const { job, assigned, extranonce, ntime, nonce, version } = share.submission;
    const size1 = job.minerExtranonce1Size === undefined ? this.#extranonce1Size : 0;
    const rows = this.#rows;
    const index = this.#count;
    const { body } = rows;
    rows.write(index, job.id, assigned.difficulty, size1, extranonce.length - size1, ntime, nonce, version);
    const [at1, at2] = [rows.extranonce1At(index), rows.extranonce2At(index) - size1];
    for (let byte = 0; byte < size1; byte += 1) body[at1 + byte] = extranonce[byte]!;
    for (let byte = size1; byte < extranonce.length; byte += 1) body[at2 + byte] = extranonce[byte]!;
    const { hashes = share.hash, hashAt = 0 } = share;
    const at = rows.hashAt(index);
    for (let byte = 0; byte < 32; byte += 1) body[at + byte] = hashes[hashAt + byte]!;
    this.#count = index + 1;
  }
}

/** The shares of a packed body, in order. Throws as `ShareRows.read`. */
export function unpackShares(body: Uint8Array): ShareRecord[] {
  const rows = ShareRows.read(body);
  return Array.from({ length: rows.length }, (_, index) => rows.record(index));
}

/**
 * Job and hash of each share of a packed body, without the rest: a tenth of the time of `unpackShares`.
 * Throws `malformed` where the body is no whole number of records.
 * @param use the hash is at `hashAt` in the body
 */
export function eachShareHash(body: Uint8Array, use: (jobId: JobId, hashAt: number) => void): void {
  const rows = ShareRows.unread(body);
  for (let index = 0; index < rows.length; index += 1) use(rows.jobId(index), rows.hashAt(index));
}

/** A job as its miners saw it; byte strings as they are hashed. */
export type JobRecord = {
  readonly id: JobId;
  readonly wireId: string;
  readonly stream: string;
  readonly version: number;
  readonly versionMask: number;
  /** Internal byte order. */
  readonly prevHash: Uint8Array;
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly bits: number;
  readonly time: number;
  /** Bytes between coinb1 and coinb2. */
  readonly extranonceSize: number;
  /** Display only. */
  readonly upstreamDifficulty: number;
  /** What its coinbase commits to, as the node encodes it; left out of jobs that no such node made. */
  readonly metadata?: Uint8Array;
};

/** The ledger id of a job: 16 hex digits, so that ids order as numbers do. */
export function jobDocumentId(jobId: JobId): string {
  return jobId.toString(16).padStart(16, '0');
}

/** The record of a job, as evidence keeps it. */
export function jobRecordOf(job: Job): JobRecord {
  const { id, wireId, stream, version, versionMask, prevHash, coinb1, coinb2 } = job;
  const { branches, bits, time, extranonceSize } = job;
  return {
    ...{ id, wireId, stream, version, versionMask, prevHash, coinb1, coinb2 },
    ...{ branches, bits, time, extranonceSize },
    upstreamDifficulty: difficultyOfTarget(job.upstreamTarget),
    ...metadataField(job.upstream.metadata),
  };
}

function metadataField(metadata: Uint8Array | undefined): { readonly metadata?: Uint8Array } {
  return metadata === undefined ? {} : { metadata };
}

/** The JSON of a job, one spelling for one job: what is stored, told to a peer, and compared. */
export function jobRecordToJson(job: JobRecord) {
  return {
    job: job.wireId,
    version: u32hex(job.version),
    prevhash: toHex(swapWords(job.prevHash)),
    coinb1: toHex(job.coinb1),
    coinb2: toHex(job.coinb2),
    merkle_branches: job.branches.map(toHex),
    nbits: u32hex(job.bits),
    ntime: u32hex(job.time),
    stream: job.stream,
    version_mask: u32hex(job.versionMask),
    extranonce_size: job.extranonceSize,
    upstream_difficulty: job.upstreamDifficulty,
    ...(job.metadata === undefined ? {} : { metadata: toHex(job.metadata) }),
  };
}

/**
 * What the ledger holds of a job.
 * @param source the buyer's own job that it was made of: no part of the record that is signed for
 */
export function jobDocument(job: JobRecord, source?: JobId): string {
  const record = jobRecordToJson(job);
  return JSON.stringify(source === undefined ? record : { ...record, source: printJobId(source) });
}

/** The buyer's own job that a stored job was made of; undefined where there is none. */
export function sourceOfJob(body: string): JobId | undefined {
  const value: unknown = JSON.parse(body);
  return isRecord(value) ? parseJobId(value['source']) : undefined;
}

/** The inverse of `jobDocument`. Throws `malformed`. */
export function parseJobDocument(body: string): JobRecord {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new CodedError('malformed', 'the job is not JSON');
  }
  return readJobRecord(value);
}

/** A job from parsed JSON, every field checked and bounded: it may come from a peer. Throws `malformed`. */
export function readJobRecord(value: unknown): JobRecord {
  if (!isRecord(value)) throw new CodedError('malformed', 'a job must be an object');
  const id = parseJobId(value['job']);
  const stream = value['stream'];
  const extranonceSize = value['extranonce_size'];
  const upstreamDifficulty = value['upstream_difficulty'];
  if (id === undefined)
    throw new CodedError('malformed', 'job must be lower-case hex without leading zeros');
  if (typeof stream !== 'string' || stream.length === 0 || stream.length > 256) {
    throw new CodedError('malformed', 'stream must be a short text');
  }
  if (typeof extranonceSize !== 'number' || !isExtranonceSize(extranonceSize)) {
    throw new CodedError('malformed', 'extranonce_size out of range');
  }
  if (typeof upstreamDifficulty !== 'number' || upstreamDifficulty < 0) {
    throw new CodedError('malformed', 'upstream_difficulty must be a number');
  }
  const metadata = value['metadata'] === undefined ? undefined : hexField(value, 'metadata');
  if (metadata !== undefined && metadata.length > LIMITS.beadMetadataBytes) {
    throw new CodedError('malformed', 'the metadata is too large');
  }
  const coinb1 = hexField(value, 'coinb1');
  const coinb2 = hexField(value, 'coinb2');
  if (coinb1.length + extranonceSize + coinb2.length > LIMITS.coinbaseBytes) {
    throw new CodedError('malformed', 'the coinbase is too large');
  }
  return {
    id,
    wireId: printJobId(id),
    stream,
    version: u32Field(value, 'version'),
    versionMask: u32Field(value, 'version_mask'),
    prevHash: swapWords(hexField(value, 'prevhash', 32)),
    coinb1,
    coinb2,
    branches: branchesField(value),
    bits: u32Field(value, 'nbits'),
    time: u32Field(value, 'ntime'),
    extranonceSize,
    upstreamDifficulty,
    ...metadataField(metadata),
  };
}

function isExtranonceSize(size: number): boolean {
  return Number.isInteger(size) && size >= 0 && size <= 2 * EXTRANONCE_ROOM;
}

function branchesField(value: Record<string, unknown>): Uint8Array[] {
  const branches = value['merkle_branches'];
  if (!Array.isArray(branches) || branches.length > LIMITS.merkleBranches) {
    throw new CodedError('malformed', `merkle_branches must be a list of at most ${LIMITS.merkleBranches}`);
  }
  return branches.map((branch: unknown) => {
    if (!isHex(branch, 32)) throw new CodedError('malformed', 'a merkle branch must be 32 bytes of hex');
    return fromHex(branch);
  });
}

function hexField(value: Record<string, unknown>, key: string, size?: number): Uint8Array {
  const text = value[key];
  if (!isHex(text, size)) throw new CodedError('malformed', `${key} must be hex`);
  return fromHex(text);
}

function u32Field(value: Record<string, unknown>, key: string): number {
  const bytes = hexField(value, key, 4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** What our own ledger holds was checked when it was written: what cannot be read now was damaged. */
export function corruptUnlessRead<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CodedError('ledger_corrupt', (error as Error).message, {}, { cause: error });
  }
}
