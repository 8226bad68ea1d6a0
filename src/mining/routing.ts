import type { QuotaConfig } from '../config/config.ts';
import {
  choose,
  type DestinationHealth,
  type FailoverPolicy,
  type FailoverState,
  isHealthy,
  isUsable,
  newFailover,
} from '../upstream/failover.ts';
import type { SplitDestination } from '../upstream/split.ts';

/** Where all sessions mine to. `none` when nobody may or can be served: then miners get no new work. */
export const NOWHERE = 'none';

export type RoutedDestination = {
  readonly health: DestinationHealth;
  /**
   * Undefined: a contract gets the same part as each other, of the miner's own one takes what those with a
   * quota leave, or all.
   */
  readonly quota: QuotaConfig | undefined;
};

export type RoutingInput = {
  /** The contracts that want hashrate, each by a name of its own. */
  readonly contracts: readonly RoutedDestination[];
  /** The miner's own, best first. */
  readonly fallbacks: readonly RoutedDestination[];
};

/** Where the hashrate goes, by names of routes: all to one, or divided by `splitHashrate`. */
export type Plan =
  | { readonly type: 'one'; readonly destination: string }
  | { readonly type: 'split'; readonly destinations: readonly SplitDestination[] };

/** Of the destinations that share the hashrate. */
type Partaking = {
  /** Since when each that is healthy now has been so without a break. */
  readonly healthySinceMs: ReadonlyMap<string, number>;
  /** Healthy before, and then not: they come back after a time only. */
  readonly failed: ReadonlySet<string>;
};

export type RoutingState = { readonly failover: FailoverState; readonly partaking: Partaking };

export function newRouting(policy: FailoverPolicy): RoutingState {
  return {
    failover: newFailover(policy),
    partaking: { healthySinceMs: new Map(), failed: new Set() },
  };
}

/**
 * First the contracts that want hashrate and whose upstream works: those with a rate get it, the others
 * divide by weight what rates leave. Only what they leave, or all while there are none, is for the miner's
 * own: those with a weight or a rate share, without one the best that works gets all. Pure.
 */
export function route(
  state: RoutingState,
  input: RoutingInput,
  monotonicMs: number,
): { readonly state: RoutingState; readonly plan: Plan } {
  const { policy } = state.failover;
  const wished = input.fallbacks.filter(({ quota }) => quota !== undefined);
  const others = input.fallbacks.filter(({ quota }) => quota === undefined).map(({ health }) => health);
  const partaking = nextPartaking(policy, state.partaking, wished, monotonicMs);
  const fallback = choose(state.failover, others, monotonicMs);
  const rest = others.find(({ name }) => name === fallback.choice);
  const own = ownDestinations(policy, partaking, wished, rest, monotonicMs);
  const served = input.contracts.filter(({ health }) => isUsable(health));
  const next = { failover: fallback.state, partaking };
  return { state: next, plan: planOf(served, own) };
}

const EQUAL_PART: QuotaConfig = { type: 'weight', weight: 1 };

function planOf(served: readonly RoutedDestination[], own: readonly SplitDestination[]): Plan {
  const leavesNothing = served.some(({ quota }) => quota?.type !== 'rate');
  const sold = served.map(({ health, quota }) => splitDestination({ health, quota: quota ?? EQUAL_PART }));
  const all = leavesNothing ? sold : [...sold, ...own];
  const [only] = all;
  if (all.length <= 1) return { type: 'one', destination: only?.name ?? NOWHERE };
  return { type: 'split', destinations: all };
}

function splitDestination({ health: { name }, quota }: RoutedDestination): SplitDestination {
  return { name, quota: quota ?? { type: 'rest' }, usable: true };
}

/** Those that share, and behind them the one that takes what rates leave; the healthiest there are. */
function ownDestinations(
  policy: FailoverPolicy,
  partaking: Partaking,
  wished: readonly RoutedDestination[],
  rest: DestinationHealth | undefined,
  monotonicMs: number,
): readonly SplitDestination[] {
  const behind = rest === undefined ? [] : [splitDestination({ health: rest, quota: undefined })];
  const steady = wished.filter(({ health: { name } }) => isSteady(policy, partaking, name, monotonicMs));
  if (steady.length > 0) {
    const leavesNothing = steady.some(({ quota }) => quota?.type === 'weight');
    const isRestHealthy = rest !== undefined && isHealthy(policy, rest);
    return [...steady.map(splitDestination), ...(leavesNothing || !isRestHealthy ? [] : behind)];
  }
  if (rest !== undefined && isHealthy(policy, rest)) return behind;
  const healthy = wished.filter(({ health }) => isHealthy(policy, health));
  if (healthy.length > 0) return healthy.map(splitDestination);
  const usable = wished.filter(({ health }) => isUsable(health));
  return usable.length > 0 ? usable.map(splitDestination) : behind;
}

function isSteady(
  policy: FailoverPolicy,
  partaking: Partaking,
  name: string,
  monotonicMs: number,
): boolean {
  const since = partaking.healthySinceMs.get(name);
  if (since === undefined) return false;
  return !partaking.failed.has(name) || monotonicMs - since >= policy.returnAfterMs;
}

function nextPartaking(
  policy: FailoverPolicy,
  before: Partaking,
  wished: readonly RoutedDestination[],
  monotonicMs: number,
): Partaking {
  const healthySinceMs = new Map<string, number>();
  const failed = new Set<string>();
  for (const { health } of wished) {
    const { name } = health;
    const since = before.healthySinceMs.get(name);
    if (isHealthy(policy, health)) {
      healthySinceMs.set(name, since ?? monotonicMs);
      if (before.failed.has(name) && monotonicMs - (since ?? monotonicMs) < policy.returnAfterMs)
        failed.add(name);
    } else if (since !== undefined || before.failed.has(name)) failed.add(name);
  }
  return { healthySinceMs, failed };
}

/** The destinations of a plan, best first. */
export function namesOf(plan: Plan): readonly string[] {
  if (plan.type === 'split') return plan.destinations.map(({ name }) => name);
  return plan.destination === NOWHERE ? [] : [plan.destination];
}

/** Two plans with the same text are the same. */
export function planText(plan: Plan): string {
  return namesOf(plan).join('+') || NOWHERE;
}
