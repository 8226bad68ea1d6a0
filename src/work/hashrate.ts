import type { Clock } from '../base/clock.ts';

/** Averaging times in seconds, and the names they are shown under. */
export const HASHRATE_WINDOWS = { oneMinute: 60, fiveMinutes: 300, oneHour: 3600, oneDay: 86_400 } as const;

/** Credited work per second, in H/s. Estimates for display and metrics: money is never derived from them. */
export type Hashrates = { readonly [Name in keyof typeof HASHRATE_WINDOWS]: number };

/** Work is folded into the averages at most this often: adding a share costs one addition. */
const FOLD_MS = 1000;

/** A first share right after the start says little: the divisor is never that of less than this. */
const MIN_AGE_SECONDS = 10;

/**
 * Exponential averages of credited work, for one session, stream or total. Two idle hours or the first
 * minute do not distort it: an average younger than its window is divided by the part of the window it
 * has seen.
 */
export class Hashrate {
  readonly #clock: Clock;
  readonly #startMs: number;
  #foldedMs: number;
  #waitingHashes = 0;
  #oneMinute = 0;
  #fiveMinutes = 0;
  #oneHour = 0;
  #oneDay = 0;

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
    this.#startMs = deps.clock.monotonicMs();
    this.#foldedMs = this.#startMs;
  }

  /** @param workHashes as a double: what a share or a batch of shares earned */
  add(workHashes: number): void {
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#foldedMs >= FOLD_MS) this.#fold(monotonicMs);
    this.#waitingHashes += workHashes;
  }

  rates(): Hashrates {
    const monotonicMs = this.#clock.monotonicMs();
    this.#fold(monotonicMs);
    const ageSeconds = (monotonicMs - this.#startMs) / 1000;
    return {
      oneMinute: unbiased(this.#oneMinute, HASHRATE_WINDOWS.oneMinute, ageSeconds),
      fiveMinutes: unbiased(this.#fiveMinutes, HASHRATE_WINDOWS.fiveMinutes, ageSeconds),
      oneHour: unbiased(this.#oneHour, HASHRATE_WINDOWS.oneHour, ageSeconds),
      oneDay: unbiased(this.#oneDay, HASHRATE_WINDOWS.oneDay, ageSeconds),
    };
  }

  /** Work that came since the last fold is spread evenly over that time. */
  #fold(monotonicMs: number): void {
    const seconds = (monotonicMs - this.#foldedMs) / 1000;
    if (seconds <= 0) return;
    const rate = this.#waitingHashes / seconds;
    this.#oneMinute = towards(this.#oneMinute, rate, seconds / HASHRATE_WINDOWS.oneMinute);
    this.#fiveMinutes = towards(this.#fiveMinutes, rate, seconds / HASHRATE_WINDOWS.fiveMinutes);
    this.#oneHour = towards(this.#oneHour, rate, seconds / HASHRATE_WINDOWS.oneHour);
    this.#oneDay = towards(this.#oneDay, rate, seconds / HASHRATE_WINDOWS.oneDay);
    this.#waitingHashes = 0;
    this.#foldedMs = monotonicMs;
  }
}

/** An exponential average after its input was `rate` for `windows` of its averaging times. */
function towards(average: number, rate: number, windows: number): number {
  return rate + (average - rate) * Math.exp(-windows);
}

/** An average that began at zero `ageSeconds` ago holds only this part of the weight. */
function unbiased(average: number, windowSeconds: number, ageSeconds: number): number {
  return average / -Math.expm1(-Math.max(ageSeconds, MIN_AGE_SECONDS) / windowSeconds);
}
