import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex, u32le } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/base/hash.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { DuplicateSet, generationOf } from '../../src/shares/duplicates.ts';

/** Few distinct values in every word, so that homes collide, chains wrap and keys differ in one word only. */
const clusteredHash = fc
  .array(fc.constantFrom(0, 1, 7, 8, 0xffffffff, 0x80000000), { minLength: 8, maxLength: 8 })
  .map((words) => new Uint8Array(Uint32Array.from(words).buffer));
const anyHash = fc.oneof(clusteredHash, fc.uint8Array({ minLength: 32, maxLength: 32 }));
const operation = fc.record({
  kind: fc.constantFrom('add', 'add', 'add', 'delete', 'has', 'drop'),
  generation: fc.constantFrom('a', 'a', 'a', 'b'),
  hash: anyHash,
  offset: fc.nat(5),
});

describe('DuplicateSet', () => {
  it('behaves like a set of hex strings', () => {
    const run = fc.array(operation, { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(run, (operations) => {
        const set = new DuplicateSet();
        const model = new Map<string, Set<string>>();
        for (const { kind, generation, hash, offset } of operations) {
          const padded = new Uint8Array(offset + 32).fill(0xaa);
          padded.set(hash, offset);
          const text = toHex(hash);
          const known = model.get(generation) ?? new Set<string>();
          model.set(generation, known);
          set.prepare(generation, padded.subarray(offset), 1);
          if (kind === 'drop') {
            expect(set.dropGeneration(generation)).toBe(known.size);
            known.clear();
          } else if (kind === 'add') {
            expect(set.add(generation, padded, offset)).toBe(!known.has(text));
            known.add(text);
          } else if (kind === 'delete') {
            expect(set.delete(generation, padded, offset)).toBe(known.delete(text));
          } else expect(set.has(generation, padded, offset)).toBe(known.has(text));
          expect(set.size).toBe([...model.values()].reduce((sum, group) => sum + group.size, 0));
        }
        for (const [generation, known] of model) {
          for (const text of known) expect(set.has(generation, Buffer.from(text, 'hex'))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('behaves like a set at every step of the growth of one table', () => {
    // All in one table, few homes: chains that wrap, and rows half of which were moved.
    const hashOf = (home: number, id: number): Uint8Array =>
      new Uint8Array(Uint32Array.of(home, 64 * id, 0, 0, 0, 0, 0, id).buffer);
    const homes = fc.uniqueArray(fc.nat(1023), { minLength: 1, maxLength: 40 });
    const step = fc.record({
      adds: fc.integer({ min: 1, max: 60 }),
      deletes: fc.array(fc.nat(), { maxLength: 12 }),
    });
    fc.assert(
      fc.property(homes, fc.array(step, { minLength: 1, maxLength: 25 }), (at, steps) => {
        const set = new DuplicateSet();
        const model = new Set<number>();
        const hash = (id: number): Uint8Array => hashOf(at[id % at.length]!, id + 1);
        let next = 0;
        const expectSame = (): void => {
          for (let id = 0; id < next; id += 1) expect(set.has('g', hash(id))).toBe(model.has(id));
          expect(set.size).toBe(model.size);
        };
        for (const { adds, deletes } of steps) {
          for (let each = 0; each < adds; each += 1, next += 1) {
            expect(set.add('g', hash(next))).toBe(true);
            model.add(next);
            const again = (next * 7) % (next + 1);
            expect(set.add('g', hash(again))).toBe(!model.has(again));
            model.add(again);
          }
          for (const each of deletes) {
            const id = each % next;
            expect(set.delete('g', hash(id))).toBe(model.delete(id));
          }
          expectSame();
        }
        for (let id = 0; id < next; id += 1) expect(set.delete('g', hash(id))).toBe(model.has(id));
        expect([set.size, set.generations]).toEqual([0, 0]);
      }),
      { numRuns: 150 },
    );
  });

  it('keeps every hash through growth and deletion of every second one', () => {
    const set = new DuplicateSet();
    const hashes = Array.from({ length: 50_000 }, (_, index) => sha256(u32le(index)));
    expect(hashes.every((hash) => set.add('g', hash))).toBe(true);
    expect(set.size).toBe(hashes.length);
    expect(hashes.some((hash) => set.add('g', hash))).toBe(false);
    expect(hashes.every((hash, index) => index % 2 === 1 || set.delete('g', hash))).toBe(true);
    expect(hashes.every((hash, index) => set.has('g', hash) === (index % 2 === 1))).toBe(true);
    expect(set.dropGeneration('g')).toBe(hashes.length / 2);
    expect(set.size).toBe(0);
    expect(set.generations).toBe(0);
  });

  it('knows nothing of earlier generations in tables it uses again', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3000 }), { minLength: 2, maxLength: 12 }), (sizes) => {
        const set = new DuplicateSet();
        const hashes = Array.from({ length: Math.max(...sizes) }, (_, index) => sha256(u32le(index)));
        sizes.forEach((size, number) => {
          const added = hashes.slice(0, size);
          expect(added.every((hash) => set.add(`${number}`, hash))).toBe(true);
          expect(hashes.every((hash, index) => set.has(`${number}`, hash) === index < size)).toBe(true);
          if (number >= 2) expect(set.dropGeneration(`${number - 2}`)).toBe(sizes[number - 2]);
          expect(set.size).toBe(size + (sizes[number - 1] ?? 0));
        });
      }),
      { numRuns: 60 },
    );
  });

  it('is bounded, and refuses a short hash', () => {
    expect(new DuplicateSet().maxHashes).toBe(LIMITS.duplicateHashes);
    const set = new DuplicateSet({ maxHashes: 2 });
    set.add('a', new Uint8Array(32).fill(1));
    expect(set.isFull).toBe(false);
    set.add('b', new Uint8Array(32).fill(1));
    expect(set.isFull).toBe(true);
    expect(() => set.add('b', new Uint8Array(32).fill(2))).toThrow('duplicates_full');
    expect(() => set.has('a', new Uint8Array(33), 2)).toThrow('duplicates_hash_size');
  });

  it('names the generation of a job by its prevHash', () => {
    expect(generationOf({ prevHash: new Uint8Array(32).fill(0xab) })).toBe('ab'.repeat(32));
  });
});
