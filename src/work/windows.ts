import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';

export type WindowOptions = {
  readonly windowSeconds: number;
  /** Resolution: work leaves the window this many steps a window. Default 60. */
  readonly buckets?: number;
};

export type WindowSum = {
  readonly workHashes: bigint;
  readonly shares: number;
  /** Time the sum covers: the window, or less when it began later. */
  readonly seconds: number;
};

/**
 * Exact work and shares of the last while: delivered against agreed, and how sure a hashrate is (the
 * relative error of n shares is about 1/sqrt(n)).
 */
export class WorkWindow {
  readonly #clock: Clock;
  readonly #bucketMs: number;
  readonly #startMs: number;
  readonly #work: bigint[];
  readonly #shares: number[];
  /** Number of the newest bucket since the clock's origin. */
  #newest: number;
  #totalWork = 0n;
  #totalShares = 0;

  constructor(options: WindowOptions, deps: { readonly clock: Clock }) {
    const buckets = options.buckets ?? 60;
    assert(Number.isInteger(buckets) && buckets > 0 && options.windowSeconds > 0, 'work_window_options');
    this.#clock = deps.clock;
    this.#bucketMs = (options.windowSeconds * 1000) / buckets;
    this.#startMs = deps.clock.monotonicMs();
    this.#newest = Math.floor(this.#startMs / this.#bucketMs);
    this.#work = new Array<bigint>(buckets).fill(0n);
    this.#shares = new Array<number>(buckets).fill(0);
  }

  add(workHashes: bigint, shares: number): void {
    this.#advance(this.#clock.monotonicMs());
    const slot = this.#newest % this.#work.length;
    this.#work[slot]! += workHashes;
    this.#shares[slot]! += shares;
    this.#totalWork += workHashes;
    this.#totalShares += shares;
  }

  sum(): WindowSum {
    const monotonicMs = this.#clock.monotonicMs();
    this.#advance(monotonicMs);
    const oldestMs = (this.#newest - this.#work.length + 1) * this.#bucketMs;
    const seconds = (monotonicMs - Math.max(oldestMs, this.#startMs)) / 1000;
    return { workHashes: this.#totalWork, shares: this.#totalShares, seconds };
  }

  /** Drops what is older than the window. */
  #advance(monotonicMs: number): void {
    const newest = Math.floor(monotonicMs / this.#bucketMs);
    const steps = Math.min(newest - this.#newest, this.#work.length);
    for (let step = 1; step <= steps; step += 1) {
      const slot = (newest - steps + step) % this.#work.length;
      this.#totalWork -= this.#work[slot]!;
      this.#totalShares -= this.#shares[slot]!;
      this.#work[slot] = 0n;
      this.#shares[slot] = 0;
    }
    this.#newest = Math.max(this.#newest, newest);
  }
}
