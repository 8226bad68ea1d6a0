/** What the choice looks at. */
export type DestinationHealth = {
  readonly name: string;
  /** Authorised and connected. */
  readonly up: boolean;
  /** Time since the last `mining.notify`; null before the first. */
  readonly jobAgeMs: number | null;
  /** Job age at which the destination counts as stuck. */
  readonly jobAgeLimitMs: number;
  /** Moving share of answers that were not `true`, silence included; 0 to 1. */
  readonly rejectRatio: number;
  /** Verdicts that went into `rejectRatio`. */
  readonly verdicts: number;
  /** Moving average; null before the first answer. */
  readonly rttMs: number | null;
};

export type FailoverPolicy = {
  /**
   * A better destination than the current must have been healthy for this long before it is returned to.
   */
  readonly returnAfterMs: number;
  /** Above this a destination is avoided while there is another. */
  readonly maxRejectRatio: number;
  /** Verdicts below which `rejectRatio` says nothing. */
  readonly minVerdicts: number;
  /** Above this mean round trip a destination is avoided while there is another; without it never. */
  readonly maxRttMs?: number;
};

export const FAILOVER_POLICY: FailoverPolicy = {
  returnAfterMs: 60_000,
  maxRejectRatio: 0.5,
  minVerdicts: 20,
  maxRttMs: 10_000,
};

export type FailoverState = {
  readonly policy: FailoverPolicy;
  /** The last choice; null while nothing was usable. */
  readonly current: string | null;
  /** Since when each destination that is healthy now has been so without a break. */
  readonly healthySinceMs: ReadonlyMap<string, number>;
};

export function newFailover(policy: FailoverPolicy = FAILOVER_POLICY): FailoverState {
  return { policy, current: null, healthySinceMs: new Map() };
}

/** Connected and with work: shares can be mined to it, well or badly. */
export function isUsable(health: DestinationHealth): boolean {
  return health.up && health.jobAgeMs !== null;
}

/** Usable, with fresh work, answers in time and shares that are accepted. */
export function isHealthy(policy: FailoverPolicy, health: DestinationHealth): boolean {
  const fresh = health.jobAgeMs !== null && health.jobAgeMs <= health.jobAgeLimitMs;
  const refuses = health.verdicts >= policy.minVerdicts && health.rejectRatio > policy.maxRejectRatio;
  const slow = health.rttMs !== null && health.rttMs > (policy.maxRttMs ?? Number.POSITIVE_INFINITY);
  return isUsable(health) && fresh && !refuses && !slow;
}

/**
 * Where to mine now. A healthy current destination is left only for a better one that has been healthy for
 * `returnAfterMs`; an unhealthy one at once, for the best that is steady, else healthy, else usable. Pure.
 * @param healths best first
 * @returns the new state, and the name of the choice or null when nothing is usable
 */
export function choose(
  state: FailoverState,
  healths: readonly DestinationHealth[],
  monotonicMs: number,
): { readonly state: FailoverState; readonly choice: string | null } {
  const { policy, current } = state;
  const healthySinceMs = new Map<string, number>();
  for (const health of healths) {
    if (isHealthy(policy, health))
      healthySinceMs.set(health.name, state.healthySinceMs.get(health.name) ?? monotonicMs);
  }
  const steady = (name: string): boolean => {
    const since = healthySinceMs.get(name);
    return since !== undefined && monotonicMs - since >= policy.returnAfterMs;
  };
  const names = healths.map((health) => health.name);
  const choice = pick(names, current, steady, healthySinceMs, healths);
  return { state: { policy, current: choice, healthySinceMs }, choice };
}

function pick(
  names: readonly string[],
  current: string | null,
  steady: (name: string) => boolean,
  healthySinceMs: ReadonlyMap<string, number>,
  healths: readonly DestinationHealth[],
): string | null {
  if (current !== null && healthySinceMs.has(current)) {
    const better = names.slice(0, names.indexOf(current)).find(steady);
    return better ?? current;
  }
  const healthy = names.find(steady) ?? names.find((name) => healthySinceMs.has(name));
  if (healthy !== undefined) return healthy;
  const usable = healths.filter(isUsable);
  const same = usable.find((health) => health.name === current);
  return (same ?? usable[0])?.name ?? null;
}
