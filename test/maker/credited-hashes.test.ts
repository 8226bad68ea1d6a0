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
});
