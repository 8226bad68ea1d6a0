import { describe, expect, it } from 'vitest';
import { DuplicateSet } from '../../src/shares/duplicates.ts';

const SHARDS = 64;

/** A hash by its eight words: the first is its home in a table, the second says which table. */
function hashOf(...words: number[]): Uint8Array {
  const all = new Uint32Array(8);
  all.set(words);
  return new Uint8Array(all.buffer);
}

/** Fills one table of eight rows up to its load: six, since a seventh makes it grow. */
function filled(homes: readonly number[]): { set: DuplicateSet; hashes: Uint8Array[] } {
  const set = new DuplicateSet();
  const hashes = homes.map((home, index) => hashOf(home, SHARDS * (index + 1)));
  for (const hash of hashes) expect(set.add('g', hash)).toBe(true);
  return { set, hashes };
}

function expectExactly(set: DuplicateSet, there: readonly Uint8Array[], gone: readonly Uint8Array[]): void {
  expect(there.map((hash) => set.has('g', hash))).toEqual(there.map(() => true));
  expect(gone.map((hash) => set.has('g', hash))).toEqual(gone.map(() => false));
}

describe('a set of hashes', () => {
  it('counts what it holds, knows it again, and forgets a generation with its last hash', () => {
    const set = new DuplicateSet();
    const [one, two] = [hashOf(1, 2), hashOf(3, 4)];
    expect([set.add('a', one), set.add('a', one), set.add('b', one), set.add('b', two)]).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect([set.size, set.generations]).toEqual([3, 2]);
    expect([set.has('a', two), set.has('b', two), set.has('c', one)]).toEqual([false, true, false]);
    expect([set.delete('a', two), set.delete('c', one), set.size]).toEqual([false, false, 3]);
    expect([set.delete('b', one), set.generations, set.size]).toEqual([true, 2, 2]);
    expect([set.delete('a', one), set.generations, set.size]).toEqual([true, 1, 1]);
    expect(set.has('a', one)).toBe(false);
    expect([set.dropGeneration('a'), set.dropGeneration('b'), set.size]).toEqual([0, 1, 0]);
    expect([set.has('b', two), set.add('b', two), set.size]).toEqual([false, true, 1]);
  });

  it('is full at its limit, and makes room of its oldest generation only then', () => {
    const set = new DuplicateSet({ maxHashes: 2 });
    set.makeRoom();
    set.add('old', hashOf(1));
    set.makeRoom();
    expect([set.isFull, set.size]).toEqual([false, 1]);
    set.add('new', hashOf(2));
    expect(set.isFull).toBe(true);
    expect(() => set.add('new', hashOf(3))).toThrow('duplicates_full');
    set.makeRoom();
    expect([set.isFull, set.has('old', hashOf(1)), set.has('new', hashOf(2))]).toEqual([
      false,
      false,
      true,
    ]);
    new DuplicateSet({ maxHashes: 0 }).makeRoom();
  });

  it('reads a hash from where it begins, and none that is short', () => {
    const set = new DuplicateSet();
    const bytes = new Uint8Array(40);
    bytes.set(hashOf(7, 8, 9, 10, 11, 12, 13, 14), 8);
    expect(set.add('g', bytes, 8)).toBe(true);
    expect(set.has('g', hashOf(7, 8, 9, 10, 11, 12, 13, 14))).toBe(true);
    for (const offset of [-1, 9]) expect(() => set.has('g', bytes, offset)).toThrow('duplicates_hash_size');
    expect(set.has('g', bytes, 0)).toBe(false);
  });

  it('keeps the hash that is all zeros, which looks like an empty place', () => {
    const set = new DuplicateSet();
    const zero = hashOf();
    expect([set.add('g', hashOf(0, 0, 1)), set.has('g', zero), set.delete('g', zero)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([set.add('g', zero), set.add('g', zero), set.size, set.has('g', zero)]).toEqual([
      true,
      false,
      2,
      true,
    ]);
    expect([set.delete('g', zero), set.delete('g', zero), set.size, set.has('g', zero)]).toEqual([
      true,
      false,
      1,
      false,
    ]);
    expect(set.has('g', hashOf(0, 0, 1))).toBe(true);
  });

  it.each(Array.from({ length: 32 }, (_, at) => at))('tells hashes apart by byte %i alone', (at) => {
    const set = new DuplicateSet();
    const one = Uint8Array.from({ length: 32 }, (_, byte) => 7 * byte + 5);
    const other = one.slice();
    other[at]! ^= 1;
    expect(set.add('g', one)).toBe(true);
    expect(set.has('g', other)).toBe(false);
    expect(set.add('g', other)).toBe(true);
    expect([set.has('g', one), set.delete('g', other), set.size]).toEqual([true, true, 1]);
    expect(set.has('g', one)).toBe(true);
  });

  it('tells rows with an empty first word from empty rows', () => {
    const set = new DuplicateSet();
    const hashes = [1, 2, 3].map((last) => hashOf(0, SHARDS, 0, 0, 0, 0, 0, last));
    for (const hash of hashes) set.add('g', hash);
    expectExactly(set, hashes, [hashOf(0, SHARDS)]);
    set.delete('g', hashes[0]!);
    expectExactly(set, hashes.slice(1), [hashes[0]!]);
  });
});

describe('the rows of a table', () => {
  /** Homes in eight rows: chains in the middle, over the end, and of two homes in each other's way. */
  const HOMES = [
    [3, 3, 3, 3, 3, 3],
    [7, 7, 7, 7, 7, 7],
    [6, 7, 6, 7, 0, 0],
    [0, 1, 2, 3, 4, 5],
    [5, 5, 6, 6, 7, 7],
    [2, 3, 2, 3, 2, 4],
    [7, 0, 7, 0, 7, 0],
    [1, 1, 3, 3, 3, 1],
  ];

  it.each(HOMES.map((homes) => ({ homes })))('close up behind what is deleted: $homes', ({ homes }) => {
    for (let first = 0; first < homes.length; first += 1) {
      for (let second = 0; second < homes.length; second += 1) {
        if (second === first) continue;
        const { set, hashes } = filled(homes);
        const gone = [hashes[first]!, hashes[second]!];
        for (const hash of gone) expect(set.delete('g', hash)).toBe(true);
        const left = hashes.filter((hash) => !gone.includes(hash));
        expectExactly(set, left, gone);
        // Nothing stands twice: each is gone once it was deleted, in any order.
        expect(set.add('g', gone[0]!)).toBe(true);
        for (const hash of [...left, gone[0]!]) expect(set.delete('g', hash)).toBe(true);
        expect([set.size, set.generations]).toEqual([0, 0]);
      }
    }
  });

  it('are found again after any growth, whatever their homes', () => {
    const set = new DuplicateSet();
    const hashes = Array.from({ length: 200 }, (_, index) => hashOf(index % 7, SHARDS * (index + 1)));
    hashes.forEach((hash, index) => {
      expect(set.add('g', hash)).toBe(true);
      if (index % 25 === 0) expectExactly(set, hashes.slice(0, index + 1), hashes.slice(index + 1));
    });
    for (const hash of hashes) expect(set.add('g', hash)).toBe(false);
    expect(set.size).toBe(200);
  });
});

describe('the memory of tables', () => {
  const BYTES_OF_ROW = 32;
  const buffers = (): number => process.memoryUsage().arrayBuffers;
  const hash = new Uint8Array(32);
  const words = new Uint32Array(hash.buffer);
  const fill = (set: DuplicateSet, generation: string, count: number): void => {
    for (let each = 1; each <= count; each += 1) {
      words[0] = Math.imul(each, 0x9e3779b1);
      words[1] = each;
      set.add(generation, hash);
    }
  };
  /** At least 640 kB of rows, in 64 tables that were doubled until 3/4 of each held them. */
  const COUNT = 15_000;
  const MOST_BYTES = 4 * COUNT * BYTES_OF_ROW;

  it('is given back with the last generation', () => {
    const set = new DuplicateSet();
    const before = buffers();
    fill(set, 'a', COUNT);
    set.dropGeneration('a');
    expect(buffers() - before).toBeLessThan(COUNT * BYTES_OF_ROW * 0.5);
  });

  it('is used again by the next one, and at most twice what is in use', () => {
    const set = new DuplicateSet();
    fill(set, 'a', COUNT);
    fill(set, 'b', COUNT);
    const before = buffers();
    for (let round = 0; round < 2; round += 1) {
      set.dropGeneration(round % 2 === 0 ? 'a' : 'b');
      fill(set, round % 2 === 0 ? 'a' : 'b', COUNT);
    }
    expect(buffers() - before).toBeLessThan(MOST_BYTES);
    set.dropGeneration('a');
    expect(set.has('b', hash)).toBe(true);
    expect(set.size).toBe(COUNT);
  });
});
