import { expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { lockedSat } from '../../src/maker/policy.ts';
import { type Quote, QuoteBook } from '../../src/maker/quote-book.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

function stood() {
  const clock = new ManualClock();
  let count = 0;
  const bytes = (size: number): Uint8Array => {
    count += 1;
    const out = new Uint8Array(size);
    new DataView(out.buffer).setUint32(0, count);
    return out;
  };
  const book = new QuoteBook({ clock, random: { bytes } as never });
  const add = (node: string, isListed: boolean, budgetSat = 1_000n): Quote | string => {
    try {
      return book.add(node, isListed, makeTermsV3({ budgetSat }), 1_000);
    } catch (error) {
      return codeOf(error);
    }
  };
  return { clock, book, add };
}

it('strangers hold so many quotes, and those that are listed have room all the same', () => {
  const { clock, book, add } = stood();
  for (let each = 0; each < LIMITS.strangerQuotes; each += 1)
    expect(add(`stranger ${each}`, false)).toMatchObject({ nodeId: `stranger ${each}` });
  expect(add('one more', false)).toBe('too_often');
  expect(add('listed', true)).toMatchObject({ nodeId: 'listed' });
  expect(add('stranger 0', false)).toBe('too_often');
  expect(book.all).toHaveLength(LIMITS.strangerQuotes + 1);
  clock.advance(1_000);
  expect(add('one more', false)).toMatchObject({ nodeId: 'one more' });
  expect(book.all).toHaveLength(1);
});

it('what became of each quote is counted, once', () => {
  const { clock, book, add } = stood();
  for (let each = 0; each < LIMITS.peerQuotes + 1; each += 1) {
    book.count('a', true);
    add('a', true);
  }
  book.remove(book.all[0]!.quoteId);
  book.remove('never given');
  expect(book.liveCount).toBe(LIMITS.peerQuotes - 1);
  clock.advance(1_000);
  expect(book.liveCount).toBe(0);
  expect(book.liveCount).toBe(0);
  expect(book.stats).toEqual({
    ...{ asked: LIMITS.peerQuotes + 1, quoted: LIMITS.peerQuotes + 1, refused: 0, taken: 1 },
    ...{ expired: LIMITS.peerQuotes - 1, replaced: 1 },
  });
});

it('quotes of one peer hold the largest of them, and stand in its own way no more', () => {
  const { book, add } = stood();
  for (const budgetSat of [2_000n, 5_000n, 3_000n]) add('a', true, budgetSat);
  add('b', false, 1_000n);
  const locked = (budgetSat: bigint): bigint => lockedSat(makeTermsV3({ budgetSat }));
  expect(book.holds('c')).toEqual([
    { nodeId: 'a', isListed: true, lockedSat: locked(5_000n) },
    { nodeId: 'b', isListed: false, lockedSat: locked(1_000n) },
  ]);
  expect(book.holds('a').map(({ nodeId }) => nodeId)).toEqual(['b']);
});

it('a quote is known to its peer alone, until its time is over', () => {
  const { clock, book, add } = stood();
  const { quoteId } = add('a', true) as Quote;
  expect(book.find(quoteId, 'a').quoteId).toBe(quoteId);
  for (const [id, node] of [
    [quoteId, 'b'],
    ['none', 'a'],
  ] as const)
    expect(() => book.find(id, node)).toThrow('quote_unknown');
  clock.advance(999);
  expect(book.find(quoteId, 'a').quoteId).toBe(quoteId);
  clock.advance(1);
  expect(() => book.find(quoteId, 'a')).toThrow('quote_unknown');
});
