import { backoffMs } from '../base/backoff.ts';
import { type Random, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';

const RETRY = { baseMs: 1_000, maxMs: 60_000 };

export type LaterPartDeps = {
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
};

/** Why a part is not there yet. */
export type WaitingPart = {
  readonly part: string;
  readonly code: string;
  readonly detail: string;
  readonly attempts: number;
};

/**
 * A part of a daemon that miners do not wait for: tried at once, and again with back-off for as long as the
 * world does not let it start.
 */
export class LaterPart {
  readonly name: string;
  readonly #start: () => Promise<void>;
  readonly #deps: LaterPartDeps;
  readonly #abort = new AbortController();
  #waiting: WaitingPart | undefined;
  #run: Promise<void> | undefined;

  /** @param start a coded error is tried again; any other is a fault of ours */
  constructor(name: string, start: () => Promise<void>, deps: LaterPartDeps) {
    this.name = name;
    this.#start = start;
    this.#deps = deps;
  }

  /** Undefined once it is there. */
  get waiting(): WaitingPart | undefined {
    return this.#waiting;
  }

  /** Begins, and resolves with the end of the first attempt, or after `patienceMs`. */
  async begin(patienceMs: number): Promise<void> {
    const first = Promise.withResolvers<void>();
    this.#waiting = { part: this.name, code: 'starting', detail: 'it is tried', attempts: 1 };
    this.#run = this.#tryUntilThere(first.resolve);
    const patience = this.#deps.timers.after(patienceMs, first.resolve);
    await Promise.race([first.promise, this.#run]);
    patience.cancel();
  }

  /** Tries no more; resolves when no attempt is under way. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#run;
  }

  async #tryUntilThere(onAttempt: () => void): Promise<void> {
    const { timers, random, log } = this.#deps;
    const { name: part } = this;
    const { signal } = this.#abort;
    for (let attempts = 1; !signal.aborted; attempts += 1) {
      try {
        await this.#start();
        if (attempts > 1) log.info({ part, attempts }, 'it is there now');
        this.#waiting = undefined;
        return;
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        const { code, message: detail, hint } = error;
        const isNew = this.#waiting?.code !== code;
        this.#waiting = { part, code, detail, attempts };
        if (isNew && !signal.aborted)
          log.warn({ part, code, detail, hint }, 'not there yet; it is tried again');
      } finally {
        onAttempt();
      }
      await sleep(timers, backoffMs(RETRY, attempts - 1, random), signal);
    }
  }
}
