import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { BlockTemplate, TemplateTransaction } from '../../src/chain/block-template.ts';
import { branchesOf, TemplateWatch, type TemplateWatchOptions } from '../../src/chain/template-watch.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from './log-recorder.ts';

const POLL_MS = 30_000;
const LAG_MS = 300_000;
const BITS = 0x1705ae3a;
const LEAST = 0x1d00ffff;
const A = 'aa'.repeat(32);
const B = 'bb'.repeat(32);
const BEFORE = 'ee'.repeat(32);
const transaction = (n: number): TemplateTransaction => ({
  txid: n.toString(16).padStart(64, '0'),
  hex: `0${n}`,
});

/** A watch over a node in the hands of a test. */
function setUp(options: Partial<TemplateWatchOptions> = {}) {
  const time = new VirtualTime();
  const { lines, log } = recorder();
  const node = {
    template: {
      ...{ previousHash: A, height: 101, bits: BITS, timeSeconds: 5_000, minTimeSeconds: 4_000 },
      ...{ feesSat: 700n, transactions: [transaction(1), transaction(2)] },
    } as BlockTemplate,
    waitingFeesSat: undefined as bigint | undefined,
    error: undefined as Error | undefined,
    templates: 0,
    headers: [] as string[],
    parentTimeSeconds: 4_500 as number | undefined,
    onTip: undefined as (() => void) | undefined,
    held: undefined as Promise<void> | undefined,
  };
  const blocks = {
    template: async () => {
      node.templates += 1;
      const { template } = node;
      await node.held;
      if (node.error !== undefined) throw node.error;
      return template;
    },
    waitingFeesSat: async () => node.waitingFeesSat,
  };
  const chain = {
    blocks,
    header: async (hash: string) => {
      node.headers.push(hash);
      return node.parentTimeSeconds === undefined ? undefined : { timeSeconds: node.parentTimeSeconds };
    },
    watchTip: (onTip: () => void) => {
      node.onTip = onTip;
      return () => {
        node.onTip = undefined;
      };
    },
  };
  const watch = new TemplateWatch(
    { network: 'mainnet', kept: 2, ...options },
    { chain: chain as never, clock: time.clock, timers: time.timers, log },
  );
  const look = async (changes: Partial<BlockTemplate> = {}): Promise<void> => {
    node.template = { ...node.template, ...changes };
    await watch.look();
  };
  return { time, lines, node, chain, watch, look };
}

describe('a watch of templates', () => {
  it('looks at each tip and twice a minute, from its start to its stop', async () => {
    const { time, node, watch } = setUp();
    watch.stop();
    watch.start();
    watch.start();
    expect(node.templates).toBe(0);
    await time.advance(POLL_MS);
    expect(node.templates).toBe(1);
    node.onTip!();
    await time.settle();
    expect(node.templates).toBe(2);
    await time.advance(POLL_MS - 1);
    expect(node.templates).toBe(2);
    await time.advance(1);
    expect(node.templates).toBe(3);
    watch.stop();
    expect(node.onTip).toBeUndefined();
    await time.advance(10 * POLL_MS);
    expect(node.templates).toBe(3);
    watch.start();
    await time.advance(POLL_MS);
    expect(node.templates).toBe(4);
    watch.stop();
  });

  it('looks as often as it is told', async () => {
    const { time, node, watch } = setUp({ pollMs: 1_000 });
    watch.start();
    await time.advance(3_000);
    expect(node.templates).toBe(3);
    watch.stop();
  });

  it('looks once more for all who ask while it looks', async () => {
    const { node, watch } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    node.held = promise;
    const looks = [watch.look(), watch.look(), watch.look()];
    node.template = { ...node.template, previousHash: B };
    resolve();
    await Promise.all(looks);
    expect(node.templates).toBe(2);
    expect(watch.parentHash).toBe(B);
    await watch.look();
    expect(node.templates).toBe(3);
  });

  it('looks for the template on a tip, waits a little, and once of each', async () => {
    const { time, node, watch } = setUp();
    await watch.see(A);
    expect([watch.hasSeen(A), node.templates]).toEqual([true, 1]);
    await watch.see(A);
    expect(node.templates).toBe(1);
    // A node that is behind says the same as before: it is not asked for that block again.
    await watch.see(B);
    await watch.see(B);
    expect(node.templates).toBe(2);
    // One that is slow is waited for a second.
    const { promise, resolve } = Promise.withResolvers<void>();
    node.held = promise;
    let isOver = false;
    const seen = watch.see('cc'.repeat(32)).then(() => {
      isOver = true;
    });
    await time.advance(999);
    expect(isOver).toBe(false);
    await time.advance(1);
    await seen;
    await watch.see('cc'.repeat(32));
    resolve();
    await time.settle();
    expect(node.templates).toBe(3);
  });

  it('does not wait for a node that gives none, until it does', async () => {
    const { node, watch } = setUp();
    node.error = new CodedError('chain_unreachable', 'gone');
    await watch.see(A);
    await watch.see(B);
    await watch.lookSoon();
    expect(node.templates).toBe(1);
    node.error = undefined;
    await watch.look();
    node.template = { ...node.template, previousHash: B };
    await watch.lookSoon();
    expect([watch.hasSeen(B), node.templates]).toEqual([true, 3]);
  });

  it('knows when it last had a template, and says once that it has none', async () => {
    const { time, node, watch, lines } = setUp();
    expect([watch.templateAtMs, watch.parentHash]).toEqual([undefined, undefined]);
    expect(watch.transactions).toEqual([]);
    node.error = new CodedError('chain_rpc', 'no template today');
    await watch.look();
    await watch.look();
    const said = 'the node gives no block template: work is checked by less';
    const failure = ['warn', { code: 'chain_rpc', detail: 'chain_rpc: no template today' }, said];
    expect(lines).toMatchObject([failure]);
    expect(watch.templateAtMs).toBeUndefined();
    node.error = undefined;
    await time.advance(77);
    await watch.look();
    expect(watch.templateAtMs).toBe(77);
    node.error = new CodedError('chain_rpc', 'no template today');
    await watch.look();
    expect(lines).toMatchObject([failure, failure]);
    node.error = new TypeError('a fault of ours');
    await expect(watch.look()).rejects.toThrow('a fault of ours');
  });

  it('of a chain without block making has nothing', async () => {
    const { watch, chain } = setUp();
    delete (chain as { blocks?: unknown }).blocks;
    await watch.look();
    expect([watch.templateAtMs, watch.parentHash]).toEqual([undefined, undefined]);
  });
});

