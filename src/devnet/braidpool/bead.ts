import { concat, fromHex, isHex, u32le } from '../../base/bytes.ts';
import { sha256d } from '../../base/hash.ts';
import { isRecord } from '../../base/json.ts';
import { compactSize } from '../../bitcoin/coinbase.ts';
import {
  compareHashes,
  displayHash,
  type Header,
  headerHash,
  parseDisplayHash,
  serializeHeader,
} from '../../bitcoin/header.ts';
import { compactOfTarget, hashToNumber, targetOfCompact } from '../../bitcoin/target.ts';

/** A bead as Braidpool's RPC prints it. Hashes as displayed, targets as nBits, times in seconds. */
export type Bead = {
  readonly block_header: {
    /** An i32. */
    readonly version: number;
    readonly prev_blockhash: string;
    readonly merkle_root: string;
    readonly time: number;
    readonly bits: number;
    readonly nonce: number;
  };
  readonly committed_metadata: {
    readonly transaction_ids: readonly string[];
    /** Ascending in internal byte order. */
    readonly parents: readonly string[];
    /** One for each parent. */
    readonly parent_bead_timestamps: readonly number[];
    readonly payout_address: string;
    /** When the job was sent. */
    readonly start_timestamp: number;
    readonly comm_pub_key: string;
    readonly min_target: number;
    readonly weak_target: number;
    readonly miner_ip: string;
  };
  readonly uncommitted_metadata: {
    /** A u64: beyond what a double holds. */
    readonly extra_nonce_1: bigint;
    readonly extra_nonce_2: bigint;
    readonly broadcast_timestamp: number;
    readonly signature: { readonly signature: string; readonly sighash_type: string };
  };
};

/** The target constant of the node's code, in the place of targets it does not have yet. */
export const PLACEHOLDER_TARGET = 0x1d00ffff;
export const PLACEHOLDER_PUBLIC_KEY = '02'.repeat(33);
/** DER of r = s = 1. */
const PLACEHOLDER_SIGNATURE = { signature: '3006020101020101', sighash_type: 'SIGHASH_ALL' };
/** The least a time of the absolute locktime type can be. */
const LEAST_TIME = 500_000_000;
const MAX_TEXT = 1024;
const MAX_ITEMS = 100_000;

export type CommittedMetadata = Bead['committed_metadata'];

export type BeadFacts = {
  readonly header: Header;
  readonly transactionIds: readonly string[];
  readonly parents: readonly { readonly hash: string; readonly startTimestamp: number }[];
  readonly payoutAddress: string;
  readonly startTimestamp: number;
  readonly broadcastTimestamp: number;
  readonly minTarget: number;
  readonly weakTarget: number;
  readonly minerIp: string;
  readonly extranonce1: bigint;
  readonly extranonce2: bigint;
};

export function buildBead(facts: BeadFacts): Bead {
  const { header } = facts;
  return {
    block_header: {
      version: header.version | 0,
      prev_blockhash: displayHash(header.prevHash),
      merkle_root: displayHash(header.merkleRoot),
      time: header.time,
      bits: header.bits,
      nonce: header.nonce,
    },
    committed_metadata: {
      transaction_ids: facts.transactionIds,
      parents: facts.parents.map((parent) => parent.hash),
      parent_bead_timestamps: facts.parents.map((parent) => parent.startTimestamp),
      payout_address: facts.payoutAddress,
      start_timestamp: facts.startTimestamp,
      comm_pub_key: PLACEHOLDER_PUBLIC_KEY,
      min_target: facts.minTarget,
      weak_target: facts.weakTarget,
      miner_ip: facts.minerIp,
    },
    uncommitted_metadata: {
      extra_nonce_1: facts.extranonce1,
      extra_nonce_2: facts.extranonce2,
      broadcast_timestamp: facts.broadcastTimestamp,
      signature: PLACEHOLDER_SIGNATURE,
    },
  };
}

/** The one bead without work: it begins a braid. */
export function genesisBead(bits: number, previousHash: string): Bead {
  const time = 1_700_000_000;
  return buildBead({
    header: {
      version: 1,
      prevHash: parseDisplayHash(previousHash),
      merkleRoot: new Uint8Array(32),
      time,
      bits,
      nonce: 0,
    },
    transactionIds: [],
    parents: [],
    payoutAddress: 'genesis',
    startTimestamp: time,
    broadcastTimestamp: time,
    minTarget: bits,
    weakTarget: bits,
    minerIp: 'system',
    extranonce1: 0n,
    extranonce2: 0n,
  });
}

export function beadHeader({ block_header: header }: Bead): Header {
  return {
    version: header.version >>> 0,
    prevHash: parseDisplayHash(header.prev_blockhash),
    merkleRoot: parseDisplayHash(header.merkle_root),
    time: header.time,
    bits: header.bits,
    nonce: header.nonce,
  };
}

/** The block hash, as displayed: what a bead is known by. */
export function beadHash(bead: Bead): string {
  return displayHash(headerHash(beadHeader(bead)));
}

/**
 * What the node checks of a bead that comes from outside: the hash meets the target, parents strictly
 * ascend, each has a timestamp. Returns the broken rule.
 * @param target the header's own nBits, or the weak target where weak shares are beads
 */
