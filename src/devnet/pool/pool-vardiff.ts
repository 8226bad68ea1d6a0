/** How a pool in the manner of ckpool chooses a session's difficulty. */
export type PoolVardiffOptions = {
  readonly min: number;
  readonly max: number;
  /** Aimed at, shares a second. Default 0.3: one in 3.3 s. */
  readonly sharesPerSecond?: number;
  /** Looks after this many shares. Default 72. */
  readonly checkShares?: number;
  /** Or after this long, whichever is first. Default 240 000. */
  readonly checkMs?: number;
  /** Time constant of the mean. Default 300 000. */
  readonly windowMs?: number;
};

/** A rate between these factors of the aim is left alone. */
const LEAST_FACTOR = 0.5;
const MOST_FACTOR = 1.33;
/** As decimals that are not powers of two: clients have to cope with them. */
const SIGNIFICANT_DIGITS = 4;

/**
 * The difficulty of one session: an exponentially weighted mean of difficulty per second, corrected for how
 * short it was watched, and a change when the rate of shares is out of its band.
 */
export class PoolVardiff {
  readonly #options: Required<PoolVardiffOptions>;
  readonly #startedAtMs: number;
  #changedAtMs: number;
  #lastAtMs: number;
  #shares = 0;
  /** Difficulty a millisecond, before the correction. */
  #mean = 0;

  constructor(options: PoolVardiffOptions, nowMs: number) {
    this.#options = {
      sharesPerSecond: 0.3,
      checkShares: 72,
      checkMs: 240_000,
      windowMs: 300_000,
      ...options,
    };
    this.#startedAtMs = nowMs;
    this.#changedAtMs = nowMs;
    this.#lastAtMs = nowMs;
  }

  /**
   * Takes note of an accepted share.
   * @returns the session's new difficulty, when it is time to change it
   */
  onShare(credited: number, current: number, nowMs: number): number | undefined {
    const { checkShares, checkMs, sharesPerSecond, windowMs, min, max } = this.#options;
    this.#shares += 1;
    this.#mean *= Math.exp(-(nowMs - this.#lastAtMs) / windowMs);
    this.#mean += credited / windowMs;
    this.#lastAtMs = nowMs;
    if (this.#shares < checkShares && nowMs - this.#changedAtMs < checkMs) return undefined;
    const watched = 1 - Math.exp(-(nowMs - this.#startedAtMs) / windowMs);
    if (watched <= 0) return undefined;
    const perSecond = (this.#mean / watched) * 1000;
    this.#shares = 0;
    this.#changedAtMs = nowMs;
    const factor = perSecond / current / sharesPerSecond;
    if (factor >= LEAST_FACTOR && factor <= MOST_FACTOR) return undefined;
    const ideal = Number((perSecond / sharesPerSecond).toPrecision(SIGNIFICANT_DIGITS));
    const next = Math.min(Math.max(ideal, min), max);
    return next === current ? undefined : next;
  }
}
