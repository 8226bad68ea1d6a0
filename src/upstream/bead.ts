import { isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { displayHash, type Header, headerHash, parseDisplayHash } from '../bitcoin/header.ts';
import { parseJsonBigint } from './json-bigint.ts';

/** A share in Braidpool's braid, as its node tells it. Hashes are as displayed, times in seconds. */
export type Bead = {
  /** Of the header, computed here. */
  readonly hash: string;
  readonly header: Header;
  readonly transactionIds: readonly string[];
  readonly parents: readonly string[];
  readonly parentTimestamps: readonly number[];
  readonly payoutAddress: string;
  /** When the job was sent. */
  readonly startTimestamp: number;
  readonly commPubKey: string;
  /** nBits. */
  readonly minTarget: number;
  /** nBits: what the share had to meet. */
  readonly weakTarget: number;
  readonly minerIp: string;
  /** u64. */
  readonly extranonce1: bigint;
  readonly extranonce2: bigint;
  readonly broadcastTimestamp: number;
  /** Hex of the signature, without a hash type; empty when it has another shape. */
  readonly signature: string;
};

/** Entries of any list in a bead: a block has under 20,000 transactions. */
const MAX_ITEMS = 100_000;
const MAX_TEXT = 1024;
const MAX_U64 = (1n << 64n) - 1n;

/**
 * Parses a bead out of an RPC result: an object, or an object as JSON text, as older nodes give it. Throws
 * `braidpool_rpc` for anything else; unknown fields are ignored.
 */
export function parseBead(result: unknown): Bead {
  const bead = record(fromText(result), 'bead');
  const header = parseHeader(record(bead['block_header'], 'block_header'));
  const committed = record(bead['committed_metadata'], 'committed_metadata');
  const uncommitted = record(bead['uncommitted_metadata'], 'uncommitted_metadata');
  const parents = hashes(committed['parents'], 'parents');
  const timestamps = list(committed['parent_bead_timestamps'], 'parent_bead_timestamps');
  if (timestamps.length !== parents.length) throw malformed('parent_bead_timestamps');
  return {
    hash: displayHash(headerHash(header)),
    header,
    transactionIds: hashes(committed['transaction_ids'], 'transaction_ids'),
    parents,
    parentTimestamps: timestamps.map((item) => u32(item, 'parent_bead_timestamps')),
    payoutAddress: text(committed['payout_address'], 'payout_address'),
    startTimestamp: u32(committed['start_timestamp'], 'start_timestamp'),
    commPubKey: text(committed['comm_pub_key'], 'comm_pub_key'),
    minTarget: compact(committed['min_target'], 'min_target'),
    weakTarget: compact(committed['weak_target'], 'weak_target'),
    minerIp: text(committed['miner_ip'], 'miner_ip'),
    extranonce1: u64(uncommitted['extra_nonce_1'], 'extra_nonce_1'),
    extranonce2: u64(uncommitted['extra_nonce_2'], 'extra_nonce_2'),
    broadcastTimestamp: u32(uncommitted['broadcast_timestamp'], 'broadcast_timestamp'),
    signature: signature(uncommitted['signature']),
  };
}

function parseHeader(header: Record<string, unknown>): Header {
  return {
    version: integer(header['version'], 'version', -0x80000000, 0xffffffff) >>> 0,
    prevHash: parseDisplayHash(hash(header['prev_blockhash'], 'prev_blockhash')),
    merkleRoot: parseDisplayHash(hash(header['merkle_root'], 'merkle_root')),
    time: u32(header['time'], 'time'),
    bits: compact(header['bits'], 'bits'),
    nonce: u32(header['nonce'], 'nonce'),
  };
}

/** What older nodes send as JSON text is parsed; the rest stays. Throws `braidpool_rpc`. */
export function fromText(result: unknown): unknown {
  if (typeof result !== 'string') return result;
  try {
    return parseJsonBigint(result);
  } catch {
    throw malformed('text');
  }
}

/** A list of bead hashes, as displayed. Throws `braidpool_rpc`. */
export function hashes(value: unknown, field: string): string[] {
  return list(value, field).map((item) => hash(item, field));
}

/** A bead or block hash, as displayed. Throws `braidpool_rpc`. */
export function hash(value: unknown, field: string): string {
  if (!isHex(value, 32)) throw malformed(field);
  return value.toLowerCase();
}

/** An integer that a double holds; digits as text are taken too. Throws `braidpool_rpc`. */
export function count(value: unknown, field: string): number {
  const number = typeof value === 'string' && /^[0-9]{1,15}$/.test(value) ? Number(value) : value;
  return integer(number, field, 0, Number.MAX_SAFE_INTEGER);
}

/** Work in expected hashes: decimal text, or a bare integer. Throws `braidpool_rpc`. */
export function work(value: unknown, field: string): bigint {
  if (typeof value === 'bigint' && value >= 0n) return value;
  if (typeof value === 'string' && /^[0-9]{1,78}$/.test(value)) return BigInt(value);
  return BigInt(integer(value, field, 0, Number.MAX_SAFE_INTEGER));
}

export function record(value: unknown, field: string): Record<string, unknown> {
  if (!isRecord(value)) throw malformed(field);
  return value;
}

/** Throws `braidpool_rpc` also for a list that is too long. */
export function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) throw malformed(field);
  return value;
}

/** Throws `braidpool_rpc` also for a text that is too long. */
export function text(value: unknown, field: string): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT) throw malformed(field);
  return value;
}

function integer(value: unknown, field: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw malformed(field);
  return value;
}

function u32(value: unknown, field: string): number {
  return integer(value, field, 0, 0xffffffff);
}

function u64(value: unknown, field: string): bigint {
  const wide =
    typeof value === 'bigint' ? value : BigInt(integer(value, field, 0, Number.MAX_SAFE_INTEGER));
  if (wide < 0n || wide > MAX_U64) throw malformed(field);
  return wide;
}

/** nBits as an integer, or as hex digits. */
function compact(value: unknown, field: string): number {
  if (typeof value !== 'string') return u32(value, field);
  const digits = value.replace(/^0x/, '');
  if (!/^[0-9a-fA-F]{1,8}$/.test(digits)) throw malformed(field);
  return Number.parseInt(digits, 16);
}

function signature(value: unknown): string {
  const inner = isRecord(value) ? value['signature'] : value;
  return isHex(inner) && inner.length <= MAX_TEXT ? inner : '';
}

function malformed(field: string): CodedError {
  return new CodedError('braidpool_rpc', `unexpected shape of ${field}`);
}
