import { expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
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

it('all quotes that are not over are so many, and one of a peer takes the place of its oldest', () => {
  const { clock, book, add } = stood();
  for (let peer = 0; peer < LIMITS.quotes / LIMITS.peerQuotes; peer += 1)
    for (let each = 0; each < LIMITS.peerQuotes; each += 1)
      expect(add(`peer ${peer}`, true)).toMatchObject({ isListed: true });
  expect(book.all).toHaveLength(LIMITS.quotes);
  expect(add('one more', true)).toBe('too_often');
  const { quoteId } = book.all[0]!;
  const newest = add('peer 0', true) as Quote;
  expect(book.all).toHaveLength(LIMITS.quotes);
  expect(() => book.find(quoteId, 'peer 0')).toThrow('quote_unknown');
  expect(book.all.at(-1)).toBe(newest);
  expect(book.find(newest.quoteId, 'peer 0')).toBe(newest);
  // Those of listed peers are none of the strangers'.
  book.remove(book.all[8]!.quoteId);
  expect(add('stranger', false)).toMatchObject({ isListed: false });
  expect(add('another stranger', false)).toBe('too_often');
  book.remove(book.all.at(-1)!.quoteId);
  expect(add('peer 9', true)).toMatchObject({ isListed: true });
  // What was taken makes room.
  book.remove(newest.quoteId);
  expect(() => book.find(newest.quoteId, 'peer 0')).toThrow('quote_unknown');
  expect(add('one more', true)).toMatchObject({ nodeId: 'one more' });
  // What is over holds nothing.
  clock.advance(999);
  expect(book.holds('nobody')).toHaveLength(LIMITS.quotes / LIMITS.peerQuotes + 1);
  clock.advance(1);
  expect([book.holds('nobody'), book.all]).toEqual([[], []]);
});

it('a quote is the contract of its terms, by an id that is chance', () => {
  const { clock, add } = stood();
  const quote = add('a', false) as Quote;
  const terms = makeTermsV3({ budgetSat: 1_000n });
  expect(quote).toEqual({
    ...{ quoteId: `00000001${'00'.repeat(12)}`, nodeId: 'a', isListed: false },
    ...{ terms, contractId: contractIdOf(terms), untilMonotonicMs: clock.monotonicMs() + 1_000 },
  });
});

it('requests are counted for each peer, and for all together that are not listed, and again with time', () => {
  const { clock, book } = stood();
  const asks = (node: string, isListed: boolean): unknown => {
    try {
      book.count(node, isListed);
      return 'counted';
    } catch (error) {
      const limit = error instanceof CodedError ? error.meta['limit'] : undefined;
      return [codeOf(error), limit];
    }
  };
  const { peerQuotesPerMinute: own, strangerQuotesPerMinute: together } = LIMITS;
  for (let each = 0; each < own; each += 1) expect(asks('a', true)).toBe('counted');
  // It is the peer's own fault, which is counted; that of all is nobody's.
  expect(asks('a', true)).toEqual(['too_often', 'peerQuotesPerMinute']);
  for (let each = 0; each < together; each += 1) expect(asks(`${each}`, false)).toBe('counted');
  expect(asks('one more', false)).toEqual(['too_often', undefined]);
  expect(asks('b', true)).toBe('counted');
  clock.advance(60_000 / own);
  expect([asks('a', true), asks('a', true)]).toEqual(['counted', ['too_often', 'peerQuotesPerMinute']]);
  // In that time as many more of the others as are four times that rate.
  for (let each = 0; each < together / own; each += 1) expect(asks(`late ${each}`, false)).toBe('counted');
  expect(asks('two more', false)).toEqual(['too_often', undefined]);
});
