/** What the choice looks at. */
export type DestinationHealth = {
  readonly name: string;
  /** Authorised and connected. */
  readonly isUp: boolean;
  /** Time since the last `mining.notify`; undefined before the first. */
  readonly jobAgeMs: number | undefined;
  /** Job age at which the destination counts as stuck. */
  readonly jobAgeLimitMs: number;
  /** Moving share of answers that were not `true`, silence included; 0 to 1. */
  readonly rejectRatio: number;
  /** Verdicts that went into `rejectRatio`. */
  readonly verdicts: number;
  /** Moving average; undefined before the first answer. */
  readonly rttMs: number | undefined;
};

export type FailoverOptions = {
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

export const FAILOVER_OPTIONS: FailoverOptions = {
  returnAfterMs: 60_000,
  maxRejectRatio: 0.5,
  minVerdicts: 20,
  maxRttMs: 10_000,
};

export type FailoverState = {
  /** Where to mine; undefined while nothing is usable. */
  readonly choice: string | undefined;
  /** Since when each destination that is healthy now has been so without a break. */
  readonly healthySinceMs: ReadonlyMap<string, number>;
};

/** How all there are to choose from do now, best first. */
export type FailoverEvent = {
  readonly type: 'health';
  readonly destinations: readonly DestinationHealth[];
};

/** Mine there from now on; undefined: nowhere. */
export type FailoverEffect = { readonly type: 'switch'; readonly to: string | undefined };

export type FailoverTransition = {
  readonly state: FailoverState;
  readonly effects: readonly FailoverEffect[];
};

/** Before anything is known. */
export const NO_CHOICE: FailoverState = { choice: undefined, healthySinceMs: new Map() };

/** Connected and with work: shares can be mined to it, well or badly. */
export function isUsable(health: DestinationHealth): boolean {
  return health.isUp && health.jobAgeMs !== undefined;
}

/** Usable, with fresh work, answers in time and shares that are accepted. */
export function isHealthy(options: FailoverOptions, health: DestinationHealth): boolean {
  const isFresh = health.jobAgeMs !== undefined && health.jobAgeMs <= health.jobAgeLimitMs;
  const isRefusing = health.verdicts >= options.minVerdicts && health.rejectRatio > options.maxRejectRatio;
  const isSlow =
    health.rttMs !== undefined && health.rttMs > (options.maxRttMs ?? Number.POSITIVE_INFINITY);
  return isUsable(health) && isFresh && !isRefusing && !isSlow;
}

/**
 * Where to mine now; pure. A healthy choice is left only for a better one that has been healthy for
 * `returnAfterMs`; an unhealthy one at once, for the best that is steady, else healthy, else usable.
 * @param nowMs monotonic time
 */
export function transition(
  options: FailoverOptions,
  state: FailoverState,
  event: FailoverEvent,
  nowMs: number,
): FailoverTransition {
  const healthySinceMs = new Map<string, number>();
  for (const health of event.destinations) {
    if (isHealthy(options, health))
      healthySinceMs.set(health.name, state.healthySinceMs.get(health.name) ?? nowMs);
  }
  const isSteady = (name: string): boolean => {
    const since = healthySinceMs.get(name);
    return since !== undefined && nowMs - since >= options.returnAfterMs;
  };
  const choice = pick(event.destinations, state.choice, isSteady, healthySinceMs);
  return {
    state: { choice, healthySinceMs },
    effects: choice === state.choice ? [] : [{ type: 'switch', to: choice }],
  };
}

function pick(
  healths: readonly DestinationHealth[],
  current: string | undefined,
  steady: (name: string) => boolean,
  healthySinceMs: ReadonlyMap<string, number>,
): string | undefined {
  const names = healths.map((health) => health.name);
  if (current !== undefined && healthySinceMs.has(current)) {
    const better = names.slice(0, names.indexOf(current)).find(steady);
    return better ?? current;
  }
  const healthy = names.find(steady) ?? names.find((name) => healthySinceMs.has(name));
  if (healthy !== undefined) return healthy;
  const usable = healths.filter(isUsable);
  const same = usable.find((health) => health.name === current);
  return (same ?? usable[0])?.name;
}