describe('what is known of the block after a parent', () => {
  const seenAlways = { height: 101, parentTimeSeconds: 4_500, minTimeSeconds: 4_000 };

  it('is what templates say; its time is asked for once', async () => {
    const { node, watch, look } = setUp();
    await look({ previousHash: BEFORE });
    await look({ previousHash: A });
    expect(watch.hasSeen(A)).toBe(true);
    expect(watch.hasSeen(B)).toBe(false);
    expect(watch.seenFactsOf(B)).toBeUndefined();
    const facts = { ...seenAlways, bits: BITS, feesSat: 700n, waitingFeesSat: 700n };
    expect(watch.seenFactsOf(A)).toEqual(facts);
    expect(watch.factsOf(A, { height: 5, bits: 1 })).toEqual(facts);
    await look({ minTimeSeconds: 4_001 });
    expect(watch.seenFactsOf(A)).toEqual({ ...facts, minTimeSeconds: 4_001 });
    expect(node.headers).toEqual([BEFORE, A]);
  });

  it('is what follows from the parent where no template says more', async () => {
    const { watch } = setUp();
    expect(watch.factsOf(B, { height: 5, bits: BITS })).toMatchObject({ height: 6, bits: BITS });
  });

  it('has no time of a parent whose header the node does not have', async () => {
    const { node, watch, look } = setUp();
    node.parentTimeSeconds = undefined;
    await look();
    expect(watch.seenFactsOf(A)).toMatchObject({ parentTimeSeconds: undefined, bits: BITS });
  });

  it('has nBits of a time that is not late, by the template or by the parent', async () => {
    const { watch, look } = setUp({ network: 'testnet4' });
    await look({ bits: LEAST, timeSeconds: 4_500 + 1_201 });
    expect(watch.seenFactsOf(A)).toMatchObject({ bits: undefined });
    expect(watch.factsOf(A, { height: 100, bits: BITS })).toMatchObject({ bits: BITS, height: 101 });
    await look({ bits: BITS, timeSeconds: 4_500 + 1_200 });
    expect(watch.seenFactsOf(A)).toMatchObject({ bits: BITS });
    await look({ bits: LEAST, timeSeconds: 4_500 + 1_201 });
    expect(watch.seenFactsOf(A)).toMatchObject({ bits: BITS });
  });

  it('has no fees that must be claimed where it may have stood unseen: for five minutes', async () => {
    const { time, node, watch, look } = setUp();
    const feesSat = () => watch.seenFactsOf(node.template.previousHash)!.feesSat;
    // After a start work on the tip may be older than the first look.
    await look({ feesSat: 700n });
    expect(feesSat()).toBe(0n);
    await time.advance(LAG_MS - 1);
    await look();
    expect(feesSat()).toBe(0n);
    await time.advance(1);
    await look();
    expect(feesSat()).toBe(700n);
    // Two looks that failed are nothing; after one more the next block may have stood for a while.
    await time.advance(2 * POLL_MS);
    await look({ previousHash: B });
    expect(feesSat()).toBe(700n);
    await time.advance(2 * POLL_MS + 1);
    await look({ previousHash: BEFORE });
    expect(feesSat()).toBe(0n);
    await time.advance(LAG_MS);
    await look();
    expect(feesSat()).toBe(700n);
  });

  it('has the least fees of five minutes, with the template before them, and the most that waits', async () => {
    const { time, node, watch, look } = setUp();
    const fees = () => {
      const { feesSat, waitingFeesSat } = watch.seenFactsOf(A)!;
      return [feesSat, waitingFeesSat];
    };
    node.waitingFeesSat = 5_000n;
    await look({ previousHash: BEFORE });
    await look({ previousHash: A, feesSat: 100n });
    await time.advance(1_000);
    node.waitingFeesSat = 9_000n;
    await look({ feesSat: 300n });
    expect(fees()).toEqual([100n, 9_000n]);
    node.waitingFeesSat = undefined;
    await time.advance(LAG_MS - 1_001);
    await look({ feesSat: 200n });
    expect(fees()).toEqual([100n, 9_000n]);
    // The first holds at the beginning of the five minutes.
    await time.advance(1);
    await look({ feesSat: 250n });
    expect(fees()).toEqual([100n, 9_000n]);
    await time.advance(1_000);
    await look({ feesSat: 250n });
    expect(fees()).toEqual([200n, 9_000n]);
    // At the begin of them is that of 200.
    await time.advance(LAG_MS - 1_001);
    await look({ feesSat: 280n });
    expect(fees()).toEqual([200n, 280n]);
    await time.advance(2 * LAG_MS);
    await look({ feesSat: 400n });
    expect(fees()).toEqual([280n, 400n]);
  });

  it('has the fees of a time before, with its five minutes, and of all since', async () => {
    const { time, watch, look } = setUp();
    const startMs = time.clock.monotonicMs();
    const least = (sinceMs?: number) => watch.seenFactsOf(A, sinceMs)!.feesSat;
    await look({ previousHash: BEFORE });
    for (const feesSat of [500n, 100n, 200n, 300n]) {
      await look({ previousHash: A, feesSat });
      await time.advance(LAG_MS);
    }
    await look({ feesSat: 400n });
    expect(least()).toBe(300n);
    expect(least(startMs + 4 * LAG_MS + 1)).toBe(300n);
    expect(least(startMs + 3 * LAG_MS + 1)).toBe(200n);
    expect(least(startMs + 3 * LAG_MS - 1)).toBe(100n);
    expect(least(startMs)).toBe(100n);
    expect(watch.factsOf(A, { height: 5, bits: 1 }, startMs + 2 * LAG_MS + 1).feesSat).toBe(100n);
  });

  it('keeps the fees of a thousand templates of one tip', async () => {
    const { watch, look } = setUp();
    await look({ previousHash: BEFORE });
    await look({ previousHash: A, feesSat: 1n });
    for (let n = 1; n < 1_000; n += 1) await look({ feesSat: 5n });
    expect(watch.seenFactsOf(A)!.feesSat).toBe(1n);
    await look();
    expect(watch.seenFactsOf(A)!.feesSat).toBe(5n);
  });

  it('is forgotten of the oldest of 145 parents; one seen again is young', async () => {
    const { watch, look } = setUp();
    const parent = (n: number): string => n.toString(16).padStart(64, '0');
    for (let n = 0; n < 144; n += 1) await look({ previousHash: parent(n), height: n + 1 });
    expect(watch.hasSeen(parent(0))).toBe(true);
    await look({ previousHash: parent(0), height: 1 });
    await look({ previousHash: parent(144), height: 145 });
    expect([0, 1, 2, 144].map((n) => watch.hasSeen(parent(n)))).toEqual([true, false, true, true]);
  });
});

