import { larger, smaller } from '../base/bigints.ts';

/** What a destination is to get. */
export type SplitQuota =
  /** This much on average, as long as there is that much; in the order of the list. */
  | {
      readonly type: 'rate';
      readonly hashesPerSecond: bigint;
      /**
       * The most at a time, to make up for all that was missing for want of hashrate while it took part;
       * undefined: that is not made up for.
       */
      readonly maxHashesPerSecond?: bigint;
    }
  /** A part of what the rates leave, in proportion to all weights; above 0. */
  | { readonly type: 'weight'; readonly weight: number }
  /** What is left when no weighted destination is usable: the miner's own node. The first usable one. */
  | { readonly type: 'rest' };

export type SplitDestination = {
  readonly name: string;
  readonly quota: SplitQuota;
  /** Unusable ones get nothing (`isHealthy`, or `isUsable` when all are ill). */
  readonly isUsable: boolean;
};

export type SplitSession = {
  readonly id: number;
  /** Measured; 0 while unknown, then it counts as the mean of the others. */
  readonly hashesPerSecond: bigint;
  /** Where it mines to now; undefined nowhere. */
  readonly destination: string | undefined;
  /** Cannot be moved: its extranonce is its upstream's. */
  readonly isPinned?: boolean;
};

export type SplitOptions = {
  /** A session stays at least this long, unless its destination fails. */
  readonly minStayMs: number;
  /** Parts of its target by which a destination may be off before sessions are moved. */
  readonly tolerance: number;
  /**
   * What is missing is made up for within about this time, so that the average is met even where no
   * assignment meets the targets. 0 settles for the nearest assignment.
   */
  readonly sliceMs: number;
  /** Sessions moved in one round; those without a usable destination always are. */
  readonly maxMoves: number;
};

export const SPLIT_OPTIONS: SplitOptions = {
  minStayMs: 60_000,
  tolerance: 0.01,
  sliceMs: 300_000,
  maxMoves: 1_000,
};

export type SplitState = {
  /** Of the last round. */
  readonly atMs: number | undefined;
  readonly movedAtMs: ReadonlyMap<number, number>;
  /** By destination, in hashes * 1000: what its target gave it and it has not, exactly, within bounds. */
  readonly missing: ReadonlyMap<string, bigint>;
  /** The same by the rate of those that make up for it, while they take no part too; not bounded upwards. */
  readonly owed: ReadonlyMap<string, bigint>;
  /** By destination: target less assigned, in hashes per second, since `atMs`. */
  readonly shortfall: ReadonlyMap<string, bigint>;
  /** The same by its rate. */
  readonly owedPerSecond: ReadonlyMap<string, bigint>;
  /** Of the last round. */
  readonly accounts: readonly SplitAccount[];
};

export type SplitEvent =
  /** Divide now, as once a second. Destinations best first. */
  | {
      readonly type: 'round';
      readonly sessions: readonly SplitSession[];
      readonly destinations: readonly SplitDestination[];
    }
  /**
   * What was decided for another set of destinations holds nobody where it is. Nothing is due from here to
   * the next round.
   */
  | { readonly type: 'destinations_changed' };

export type SplitEffect = {
  readonly type: 'move';
  readonly session: number;
  readonly from: string | undefined;
  /** Undefined when no destination is usable. */
  readonly to: string | undefined;
};

/** One for each destination, in their order. Over the usable ones targets add up to all that is assigned. */
export type SplitAccount = {
  readonly name: string;
  readonly targetHashesPerSecond: bigint;
  /** After the moves. */
  readonly assignedHashesPerSecond: bigint;
  readonly sessions: number;
  readonly missingHashes: bigint;
};

export type SplitTransition = { readonly state: SplitState; readonly effects: readonly SplitEffect[] };

/** Before the first round. */
export const UNDIVIDED: SplitState = {
  atMs: undefined,
  movedAtMs: new Map(),
  missing: new Map(),
  owed: new Map(),
  shortfall: new Map(),
  owedPerSecond: new Map(),
  accounts: [],
};

/** Of a session, that its move improves the sum: it must be at most 2/3 of what the two places are off. */
const GAIN_NUMERATOR = 2n;
const GAIN_DENOMINATOR = 3n;
const WEIGHT_SCALE = 1_000_000;
/** Slices within which a rate makes up for what it is owed. */
const OWED_SLICES = 12n;
/** Destinations of which it is known what they are owed; the oldest that take no part are forgotten. */
const MAX_OWED = 256;

