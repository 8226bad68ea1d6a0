import { expect, it } from 'vitest';
import { workOfTarget } from '../../src/bitcoin/target.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import type { UpstreamVerdict } from '../../src/upstream/upstream-share.ts';

const TARGET = 1n << 220n;
const verdict = (outcome: UpstreamVerdict['outcome'], rttMs?: number): UpstreamVerdict => ({
  ...{ outcome, code: undefined, reason: `${outcome} for a reason`, rttMs },
});

it('a book has an account for each pool, in the order of the configuration, and for others that come up', () => {
  const book = new PoolBook(['first', 'second']);
  expect(book.figures.map(({ name }) => name)).toEqual(['first', 'second']);
  book.connected('second', 1);
  book.connected('second', 1);
  book.connected('third', 1);
  book.connected('second', -1);
  expect(book.figures.map(({ name, connections }) => [name, connections])).toEqual([
    ['first', 0],
    ['second', 1],
    ['third', 1],
  ]);
});

it('it counts what was sent, how late, what the pool said of it, what we said, and the work of both', () => {
  const seconds: number[] = [];
  const book = new PoolBook(['pool', 'other'], (each) => void seconds.push(each));
  const tokens = [{}, {}, {}, {}, {}];
  for (const [index, token] of tokens.entries()) book.sent('pool', token, index > 2);
  const outcomes = ['accepted', 'accepted', 'refused', 'timeout', 'lost'] as const;
  for (const [index, outcome] of outcomes.entries()) {
    const rttMs = index < 2 ? 250 * (index + 1) : undefined;
    book.answered('pool', tokens[index]!, verdict(outcome, rttMs), TARGET);
  }
  for (const [index, token] of tokens.entries()) book.judged('pool', token, index !== 1);
  book.credited('pool', 40n);
  book.credited('pool', 2n);
  const [pool, other] = book.figures;
  expect(pool).toEqual({
    ...{ name: 'pool', connections: 0, lateSolutions: 2, creditedWorkHashes: 42n },
    solutions: { accepted: 2, refused: 1, timeout: 1, lost: 1 },
    acceptedWorkHashes: 2n * workOfTarget(TARGET),
    verdicts: {
      ...{ weAcceptedTheyAccepted: 1, weAcceptedTheyRejected: 1, weAcceptedTheySilent: 2 },
      ...{ weRejectedTheyAccepted: 1, weRejectedTheyRejected: 0, weRejectedTheySilent: 0, incomplete: 0 },
    },
    lastRefusal: 'refused for a reason',
  });
  expect(other).toMatchObject({ lateSolutions: 0, acceptedWorkHashes: 0n, lastRefusal: undefined });
  expect(seconds).toEqual([0.25, 0.5]);
  new PoolBook(['pool']).answered('pool', {}, verdict('accepted', 3), TARGET);
});

it('an extranonce1 of a pool has one holder at a time, who has one', () => {
  const book = new PoolBook(['pool']);
  const [a, b] = [{}, {}];
  const [one, two] = [Uint8Array.of(1, 2), Uint8Array.of(1, 3)];
  expect([book.hold('pool', one, a), book.hold('pool', one, a)]).toEqual([true, true]);
  expect([book.hold('pool', one, b), book.hold('other', one, b)]).toEqual([false, true]);
  // Who takes another lets go of what it held, also where it does not get it.
  expect([book.hold('pool', two, a), book.hold('pool', one, b)]).toEqual([true, true]);
  expect([book.hold('pool', one, a), book.hold('pool', two, b)]).toEqual([false, true]);
  book.release({});
  expect(book.hold('pool', two, a)).toBe(false);
  book.release(b);
  expect([book.hold('pool', two, a), book.hold('pool', one, b)]).toEqual([true, true]);
});
