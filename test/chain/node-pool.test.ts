import { describe, expect, it } from 'vitest';
import {
  asked,
  type Delivery,
  mayAnswer,
  type PoolEvent,
  type PoolState,
  poolOf,
  transition,
  verdictOf,
} from '../../src/chain/node-pool.ts';

const OPTIONS = { lagBlocks: 2 };
const tip = (node: number, height: number, fork = ''): PoolEvent => ({
  type: 'tip',
  node,
  tip: { height, hash: `${height}${fork}`, timeSeconds: 0 },
});
const failed = (node: number, code = 'chain_unreachable'): PoolEvent => ({
  type: 'failed',
  node,
  code,
  detail: 'd',
});

/** All that happens to a pool of so many nodes, in words. */
function poolAfter(nodes: number, ...events: readonly PoolEvent[]) {
  let state: PoolState = poolOf(nodes);
  const said: string[][] = [];
  events.forEach((event, index) => {
    const step = transition(OPTIONS, state, event, 1_000 + index);
    state = step.state;
    said.push(
      step.effects.map((effect) => {
        if (effect.type === 'tip') return `tip ${effect.tip.hash}`;
        return effect.type === 'back' ? `back ${effect.node}` : `away ${effect.node} ${effect.code}`;
      }),
    );
  });
  return { state, said, order: asked(OPTIONS, state) };
}

describe('several nodes', () => {
  it('are as nobody heard them at first, and asked in their order', () => {
    const { state, order } = poolAfter(3);
    expect(state.nodes.map((node) => node.state)).toEqual(['unknown', 'unknown', 'unknown']);
    expect([order, state.best, mayAnswer(state, 0)]).toEqual([[0, 1, 2], undefined, false]);
    expect(() => transition(OPTIONS, state, tip(3, 1), 0)).toThrow('invariant');
  });

  it('tell of a tip once, and of none that is not better', () => {
    const { said, state } = poolAfter(2, tip(0, 5), tip(0, 5), tip(1, 5, 'b'), tip(1, 6, 'b'), tip(0, 6));
    expect(said).toEqual([['tip 5'], [], [], ['tip 6b'], []]);
    expect(state.nodes[0]).toMatchObject({ state: 'ready', answeredAtMs: 1_004, error: undefined });
  });

  it('take a tip back once each that told of it tells of another', () => {
    const { said } = poolAfter(2, tip(0, 7), tip(1, 7), tip(0, 6, 'b'), tip(1, 6, 'b'));
    expect(said).toEqual([['tip 7'], [], [], ['tip 6b']]);
  });

  it('are said to be away once for each reason, and back once', () => {
    const { said, state } = poolAfter(
      2,
      tip(0, 5),
      failed(0),
      failed(0),
      failed(0, 'chain_syncing'),
      tip(0, 5),
      tip(0, 5),
      failed(1, 'chain_rpc'),
    );
    expect(said).toEqual([
      ['tip 5'],
      ['away 0 chain_unreachable'],
      [],
      ['away 0 chain_syncing'],
      ['back 0'],
      [],
      ['away 1 chain_rpc'],
    ]);
    // An error as the answer says nothing of the node's health.
    expect(state.nodes[1]!.state).toBe('unknown');
    expect(state.nodes[1]!.error).toEqual({ code: 'chain_rpc', detail: 'd' });
  });

  it('keep what they told of while they are away, but for those of another chain', () => {
    const away = poolAfter(2, tip(0, 5), tip(1, 9, 'x'), failed(0), failed(1, 'chain_network'));
    expect(away.state.nodes.map(({ state, tip: told }) => [state, told?.hash])).toEqual([
      ['unreachable', '5'],
      ['other_network', undefined],
    ]);
    expect(away.said[3]).toEqual(['away 1 chain_network', 'tip 5']);
    expect(away.order).toEqual([0, 1]);
    expect(poolAfter(2, failed(0, 'chain_network')).order).toEqual([1, 0]);
    expect(poolAfter(2, failed(0, 'chain_syncing')).state.nodes[0]!.state).toBe('syncing');
  });

  it('are behind when more than so many blocks below the best, and said so once', () => {
    const { said, state } = poolAfter(2, tip(0, 5), tip(1, 7), tip(1, 8), tip(1, 9), tip(0, 7), tip(1, 10));
    expect(said).toEqual([
      ['tip 5'],
      ['tip 7'],
      ['away 0 chain_behind', 'tip 8'],
      ['tip 9'],
      [],
      ['away 0 chain_behind', 'tip 10'],
    ]);
    expect([mayAnswer(state, 0), mayAnswer(state, 1)]).toEqual([false, true]);
    const { effects } = transition(OPTIONS, poolAfter(2, tip(0, 5)).state, tip(1, 8), 0);
    expect(effects[0]).toMatchObject({ detail: 'at height 5 of 8' });
  });

  it('are asked by how near they are to the best tip, those away last', () => {
    // At the tip, at another of its height, one below, two below, behind, and one that is away.
    const { order } = poolAfter(
      6,
      ...[tip(5, 10), tip(4, 10, 'b'), tip(3, 9), tip(2, 8), tip(1, 7), tip(0, 10), failed(0)],
    );
    expect(order).toEqual([5, 4, 3, 2, 0, 1]);
    expect(poolAfter(3, tip(2, 10), tip(0, 10), tip(1, 10)).order).toEqual([0, 1, 2]);
    expect(poolAfter(3, tip(1, 8), tip(0, 8), tip(2, 9)).order).toEqual([2, 0, 1]);
  });
});

describe('whose word on a transaction counts', () => {
  /** Of two nodes: the first is away, the second in the present. */
  const { state } = poolAfter(2, failed(0), tip(1, 5));
  const was = (node: number, code?: string): Delivery => ({
    node,
    error: code === undefined ? undefined : { code },
  });
  it.each<[string, Delivery, Delivery]>([
    ['taken in the present, before taken elsewhere', was(1), was(0)],
    ['a refusal in the present, before taken elsewhere', was(1, 'tx_refused'), was(0)],
    ['taken elsewhere, before an error', was(0), was(1, 'chain_rpc')],
    ['taken elsewhere, before a silence', was(0), was(1, 'chain_unreachable')],
    ['taken in the present, before a refusal elsewhere', was(1), was(0, 'tx_refused')],
    ['a refusal in the present, before one elsewhere', was(1, 'tx_refused'), was(0, 'tx_refused')],
    ['a refusal elsewhere, before an error', was(0, 'tx_refused'), was(1, 'chain_rpc')],
    ['an error, before a silence', was(1, 'chain_rpc'), was(0, 'chain_unreachable')],
    ['an error elsewhere, before a silence', was(0, 'chain_rpc'), was(1, 'chain_unreachable')],
  ])('%s', (_what, counts, other) => {
    expect(verdictOf(state, [counts, other])).toBe(counts);
    expect(verdictOf(state, [other, counts])).toBe(counts);
  });

  it('is that of the first where all are alike, and nobody’s without nodes', () => {
    const silent = [was(0, 'chain_unreachable'), was(1, 'chain_syncing')];
    expect(verdictOf(state, silent)).toBe(silent[0]);
    expect(() => verdictOf(state, [])).toThrow('invariant');
  });
});
