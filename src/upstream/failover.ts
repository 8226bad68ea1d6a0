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
  /** How often its jobs took another shape (`WorkShape`) lately. */
  readonly shapeChanges: number;
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
  /** Above this number of changes of its jobs' shape a destination is avoided while there is another. */
  readonly maxShapeChanges?: number;
};

export const FAILOVER_OPTIONS: FailoverOptions = {
  returnAfterMs: 60_000,
  maxRejectRatio: 0.5,
  minVerdicts: 20,
  maxRttMs: 10_000,
  maxShapeChanges: 6,
};

export type HealthHistory = {
  /** Since when each destination that is healthy now has been so without a break. */
  readonly healthySinceMs: ReadonlyMap<string, number>;
  /** Were healthy or gave work, and then were not healthy: they come back after a time only. */
  readonly failed: ReadonlySet<string>;
};

export type FailoverState = HealthHistory & {
  /** Where to mine; undefined while nothing is usable. */
  readonly choice: string | undefined;
  /** The first event; undefined before it. */
  readonly startedAtMs: number | undefined;
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
export const NO_CHOICE: FailoverState = {
  choice: undefined,
  healthySinceMs: new Map(),
  failed: new Set(),
  startedAtMs: undefined,
};

/** Usable, and with work that is not too old: what "up" means wherever it is shown. */
export function isServing(health: DestinationHealth): boolean {
  return isUsable(health) && health.jobAgeMs! <= health.jobAgeLimitMs;
}

/** Connected and with work: shares can be mined to it, well or badly. */
export function isUsable(health: DestinationHealth): boolean {
  return health.isUp && health.jobAgeMs !== undefined;
}

/** Usable, with fresh work of a steady shape, answers in time and shares that are accepted. */
export function isHealthy(options: FailoverOptions, health: DestinationHealth): boolean {
  const isRefusing = health.verdicts >= options.minVerdicts && health.rejectRatio > options.maxRejectRatio;
  const isSlow =
    health.rttMs !== undefined && health.rttMs > (options.maxRttMs ?? Number.POSITIVE_INFINITY);
  const isFlapping = health.shapeChanges > (options.maxShapeChanges ?? Number.POSITIVE_INFINITY);
  return isServing(health) && !isRefusing && !isSlow && !isFlapping;
}

/**
 * Where to mine now; pure. A healthy choice is left only for a better one that has been healthy for
 * `returnAfterMs`, or ever since the start: of several that connect one after the other the best is
 * taken. An unhealthy one is left at once, for the best that is steady, else healthy, else usable.
 * @param nowMs monotonic time
 */
export function transition(
  options: FailoverOptions,
  state: FailoverState,
  event: FailoverEvent,
  nowMs: number,
): FailoverTransition {
  const { healthySinceMs, failed } = followHealth(options, state, event.destinations, nowMs);
  const startedAtMs = state.startedAtMs ?? nowMs;
  const isSteady = (name: string): boolean => {
    const since = healthySinceMs.get(name);
    if (since === undefined || failed.has(name)) return false;
    const isOfStart = since - startedAtMs < options.returnAfterMs;
    return isOfStart || nowMs - since >= options.returnAfterMs;
  };
  const choice = pick(event.destinations, state.choice, isSteady, healthySinceMs);
  return {
    state: { choice, healthySinceMs, failed, startedAtMs },
    effects: choice === state.choice ? [] : [{ type: 'switch', to: choice }],
  };
}

/** What is remembered of the health of each: since when it is well, and whether it may not be trusted yet. */
export function followHealth(
  options: FailoverOptions,
  before: HealthHistory,
  destinations: readonly DestinationHealth[],
  nowMs: number,
): HealthHistory {
  const healthySinceMs = new Map<string, number>();
  const failed = new Set<string>();
  for (const health of destinations) {
    const { name } = health;
    const since = before.healthySinceMs.get(name);
    if (isHealthy(options, health)) {
      healthySinceMs.set(name, since ?? nowMs);
      if (before.failed.has(name) && nowMs - (since ?? nowMs) < options.returnAfterMs) failed.add(name);
    } else if (since !== undefined || isUsable(health) || before.failed.has(name)) failed.add(name);
  }
  return { healthySinceMs, failed };
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
