import * as crypto from 'node:crypto';
import { concat, equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { LIMITS } from '../base/limits.ts';

/** First bytes of an evidence file. */
export const EVIDENCE_MAGIC: Uint8Array = new TextEncoder().encode('SHSTEVD1');

/** Kinds of frames by their byte (`EXPORT.md`). A byte never changes its meaning. */
export const FRAME_KINDS = {
  head: 1,
  contract: 2,
  channel: 3,
  job: 4,
  shares: 5,
  commitment: 6,
  state: 7,
  ack: 8,
  proof: 9,
  end: 10,
  minutes: 11,
  tips: 12,
  disputed: 13,
  prices: 14,
} as const;
export type FrameKind = keyof typeof FRAME_KINDS;

const KIND_OF = new Map<number, FrameKind>(
  Object.entries(FRAME_KINDS).map(([kind, byte]) => [byte, kind as FrameKind]),
);

/** A frame of an evidence file. */
export type Frame = { readonly kind: FrameKind; readonly payload: Uint8Array };

/** Kind, and size of the payload: u8, u32 little-endian. */
const HEAD_BYTES = 5;
const DIGEST_BYTES = 32;

/** Seals frames: each carries the digest of everything before its own. */
export class FrameWriter {
  #digest = sha256(EVIDENCE_MAGIC);

  /** The bytes of the next frame. Throws `overload` for a payload too large. */
  frame(kind: FrameKind, payload: Uint8Array): Uint8Array {
    if (payload.length > LIMITS.evidenceFrameBytes)
      throw new CodedError('overload', `a ${kind} of ${payload.length} bytes`, {
        limit: 'evidenceFrameBytes',
      });
    const head = headOf(kind, payload.length);
    this.#digest = chained(this.#digest, head, payload);
    return concat(head, payload, this.#digest);
  }
}

function headOf(kind: FrameKind, size: number): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  head[0] = FRAME_KINDS[kind];
  new DataView(head.buffer).setUint32(1, size, true);
  return head;
}

function chained(before: Uint8Array, head: Uint8Array, payload: Uint8Array): Uint8Array {
  return crypto.createHash('sha256').update(before).update(head).update(payload).digest();
}

/**
 * The frames of an evidence file, each checked against its digest, in bounded memory. Throws `bad_evidence`
 * for bytes that are no such file, were altered, or end before their `end`.
 * @param onBytes hears how much was read
 */
export async function* readFrames(
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void = () => {},
): AsyncGenerator<Frame> {
  let held: Uint8Array = new Uint8Array(0);
  let at = 0;
  let digest: Uint8Array | undefined;
  let isEnded = false;
  for await (const chunk of chunks) {
    onBytes(chunk.length);
    held = at === held.length ? chunk : concat(held.subarray(at), chunk);
    at = 0;
    if (digest === undefined) {
      if (held.length < EVIDENCE_MAGIC.length) continue;
      if (!equal(held.subarray(0, EVIDENCE_MAGIC.length), EVIDENCE_MAGIC)) refuse('is no evidence file');
      digest = sha256(EVIDENCE_MAGIC);
      at = EVIDENCE_MAGIC.length;
    }
    for (;;) {
      const found = frameAt(held, at);
      if (found === undefined) break;
      if (isEnded) refuse('goes on after its end');
      const { kind, head, payload, sealed } = found;
      digest = chained(digest, head, payload);
      if (!equal(digest, sealed)) refuse(`was altered: a ${kind} does not match its digest`);
      at += HEAD_BYTES + payload.length + DIGEST_BYTES;
      isEnded = kind === 'end';
      yield { kind, payload };
    }
  }
  if (!isEnded || at !== held.length) refuse('is not whole: it ends early');
}

/** The frame that begins there; undefined where it is not all read yet. */
function frameAt(
  bytes: Uint8Array,
  at: number,
): (Frame & { readonly head: Uint8Array; readonly sealed: Uint8Array }) | undefined {
  if (bytes.length - at < HEAD_BYTES) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset + at + 1, 4).getUint32(0, true);
  const kind = KIND_OF.get(bytes[at]!);
  if (kind === undefined || size > LIMITS.evidenceFrameBytes) return refuse('was altered: no such frame');
  const from = at + HEAD_BYTES;
  const to = from + size;
  if (bytes.length < to + DIGEST_BYTES) return undefined;
  return {
    kind,
    head: bytes.subarray(at, from),
    payload: bytes.subarray(from, to),
    sealed: bytes.subarray(to, to + DIGEST_BYTES),
  };
}

function refuse(why: string): never {
  throw new CodedError('bad_evidence', `the file ${why}`);
}
