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
