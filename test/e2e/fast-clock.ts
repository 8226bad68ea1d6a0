import { type Clock, systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';

/**
 * Loaded before the program of a daemon (`--import`), it makes the wall clock run faster from a moment on,
 * and what is done every few seconds with it: a minute of the logs takes seconds then. How long an answer is
 * waited for stays as it is.
 */
const CLOCK_ENV = 'FAST_CLOCK';
const HOOK = new URL(import.meta.url).href;
/** Repeated less often than that, it follows the wall clock. */
const LEAST_MS = 5_000;

export type FastClock = {
  readonly clock: Clock;
  /** For daemons that are to have it too; `hooks` are loaded with it. */
  readonly env: (hooks?: readonly string[]) => Readonly<Record<string, string>>;
};

/** @param fromMs when it began to run faster; of one that is ahead from the start, before now */
export function fastClock(factor: number, fromMs: number = Date.now()): FastClock {
  return {
    clock: { ...systemClock, nowMs: fastNow(fromMs, factor) },
    env: (hooks = []) => ({
      [CLOCK_ENV]: JSON.stringify([fromMs, factor]),
      NODE_OPTIONS: [HOOK, ...hooks].map((hook) => `--import ${hook}`).join(' '),
    }),
  };
}

function fastNow(fromMs: number, factor: number): () => number {
  return () => fromMs + (Date.now() - fromMs) * factor;
}

const told = process.env[CLOCK_ENV];
if (told !== undefined) {
  const [fromMs, factor] = JSON.parse(told) as [number, number];
  const { every } = systemTimers;
  Object.assign(systemClock, { nowMs: fastNow(fromMs, factor) });
  Object.assign(systemTimers, {
    every: (ms: number, run: () => void) => every(ms < LEAST_MS ? ms : ms / factor, run),
  });
}
