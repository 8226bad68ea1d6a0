/**
 * The one source of time. `nowMs` is wall time since the epoch, for what people and protocols date: a clock
 * that is set jumps. `monotonicMs` never steps back and has no meaning outside this process, for durations.
 */
export type Clock = {
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
};

export const systemClock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };

/** A timer that has been set. */
export type Timer = {
  /** It does not run any more; nothing when it has run already. */
  cancel(): void;
};

/** What runs later, all by monotonic time. */
export type Timers = {
  /** Runs once, `ms` from now. */
  readonly after: (ms: number, run: () => void) => Timer;
  /** Runs every `ms`, the first time `ms` from now. */
  readonly every: (ms: number, run: () => void) => Timer;
  /** Runs once, after the I/O of the present turn of the event loop. */
  readonly afterTurn: (run: () => void) => void;
  /** Runs once, behind what runs now and before any I/O. */
  readonly afterCall: (run: () => void) => void;
};

/** Resolves `ms` from now, or as soon as the signal is aborted. */
export function sleep(timers: Timers, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = timers.after(ms, done);
    signal?.addEventListener('abort', done);
  });
}

/**
 * The result of `work`, whose signal is aborted after `ms` (then it throws `TimeoutError`), or when
 * `signal` is.
 */
export async function withTimeout<T>(
  timers: Timers,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const late = new AbortController();
  const timer = timers.after(ms, () =>
    late.abort(new DOMException(`no answer in ${ms} ms`, 'TimeoutError')),
  );
  try {
    return await work(signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]));
  } finally {
    timer.cancel();
  }
}

/** The one source of randomness. */
export type Random = { readonly bytes: (size: number) => Uint8Array };
