import type { Timers } from './clock.ts';

/** The timers of the runtime: nothing else in the program sets one. */
export const systemTimers: Timers = {
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    return { cancel: () => clearInterval(timer) };
  },
  afterTurn: setImmediate,
  afterCall: process.nextTick,
};

/** Runs once, `ms` from now, if the process is still there: it does not wait for this. */
export function unlessEnded(ms: number, run: () => void): void {
  setTimeout(run, ms).unref();
}
