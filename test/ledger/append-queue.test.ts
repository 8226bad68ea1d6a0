import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { AppendQueue } from '../../src/ledger/append-queue.ts';
import { appendFrameSize } from '../../src/ledger/frame.ts';
import type { LedgerStats } from '../../src/ledger/ledger.ts';
import { log, put } from './suite.ts';

const ONE = [put('k', '1')];
const TWO = [put('k', '2'), put('k', '3')];
const OPEN = { maxQueuedWrites: 1000, maxQueuedBytes: 1_000_000, maxRecordBytes: 1000 };

function queueOf(limits: Partial<typeof OPEN> = {}) {
  const stats = { queuedWrites: 0 } as LedgerStats;
  const queue = new AppendQueue({ ...OPEN, ...limits }, stats);
  const told: string[] = [];
  /** Pushes, and tells under a name how it ended. */
  const push = (name: string, entries: typeof ONE): Promise<void> =>
    queue.push(entries, []).then(
      () => void told.push(name),
      (error: unknown) => void told.push(`${name}: ${(error as CodedError).message}`),
    );
  return { queue, stats, told, push };
}

describe('appends that wait', () => {
  it('are counted in writes and bytes, until they are taken as one group', async () => {
    const { queue, stats, told, push } = queueOf();
    expect([queue.isEmpty, queue.isWaiting, queue.groupsInFlight]).toEqual([true, false, 0]);
    expect(queue.takeGroup()).toBeUndefined();
    const ends = [push('a', ONE), push('b', TWO)];
    const bytes = appendFrameSize(ONE) + appendFrameSize(TWO);
    expect([queue.waitingWrites, queue.waitingBytes, stats.queuedWrites]).toEqual([3, bytes, 3]);
    expect([queue.isEmpty, queue.isWaiting]).toEqual([false, true]);

    expect(queue.takeGroup()?.size).toBeGreaterThanOrEqual(bytes);
    expect(queue.takeGroup()).toBeUndefined();
    expect([queue.waitingWrites, queue.waitingBytes, stats.queuedWrites]).toEqual([0, 0, 3]);
    expect([queue.isEmpty, queue.isWaiting, queue.groupsInFlight]).toEqual([false, false, 1]);
    expect(told).toEqual([]);

    queue.settleGroup([]);
    await Promise.all(ends);
    expect(told).toEqual(['a', 'b']);
    expect([queue.isEmpty, queue.groupsInFlight, stats.queuedWrites]).toEqual([true, 0, 0]);
  });

  it('without an entry are a group too', async () => {
    const { queue, told, push } = queueOf();
    const end = push('nothing', []);
    expect([queue.isWaiting, queue.waitingWrites, queue.isEmpty]).toEqual([true, 0, false]);
    expect(queue.takeGroup()).toBeDefined();
    queue.settleGroup([]);
    await end;
    expect(told).toEqual(['nothing']);
  });

  it('settle group by group, the oldest first, and one with a conflict alone is refused', async () => {
    const { queue, stats, told, push } = queueOf();
    const first = [push('a', ONE), push('b', TWO), push('c', ONE)];
    queue.takeGroup();
    const second = [push('d', ONE)];
    queue.takeGroup();
    expect(queue.groupsInFlight).toBe(2);
    queue.settleGroup([{ append: 1, detail: 'b was there' }]);
    await Promise.all(first);
    expect(told).toEqual(['a', 'b: ledger_conflict: b was there', 'c']);
    expect([queue.groupsInFlight, stats.queuedWrites]).toEqual([1, 1]);
    queue.settleGroup([]);
    await Promise.all(second);
    expect([told.at(-1), queue.isEmpty, stats.queuedWrites]).toEqual(['d', true, 0]);
    expect(() => queue.settleGroup([])).toThrow('ledger_reply_without_group');
  });

  it('fail all at once, those in flight and those that wait, and then it is empty', async () => {
    const { queue, stats, told, push } = queueOf();
    const ends = [push('a', ONE)];
    queue.takeGroup();
    ends.push(push('b', TWO), push('c', ONE));
    queue.failAll(() => new CodedError('ledger_io', 'gone'));
    await Promise.all(ends);
    expect(told).toEqual(['a', 'b', 'c'].map((name) => `${name}: ledger_io: gone`));
    expect([queue.isEmpty, queue.isWaiting, queue.waitingBytes]).toEqual([true, false, 0]);
    expect([queue.groupsInFlight, stats.queuedWrites]).toEqual([0, 0]);
    expect(queue.takeGroup()).toBeUndefined();
  });

  it('use a spare buffer where there is one', () => {
    const { queue } = queueOf();
    const spare = [new ArrayBuffer(1 << 16)];
    void queue.push(ONE, spare);
    expect(spare).toEqual([]);
    const more = [new ArrayBuffer(1 << 16)];
    void queue.push(ONE, more);
    expect(more).toHaveLength(1);
  });
});

