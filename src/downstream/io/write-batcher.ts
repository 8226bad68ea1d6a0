import type { Timers } from '../../base/clock.ts';

/** Of a session: whether it works already, and whether it has something to write. */
export type BatchedWriter = { readonly isStarted: boolean; isDirty: boolean; flush(): void };

/**
 * Newcomers answered in one turn: each costs a job, some 50 us. In a storm of thousands those at work would
 * wait for all of them.
 */
const HANDSHAKES_PER_TURN = 64;

/**
 * What is to be written at the end of this turn of the event loop: each session once, whatever came for it.
 * Those at work all in this turn, of those that only come a few, the others in the next turns.
 */
export class WriteBatcher<T extends BatchedWriter> {
  readonly #timers: Pick<Timers, 'afterTurn'>;
  #dirty: T[] = [];
  #isScheduled = false;
  readonly #end = (): void => this.#flush(HANDSHAKES_PER_TURN);

  constructor(deps: { readonly timers: Pick<Timers, 'afterTurn'> }) {
    this.#timers = deps.timers;
  }

  /** It has something to write. */
  mark(session: T): void {
    if (session.isDirty) return;
    session.isDirty = true;
    this.#dirty.push(session);
    this.#schedule();
  }

  /** Writes everything now. */
  flush(): void {
    this.#flush(Number.POSITIVE_INFINITY);
  }

  #flush(handshakes: number): void {
    this.#isScheduled = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    let remaining = handshakes;
    for (const session of dirty) {
      if (!session.isStarted) remaining -= 1;
      if (session.isStarted || remaining >= 0) session.flush();
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
