/**
 * The one source of time. `nowMs` is wall time since the epoch; `monotonicMs` never steps back and is for
 * durations.
 */
export type Clock = {
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
};

export const systemClock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };

/** The one source of randomness. */
export type Random = { readonly bytes: (size: number) => Uint8Array };

/** A clock that tests move by hand. */
export class ManualClock implements Clock {
  #ms: number;
  constructor(startMs = 1_700_000_000_000) {
    this.#ms = startMs;
  }
  readonly nowMs = (): number => this.#ms;
  readonly monotonicMs = (): number => this.#ms;
  advance(ms: number): void {
    this.#ms += ms;
  }
}
