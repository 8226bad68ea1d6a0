import { concat, equal, fromHex, isHex, toHex, u32le } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256d } from '../base/hash.ts';
import { LIMITS } from '../base/limits.ts';
import { type CoinbaseOutput, coinbaseOutputs, compactSize } from '../bitcoin/coinbase.ts';
import { displayHash, parseDisplayHash } from '../bitcoin/header.ts';

/** The part of a bead that its job commits to (`BRAIDPOOL.md`, A13). */
export type BeadMetadata = {
  /**
   * 32 bytes each, in internal order, as they stand there: they are thousands, and nobody looks at one.
   * Without the coinbase, which cannot hold its own hash.
   */
  readonly transactionIds: Uint8Array;
  /** As displayed. */
  readonly parents: readonly string[];
  /** In seconds, one for each parent. */
  readonly parentTimestamps: readonly number[];
  readonly payoutAddress: string;
  /** When the job was sent, in seconds. */
  readonly startTimestamp: number;
  readonly commPubKeyHex: string;
  /** nBits, as `weakTarget`. */
  readonly minTarget: number;
  readonly weakTarget: number;
  readonly minerIp: string;
};

const COMMITMENT_SIZE = 32;
/** `OP_RETURN` and one push of the commitment and the node's own eight bytes. */
const SCRIPT_HEAD = Uint8Array.of(0x6a, COMMITMENT_SIZE + 8);
const SCRIPT_SIZE = SCRIPT_HEAD.length + COMMITMENT_SIZE + 8;
/** The reward and the witness commitment come before it. */
const OUTPUT_AT = 2;
const HASH_SIZE = 32;
const MAX_TEXT = 1024;
/** A bead's parents are the tips of the braid, which are few. */
const MAX_PARENTS = 1024;

/** What nodes have in the place of a commitment that commit to nothing: these 32 bytes, literally. */
export const COMMITMENT_PLACEHOLDER = 'braidpool_bead_metadata_hash_32b';
const PLACEHOLDER = new TextEncoder().encode(COMMITMENT_PLACEHOLDER);

/** The consensus encoding: lengths of txids and timestamps are u64, the others CompactSize. */
export function encodeMetadata(metadata: BeadMetadata): Uint8Array {
  const { transactionIds, parents, parentTimestamps } = metadata;
  return concat(
    u64le(transactionIds.length / HASH_SIZE),
    transactionIds,
    compactSize(parents.length),
    ...parents.map(parseDisplayHash),
    u64le(parentTimestamps.length),
    ...parentTimestamps.map(u32le),
    sized(new TextEncoder().encode(metadata.payoutAddress)),
    u32le(metadata.startTimestamp),
    sized(fromHex(metadata.commPubKeyHex)),
    u32le(metadata.minTarget),
    u32le(metadata.weakTarget),
    sized(new TextEncoder().encode(metadata.minerIp)),
  );
}

/**
 * The inverse of `encodeMetadata`, which has one spelling for one value: anything else could be read in two
 * ways. Throws `malformed`.
 */
export function parseMetadata(bytes: Uint8Array): BeadMetadata {
  if (bytes.length > LIMITS.beadMetadataBytes) throw malformed('is too long');
  const reader = new Reader(bytes);
  const metadata: BeadMetadata = {
    transactionIds: reader.take(HASH_SIZE * reader.u64()),
    parents: reader.parents(),
    parentTimestamps: Array.from({ length: reader.fits(reader.u64(), 4) }, () => reader.u32()),
    payoutAddress: reader.text(),
    startTimestamp: reader.u32(),
    commPubKeyHex: toHex(reader.take(reader.size())),
    minTarget: reader.u32(),
    weakTarget: reader.u32(),
    minerIp: reader.text(),
  };
  if (!equal(encodeMetadata(metadata), bytes)) throw malformed('has another spelling');
  return metadata;
}

