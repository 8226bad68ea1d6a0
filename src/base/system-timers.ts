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
