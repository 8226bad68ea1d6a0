import { assert } from '../base/assert.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { ChainNodeState } from './rpc-source.ts';
import type { ChainTip } from './source.ts';

/** How a node was the last time it was asked. */
export type NodeHealth = {
  readonly state: ChainNodeState;
  /** The last tip it told of; it outlives an absence. */
  readonly tip: ChainTip | undefined;
  /** Its tip is so far below the best that its answers are of the past: it stands still, or catches up. */
  readonly isBehind: boolean;
  /** Why its last answer was none. */
  readonly error: { readonly code: string; readonly detail: string } | undefined;
  /** Monotonic; when its last answer came. */
  readonly answeredAtMs: number | undefined;
};

/** Several nodes of one chain. A value: every change makes a new one. */
export type PoolState = {
  readonly nodes: readonly NodeHealth[];
  /** The highest tip any of them told of and did not take back. */
  readonly best: ChainTip | undefined;
};

export type PoolOptions = {
  /** A node may answer while it is at most so many blocks below the best tip, where none is nearer. */
  readonly lagBlocks: number;
};

export type PoolEvent =
  | { readonly type: 'tip'; readonly node: number; readonly tip: ChainTip }
  | { readonly type: 'failed'; readonly node: number; readonly code: string; readonly detail: string };

export type PoolEffect =
  /** The best tip is another one. */
  | { readonly type: 'tip'; readonly tip: ChainTip }
  | { readonly type: 'away'; readonly node: number; readonly code: string; readonly detail: string }
  | { readonly type: 'back'; readonly node: number };

export type PoolTransition = { readonly state: PoolState; readonly effects: readonly PoolEffect[] };

/** A block that is on its way from node to node is not a reason to ask nobody. */
export const DEFAULT_POOL_OPTIONS: PoolOptions = { lagBlocks: 2 };

const STATE_AFTER: Readonly<Partial<Record<string, ChainNodeState>>> = {
  chain_unreachable: 'unreachable',
  chain_syncing: 'syncing',
  chain_network: 'other_network',
} satisfies Partial<Record<ErrorCode, ChainNodeState>>;

const UNHEARD: NodeHealth = {
  ...{ state: 'unknown', tip: undefined, error: undefined, answeredAtMs: undefined },
  isBehind: false,
};

export function poolOf(nodes: number): PoolState {
  return { nodes: Array.from({ length: nodes }, () => UNHEARD), best: undefined };
}

/**
 * What a node said, or did not say; pure. The best tip of any node counts: it gives way only to a higher one,
 * or once every node that told of it tells of another.
 */
export function transition(
  options: PoolOptions,
  state: PoolState,
  event: PoolEvent,
  nowMs: number,
): PoolTransition {
  const before = state.nodes[event.node];
  assert(before !== undefined, 'node_of_the_pool');
  const after = event.type === 'tip' ? answered(before, event.tip, nowMs) : failed(before, event);
  const heard = state.nodes.map((node, index) => (index === event.node ? after : node));
  const effects: PoolEffect[] = [];
  if (after.error !== undefined && after.error.code !== before.error?.code)
    effects.push({ type: 'away', node: event.node, ...after.error });
  if (after.error === undefined && before.error !== undefined)
    effects.push({ type: 'back', node: event.node });
  const best = bestOf(heard, state.best);
  const nodes = heard.map((node, index): NodeHealth => {
    const isBehind = node.tip !== undefined && best!.height - node.tip.height > options.lagBlocks;
    if (isBehind && !node.isBehind) {
      const detail = `at height ${node.tip.height} of ${best!.height}`;
      effects.push({ type: 'away', node: index, code: 'chain_behind', detail });
    }
    return { ...node, isBehind };
  });
  if (best !== undefined && best.hash !== state.best?.hash) effects.push({ type: 'tip', tip: best });
  return { state: { nodes, best }, effects };
}

function answered({ isBehind }: NodeHealth, tip: ChainTip, nowMs: number): NodeHealth {
  return { state: 'ready', tip, isBehind, error: undefined, answeredAtMs: nowMs };
}

function failed(
  before: NodeHealth,
  { code, detail }: Extract<PoolEvent, { readonly type: 'failed' }>,
): NodeHealth {
  const state = STATE_AFTER[code] ?? before.state;
  // What it told of another chain was never of this one.
  const tip = state === 'other_network' ? undefined : before.tip;
  return { ...before, state, tip, error: { code, detail } };
}

/** Of tips of one height the one that was first. */
function bestOf(nodes: readonly NodeHealth[], held: ChainTip | undefined): ChainTip | undefined {
  const tips = nodes.flatMap(({ tip }) => tip ?? []);
  const first = tips.find(({ hash }) => hash === held?.hash);
  return tips.reduce((best, tip) => (best === undefined || tip.height > best.height ? tip : best), first);
}

/** Whether what a node says is of the present. */
export function mayAnswer({ nodes }: PoolState, node: number): boolean {
  const { state, isBehind } = nodes[node]!;
  return state === 'ready' && !isBehind;
}

/**
 * The order in which nodes are asked: those at the best tip, those at another of its height, those that lag a
 * little; then those that must be heard first, since they were away. Never one of another chain unless it is
 * the last hope: it may have been put right.
 */
export function asked(options: PoolOptions, pool: PoolState): readonly number[] {
  const rank = (node: number): number => {
    const { state, tip } = pool.nodes[node]!;
    if (state === 'other_network') return options.lagBlocks + 3;
    if (!mayAnswer(pool, node)) return options.lagBlocks + 2;
    return tip!.hash === pool.best!.hash ? 0 : 1 + pool.best!.height - tip!.height;
  };
  const order = pool.nodes.map((_node, index) => index);
  return order.sort((a, b) => rank(a) - rank(b));
}

/** What became of a transaction at one node: undefined where it was taken. */
export type Delivery = { readonly node: number; readonly error: { readonly code: string } | undefined };

/**
 * Which node's word on a transaction counts: that of one in the present, before one that stands still and
 * takes what nobody else sees; and a refusal before a silence.
 */
export function verdictOf(pool: PoolState, outcomes: readonly Delivery[]): Delivery {
  const rank = ({ node, error }: Delivery): number => {
    const isPresent = mayAnswer(pool, node);
    if (error === undefined) return isPresent ? 0 : 2;
    if (error.code === 'tx_refused') return isPresent ? 1 : 3;
    return error.code === 'chain_rpc' ? 4 : 5;
  };
  const [first] = outcomes.toSorted((a, b) => rank(a) - rank(b));
  assert(first !== undefined, 'sent_to_a_node');
  return first;
}
