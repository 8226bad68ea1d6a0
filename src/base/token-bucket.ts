import { assert } from './assert.ts';

export type Rate = { readonly perSecond: number; readonly burst: number };

/** A rate with a burst, counted in tokens. All times are the caller's milliseconds, of one clock. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, monotonicMs: number) {
    assert(rate.perSecond > 0 && rate.burst >= 1, 'token_bucket_rate', rate);
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#atMs = monotonicMs;
  }

  /** Takes one token, or so many; false, and none taken, when there are fewer. */
  take(monotonicMs: number, cost = 1): boolean {
    this.#refill(monotonicMs);
    if (this.#tokens < cost) return false;
    this.#tokens -= cost;
    return true;
  }

  /** Takes what was already used, into debt if need be; false while there is a debt. */
  spend(cost: number, monotonicMs: number): boolean {
    this.#refill(monotonicMs);
    this.#tokens -= cost;
    return this.#tokens >= 0;
  }

  /** Ms until a debt is paid; 0 without one. */
  waitMs(monotonicMs: number): number {
    this.#refill(monotonicMs);
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.#rate.perSecond);
  }

  /** A clock that stepped back adds nothing. */
  #refill(monotonicMs: number): void {
    const { perSecond, burst } = this.#rate;
    const seconds = Math.max(0, monotonicMs - this.#atMs) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + seconds * perSecond);
    this.#atMs = monotonicMs;
  }
}