type Allotment = {
  readonly name: string;
  readonly target: bigint;
  /** Target and what is missing, per second. */
  readonly due: bigint;
  readonly tolerance: bigint;
  assigned: bigint;
  sessions: number;
  /** Sessions that may leave, weakest first. */
  readonly movable: Rated[];
};

type Rated = { readonly session: SplitSession; readonly rate: bigint };

/**
 * Which session mines to which destination; pure. Sessions whose destination is not usable move at once;
 * others only when that brings the destinations nearer to their targets by a margin, so that nothing moves
 * forth and back by itself.
 * @param nowMs monotonic time
 */
export function transition(
  options: SplitOptions,
  state: SplitState,
  event: SplitEvent,
  nowMs: number,
): SplitTransition {
  if (event.type === 'destinations_changed')
    return { state: { ...settled(state, nowMs), movedAtMs: new Map() }, effects: [] };
  const rated = ratesOf(event.sessions);
  const total = rated.reduce((sum, { rate }) => sum + rate, 0n);
  const largest = rated.reduce((most, { rate }) => (rate > most ? rate : most), 0n);
  const before = settled(state, nowMs);
  const most = 2n * largest * BigInt(Math.round(Math.max(options.sliceMs, options.minStayMs)));
  const owed = owedNow(options, before, event.destinations, most);
  const catchUp = (name: string): bigint => perSlice(options, owed.get(name) ?? 0n) / OWED_SLICES;
  const targets = targetsOf(event.destinations, total, catchUp);
  const missing = missingNow(options, before, [...targets.keys()], most);
  const places = [...targets].map(([name, target]) =>
    allotmentOf(options, name, target, missing.get(name) ?? 0n),
  );
  const moves: SplitEffect[] = [];
  const movedAtMs = new Map<number, number>();
  const unassigned = assignCurrent(places, rated, (session) => {
    const since = state.movedAtMs.get(session.id);
    if (since !== undefined) movedAtMs.set(session.id, since);
    return since === undefined || nowMs - since >= options.minStayMs;
  });
  for (const one of unassigned) moves.push(...place(places, one));
  balance(places, options.maxMoves, moves);
  for (const { session } of moves) movedAtMs.set(session, nowMs);
  const shortfall = new Map(places.map(({ name, target, assigned }) => [name, target - assigned]));
  const rates = owedRates(event.destinations);
  const owedPerSecond = new Map(
    places.flatMap(({ name, assigned }): [string, bigint][] => {
      const rate = rates.get(name);
      return rate === undefined ? [] : [[name, rate - assigned]];
    }),
  );
  const accounts = event.destinations.map(({ name }) => accountOf(name, places, missing));
  const divided = { missing, owed, shortfall, owedPerSecond, accounts };
  return { state: { atMs: nowMs, movedAtMs, ...divided }, effects: moves };
}

function ratesOf(sessions: readonly SplitSession[]): Rated[] {
  const measured = sessions.filter((session) => session.hashesPerSecond > 0n);
  const sum = measured.reduce((all, session) => all + session.hashesPerSecond, 0n);
  const mean = measured.length === 0 ? 1n : sum / BigInt(measured.length) || 1n;
  return sessions.map((session) => ({
    session,
    rate: session.hashesPerSecond > 0n ? session.hashesPerSecond : mean,
  }));
}

/** The rates of the usable destinations that make up for what they are owed. */
function owedRates(destinations: readonly SplitDestination[]): ReadonlyMap<string, bigint> {
  return new Map(
    destinations.flatMap(({ name, quota, isUsable }) =>
      quota.type === 'rate' && quota.maxHashesPerSecond !== undefined && isUsable
        ? [[name, quota.hashesPerSecond]]
        : [],
    ),
  );
}

/** What is missing, in hashes * 1000, as a rate at which it is made up for. */
function perSlice({ sliceMs }: SplitOptions, missing: bigint): bigint {
  return sliceMs === 0 ? 0n : missing / BigInt(Math.round(sliceMs));
}

