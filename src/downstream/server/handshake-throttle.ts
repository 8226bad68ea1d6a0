import type { Timers } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';

/** Of a session: what it is when its bytes come. */
export type Reader = {
  readonly isStarted: boolean;
  onData(chunk: Uint8Array): void;
  pause(): void;
  resume(): void;
};

export type HandshakeThrottleDeps = {
  readonly timers: Pick<Timers, 'afterTurn'>;
  /** Counts the reads that were not put off, since too much waits. */
  readonly limitHits: { newcomerBytes: number };
};

/** Reads of newcomers in one turn; a handshake or an error for nonsense costs some 100 us. */
const READS_PER_TURN = 32;

/**
 * Reads of sessions that do not work yet: a few in each turn of the event loop, the others in the next
 * turns. In a storm of thousands those at work would wait for all of them. In quiet times nothing waits.
 */
export class HandshakeThrottle<T extends Reader> {
  /** In the order they came, each paused. */
  readonly #waiting = new Map<T, Uint8Array>();
  #bytes = 0;
  #remaining = READS_PER_TURN;
  #isScheduled = false;
  readonly #next = (): void => this.#runTurn();
  readonly #deps: HandshakeThrottleDeps;

  constructor(deps: HandshakeThrottleDeps) {
    this.#deps = deps;
  }

  /** @param chunk valid during the call only */
  onData(session: T, chunk: Uint8Array): void {
    const before = this.#waiting.size === 0 ? undefined : this.#waiting.get(session);
    if (session.isStarted && before === undefined) {
      session.onData(chunk);
      return;
    }
    const isFull = this.#bytes >= LIMITS.newcomerBytes;
    if (before === undefined && (this.#remaining > 0 || isFull)) {
      if (this.#remaining <= 0) this.#deps.limitHits.newcomerBytes += 1;
      this.#remaining -= 1;
      session.onData(chunk);
    } else {
      session.pause();
      this.#bytes += chunk.length;
      this.#waiting.set(
        session,
        before === undefined ? Buffer.from(chunk) : Buffer.concat([before, chunk]),
      );
    }
    this.#schedule();
  }

  #runTurn(): void {
    this.#isScheduled = false;
    this.#remaining = READS_PER_TURN;
    for (const [session, chunk] of this.#waiting) {
      if (this.#remaining <= 0) break;
      this.#remaining -= 1;
      this.#waiting.delete(session);
      this.#bytes -= chunk.length;
      session.resume();
      session.onData(chunk);
    }
    if (this.#waiting.size > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#deps.timers.afterTurn(this.#next);
  }
}
