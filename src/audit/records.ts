import { CodedError } from '../base/errors.ts';
import { type ChannelParams, channelParamsToJson, parseChannelParams } from '../channel/params.ts';
import { parseSignedState, type SignedState, signedStateToJson } from '../channel/states.ts';
import {
  type Codec,
  type CodecValue,
  hexOf,
  integer,
  listOf,
  nullable,
  object,
  oneOf,
  text,
} from '../peer/codec.ts';
import { commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import { termsCodec } from '../peer/market-codecs.ts';
import { minuteReportCodec } from '../peer/minute-codecs.ts';
import { packWireShares, type WireShare } from '../peer/packed-shares.ts';
import { disputedFrameCodec } from '../settlement/disputed-commitment.ts';
import { priceBasisCodec } from '../settlement/price-basis.ts';
import { tipsCodec } from '../settlement/tip-log.ts';
import { type JobRecord, jobDocument, parseJobDocument } from '../work/evidence.ts';
import type { Frame } from './frames.ts';

export const EVIDENCE_FORMAT = 'sharestream-evidence';

/**
 * Jobs that a reader keeps: a file names a job again before a share of it once so many others were named
 * since.
 */
export const JOBS_KEPT = 1024;

const count = integer(0, Number.MAX_SAFE_INTEGER);
const signature = hexOf(64);

const headCodec = object({
  format: ['format', oneOf(EVIDENCE_FORMAT)],
  version: ['version', integer(1, 1)],
  /** Whose ledger it was made of. */
  role: ['role', oneOf('miner', 'maker')],
  network: ['network', text(20, /^[a-z0-9]+$/)],
  contractId: ['contract_id', hexOf(32)],
  /** Wall time, ms since the epoch. */
  madeAtMs: ['made_at_ms', count],
  program: ['program', text(80)],
});

const contractCodec = object({
  terms: ['terms', termsCodec],
  minerSignature: ['miner_signature', signature],
  makerSignature: ['maker_signature', signature],
});

const channelCodec: Codec<ChannelParams> = { parse: parseChannelParams, print: channelParamsToJson };
const stateCodec: Codec<SignedState> = { parse: parseSignedState, print: signedStateToJson };

/** The miner's receipt of the newest state that it acked. */
const ackCodec = object({ n: ['n', integer(0, 2 ** 31)], signature: ['signature', signature] });

/** Two contents that the maker signed for one number. */
const proofCodec = object({ held: ['held', stateCodec], shown: ['shown', stateCodec] });

/** An hour of a minute log, and a signature of its side under some head of it, the newest in the newest. */
const minutesCodec = object({
  role: ['role', oneOf('miner', 'maker')],
  reports: ['reports', listOf(minuteReportCodec, 60, 1)],
  signature: ['signature', nullable(signature)],
});

const endCodec = object({
  jobs: ['jobs', count],
  shares: ['shares', count],
  commitments: ['commitments', count],
  states: ['states', count],
});

/** Codecs of the frames whose payload is JSON. */
export const CODECS = {
  head: headCodec,
  contract: contractCodec,
  channel: channelCodec,
  commitment: commitmentRecordCodec,
  state: stateCodec,
  ack: ackCodec,
  proof: proofCodec,
  tips: tipsCodec,
  disputed: disputedFrameCodec,
  end: endCodec,
  minutes: minutesCodec,
  prices: priceBasisCodec,
} as const;
type JsonKind = keyof typeof CODECS;
type JsonCodecs = { readonly [K in JsonKind]: Codec<CodecValue<(typeof CODECS)[K]>> };
const codecs: JsonCodecs = CODECS;
export type EvidenceHead = CodecValue<typeof headCodec>;

function codecOf<K extends JsonKind>(kind: K): JsonCodecs[K] {
  return codecs[kind];
}

/** The payload of a frame that is JSON. */
export function printRecord<K extends JsonKind>(
  kind: K,
  value: CodecValue<(typeof CODECS)[K]>,
): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(codecOf(kind).print(value)));
}

/** Parses a frame that is JSON. Throws `bad_evidence` unless it is in its one spelling. */
export function parseRecord<K extends JsonKind>(
  kind: K,
  { payload }: Frame,
): CodecValue<(typeof CODECS)[K]> {
  const codec = codecOf(kind);
  return asEvidence(kind, () => {
    const spelling = textOf(payload);
    const value = codec.parse(JSON.parse(spelling));
    if (JSON.stringify(codec.print(value)) !== spelling)
      throw new CodedError('malformed', 'another spelling');
    return value;
  });
}

/** The payload of a job frame: its document, as the job sets commit to it. */
export function printJob(job: JobRecord): Uint8Array {
  return new TextEncoder().encode(jobDocument(job));
}

/** Parses a job frame. Throws `bad_evidence`. */
export function parseJob({ payload }: Frame): JobRecord {
  return asEvidence('job', () => {
    const spelling = textOf(payload);
    const job = parseJobDocument(spelling);
    if (jobDocument(job) !== spelling) throw new CodedError('malformed', 'another spelling');
    return job;
  });
}

/** Some shares of the stream, in order. */
export type ShareBlock = {
  /** Seq of the first in the exporter's stream. */
  readonly first: number;
  /** Wall time in ms at which the last was written. */
  readonly atMs: number;
  /** As in `work.batch` (`src/peer/PACKED.md`). */
  readonly packed: Uint8Array;
};

const BLOCK_HEAD = 16;

/** The payload of a shares frame: first seq and time, u64 little-endian each, then the shares packed. */
export function printShares(first: number, atMs: number, shares: readonly WireShare[]): Uint8Array {
  const packed = packWireShares(shares);
  const payload = new Uint8Array(BLOCK_HEAD + packed.length);
  const view = new DataView(payload.buffer);
  view.setBigUint64(0, BigInt(first), true);
  view.setBigUint64(8, BigInt(atMs), true);
  payload.set(packed, BLOCK_HEAD);
  return payload;
}

/** Parses the head of a shares frame. Throws `bad_evidence`. */
export function parseShares({ payload }: Frame): ShareBlock {
  return asEvidence('shares', () => {
    if (payload.length <= BLOCK_HEAD) throw new CodedError('malformed', 'no shares');
    const view = new DataView(payload.buffer, payload.byteOffset, BLOCK_HEAD);
    const [first, atMs] = [Number(view.getBigUint64(0, true)), Number(view.getBigUint64(8, true))];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(atMs))
      throw new CodedError('malformed', 'a number out of range');
    return { first, atMs, packed: payload.subarray(BLOCK_HEAD) };
  });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function textOf(payload: Uint8Array): string {
  return UTF8.decode(payload);
}

/** Runs a parser; what it throws becomes `bad_evidence`. */
export function asEvidence<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new CodedError(
      'bad_evidence',
      `a ${what} of the file: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
}