describe('what cannot be taken', () => {
  const limitOf = (error: CodedError | undefined): unknown => [error?.code, error?.meta['limit']];

  it('is a record above its bound, wherever it stands', () => {
    const { queue } = queueOf({ maxRecordBytes: 5 });
    const body = (bytes: number) => put('id', 'x'.repeat(bytes));
    expect(queue.refusal([body(5), body(5)])).toBeUndefined();
    expect(limitOf(queue.refusal([body(6)]))).toEqual(['overload', 'ledgerRecordBytes']);
    expect(limitOf(queue.refusal([body(1), body(6)]))).toEqual(['overload', 'ledgerRecordBytes']);
    expect(queue.refusal([])).toBeUndefined();
  });

  it('is more writes than may wait, those in flight too', async () => {
    const { queue, push } = queueOf({ maxQueuedWrites: 3 });
    const end = push('a', TWO);
    expect(queue.refusal(ONE)).toBeUndefined();
    expect(limitOf(queue.refusal(TWO))).toEqual(['overload', 'ledgerQueuedWrites']);
    queue.takeGroup();
    expect(limitOf(queue.refusal(TWO))).toEqual(['overload', 'ledgerQueuedWrites']);
    queue.settleGroup([]);
    await end;
    expect(queue.refusal(TWO)).toBeUndefined();
  });

  it('is anything behind more bytes than may wait, until their commit', async () => {
    const { queue, push } = queueOf({ maxQueuedBytes: appendFrameSize(ONE) });
    const ends = [push('a', ONE)];
    expect(queue.refusal(ONE)).toBeUndefined();
    ends.push(push('b', ONE));
    expect(limitOf(queue.refusal(ONE))).toEqual(['overload', 'ledgerQueuedBytes']);
    queue.takeGroup();
    expect(limitOf(queue.refusal([]))).toEqual(['overload', 'ledgerQueuedBytes']);
    queue.settleGroup([]);
    await Promise.all(ends);
    expect(queue.refusal(ONE)).toBeUndefined();
  });
});

describe('batches that are one row', () => {
  it('are settled by what became of the append they are in', async () => {
    const { queue, push, told } = queueOf();
    const batch = (first: number) => [log(first, 2), put('s', `${first + 2}`)];
    const ends = ['b', 'c', 'd'].map((name, index) => ({ name, entries: batch(2 * index) }));
    const all = [{ name: 'a', entries: ONE }, ...ends, { name: 'e', entries: ONE }];
    const settled = all.map(({ name, entries }) => push(name, entries));
    queue.takeGroup();
    queue.settleGroup([{ append: 1, detail: 'no end' }]);
    await Promise.all(settled);
    const refused = ends.map(({ name }) => `${name}: ledger_conflict: no end`);
    expect(told.toSorted()).toEqual(['a', ...refused, 'e']);
    expect(queue.isEmpty).toBe(true);
  });
});