export function beadFault(bead: Bead, target: 'network' | 'weak'): string | undefined {
  const { block_header, committed_metadata: committed } = bead;
  const bits = target === 'network' ? block_header.bits : committed.weak_target;
  try {
    if (hashToNumber(headerHash(beadHeader(bead))) > targetOfCompact(bits))
      return 'InsufficientProofOfWork';
  } catch {
    return 'InsufficientProofOfWork';
  }
  for (const [index, parent] of committed.parents.entries()) {
    if (index === 0) continue;
    const order = compareHashes(committed.parents[index - 1]!, parent);
    if (order === 0) return 'DuplicateParents';
    if (order > 0) return 'ParentsNotSorted';
  }
  const counts = committed.parents.length === committed.parent_bead_timestamps.length;
  return counts ? undefined : 'ParentTimestampCountMismatch';
}

/**
 * Bitcoin consensus encoding of the committed part: lengths of txids and times are u64, others CompactSize.
 */
export function encodeCommitted(committed: CommittedMetadata): Uint8Array {
  const text = (value: string): Uint8Array => {
    const bytes = new TextEncoder().encode(value);
    return concat(compactSize(bytes.length), bytes);
  };
  const key = fromHex(committed.comm_pub_key);
  return concat(
    u64le(committed.transaction_ids.length),
    ...committed.transaction_ids.map(parseDisplayHash),
    compactSize(committed.parents.length),
    ...committed.parents.map(parseDisplayHash),
    u64le(committed.parent_bead_timestamps.length),
    ...committed.parent_bead_timestamps.map(u32le),
    text(committed.payout_address),
    u32le(committed.start_timestamp),
    concat(compactSize(key.length), key),
    u32le(committed.min_target),
    u32le(committed.weak_target),
    text(committed.miner_ip),
  );
}

/** Audit mode's identity of a bead: sha256d(header || committed metadata), internal order. */
export function compositeHash(bead: Bead): Uint8Array {
  return sha256d(concat(serializeHeader(beadHeader(bead)), encodeCommitted(bead.committed_metadata)));
}

function u64le(value: bigint | number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true);
  return out;
}

/** nBits of the least compact target that is not below `target`. */
export function compactAtLeast(target: bigint): number {
  const bits = compactOfTarget(target);
  const rounded = targetOfCompact(bits);
  if (rounded >= target) return bits;
  const shift = 8n * BigInt((bits >>> 24) - 3);
  return compactOfTarget(rounded + (shift > 0n ? 1n << shift : 1n));
}

/** Checks the shape of what `addbead` got. Returns what is wrong as text. */
export function parseBead(value: unknown): Bead | string {
  if (!isRecord(value)) return 'invalid type: expected struct Bead';
  const header = value['block_header'];
  const committed = value['committed_metadata'];
  const uncommitted = value['uncommitted_metadata'];
  if (!isRecord(header)) return 'missing field `block_header`';
  if (!isRecord(committed)) return 'missing field `committed_metadata`';
  if (!isRecord(uncommitted)) return 'missing field `uncommitted_metadata`';
  const wrong =
    wrongField(header, HEADER_FIELDS) ??
    wrongField(committed, COMMITTED_FIELDS) ??
    wrongField(uncommitted, UNCOMMITTED_FIELDS);
  if (wrong !== undefined) return `invalid or missing field \`${wrong}\``;
  const { extra_nonce_1: first, extra_nonce_2: second } = uncommitted as Record<string, number | bigint>;
  return {
    block_header: header as Bead['block_header'],
    committed_metadata: committed as Bead['committed_metadata'],
    uncommitted_metadata: {
      ...(uncommitted as Bead['uncommitted_metadata']),
      extra_nonce_1: BigInt(first!),
      extra_nonce_2: BigInt(second!),
    },
  };
}

type Check = (value: unknown) => boolean;
const integer =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const u32 = integer(0, 0xffffffff);
const time = integer(LEAST_TIME, 0xffffffff);
const hash: Check = (value) => isHex(value, 32);
const text: Check = (value) => typeof value === 'string' && value.length <= MAX_TEXT;
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.length <= MAX_ITEMS && value.every(check);
const u64: Check = (value) =>
  (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) ||
  integer(0, Number.MAX_SAFE_INTEGER)(value);

const HEADER_FIELDS: Readonly<Record<keyof Bead['block_header'], Check>> = {
  version: integer(-0x80000000, 0x7fffffff),
  prev_blockhash: hash,
  merkle_root: hash,
  time: u32,
  bits: u32,
  nonce: u32,
};
const COMMITTED_FIELDS: Readonly<Record<keyof Bead['committed_metadata'], Check>> = {
  transaction_ids: list(hash),
  parents: list(hash),
  parent_bead_timestamps: list(time),
  payout_address: text,
  start_timestamp: time,
  comm_pub_key: (value) => isHex(value, 33),
  min_target: u32,
  weak_target: u32,
  miner_ip: text,
};
const UNCOMMITTED_FIELDS: Readonly<Record<keyof Bead['uncommitted_metadata'], Check>> = {
  extra_nonce_1: u64,
  extra_nonce_2: u64,
  broadcast_timestamp: time,
  signature: (value) =>
    isRecord(value) && isHex(value['signature']) && value['sighash_type'] === 'SIGHASH_ALL',
};

function wrongField(record: Record<string, unknown>, fields: Readonly<Record<string, Check>>) {
  return Object.keys(fields).find((name) => !fields[name]!(record[name]));
}