/** What a coinbase has to hold for this metadata. */
export function commitmentOf(encoded: Uint8Array): Uint8Array {
  return sha256d(encoded);
}

/**
 * The commitment that a coinbase holds: of its third output, and undefined where that is none, where another
 * looks like one, or where it is the placeholder.
 */
export function commitmentIn(outputs: readonly CoinbaseOutput[]): Uint8Array | undefined {
  const found = outputs.findIndex(isCommitment);
  if (found !== OUTPUT_AT || outputs.findLastIndex(isCommitment) !== OUTPUT_AT) return undefined;
  const { script, valueSat } = outputs[OUTPUT_AT]!;
  const commitment = script.subarray(SCRIPT_HEAD.length, SCRIPT_HEAD.length + COMMITMENT_SIZE);
  return valueSat !== 0n || equal(commitment, PLACEHOLDER) ? undefined : commitment;
}

/** The commitment of a job, whatever its extranonce; undefined where there is none. */
export function commitmentOfJob(job: {
  readonly coinb1: Uint8Array;
  readonly extranonce1: Uint8Array;
  readonly extranonce2Size: number;
  readonly coinb2: Uint8Array;
}): Uint8Array | undefined {
  const { coinb1, extranonce1, extranonce2Size, coinb2 } = job;
  try {
    const coinbase = concat(coinb1, extranonce1, new Uint8Array(extranonce2Size), coinb2);
    return commitmentIn(coinbaseOutputs(coinbase));
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

/**
 * Reads the metadata that a node gave for a commitment: hex of its encoding, which has to hash to it, so that
 * nothing of the node is believed. Throws `braidpool_rpc`.
 */
export function metadataAnswer(commitment: Uint8Array, answer: unknown): Uint8Array {
  if (!isHex(answer) || answer.length > 2 * LIMITS.beadMetadataBytes)
    throw new CodedError('braidpool_rpc', 'the metadata of a job is no hex of its size');
  const encoded = fromHex(answer);
  if (!equal(commitmentOf(encoded), commitment))
    throw new CodedError('braidpool_rpc', 'the metadata of a job has another hash than its coinbase');
  return encoded;
}

function isCommitment({ script }: CoinbaseOutput): boolean {
  return script.length === SCRIPT_SIZE && equal(script.subarray(0, SCRIPT_HEAD.length), SCRIPT_HEAD);
}

function u64le(value: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true);
  return out;
}

function sized(bytes: Uint8Array): Uint8Array {
  return concat(compactSize(bytes.length), bytes);
}

function malformed(why: string): CodedError {
  return new CodedError('malformed', `the metadata of a bead ${why}`);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  take(size: number): Uint8Array {
    this.fits(size, 1);
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  /** The count, of which there is room for so many items. */
  fits(count: number, itemSize: number): number {
    if (count * itemSize > this.#bytes.length - this.#at) throw malformed('ends early');
    return count;
  }

  u32(): number {
    this.take(4);
    return this.#view.getUint32(this.#at - 4, true);
  }

  u64(): number {
    this.take(8);
    return Number(this.#view.getBigUint64(this.#at - 8, true));
  }

  /** A CompactSize; the one spelling of each is seen to by whoever encodes it again. */
  size(): number {
    const [first = 0] = this.take(1);
    if (first < 0xfd) return first;
    if (first === 0xff) return this.u64();
    return this.take(first === 0xfd ? 2 : 4).reduceRight((sum, byte) => sum * 256 + byte, 0);
  }

  parents(): string[] {
    const count = this.size();
    if (count > MAX_PARENTS) throw malformed('has too many parents');
    return Array.from({ length: this.fits(count, HASH_SIZE) }, () => displayHash(this.take(HASH_SIZE)));
  }

  text(): string {
    const size = this.size();
    if (size > MAX_TEXT) throw malformed('has a text that is too long');
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.take(size));
    } catch (error) {
      if (error instanceof CodedError) throw error;
      throw malformed('has a text that is none');
    }
  }
}
