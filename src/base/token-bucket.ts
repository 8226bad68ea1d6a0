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

  /** Takes one token; false when there is none. */
  take(monotonicMs: number): boolean {
    this.#refill(monotonicMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes what was already used, into debt if need be; false while there is a debt. */
  spend(cost: number, monotonicMs: number): boolean {
    this.#refill(monotonicMs);
    this.#tokens -= cost;
    return this.#tokens >= 0;
  }

  /** A clock that stepped back adds nothing. */
  #refill(monotonicMs: number): void {
    const { perSecond, burst } = this.#rate;
    const seconds = Math.max(0, monotonicMs - this.#atMs) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + seconds * perSecond);
    this.#atMs = monotonicMs;
  }
}