/**
 * Hashes per second for each usable destination; they add up to the total. All rates come before what makes
 * up for a shortfall of one. What nobody wants goes to the last usable one. Pure.
 * @param catchUp hashes per second by which a rate is exceeded, or fallen short of, to be met on average
 */
export function targetsOf(
  destinations: readonly SplitDestination[],
  total: bigint,
  catchUp: (name: string) => bigint = () => 0n,
): ReadonlyMap<string, bigint> {
  const usable = destinations.filter((destination) => destination.isUsable);
  const targets = new Map(usable.map(({ name }) => [name, 0n]));
  let remaining = total;
  for (const { name, quota } of usable) {
    if (quota.type !== 'rate') continue;
    const due = quota.hashesPerSecond + smaller(catchUp(name), 0n);
    const rate = smaller(larger(due, 0n), remaining);
    targets.set(name, rate);
    remaining -= rate;
  }
  for (const { name, quota } of usable) {
    if (quota.type !== 'rate') continue;
    const { hashesPerSecond, maxHashesPerSecond: most = hashesPerSecond } = quota;
    const extra = smaller(smaller(larger(catchUp(name), 0n), most - hashesPerSecond), remaining);
    targets.set(name, (targets.get(name) ?? 0n) + extra);
    remaining -= extra;
  }
  const weights = usable.flatMap(({ name, quota }) =>
    quota.type === 'weight' ? [{ name, weight: BigInt(Math.round(quota.weight * WEIGHT_SCALE)) }] : [],
  );
  const sum = weights.reduce((all, { weight }) => all + weight, 0n);
  const divisible = remaining;
  for (const { name, weight } of weights) {
    const part = sum === 0n ? 0n : (divisible * weight) / sum;
    targets.set(name, part);
    remaining -= part;
  }
  const rest =
    weights.find(({ weight }) => weight > 0n) ?? usable.find(({ quota }) => quota.type === 'rest');
  const taker = rest?.name ?? usable.at(-1)?.name;
  if (taker !== undefined) targets.set(taker, (targets.get(taker) ?? 0n) + remaining);
  return targets;
}

/** With what became due until now. */
function settled(state: SplitState, nowMs: number): SplitState {
  const { atMs = nowMs, missing, shortfall, owed, owedPerSecond } = state;
  const elapsedMs = BigInt(Math.max(0, Math.round(nowMs - atMs)));
  const grown = (sums: ReadonlyMap<string, bigint>, rates: ReadonlyMap<string, bigint>) => {
    const all = new Map(sums);
    for (const [name, rate] of rates) all.set(name, (sums.get(name) ?? 0n) + rate * elapsedMs);
    return all;
  };
  return {
    ...state,
    ...{ atMs: undefined, shortfall: new Map(), owedPerSecond: new Map() },
    missing: grown(missing, shortfall),
    owed: grown(owed, owedPerSecond),
  };
}

/** Bounded, so that a destination that was starved for long is not owed the hashrate of a whole day. */
function missingNow(
  { sliceMs }: SplitOptions,
  { missing }: SplitState,
  names: readonly string[],
  most: bigint,
): ReadonlyMap<string, bigint> {
  if (sliceMs === 0) return new Map();
  return new Map(names.map((name) => [name, larger(smaller(missing.get(name) ?? 0n, most), -most)]));
}

/** Bounded downwards, so that nobody is starved for long for what it got too much. */
function owedNow(
  { sliceMs }: SplitOptions,
  { owed }: SplitState,
  destinations: readonly SplitDestination[],
  most: bigint,
): ReadonlyMap<string, bigint> {
  if (sliceMs === 0) return new Map();
  const all = new Map(owed);
  for (const [name, rate] of owedRates(destinations)) {
    const quarter = (rate * BigInt(Math.round(sliceMs)) * OWED_SLICES) / 4n;
    all.delete(name);
    all.set(name, larger(owed.get(name) ?? 0n, -larger(quarter, 4n * most)));
  }
  for (const name of [...all.keys()].slice(0, Math.max(0, all.size - MAX_OWED))) all.delete(name);
  return all;
}

function allotmentOf(options: SplitOptions, name: string, target: bigint, missing: bigint): Allotment {
  const due = target + perSlice(options, missing);
  const tolerance = (target * BigInt(Math.round(options.tolerance * WEIGHT_SCALE))) / BigInt(WEIGHT_SCALE);
  return { name, target, due, tolerance, assigned: 0n, sessions: 0, movable: [] };
}

