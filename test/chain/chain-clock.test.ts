import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { ChainClock, type ChainStanding } from '../../src/chain/chain-clock.ts';
import type { ChainSource, ChainTip } from '../../src/chain/source.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from './log-recorder.ts';

const INTERVAL_MS = 600_000;
const CHECK_MS = 30_000;

/** A clock over a node in the hands of a test. */
function setUp(options: { readonly blockIntervalMs?: number; readonly lateBlocks?: number } = {}) {
  const time = new VirtualTime();
  const { lines, log } = recorder();
  const node = {
    tip: undefined as ChainTip | undefined,
    questions: 0,
    onTip: undefined as ((tip: ChainTip) => void) | undefined,
    /** Told later, by the test. */
    held: undefined as Promise<void> | undefined,
  };
  const chain = {
    tip: async () => {
      node.questions += 1;
      await node.held;
      if (node.tip === undefined) throw new CodedError('chain_unreachable');
      return node.tip;
    },
    watchTip: (onTip: (tip: ChainTip) => void) => {
      node.onTip = onTip;
      return () => {
        node.onTip = undefined;
      };
    },
  } as unknown as ChainSource;
  const clock = new ChainClock(
    { blockIntervalMs: INTERVAL_MS, ...options },
    { chain, clock: time.clock, timers: time.timers, log },
  );
  const heard: ChainStanding[] = [];
  const unwatch = clock.watch((standing) => heard.push(standing));
  /** A tip whose block is so old by its date. */
  const tipOf = (height: number, ageMs = 0): ChainTip => ({
    ...{ height, hash: `h${height}` },
    timeSeconds: (time.clock.nowMs() - ageMs) / 1000,
  });
  return { time, lines, node, clock, heard, unwatch, tipOf };
}

describe('the clock of the chain', () => {
  it('knows nothing before a tip but how long it is silent', async () => {
    const { time, clock, heard } = setUp();
    const nothing = { isStalled: false, height: undefined, projectedHeight: undefined };
    expect(clock.standing).toEqual({ ...nothing, silentMs: 0 });
    await time.advance(7_000);
    expect(clock.standing).toEqual({ ...nothing, silentMs: 7_000 });
    clock.stop();
    expect(heard).toEqual([]);
  });

  it('tells at each tip, and how high the chain must be by its date', async () => {
    const { time, node, clock, heard, tipOf } = setUp();
    clock.start();
    node.onTip!(tipOf(100, 2.5 * INTERVAL_MS));
    expect(heard).toEqual([{ isStalled: false, height: 100, projectedHeight: 102, silentMs: 0 }]);
    await time.advance(10_000);
    node.onTip!(tipOf(101, 5 * INTERVAL_MS));
    // Only the first tip of a run is as old as its date says.
    expect(heard[1]).toEqual({ isStalled: false, height: 101, projectedHeight: 101, silentMs: 0 });
    clock.stop();
    expect(node.onTip).toBeUndefined();
  });

  it('asks all nodes every half minute, tells what it found, and says a silence once and its end', async () => {
    const { time, node, clock, heard, lines, tipOf } = setUp({ lateBlocks: 3 });
    node.tip = tipOf(100);
    clock.start();
    await time.advance(CHECK_MS - 1);
    expect([node.questions, heard.length]).toEqual([0, 0]);
    await time.advance(1);
    expect(node.questions).toBe(1);
    expect(heard).toEqual([{ isStalled: false, height: 100, projectedHeight: 100, silentMs: 0 }]);
    await time.advance(3 * INTERVAL_MS - CHECK_MS);
    expect(clock.standing).toEqual({
      ...{ isStalled: true, height: 100, projectedHeight: 103 },
      silentMs: 3 * INTERVAL_MS - CHECK_MS,
    });
    expect(node.questions).toBe((3 * INTERVAL_MS) / CHECK_MS);
    expect(heard).toHaveLength(node.questions);
    await time.advance(10 * CHECK_MS);
    expect(lines).toMatchObject([
      [
        'error',
        { code: 'chain_stalled', height: 100, projectedHeight: 103 },
        'no bitcoin node hears of blocks',
      ],
    ]);
    node.tip = tipOf(104);
    await time.advance(CHECK_MS);
    expect(lines[1]).toMatchObject(['info', { height: 104 }, 'blocks come again']);
    expect(clock.standing.isStalled).toBe(false);
    expect(lines).toHaveLength(2);
    clock.stop();
  });

  it('is not stalled one look before the last late block is due, by default the twelfth', async () => {
    const { time, node, clock, tipOf } = setUp();
    node.tip = tipOf(100);
    clock.start();
    node.onTip!(node.tip);
    await time.advance(12 * INTERVAL_MS - CHECK_MS);
    expect(clock.standing.isStalled).toBe(false);
    await time.advance(CHECK_MS);
    expect(clock.standing.isStalled).toBe(true);
    clock.stop();
  });

  it('takes a node that does not answer for a look without news, and goes on', async () => {
    const { time, node, clock, heard, lines } = setUp({ lateBlocks: 1 });
    clock.start();
    await time.advance(INTERVAL_MS);
    expect(node.questions).toBe(INTERVAL_MS / CHECK_MS);
    expect(heard.at(-1)).toMatchObject({ isStalled: true, height: undefined, silentMs: INTERVAL_MS });
    expect(lines).toMatchObject([
      ['error', { height: undefined, projectedHeight: 0 }, 'no bitcoin node hears of blocks'],
    ]);
    clock.stop();
  });

  it('asks nobody where nothing is projected, and still tells of tips', async () => {
    const { time, node, clock, heard, tipOf } = setUp({ blockIntervalMs: 0 });
    clock.start();
    await time.advance(100 * INTERVAL_MS);
    expect(node.questions).toBe(0);
    node.onTip!(tipOf(7));
    expect(heard).toEqual([{ isStalled: false, height: 7, projectedHeight: 7, silentMs: 0 }]);
    clock.stop();
  });

  it('tells nobody who went away, and nobody once it is stopped', async () => {
    const { time, node, clock, heard, unwatch, tipOf } = setUp();
    const others: ChainStanding[] = [];
    clock.watch((standing) => others.push(standing));
    clock.start();
    unwatch();
    node.onTip!(tipOf(1));
    expect([heard.length, others.length]).toEqual([0, 1]);
    const tell = node.onTip!;
    clock.stop();
    tell(tipOf(2));
    await time.advance(10 * CHECK_MS);
    expect(others).toHaveLength(1);
    expect(node.questions).toBe(0);
  });

  it('begins no look after one in the midst of which it is stopped', async () => {
    const { time, node, clock } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    node.held = promise;
    clock.start();
    await time.advance(CHECK_MS);
    clock.stop();
    resolve();
    await time.settle();
    await time.advance(10 * CHECK_MS);
    expect(node.questions).toBe(1);
  });
});
