import type { Clock, Timer, Timers } from '../../src/base/clock.ts';

const START_MS = 1_800_000_000_000;
const MAX_TURNS = 10_000;

type Pending = { atMs: number; readonly everyMs: number | undefined; readonly run: () => void };

/**
 * Time, timers and turns of the event loop in the hands of a test: nothing waits, and the same schedule
 * always runs in the same order.
 */
export class VirtualTime {
  readonly clock: Clock = { nowMs: () => START_MS + this.#wallMs + this.#ms, monotonicMs: () => this.#ms };
  readonly timers: Timers = {
    after: (ms, run) => this.#add(ms, undefined, run),
    every: (ms, run) => this.#add(ms, ms, run),
    afterTurn: (run) => void this.#turn.push(run),
    afterCall: queueMicrotask,
  };
  readonly #pending = new Set<Pending>();
  #turn: (() => void)[] = [];
  #ms = 0;
  #wallMs = 0;
  /** The most in ms by which the wall clock was ever off from where it began. */
  wallOffMs = 0;

  /** The wall clock is set, by so much forwards or backwards; no time passes. */
  setWall(byMs: number): void {
    this.#wallMs += byMs;
    this.wallOffMs = Math.max(this.wallOffMs, Math.abs(this.#wallMs));
  }

  /** Everything that can go on without time passing goes on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#turn.length === 0) return;
      const due = this.#turn;
      this.#turn = [];
      for (const run of due) run();
    }
    throw new Error('the event loop does not come to rest');
  }

  /** Time passes; each timer runs at its time, and what follows from it before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#ms = Math.max(this.#ms, next.atMs);
      if (next.everyMs === undefined) this.#pending.delete(next);
      else next.atMs += Math.max(1, next.everyMs);
      next.run();
      await this.settle();
    }
    this.#ms = endMs;
  }

  #add(ms: number, everyMs: number | undefined, run: () => void): Timer {
    const timer = { atMs: this.#ms + Math.max(1, ms), everyMs, run };
    this.#pending.add(timer);
    return { cancel: () => void this.#pending.delete(timer) };
  }

  #next(endMs: number): Pending | undefined {
    let first: Pending | undefined;
    for (const timer of this.#pending) {
      if (timer.atMs <= endMs && (first === undefined || timer.atMs < first.atMs)) first = timer;
    }
    return first;
  }
}
