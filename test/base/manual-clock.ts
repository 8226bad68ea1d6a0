import type { Clock } from '../../src/base/clock.ts';

/** Far from any wall time: one taken for the other shows. */
const MONOTONIC_START_MS = 5_000;

/** A clock that tests move by hand. Its wall and its monotonic part start far apart. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = MONOTONIC_START_MS;
  constructor(wallMs = 1_700_000_000_000) {
    this.#wallMs = wallMs;
  }
  readonly nowMs = (): number => this.#wallMs;
  readonly monotonicMs = (): number => this.#monotonicMs;

  /** Time passes. */
  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  /** The wall clock is set, by so much forwards or backwards; no time passes. */
  setWall(byMs: number): void {
    this.#wallMs += byMs;
  }
}
