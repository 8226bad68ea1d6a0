import type { Clock } from '../../src/base/clock.ts';

const START_MS = 1_800_000_000_000;
const MAX_TURNS = 10_000;
const realImmediate = globalThis.setImmediate;

type Callback = (...values: unknown[]) => void;
type Timer = { atMs: number; readonly everyMs: number | undefined; readonly run: () => void };

/**
 * Time, timers and turns of the event loop in the hands of a test: nothing waits, and the same schedule
 * always runs in the same order. `install` puts it in the place of the timers of this process.
 */
export class VirtualTime {
  readonly clock: Clock = { nowMs: () => START_MS + this.#ms, monotonicMs: () => this.#ms };
  readonly #timers = new Set<Timer>();
  #immediates: Timer[] = [];
  #ms = 0;

  /** Until the returned function is called, all timers of the process are these. */
  install(): () => void {
    const names = [
      'setTimeout',
      'setInterval',
      'setImmediate',
      'clearTimeout',
      'clearInterval',
      'clearImmediate',
    ] as const;
    const real = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
    const clear = (timer: unknown): void => {
      this.#timers.delete(timer as Timer);
      this.#immediates = this.#immediates.filter((each) => each !== timer);
    };
    Object.assign(globalThis, {
      setTimeout: (run: Callback, ms = 0, ...values: unknown[]) => this.#add(run, ms, undefined, values),
      setInterval: (run: Callback, ms = 0, ...values: unknown[]) => this.#add(run, ms, ms, values),
      setImmediate: (run: Callback, ...values: unknown[]) => {
        const timer = { atMs: 0, everyMs: undefined, run: () => run(...values) };
        this.#immediates.push(timer);
        return timer;
      },
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear,
    });
    return () => Object.assign(globalThis, real);
  }

  /** Everything that can go on without time passing goes on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS; turn += 1) {
      await new Promise((resolve) => realImmediate(resolve));
      if (this.#immediates.length === 0) return;
      const due = this.#immediates;
      this.#immediates = [];
      for (const { run } of due) run();
    }
    throw new Error('the event loop does not come to rest');
  }

  /** Time passes; each timer runs at its time, and what follows from it before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#ms = Math.max(this.#ms, next.atMs);
      if (next.everyMs === undefined) this.#timers.delete(next);
      else next.atMs += Math.max(1, next.everyMs);
      next.run();
      await this.settle();
    }
    this.#ms = endMs;
  }

  #add(run: Callback, ms: number, everyMs: number | undefined, values: readonly unknown[]): Timer {
    const timer = { atMs: this.#ms + Math.max(1, ms), everyMs, run: () => run(...values) };
    this.#timers.add(timer);
    return timer;
  }

  #next(endMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs <= endMs && (first === undefined || timer.atMs < first.atMs)) first = timer;
    }
    return first;
  }
}