/** Puts every session where it is. @returns those that are nowhere, strongest first */
function assignCurrent(
  places: readonly Allotment[],
  rated: readonly Rated[],
  mayMove: (session: SplitSession) => boolean,
): Rated[] {
  const byName = new Map(places.map((place) => [place.name, place]));
  const unassigned: Rated[] = [];
  for (const one of rated) {
    const { session } = one;
    const place = session.destination === undefined ? undefined : byName.get(session.destination);
    const isMovable = mayMove(session);
    if (place === undefined) unassigned.push(one);
    else {
      assign(place, one);
      if (isMovable && session.isPinned !== true) place.movable.push(one);
    }
  }
  for (const { movable } of places) movable.sort((a, b) => compare(a.rate, b.rate));
  return unassigned.sort((a, b) => compare(b.rate, a.rate));
}

/** A pinned session stays where it is, for it has nowhere to go. */
function place(places: readonly Allotment[], one: Rated): SplitEffect[] {
  const { id, destination, isPinned } = one.session;
  if (isPinned === true) return [];
  const candidates = places.filter(({ target }) => target > 0n);
  const best = candidates.reduce<Allotment | undefined>(
    (most, place) => (most === undefined || gapOf(place) > gapOf(most) ? place : most),
    undefined,
  );
  if (best !== undefined) assign(best, one);
  const to = best?.name;
  return to === destination ? [] : [{ type: 'move', session: id, from: destination, to }];
}

function balance(places: readonly Allotment[], maxMoves: number, moves: SplitEffect[]): void {
  const isOff = (place: Allotment): boolean => {
    const gap = gapOf(place);
    return gap > place.tolerance || -gap > place.tolerance;
  };
  if (!places.some(isOff)) return;
  for (let left = maxMoves - moves.length; left > 0; left -= 1) {
    const move = bestMove(places);
    if (move === undefined) return;
    const { from, to, one } = move;
    from.movable.splice(from.movable.indexOf(one), 1);
    from.assigned -= one.rate;
    from.sessions -= 1;
    assign(to, one);
    moves.push({ type: 'move', session: one.session.id, from: from.name, to: to.name });
  }
}

/** From the place with the most too much to the one with the most too little, if a session there fits. */
function bestMove(
  places: readonly Allotment[],
): { readonly from: Allotment; readonly to: Allotment; readonly one: Rated } | undefined {
  const byGap = [...places].sort((a, b) => compare(gapOf(b), gapOf(a)));
  for (const from of byGap.toReversed()) {
    const surplus = -gapOf(from);
    if (surplus <= 0n) return undefined;
    for (const to of byGap) {
      const gap = gapOf(to);
      if (gap <= 0n) break;
      const one = to.target > 0n ? bestSession(from.movable, surplus + gap) : undefined;
      if (one !== undefined) return { from, to, one };
    }
  }
  return undefined;
}

/** The session nearest to half of what the two are off, if its move is worth it. */
function bestSession(movable: readonly Rated[], off: bigint): Rated | undefined {
  let low = 0;
  let high = movable.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (2n * movable[middle]!.rate < off) low = middle + 1;
    else high = middle;
  }
  const [above, below] = [movable[low], movable[low - 1]];
  const nearest =
    above !== undefined && (below === undefined || 2n * above.rate - off < off - 2n * below.rate)
      ? above
      : below;
  const fits = (one: Rated | undefined): boolean =>
    one !== undefined && one.rate * GAIN_DENOMINATOR <= off * GAIN_NUMERATOR;
  if (fits(nearest)) return nearest;
  return fits(below) ? below : undefined;
}

function assign(place: Allotment, one: Rated): void {
  place.assigned += one.rate;
  place.sessions += 1;
}

function gapOf(place: Allotment): bigint {
  return place.due - place.assigned;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function accountOf(
  name: string,
  places: readonly Allotment[],
  missing: ReadonlyMap<string, bigint>,
): SplitAccount {
  const place = places.find((one) => one.name === name);
  return {
    name,
    targetHashesPerSecond: place?.target ?? 0n,
    assignedHashesPerSecond: place?.assigned ?? 0n,
    sessions: place?.sessions ?? 0,
    missingHashes: (missing.get(name) ?? 0n) / 1000n,
  };
}
