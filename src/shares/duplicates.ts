import { assert } from '../base/assert.ts';
import { toHex } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';

const WORDS = 8;
/** Tables of a generation: a growth takes memory for this fraction of its hashes. */
const SHARDS = 64;
const FIRST_CAPACITY = 8;

/**
 * The generation of a job's shares: its prevHash in hex. Shares of different generations cannot have the
 * same header.
 */
export function generationOf(job: { readonly prevHash: Uint8Array }): string {
  return toHex(job.prevHash);
}

/**
 * Header hashes already credited, by generation, so that a generation is dropped as a whole. Exact: all
 * 256 bits are stored and compared. 32 bytes an entry at a load of 3/8 to 3/4: 43 to 85 bytes each, half as
 * much more while a table grows, and as much again kept for the next generation. A generation begins with
 * tables a quarter as large as those of the one before.
 */
export class DuplicateSet {
  readonly maxHashes: number;
  /** What `prepare` has read last, kept so that no compiler leaves the reads out. */
  lookedAt = 0;
  readonly #tables = new Tables();
  readonly #generations = new Map<string, Generation>();
  #lastName = '';
  #last: Generation | undefined;
  #size = 0;

  constructor(options: { readonly maxHashes?: number } = {}) {
    this.maxHashes = options.maxHashes ?? LIMITS.duplicateHashes;
  }

  /** Hashes held, over all generations. */
  get size(): number {
    return this.#size;
  }

  get generations(): number {
    return this.#generations.size;
  }

