import { assert } from '../../base/assert.ts';
import { MIN_DIFFICULTY } from '../../bitcoin/target.ts';

export type VardiffOptions = {
  /** Shares a minute each session should send. */
  readonly sharesPerMinute: number;
  readonly start: number;
  /** Inclusive bounds; fractions are allowed. */
  readonly floor: number;
  readonly ceiling: number;
  /** The floor of machines that say they are slow; undefined: that of all. */
  readonly smallFloor?: number;
  /** The easiest, given for a network so easy that harder shares would solve blocks; default `floor`. */
  readonly least?: number;
};

/**
 * Judged lazily, when the next job is about to leave: until then an accepted share only adds to two
 * numbers.
 */
export type VardiffState = {
  readonly difficulty: number;
  /** Asked for by the miner (password `d=`): never changed by us. */
  readonly isFixed: boolean;
  /** What the miner suggested last; 0 nothing. The same again is no news. */
  readonly suggested: number;
  readonly windowStartMs: number;
  /** Sum of the difficulties of the accepted shares of the window, and their number. */
  windowDifficulty: number;
  windowShares: number;
  /** The rate was found. Before that it is searched for, with more shares than in the end. */
  readonly isSettled: boolean;
  /**
   * Of the search, before the window: shares, and the time they took in units of the time a share should
   * take, each part of it over the difficulty it was spent at. Their quotient estimates the ideal one.
   */
  readonly foundShares: number;
  readonly foundTime: number;
};

export type VardiffEvent =
  /** A job is about to leave, and takes the difficulty of the next state. */
  | { readonly type: 'job_due' }
  /** After a time without work, whose silence says nothing of the miner. */
  | { readonly type: 'work_resumed' }
  /** A new starting point that the miner asked for (`suggest_difficulty`): the rate decides afterwards. */
  | { readonly type: 'suggested'; readonly difficulty: number }
  /** One that stays (password `d=`), as a value that a 32-bit float holds too: bosminer reads one. */
  | { readonly type: 'fixed'; readonly difficulty: number };

/** To be counted: the rate moved the difficulty. */
export type VardiffEffect = { readonly type: 'raised' | 'lowered' };

export type VardiffTransition = {
  readonly state: VardiffState;
  readonly effects: readonly VardiffEffect[];
};

/** Shares after which a rate inside the band counts as found: its deviation is then an eighth. */
const SETTLED_SHARES = 60;
/**
 * The band in which nothing changes. It is wider than one step of two, so that no rate sits between two
 * steps.
 */
const TOO_FAST = 1.9;
const TOO_SLOW = 0.5;
/** Standard deviations of a Poisson count that must speak for a change. */
const DEVIATIONS = 3;
/** Shares of a search after which the estimate is taken: its deviation is then a fifth. */
const FOUND_SHARES = 24;
/** A search looks for shares this much more often than they are wanted, to be done sooner. */
const SEARCH_SPEED = 4;
/** Shares that should have come before silence is taken for an answer in a search. */
const SEARCH_SILENCE = 2;
/** How far below the difficulty that silence speaks against a search goes on. */
const SEARCH_STRIDE = 8;
/** A window older than this says little about now. */
const WINDOW_MAX_MS = 10 * 60_000;

/** Throws unless the bounds are positive, ordered and finite. */
export function checkVardiffOptions(options: VardiffOptions): void {
  const { sharesPerMinute, floor, start, ceiling } = options;
  assert(sharesPerMinute > 0 && Number.isFinite(sharesPerMinute), 'vardiff_rate_positive', options);
  assert(floor > 0 && floor <= ceiling && Number.isFinite(ceiling), 'vardiff_bounds_ordered', options);
  assert(start > 0 && Number.isFinite(start), 'vardiff_start_positive', options);
}

export function startVardiff(options: VardiffOptions, nowMs: number): VardiffState {
  return startWindow(clamp(powerOfTwo(options.start), options), nowMs, {});
}

/** Counts accepted shares of one difficulty. Mutates, since it runs for every few shares. */
export function countShares(state: VardiffState, shares: number, difficulty: number): void {
  state.windowDifficulty += shares * difficulty;
  state.windowShares += shares;
}

/**
 * How hard the work of one miner is; pure, but that `countShares` comes in between.
 * @param nowMs monotonic time
 */
export function transition(
  options: VardiffOptions,
  state: VardiffState,
  event: VardiffEvent,
  nowMs: number,
): VardiffTransition {
  switch (event.type) {
    case 'job_due': {
      const next = decideDifficulty(options, state, nowMs);
      return { state: next, effects: effectsOf(state.difficulty, next.difficulty) };
    }
    case 'work_resumed':
      return { state: startWindow(state.difficulty, nowMs, state), effects: [] };
    case 'suggested': {
      if (state.isFixed || state.suggested === event.difficulty) return { state, effects: [] };
      const start = clamp(powerOfTwo(event.difficulty), options);
      return { state: startWindow(start, nowMs, { suggested: event.difficulty }), effects: [] };
    }
    case 'fixed': {
      const difficulty = clamp(Math.fround(event.difficulty), options);
      if (state.isFixed && state.difficulty === difficulty) return { state, effects: [] };
      return { state: startWindow(difficulty, nowMs, { isFixed: true }), effects: [] };
    }
  }
}

