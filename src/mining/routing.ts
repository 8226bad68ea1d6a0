import type { QuotaConfig } from '../config/config.ts';
import {
  type DestinationHealth,
  type FailoverOptions,
  type FailoverState,
  transition as failover,
  followHealth,
  type HealthHistory,
  isHealthy,
  isUsable,
  NO_CHOICE,
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

/** Who wants the hashrate. */
export type RoutingDemand = {
  /** The contracts that want hashrate, each by a name of its own. */
  readonly contracts: readonly RoutedDestination[];
  /** The miner's own, best first. */
  readonly fallbacks: readonly RoutedDestination[];
};

/** Where the hashrate goes, by names of routes: all to one, or divided by `split.ts`. */
export type Plan =
  | { readonly type: 'one'; readonly destination: string }
  | { readonly type: 'split'; readonly destinations: readonly SplitDestination[] };

/** Of the destinations that share the hashrate. */
type Partaking = HealthHistory;

export type RoutingOptions = { readonly failover: FailoverOptions };

export type RoutingState = {
  readonly plan: Plan;
  readonly failover: FailoverState;
  readonly partaking: Partaking;
};

/** Who wants hashrate now, and how each of them does. */
export type RoutingEvent = { readonly type: 'demand' } & RoutingDemand;

export type RoutingEffect =
  /** Have the work of this route ready. */
  | { readonly type: 'prepare'; readonly route: string }
  /** Send the sessions where the new plan says. */
  | { readonly type: 'move'; readonly from: Plan; readonly to: Plan };

export type RoutingTransition = {
  readonly state: RoutingState;
  readonly effects: readonly RoutingEffect[];
};

/** Before anybody wants hashrate. */
export const NO_ROUTE: RoutingState = {
  plan: { type: 'one', destination: NOWHERE },
  failover: NO_CHOICE,
  partaking: { healthySinceMs: new Map(), failed: new Set() },
};

/**
 * First the contracts that want hashrate and whose upstream works: those with a rate get it, the others
 * divide by weight what rates leave. Only what they leave, or all while there are none, is for the miner's
 * own: those with a weight or a rate share, without one the best that works gets all. Pure.
 * @param nowMs monotonic time
 */
export function transition(
  options: RoutingOptions,
  state: RoutingState,
  event: RoutingEvent,
  nowMs: number,
): RoutingTransition {
  const wished = event.fallbacks.filter(({ quota }) => quota !== undefined);
  const others = event.fallbacks.filter(({ quota }) => quota === undefined).map(({ health }) => health);
  const partaking = followHealth(
    options.failover,
    state.partaking,
    wished.map(({ health }) => health),
    nowMs,
  );
  const seen = { type: 'health', destinations: others } as const;
  const fallback = failover(options.failover, state.failover, seen, nowMs).state;
  const rest = others.find(({ name }) => name === fallback.choice);
  const own = ownDestinations(options.failover, partaking, wished, rest);
  const served = event.contracts.filter(({ health }) => isUsable(health));
  const plan = planOf(served, own);
  const effects: RoutingEffect[] = namesOf(plan).map((route) => ({ type: 'prepare', route }));
  if (planText(plan) !== planText(state.plan)) effects.push({ type: 'move', from: state.plan, to: plan });
  return { state: { plan, failover: fallback, partaking }, effects };
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
  return { name, quota: quota ?? { type: 'rest' }, isUsable: true };
}

/** Those that share, and behind them the one that takes what rates leave; the healthiest there are. */
function ownDestinations(
  options: FailoverOptions,
  partaking: Partaking,
  wished: readonly RoutedDestination[],
  rest: DestinationHealth | undefined,
): readonly SplitDestination[] {
  const behind = rest === undefined ? [] : [splitDestination({ health: rest, quota: undefined })];
  const isSteady = (name: string): boolean =>
    partaking.healthySinceMs.has(name) && !partaking.failed.has(name);
  const steady = wished.filter(({ health: { name } }) => isSteady(name));
  if (steady.length > 0) {
    const leavesNothing = steady.some(({ quota }) => quota?.type === 'weight');
    const isRestHealthy = rest !== undefined && isHealthy(options, rest);
    return [...steady.map(splitDestination), ...(leavesNothing || !isRestHealthy ? [] : behind)];
  }
  if (rest !== undefined && isHealthy(options, rest)) return behind;
  const healthy = wished.filter(({ health }) => isHealthy(options, health));
  if (healthy.length > 0) return healthy.map(splitDestination);
  const usable = wished.filter(({ health }) => isUsable(health));
  return usable.length > 0 ? usable.map(splitDestination) : behind;
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
