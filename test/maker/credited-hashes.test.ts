import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { CreditedHashes } from '../../src/maker/credited-hashes.ts';

let made = 0;
const hash = (): Uint8Array => sha256(new TextEncoder().encode(`${made++}`));

/** Credits so many shares at once, as a batch does; the code where they are refused. */
function credit(held: CreditedHashes, contractId: string, generation: string, count: number): string {
  try {
    held.makeRoom(contractId, count, new Set([generation]));
  } catch (error) {
    return codeOf(error);
  }
  for (let each = 0; each < count; each += 1) {
    if (!held.add(contractId, generation, hash())) return 'known';
  }
  return 'credited';
}

describe('the hashes of all contracts', () => {
  it('know a share whoever sells it, until its generation is dropped', () => {
    const held = new CreditedHashes(10);
    const share = hash();
    expect(held.add('a', 'g', share)).toBe(true);
    expect(held.add('b', 'g', share)).toBe(false);
    held.drop('g');
    expect([held.size, held.generations, held.isClosed('g')]).toEqual([0, [], false]);
    expect(held.add('b', 'g', share)).toBe(true);
    held.delete('b', 'g', share);
    expect(held.size).toBe(0);
  });

  it('close the oldest block for want of room, and nothing on it is credited again', () => {
    const held = new CreditedHashes(10);
    for (const generation of ['one', 'two']) expect(credit(held, 'a', generation, 5)).toBe('credited');
    expect(credit(held, 'a', 'three', 1)).toBe('credited');
    expect(['one', 'two', 'three'].map((each) => held.isClosed(each))).toEqual([true, false, false]);
    expect(held.size).toBe(6);
  });

  it('refuse who fills them within one block, and nobody else', () => {
    const held = new CreditedHashes(100);
    expect(credit(held, 'flood', 'g', 100)).toBe('credited');
    expect(credit(held, 'flood', 'g', 1)).toBe('overload');
    for (const honest of ['a', 'b', 'c']) expect(credit(held, honest, 'g', 10)).toBe('credited');
    expect(credit(held, 'flood', 'g', 1)).toBe('overload');
    // The part of each is a quarter now.
    expect(credit(held, 'a', 'g', 15)).toBe('credited');
    expect(credit(held, 'a', 'g', 1)).toBe('overload');
  });

  it('hold twice as many at the most, whatever contracts come', () => {
    const held = new CreditedHashes(64);
    let refused = 0;
    for (let contract = 0; contract < 200; contract += 1) {
      for (let batch = 0; batch < 40; batch += 1) {
        if (credit(held, `c${contract}`, 'g', 1) === 'overload') refused += 1;
        expect(held.size).toBeLessThanOrEqual(128);
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  it('take more than they can hold at a start, and then the oldest is closed', () => {
    const held = new CreditedHashes(4);
    for (const generation of ['one', 'two', 'three'])
      for (let each = 0; each < 4; each += 1) held.add('a', generation, hash());
    expect(held.size).toBeLessThanOrEqual(8);
    expect(held.isClosed('one')).toBe(true);
    expect(held.generations).toEqual(['two', 'three']);
  });

  it('are free again with the block', () => {
    const held = new CreditedHashes(10);
    expect(credit(held, 'a', 'g', 10)).toBe('credited');
    expect(credit(held, 'a', 'g', 1)).toBe('overload');
    held.drop('g');
    expect(credit(held, 'a', 'h', 10)).toBe('credited');
  });

  it('closes nothing while there is room, to the last hash, and never what is wanted or newest', () => {
    const full = (): CreditedHashes => {
      const held = new CreditedHashes(10);
      for (const generation of ['one', 'two', 'three']) credit(held, 'a', generation, 3);
      return held;
    };
    const leaves = (count: number, ...wanted: string[]): readonly string[] => {
      const held = full();
      held.makeRoom('a', count, new Set(wanted));
      return held.generations;
    };
    expect(leaves(1, 'three')).toEqual(['one', 'two', 'three']);
    expect(leaves(2, 'three')).toEqual(['two', 'three']);
    expect(leaves(4, 'three')).toEqual(['two', 'three']);
    expect(leaves(5, 'three')).toEqual(['three']);
    expect(leaves(2, 'one')).toEqual(['one', 'three']);
    expect(leaves(4, 'one')).toEqual(['one', 'three']);
    // With room for all of it nobody's part is asked for.
    const held = full();
    held.makeRoom('b', 7, new Set(['three']));
    expect(held.generations).toEqual(['three']);
    // What is wanted and what is newest fill it alone.
    expect(() => leaves(5, 'one')).toThrow('overload');
    expect(() => leaves(2, 'one', 'two', 'three')).toThrow('overload');
  });

  it('gives each contract its part, to the last hash, of those that hold any', () => {
    const held = new CreditedHashes(12);
    expect(credit(held, 'a', 'g', 12)).toBe('credited');
    // Two of them: six each, and not one more.
    expect(credit(held, 'b', 'g', 7)).toBe('overload');
    expect(credit(held, 'b', 'g', 6)).toBe('credited');
    expect(credit(held, 'b', 'g', 1)).toBe('overload');
    // Three: four each.
    expect(credit(held, 'c', 'g', 5)).toBe('overload');
    expect(credit(held, 'c', 'g', 4)).toBe('credited');
    // Twice as many are all that there is, also for who has a part of it.
    expect(held.size).toBe(22);
    expect(credit(held, 'd', 'g', 3)).toBe('overload');
    expect(credit(held, 'd', 'g', 2)).toBe('credited');
    expect(held.size).toBe(24);
    expect(credit(held, 'e', 'g', 1)).toBe('overload');
  });

  it('counts a contract by what it holds: what is taken back or dropped counts no more', () => {
    const held = new CreditedHashes(4);
    const own = [hash(), hash()];
    for (const each of own) held.add('a', 'g', each);
    expect(credit(held, 'b', 'g', 2)).toBe('credited');
    expect(credit(held, 'b', 'g', 1)).toBe('overload');
    // Unknown hashes, and those of another generation, are none.
    held.delete('a', 'g', hash());
    held.delete('a', 'h', own[0]!);
    expect([held.size, credit(held, 'b', 'g', 1)]).toEqual([4, 'overload']);
    for (const each of own) held.delete('a', 'g', each);
    expect(held.size).toBe(2);
    // Alone it may hold all of it.
    expect(credit(held, 'b', 'g', 2)).toBe('credited');
    held.drop('unknown');
    held.drop('g');
    expect([held.size, credit(held, 'c', 'g', 4)]).toEqual([0, 'credited']);
    expect(credit(held, 'c', 'g', 1)).toBe('overload');
  });

  it('counts nothing twice for a contract: not what was taken back, nor what went with its block', () => {
    const held = new CreditedHashes(8);
    expect(credit(held, 'a', 'h', 3)).toBe('credited');
    const back = hash();
    held.add('a', 'g', back);
    held.add('a', 'g', hash());
    held.add('gone', 'g', hash());
    held.delete('a', 'g', back);
    held.drop('g');
    // Two of them are left: a half is four, and the first has three.
    expect(credit(held, 'b', 'h', 5)).toBe('credited');
    expect(credit(held, 'a', 'h', 1)).toBe('credited');
    expect(credit(held, 'a', 'h', 1)).toBe('overload');
  });

  it('remembers the newest blocks that it closed, more than a week of them', () => {
    const held = new CreditedHashes(1);
    for (let block = 0; block < 1_027; block += 1) held.add('a', `g${block}`, hash());
    expect(held.generations).toEqual(['g1025', 'g1026']);
    expect([0, 1, 1_024, 1_025].map((block) => held.isClosed(`g${block}`))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});
