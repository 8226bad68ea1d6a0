/** What a departure needs of a session. */
export type Leaver = { readonly inFlight: number; readonly isClosed: boolean; pause(): void };

/** For the answers to shares in flight, whose commit takes milliseconds. */
const ANSWER_MS = 5000;

/**
 * Sessions that are to leave: each is sent away when its shares in flight are answered, since they are
 * credited and the miner should know, or after some time.
 */
export class Departures<S extends Leaver> {
  readonly #sendAway: (session: S) => void;
  /** And until when answers are waited for, monotonic. */
  readonly #leaving = new Map<S, number>();

  constructor(sendAway: (session: S) => void) {
    this.#sendAway = sendAway;
  }

  begin(session: S, monotonicMs: number): void {
    if (session.isClosed || this.#leaving.has(session)) return;
    if (session.inFlight === 0) {
      this.#sendAway(session);
      return;
    }
    session.pause();
    this.#leaving.set(session, monotonicMs + ANSWER_MS);
  }

  /** A share of the session was answered. */
  answered(session: S): void {
    if (this.#leaving.size > 0 && session.inFlight === 0 && this.#leaving.has(session)) this.#end(session);
  }

  tick(monotonicMs: number): void {
    for (const [session, untilMs] of this.#leaving) if (monotonicMs >= untilMs) this.#end(session);
  }

  /** It is gone. */
  forget(session: S): void {
    this.#leaving.delete(session);
  }

  #end(session: S): void {
    this.#leaving.delete(session);
    this.#sendAway(session);
  }
}
