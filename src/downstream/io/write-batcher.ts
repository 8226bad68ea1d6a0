import type { Timers } from '../../base/clock.ts';

/** Of a session: whether it works already, and whether it has something to write. */
export type Writer = { readonly started: boolean; dirty: boolean; flush(): void };

/**
 * Newcomers answered in one turn: each costs a job, some 50 us. In a storm of thousands those at work would
 * wait for all of them.
 */
const NEWCOMERS = 64;

/**
 * What is to be written at the end of this turn of the event loop: each session once, whatever came for it.
 * Those at work all in this turn, of those that only come a few, the others in the next turns.
 */
export class Turn<T extends Writer> {
  readonly #timers: Pick<Timers, 'afterTurn'>;
  #dirty: T[] = [];
  #isScheduled = false;
  readonly #end = (): void => this.#flush(NEWCOMERS);

  constructor(deps: { readonly timers: Pick<Timers, 'afterTurn'> }) {
    this.#timers = deps.timers;
  }

  /** It has something to write. */
  mark(session: T): void {
    if (session.dirty) return;
    session.dirty = true;
    this.#dirty.push(session);
    this.#schedule();
  }

  /** Writes everything now. */
  flush(): void {
    this.#flush(Number.POSITIVE_INFINITY);
  }

  #flush(newcomers: number): void {
    this.#isScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    let left = newcomers;
    for (const session of dirty) {
      if (!session.started) left -= 1;
      if (session.started || left >= 0) session.flush();
      else this.#dirty.push(session);
    }
    if (this.#dirty.length > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#timers.afterTurn(this.#end);
  }
}