function effectsOf(before: number, after: number): readonly VardiffEffect[] {
  if (before === after) return [];
  return [{ type: after > before ? 'raised' : 'lowered' }];
}

/**
 * The ideal difficulty is the observed difficulty per minute over the wanted rate. When it left the band
 * around the present one by more than chance explains, the nearest power of two to a cautious estimate of it
 * is taken: one deviation nearer to the present one than what was observed.
 */
function decideDifficulty(options: VardiffOptions, state: VardiffState, nowMs: number): VardiffState {
  const minutes = (nowMs - state.windowStartMs) / 60_000;
  if (state.isFixed || minutes <= 0) return state;
  const expected = minutes * options.sharesPerMinute;
  if (!state.isSettled) return continueSearch(options, state, expected, nowMs);
  const ratio = state.windowDifficulty / (expected * state.difficulty);
  const shares = state.windowShares;
  const spread = shares === 0 ? 0 : 1 / Math.sqrt(shares);
  if (ratio > TOO_FAST && ratio * (1 - DEVIATIONS * spread) > 1) {
    return moveDifficulty(options, state, ratio * (1 - spread), nowMs);
  }
  if (ratio < TOO_SLOW && ratio * (1 + DEVIATIONS * spread) + DEVIATIONS ** 2 / expected < 1) {
    if (shares > 0) return moveDifficulty(options, state, ratio * (1 + spread) + 1 / expected, nowMs);
    const { suggested } = state;
    return startWindow(clamp(powerOfTwo(state.difficulty / expected), options), nowMs, { suggested });
  }
  if (shares >= SETTLED_SHARES && ratio > TOO_SLOW && ratio < TOO_FAST) {
    return startWindow(state.difficulty, nowMs, { isSettled: true, suggested: state.suggested });
  }
  const isOld = nowMs - state.windowStartMs > WINDOW_MAX_MS;
  return isOld
    ? startWindow(state.difficulty, nowMs, { isSettled: true, suggested: state.suggested })
    : state;
}

/**
 * The search for a rate that may be many powers of two away: down in strides while nothing comes, then at
 * a difficulty low enough to count quickly, until enough was counted. Too low for the time between two
 * jobs is cheap, too high costs that time.
 */
function continueSearch(
  options: VardiffOptions,
  state: VardiffState,
  expected: number,
  nowMs: number,
): VardiffState {
  const { windowShares, windowDifficulty, suggested } = state;
  const difficulty = windowShares === 0 ? state.difficulty : windowDifficulty / windowShares;
  const foundShares = state.foundShares + windowShares;
  const foundTime = state.foundTime + expected / difficulty;
  const ideal = foundShares / foundTime;
  if (foundShares >= FOUND_SHARES) {
    return startWindow(clamp(powerOfTwo(ideal), options), nowMs, { isSettled: true, suggested });
  }
  const isSilent = foundShares === 0 && expected >= SEARCH_SILENCE;
  if (foundShares === 0 && !isSilent) return state;
  const aim = isSilent ? 1 / (foundTime * SEARCH_STRIDE) : ideal / SEARCH_SPEED;
  const next = clamp(powerOfTwo(aim), options);
  return next < state.difficulty ? startWindow(next, nowMs, { foundShares, foundTime, suggested }) : state;
}

/** The largest power of two not above `value`. */
export function powerOfTwoBelow(value: number): number {
  const power = 2 ** Math.floor(Math.log2(value));
  if (power > value) return power / 2;
  return power * 2 <= value ? power * 2 : power;
}

function moveDifficulty(
  options: VardiffOptions,
  state: VardiffState,
  ratio: number,
  nowMs: number,
): VardiffState {
  return startWindow(clamp(powerOfTwo(state.difficulty * ratio), options), nowMs, {
    isSettled: true,
    suggested: state.suggested,
  });
}

/** The nearest power of two by ratio. */
function powerOfTwo(value: number): number {
  return 2 ** Math.round(Math.log2(value));
}

function clamp(value: number, options: VardiffOptions): number {
  return Math.max(Math.min(Math.max(value, options.floor), options.ceiling), MIN_DIFFICULTY);
}

type Flags = Partial<
  Pick<VardiffState, 'isFixed' | 'suggested' | 'isSettled' | 'foundShares' | 'foundTime'>
>;

function startWindow(difficulty: number, nowMs: number, flags: Flags): VardiffState {
  const { isFixed = false, suggested = 0, isSettled = false, foundShares = 0, foundTime = 0 } = flags;
  return {
    ...{ difficulty, isFixed, suggested, isSettled, foundShares, foundTime },
    ...{ windowStartMs: nowMs, windowDifficulty: 0, windowShares: 0 },
  };
}
