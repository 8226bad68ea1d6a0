/**
 * The solutions of one contract: the shares that the maker's upstream wants at once. What first comes in a
 * batch is late; too much of it pauses credit, and both sides reckon alike.
 */
export type LateSolutions = {
  readonly solutions: number;
  readonly late: number;
  /** Monotonic time in ms until which nothing is credited. */
  readonly pausedUntilMs: number;
};

export const NO_SOLUTIONS: LateSolutions = {
  solutions: 0,
  late: 0,
  pausedUntilMs: Number.NEGATIVE_INFINITY,
};

/** What a link that broke may lose, beside the part that the terms allow. */
const ALWAYS_FORGIVEN = 2;
/** For each solution that is late beyond that. */
export const LATE_PAUSE_MS = 60_000;

/**
 * Counts a solution.
 * @param latePpm of the terms
 */
export function countSolution(
  latePpm: number,
  { solutions, late, pausedUntilMs }: LateSolutions,
  isLate: boolean,
  monotonicMs: number,
): LateSolutions {
  const count = { solutions: solutions + 1, late: late + (isLate ? 1 : 0) };
  const isBeyond = count.late > ALWAYS_FORGIVEN && count.late * 1_000_000 > latePpm * count.solutions;
  return { ...count, pausedUntilMs: isLate && isBeyond ? monotonicMs + LATE_PAUSE_MS : pausedUntilMs };
}

/**
 * True while credit pauses.
 * @param slackMs so much longer: for the one that looks at the other's pause
 */
export function isLatePause({ pausedUntilMs }: LateSolutions, monotonicMs: number, slackMs = 0): boolean {
  return monotonicMs < pausedUntilMs + slackMs;
}
