import { assert } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';

/** What goes between coinb1 and coinb2: what a client was given, and how much is its own to vary. */
export type Extranonce = { readonly extranonce1: Uint8Array; readonly extranonce2Size: number };

/** True for the same bytes and the same size. */
export function isSameExtranonce(a: Extranonce, b: Extranonce): boolean {
  return a.extranonce2Size === b.extranonce2Size && equal(a.extranonce1, b.extranonce1);
}

export type ExtranonceLayout = {
  /** Zero bytes between the upstream's extranonce1 and the session id. */
  readonly padSize: number;
  /** Session id and miner's extranonce2 together: what lies between coinb1' and coinb2. */
  readonly extranonceSize: number;
};

/**
 * The layout of the upstream's extranonce2 of b bytes: `zeros(b - s - m) || session id (s) || miner's
 * extranonce2 (m)`. Throws `extranonce_too_small` when it does not fit.
 */
export function extranonceLayout(sizes: {
  readonly upstreamExtranonce2Size: number;
  readonly sessionIdSize: number;
  readonly minerExtranonce2Size: number;
}): ExtranonceLayout {
  const extranonceSize = sizes.sessionIdSize + sizes.minerExtranonce2Size;
  const padSize = sizes.upstreamExtranonce2Size - extranonceSize;
  if (padSize < 0) {
    throw new CodedError(
      'extranonce_too_small',
      `the destination leaves ${sizes.upstreamExtranonce2Size} bytes of extranonce2; ` +
        `sharing it between sessions needs ${sizes.sessionIdSize} for the session and ` +
        `${sizes.minerExtranonce2Size} for the miner`,
    );
  }
  return { padSize, extranonceSize };
}

/**
 * The extranonce2 sent upstream: `extranonce` (session id || miner's extranonce2), padded left with
 * zeros.
 */
export function upstreamExtranonce2(extranonce: Uint8Array, upstreamExtranonce2Size: number): Uint8Array {
  assert(extranonce.length <= upstreamExtranonce2Size, 'extranonce_fits_upstream');
  const out = new Uint8Array(upstreamExtranonce2Size);
  out.set(extranonce, upstreamExtranonce2Size - extranonce.length);
  return out;
}

const BLOCKS = 256;

/** Ids from `first` on, so many: a multiple of 256. */
export type SessionIdRange = { readonly first: number; readonly count: number };

export type SessionIdsOptions = {
  readonly size: 1 | 2 | 3 | 4;
  readonly quarantineMs: number;
  /** Default: all of that size. */
  readonly range?: SessionIdRange | undefined;
};

/**
 * Session ids of a range: unique among live sessions, in sequence from a random start, and not given again
 * for `quarantineMs` after their session ended, since its jobs may live on and the same prefix would repeat
 * its work (`WIRE.md`).
 *
 * The quarantine costs no memory an id: the space is cut into 256 blocks walked in a circle, a block
 * keeps the time of its last release, and the walk enters a block only when that is long enough ago. Ids
 * released ahead of the walk inside the block being walked are skipped.
 */
export class SessionIds {
  readonly #size: number;
  readonly #quarantineMs: number;
  readonly #live = new Set<number>();
  readonly #first: number;
  readonly #blockSize: number;
  readonly #releasedAtMs = new Float64Array(BLOCKS).fill(Number.NEGATIVE_INFINITY);
  readonly #skip = new Set<number>();
  #block: number;
  #offset: number;

  constructor({ size, quarantineMs, range }: SessionIdsOptions, random: Random) {
    const { first, count } = range ?? { first: 0, count: 256 ** size };
    assert(count % BLOCKS === 0 && first >= 0 && first + count <= 256 ** size, 'session_id_range', first);
    this.#size = size;
    this.#quarantineMs = quarantineMs;
    this.#first = first;
    this.#blockSize = count / BLOCKS;
    const bytes = random.bytes(size);
    this.#block = bytes[0]!;
    this.#offset = bytes.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0) % this.#blockSize;
  }

  get liveCount(): number {
    return this.#live.size;
  }

  /**
   * A free id; its bytes are its big-endian form. Throws `session_limit` when all are in use or in
   * quarantine.
   */
  allocate(monotonicMs: number): number {
    for (let entered = 0; entered <= BLOCKS; entered += 1) {
      const id = this.#nextInBlock();
      if (id !== undefined) {
        this.#live.add(id);
        return id;
      }
      this.#enterNextBlock(monotonicMs);
    }
    throw new CodedError('session_limit', 'no session id is free');
  }

  /** Ends the use of an id, which then stays in quarantine. */
  release(id: number, monotonicMs: number): void {
    assert(this.#live.delete(id), 'session_id_live', id);
    const place = id - this.#first;
    const block = Math.floor(place / this.#blockSize);
    this.#releasedAtMs[block] = monotonicMs;
    if (block === this.#block && place % this.#blockSize >= this.#offset) this.#skip.add(id);
  }

  bytesOf(id: number): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    for (let at = this.#size - 1, rest = id; at >= 0; at -= 1, rest = Math.floor(rest / 256)) {
      bytes[at] = rest % 256;
    }
    return bytes;
  }

  #nextInBlock(): number | undefined {
    while (this.#offset < this.#blockSize) {
      const id = this.#first + this.#block * this.#blockSize + this.#offset;
      this.#offset += 1;
      if (!this.#live.has(id) && !this.#skip.delete(id)) return id;
    }
    return undefined;
  }

  #enterNextBlock(monotonicMs: number): void {
    this.#skip.clear();
    this.#block = (this.#block + 1) % BLOCKS;
    const rested = monotonicMs - this.#releasedAtMs[this.#block]! >= this.#quarantineMs;
    this.#offset = rested ? 0 : this.#blockSize;
  }
}