describe('the transactions of a job', () => {
  const branches = (...numbers: readonly number[]) => branchesOf(numbers.map((n) => transaction(n).txid));

  it('are those of a kept template with its branches', async () => {
    const { watch, look } = setUp();
    expect(watch.transactionsOf(branches(1, 2))).toBeUndefined();
    expect(watch.transactionsOf([])).toEqual([]);
    await look();
    await look({ transactions: [transaction(2), transaction(3), transaction(4)] });
    expect(watch.transactions.map(({ hex }) => hex)).toEqual(['02', '03', '04']);
    expect(watch.transactionsOf(branches(1, 2))).toEqual([transaction(1), transaction(2)]);
    expect(watch.transactionsOf(branches(2, 3, 4))).toEqual(watch.transactions);
    expect(watch.transactionsOf(branches(2, 3))).toBeUndefined();
    await look({ transactions: [] });
    expect(watch.transactions).toEqual([]);
    expect(watch.transactionsOf(branches(1, 2))).toBeUndefined();
    expect(watch.transactionsOf(branches(2, 3, 4))).toHaveLength(3);
  });

  it('are kept once where templates share them', async () => {
    const { watch, look } = setUp();
    await look();
    const [, second] = watch.transactions;
    await look({ transactions: [{ ...transaction(2) }, transaction(3)] });
    expect(watch.transactions[0]).toBe(second);
  });
});
