import { LIMITS } from '../base/limits.ts';

const FIRST_ROWS = 1024;

/**
 * The shares seen so far, by generation (`generationOf`), as 96 bits of each hash: the low-order ones, which
 * no proof of work makes alike. Sixteen bytes a row, a third to two thirds of them used; past
 * `LIMITS.auditedHashes` the oldest generation is forgotten.
 */
export class SeenHashes {
  readonly #generations = new Map<string, Generation>();
  readonly #most: number;
  #size = 0;
  #lastName = '';
  #last: Generation | undefined;
  /** True once shares were forgotten: a share seen before may pass since. */
  hasForgotten = false;

  constructor(most: number = LIMITS.auditedHashes) {
    this.#most = most;
  }

  /**
   * Adds a share.
   * @param hash holds its 32 bytes from `at` on
   * @param seq of the share
   * @returns seq of the same share seen before; -1 where there was none
   */
  add(generation: string, hash: Uint8Array, at: number, seq: number): number {
    // The next share is mostly of the same block.
    if (generation !== this.#lastName || this.#last === undefined) this.#goTo(generation, seq);
    const before = this.#last!.add(hash, at, seq);
    if (before === -1) {
      this.#size += 1;
      if (this.#size > this.#most) this.#forgetOldest();
    }
    return before;
  }

  #goTo(generation: string, seq: number): void {
    let seen = this.#generations.get(generation);
    if (seen === undefined) {
      const last = Array.from(this.#generations.values()).at(-1);
      seen = new Generation(seq, Math.max(FIRST_ROWS, (last?.rows ?? 0) / 2));
      this.#generations.set(generation, seen);
    }
    this.#lastName = generation;
    this.#last = seen;
  }

  #forgetOldest(): void {
    const [oldest] = this.#generations.keys();
    this.#last = undefined;
    this.#size -= this.#generations.get(oldest!)!.size;
    this.#generations.delete(oldest!);
    this.hasForgotten = true;
  }
}

/** Open addressing with linear probing, a row in one line of the cache. */
class Generation {
  readonly #firstSeq: number;
  /** Four words a row: three of the hash, and the place of the share in the generation, from 1 on. */
  #words: Uint32Array;
  #mask: number;
  size = 0;

  /** @param rows a power of two */
  constructor(firstSeq: number, rows: number) {
    this.#firstSeq = firstSeq;
    this.#words = new Uint32Array(rows * 4);
    this.#mask = rows * 4 - 1;
  }

  get rows(): number {
    return this.#words.length / 4;
  }

  add(hash: Uint8Array, at: number, seq: number): number {
    const words = this.#words;
    const mask = this.#mask;
    const a = wordAt(hash, at);
    const b = wordAt(hash, at + 4);
    const c = wordAt(hash, at + 8);
    let row = (a << 2) & mask;
    for (; words[row + 3] !== 0; row = (row + 4) & mask)
      if (words[row] === a && words[row + 1] === b && words[row + 2] === c)
        return this.#firstSeq + words[row + 3]! - 1;
    words[row] = a;
    words[row + 1] = b;
    words[row + 2] = c;
    words[row + 3] = seq - this.#firstSeq + 1;
    this.size += 1;
    if (this.size * 6 > mask) this.#grow();
    return -1;
  }

  #grow(): void {
    const words = this.#words;
    const wider = new Uint32Array(words.length * 2);
    const mask = wider.length - 1;
    for (let from = 0; from < words.length; from += 4) {
      if (words[from + 3] === 0) continue;
      let row = (words[from]! << 2) & mask;
      while (wider[row + 3] !== 0) row = (row + 4) & mask;
      for (let word = 0; word < 4; word += 1) wider[row + word] = words[from + word]!;
    }
    this.#words = wider;
    this.#mask = mask;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