  /** Oldest first. */
  names(): string[] {
    return [...this.#generations.keys()];
  }

  /** At the limit: `add` may not be called. */
  get isFull(): boolean {
    return this.#size >= this.maxHashes;
  }

  /**
   * @param hash holds 32 bytes from `offset` on
   * @returns true when the hash was not there before
   */
  add(generation: string, hash: Uint8Array, offset = 0): boolean {
    assert(!this.isFull, 'duplicates_full', this.#size);
    let group = this.#group(generation);
    if (group === undefined) {
      const newest = Array.from(this.#generations.values()).at(-1);
      group = new Generation(this.#tables, Math.max(FIRST_CAPACITY, (newest?.capacity ?? 0) / 4));
      this.#generations.set(generation, group);
    }
    if (!group.add(hash, offset)) return false;
    this.#size += 1;
    return true;
  }

  /** Drops the oldest generation where there is no room for one more hash. */
  makeRoom(): void {
    const [oldest] = this.#generations.keys();
    if (this.isFull && oldest !== undefined) this.dropGeneration(oldest);
  }

  /**
   * Reads where the first `count` hashes would be, before each is asked for: so memory is waited for once for
   * many of them, where the tables are larger than the caches. Changes nothing.
   * @param hashes one behind the other
   */
  prepare(generation: string, hashes: Uint8Array, count: number): void {
    assert(hashes.length >= count * 32, 'duplicates_hash_size', hashes.length);
    this.lookedAt = this.#group(generation)?.lookAt(hashes, count) ?? 0;
  }

  has(generation: string, hash: Uint8Array, offset = 0): boolean {
    return this.#group(generation)?.has(hash, offset) ?? false;
  }

  /** @returns true when the hash was there */
  delete(generation: string, hash: Uint8Array, offset = 0): boolean {
    const group = this.#generations.get(generation);
    if (group === undefined || !group.delete(hash, offset)) return false;
    if (group.size === 0) this.#forget(generation);
    this.#size -= 1;
    return true;
  }

  /** Forgets a generation. @returns the number of hashes it held */
  dropGeneration(generation: string): number {
    const dropped = this.#generations.get(generation)?.size ?? 0;
    this.#forget(generation);
    this.#size -= dropped;
    return dropped;
  }

  /** One share after the other is of the same generation. */
  #group(generation: string): Generation | undefined {
    if (generation !== this.#lastName || this.#last === undefined) {
      this.#lastName = generation;
      this.#last = this.#generations.get(generation);
    }
    return this.#last;
  }

  #forget(generation: string): void {
    this.#generations.get(generation)?.free();
    this.#generations.delete(generation);
    this.#tables.trim();
    this.#lastName = '';
    this.#last = undefined;
  }
}

/** The key at hand, in words; one for all, since no call is reentrant. */
const key = new Uint32Array(WORDS);

function readKey(hash: Uint8Array, offset: number): void {
  assert(offset >= 0 && offset + 32 <= hash.length, 'duplicates_hash_size', hash.length);
  for (let word = 0, at = offset; word < WORDS; word += 1, at += 4) {
    key[word] = hash[at]! | (hash[at + 1]! << 8) | (hash[at + 2]! << 16) | (hash[at + 3]! << 24);
  }
}

function keyIsZero(): boolean {
  let bits = 0;
  for (let word = 0; word < WORDS; word += 1) bits |= key[word]!;
  return bits === 0;
}

/** Eight words a row. */
type Rows = Uint32Array<ArrayBuffer>;

/**
 * Gives memory back now. The collector sees these tables as a few small objects, would come late for them,
 * and would come often because of their size.
 */
function freeRows(rows: Rows): void {
  rows.buffer.transfer(0);
}

/**
 * Tables come and go with every block, tens of megabytes at a time. Those let go of are kept for the next,
 * as many bytes as are in use: the allocator would put others in other places, until much of what it holds
 * is gaps.
 */
class Tables {
  readonly #spare = new Map<number, Rows[]>();
  #spareWords = 0;
  #usedWords = 0;

  /** All zeros. */
  take(capacity: number): Rows {
    const words = capacity * WORDS;
    this.#usedWords += words;
    const rows = this.#spare.get(words)?.pop();
    if (rows === undefined) return new Uint32Array(words);
    this.#spareWords -= words;
    return rows.fill(0);
  }

  /** The caller must not use it afterwards. */
  give(rows: Rows): void {
    this.#usedWords -= rows.length;
    this.#spareWords += rows.length;
    const same = this.#spare.get(rows.length);
    if (same === undefined) this.#spare.set(rows.length, [rows]);
    else same.push(rows);
  }

  /** Keeps no more than is in use. */
  trim(): void {
    for (const [words, tables] of this.#spare) {
      while (this.#spareWords > this.#usedWords && tables.length > 0) {
        this.#spareWords -= words;
        freeRows(tables.pop()!);
      }
    }
  }
}

class Generation {
  size = 0;
  readonly #tables: Tables;
  readonly #firstCapacity: number;
  #shards: (Shard | undefined)[] = new Array<Shard | undefined>(SHARDS).fill(undefined);
  /** An empty place is all zeros, so the all-zero key is kept apart. */
  #hasZero = false;

  /** @param firstCapacity rows of each table at first, a power of two */
  constructor(tables: Tables, firstCapacity: number) {
    this.#tables = tables;
    this.#firstCapacity = firstCapacity;
  }

  /** Rows of its largest table. */
  get capacity(): number {
    return this.#shards.reduce((most, shard) => Math.max(most, shard?.capacity ?? 0), 0);
  }

  add(hash: Uint8Array, offset: number): boolean {
    readKey(hash, offset);
    if (keyIsZero()) {
      if (this.#hasZero) return false;
      this.#hasZero = true;
    } else {
      const index = key[1]! % SHARDS;
      let shard = this.#shards[index];
      if (shard === undefined) {
        shard = new Shard(this.#tables, this.#firstCapacity);
        this.#shards[index] = shard;
      }
      if (!shard.add()) return false;
    }
    this.size += 1;
    return true;
  }

  /** Reads the home of each of these hashes. @returns what follows from all of them, so that they are read */
  lookAt(hashes: Uint8Array, count: number): number {
    const shards = this.#shards;
    let seen = 0;
    for (let at = 0; at < count * 32; at += 32) {
      const first =
        hashes[at]! | (hashes[at + 1]! << 8) | (hashes[at + 2]! << 16) | (hashes[at + 3]! << 24);
      seen |= shards[hashes[at + 4]! % SHARDS]?.lookAt(first) ?? 0;
    }
    return seen;
  }

  has(hash: Uint8Array, offset: number): boolean {
    readKey(hash, offset);
    if (keyIsZero()) return this.#hasZero;
    return this.#shards[key[1]! % SHARDS]?.has() ?? false;
  }

  delete(hash: Uint8Array, offset: number): boolean {
    readKey(hash, offset);
    if (keyIsZero()) {
      if (!this.#hasZero) return false;
      this.#hasZero = false;
    } else if (!(this.#shards[key[1]! % SHARDS]?.delete() ?? false)) return false;
    this.size -= 1;
    return true;
  }

  /** It must not be used afterwards. */
  free(): void {
    for (const shard of this.#shards) shard?.free();
    this.#shards = [];
  }
}

/** Rows of the former table that an addition moves: it is empty long before the next growth is due. */
const MOVED_ROWS = 32;

/**
 * Open addressing with linear probing over rows of eight words; a key's home is its first word modulo the
 * capacity. The first words of a header hash are its low-order ones, uniform whatever the difficulty, and
 * a miner pays the work of a share for each hash it wants placed.
 *
 * Growth begins a second table and moves a few rows of the former one with each addition. Rows of that
 * before `#moved` are in the new table: they count no more, and stay only so that lookups pass over them.
 */
class Shard {
  readonly #tables: Tables;
  #rows: Rows;
  #former: Rows | undefined;
  #moved = 0;
  #size = 0;

  constructor(tables: Tables, capacity: number) {
    this.#tables = tables;
    this.#rows = tables.take(capacity);
  }

  get capacity(): number {
    return capacityOf(this.#rows);
  }

  add(): boolean {
    if (this.#inFormer() >= 0) return false;
    let row = findRow(this.#rows, 0);
    if (row >= 0) return false;
    if ((this.#size + 1) * 4 > this.capacity * 3) {
      this.#beginGrowth();
      row = findRow(this.#rows, 0);
    }
    const at = ~row * WORDS;
    for (let word = 0; word < WORDS; word += 1) this.#rows[at + word] = key[word]!;
    this.#size += 1;
    if (this.#former !== undefined) this.#moveSome(this.#former);
    return true;
  }

  /** The first words in the homes of a key. @param first the key's first word */
  lookAt(first: number): number {
    const former = this.#former;
    const seen = former === undefined ? 0 : former[(first * WORDS) & (former.length - 1)]!;
    return seen | this.#rows[(first * WORDS) & (this.#rows.length - 1)]!;
  }

  has(): boolean {
    return findRow(this.#rows, 0) >= 0 || this.#inFormer() >= 0;
  }

  /** It must not be used afterwards. */
  free(): void {
    this.#tables.give(this.#rows);
    if (this.#former !== undefined) this.#tables.give(this.#former);
  }

  delete(): boolean {
    const row = findRow(this.#rows, 0);
    const former = row < 0 ? this.#inFormer() : -1;
    if (row >= 0) removeRow(this.#rows, row, 0);
    else if (former >= 0) removeRow(this.#former!, former, this.#moved);
    else return false;
    this.#size -= 1;
    return true;
  }

  /** The row of the key in the former table, where it was not moved yet; negative for none. */
  #inFormer(): number {
    return this.#former === undefined ? -1 : findRow(this.#former, this.#moved);
  }

  #beginGrowth(): void {
    assert(this.#former === undefined, 'duplicates_moved');
    this.#former = this.#rows;
    this.#moved = 0;
    this.#rows = this.#tables.take(this.capacity * 2);
  }

  #moveSome(former: Rows): void {
    const rows = this.#rows;
    const mask = this.capacity - 1;
    const end = Math.min((this.#moved + MOVED_ROWS) * WORDS, former.length);
    for (let at = this.#moved * WORDS; at < end; at += WORDS) {
      if (isZero(former, at)) continue;
      let row = former[at]! & mask;
      while (!isZero(rows, row * WORDS)) row = (row + 1) & mask;
      for (let word = 0; word < WORDS; word += 1) rows[row * WORDS + word] = former[at + word]!;
    }
    this.#moved = end / WORDS;
    if (end < former.length) return;
    this.#tables.give(former);
    this.#former = undefined;
  }
}

/** Rows of a table, a power of two. */
function capacityOf(rows: Rows): number {
  return rows.length >>> 3;
}

/** The row of the key from row `from` on, or the complement of the empty row where it belongs. */
function findRow(rows: Rows, from: number): number {
  const mask = capacityOf(rows) - 1;
  const first = key[0]!;
  for (let row = first & mask; ; row = (row + 1) & mask) {
    const at = row * WORDS;
    if (rows[at] === first && row >= from && isKey(rows, at)) return row;
    if (rows[at] === 0 && isZero(rows, at)) return ~row;
  }
}

/**
 * Empties a row, and shifts those behind it back instead of leaving a tombstone, so that lookups stay short.
 * @param from the first row that counts: those before it stay where they are
 */
function removeRow(rows: Rows, removed: number, from: number): void {
  const mask = capacityOf(rows) - 1;
  let hole = removed;
  for (let row = (hole + 1) & mask; !isZero(rows, row * WORDS); row = (row + 1) & mask) {
    if (row < from) continue;
    const home = rows[row * WORDS]! & mask;
    if (((row - home) & mask) >= ((row - hole) & mask)) {
      rows.copyWithin(hole * WORDS, row * WORDS, (row + 1) * WORDS);
      hole = row;
    }
  }
  rows.fill(0, hole * WORDS, (hole + 1) * WORDS);
}

function isKey(rows: Rows, at: number): boolean {
  for (let word = 1; word < WORDS; word += 1) if (rows[at + word] !== key[word]) return false;
  return true;
}

function isZero(rows: Rows, at: number): boolean {
  for (let word = 0; word < WORDS; word += 1) if (rows[at + word] !== 0) return false;
  return true;
}
