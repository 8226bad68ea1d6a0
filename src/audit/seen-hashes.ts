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
    let seen = this.#generations.get(generation);
    if (seen === undefined) {
      const last = Array.from(this.#generations.values()).at(-1);
      seen = new Generation(seq, Math.max(FIRST_ROWS, (last?.rows ?? 0) / 2));
      this.#generations.set(generation, seen);
    }
    const before = seen.add(hash, at, seq);
    if (before === -1) {
      this.#size += 1;
      if (this.#size > this.#most) this.#forgetOldest();
    }
    return before;
  }

  #forgetOldest(): void {
    const [oldest] = this.#generations.keys();
    this.#size -= this.#generations.get(oldest!)!.size;
    this.#generations.delete(oldest!);
    this.hasForgotten = true;
  }
}

/** Open addressing with linear probing. */
class Generation {
  readonly #firstSeq: number;
  /** Two words of the hash; one of them is 1 at least in a row that is used. */
  #keys: Uint32Array;
  /** The third word, and the place of the share in the generation, from 1 on. */
  #rest: Uint32Array;
  #mask: number;
  size = 0;

  /** @param rows a power of two */
  constructor(firstSeq: number, rows: number) {
    this.#firstSeq = firstSeq;
    this.#keys = new Uint32Array(rows * 2);
    this.#rest = new Uint32Array(rows * 2);
    this.#mask = rows - 1;
  }

  get rows(): number {
    return this.#mask + 1;
  }

  add(hash: Uint8Array, at: number, seq: number): number {
    const a = wordAt(hash, at);
    const b = wordAt(hash, at + 4) || 1;
    const c = wordAt(hash, at + 8);
    const keys = this.#keys;
    let row = a & this.#mask;
    for (; keys[row * 2 + 1] !== 0; row = (row + 1) & this.#mask) {
      if (keys[row * 2] !== a || keys[row * 2 + 1] !== b || this.#rest[row * 2] !== c) continue;
      return this.#firstSeq + this.#rest[row * 2 + 1]! - 1;
    }
    keys[row * 2] = a;
    keys[row * 2 + 1] = b;
    this.#rest[row * 2] = c;
    this.#rest[row * 2 + 1] = seq - this.#firstSeq + 1;
    this.size += 1;
    if (this.size * 3 > this.#mask * 2) this.#grow();
    return -1;
  }

  #grow(): void {
    const [keys, rest] = [this.#keys, this.#rest];
    const [wider, widerRest] = [new Uint32Array(keys.length * 2), new Uint32Array(keys.length * 2)];
    const mask = keys.length - 1;
    this.#keys = wider;
    this.#rest = widerRest;
    this.#mask = mask;
    for (let from = 0; from < keys.length; from += 2) {
      if (keys[from + 1] === 0) continue;
      let row = keys[from]! & mask;
      while (wider[row * 2 + 1] !== 0) row = (row + 1) & mask;
      wider[row * 2] = keys[from]!;
      wider[row * 2 + 1] = keys[from + 1]!;
      widerRest[row * 2] = rest[from]!;
      widerRest[row * 2 + 1] = rest[from + 1]!;
    }
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
