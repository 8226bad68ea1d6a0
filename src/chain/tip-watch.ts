import type { Timer, Timers } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainTip } from './source.ts';

export type TipWatchDeps = { readonly log: Logger; readonly timers: Timers };

/** Asks for the tip at a fixed pace and tells of each change; silent while the node does not answer. */
export class TipWatch {
  readonly #pollMs: number;
  readonly #read: () => Promise<ChainTip>;
  readonly #log: Logger;
  readonly #timers: Timers;
  readonly #listeners = new Map<symbol, (tip: ChainTip) => void>();
  #timer: Timer | undefined;
  #last: ChainTip | undefined;
  /** The code of the failure that lasts. */
  #failureCode: string | undefined;
  #isClosed = false;

  constructor(pollMs: number, read: () => Promise<ChainTip>, deps: TipWatchDeps) {
    this.#pollMs = pollMs;
    this.#read = read;
    this.#log = deps.log;
    this.#timers = deps.timers;
  }

  /** The last tip at once where one is known; returns the function that ends it. */
  add(onTip: (tip: ChainTip) => void): () => void {
    const key = Symbol('watch');
    const first = this.#last;
    this.#listeners.set(key, onTip);
    if (first !== undefined) queueMicrotask(() => this.#listeners.get(key)?.(first));
    if (this.#listeners.size === 1) this.#schedule(0);
    return () => {
      this.#listeners.delete(key);
      if (this.#listeners.size === 0) this.#timer?.cancel();
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#timers.after(delayMs, () => void this.#poll());
  }

  async #poll(): Promise<void> {
    try {
      const tip = await this.#read();
      if (this.#failureCode !== undefined)
        this.#log.info({ height: tip.height }, 'bitcoin node answers again');
      this.#failureCode = undefined;
      const changed = this.#last?.hash !== tip.hash;
      this.#last = tip;
      if (changed) for (const listener of [...this.#listeners.values()]) listener(tip);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'internal') throw error;
      if (this.#failureCode !== code && !this.#isClosed) {
        this.#log.warn({ error: code, detail: String(error) }, 'no tip from the bitcoin node');
      }
      this.#failureCode = code;
    }
    if (!this.#isClosed && this.#listeners.size > 0) this.#schedule(this.#pollMs);
  }
}
