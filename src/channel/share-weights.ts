import { bigToBe, bigToLe, concat } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';

const TAG = 'sharestream/weights/1';

/** The head before any share, 32 bytes. */
export const NO_WEIGHTS: Uint8Array = taggedHash(TAG, new Uint8Array(0));

/**
 * What each share of a segment is credited for, as a chain over runs of shares of the same work: a stream
 * uses few difficulties at a time. Its head is the tagged hash of the head before, the count of shares (u64
 * little-endian) and the work of each (40 bytes).
 */
export class ShareWeights {
  #head: Uint8Array;
  #workHashes = 0n;
  #count = 0;

  /** @param before the head at the end of the segment before */
  constructor(before: Uint8Array) {
    this.#head = before;
  }

  /** Adds shares of so much work each. */
  add(workHashes: bigint, count: number): void {
    if (workHashes !== this.#workHashes) {
      this.#head = this.head;
      this.#count = 0;
      this.#workHashes = workHashes;
    }
    this.#count += count;
  }

  /** The head if the segment ends here. */
  get head(): Uint8Array {
    if (this.#count === 0) return this.#head;
    return taggedHash(
      TAG,
      concat(this.#head, bigToLe(BigInt(this.#count), 8), bigToBe(this.#workHashes, 40)),
    );
  }
}

/** The share root that is signed where a commitment covers what each share is credited for. */
export function weighedRoot(shareRoot: Uint8Array, weightsHead: Uint8Array): Uint8Array {
  return taggedHash('sharestream/weighed/1', concat(shareRoot, weightsHead));
}
