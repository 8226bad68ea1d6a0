import { codeOf } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainSource } from './source.ts';

export type Outpoint = { readonly txid: string; readonly vout: number };

export type ChainWatcherOptions = {
  /** How often watched things are looked at between tips, so that mempool changes are seen. */
  readonly pollMs: number;
};

export type ConfirmationWatch = {
  readonly txid: string;
  /** Confirmations wanted; 1 is "in a block". */
  readonly depth: number;
  /**
   * On each change below the depth: 0 in the mempool, undefined when the node lost sight of it (reorg,
   * eviction).
   */
  readonly onProgress?: (confirmations: number | undefined) => void;
  /** Once; the watch ends with it. */
  readonly onConfirmed: (confirmations: number) => void;
};

export type SpendWatch = {
  readonly outpoint: Outpoint;
  /**
   * True when the output is known to have existed; otherwise it must be seen unspent before it can be
   * spent.
   */
  readonly existed: boolean;
  /** Once, when it is spent (a spend in the mempool counts); the watch ends with it. */
  readonly onSpent: (outpoint: Outpoint) => void;
};

export type ChainWatcher = {
  readonly stats: { checks: number; failures: number };
  /** Returns the function that ends the watch. */
  watchConfirmation(watch: ConfirmationWatch): () => void;
  /** Returns the function that ends the watch. */
  watchSpend(watch: SpendWatch): () => void;
  close(): void;
};

type Look = (end: () => boolean) => Promise<void>;
type Deps = { readonly source: ChainSource; readonly log: Logger };

/**
 * Looks at watched transactions and outputs at each tip and each `pollMs`, one at a time. A failed look is
 * tried again.
 */
export function createChainWatcher(options: ChainWatcherOptions, deps: Deps): ChainWatcher {
  return new Watcher(options, deps);
}

class Watcher implements ChainWatcher {
  readonly stats = { checks: 0, failures: 0 };
  readonly #options: ChainWatcherOptions;
  readonly #deps: Deps;
  readonly #looks = new Map<symbol, () => Promise<void>>();
  #stopTip: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #again = false;
  #failing = false;

  constructor(options: ChainWatcherOptions, deps: Deps) {
    this.#options = options;
    this.#deps = deps;
  }

  watchConfirmation(watch: ConfirmationWatch): () => void {
    let last: number | undefined | null = null;
    return this.#add(async (end) => {
      const confirmations = await this.#deps.source.confirmations(watch.txid);
      if (confirmations !== undefined && confirmations >= watch.depth) {
        if (end()) watch.onConfirmed(confirmations);
      } else if (confirmations !== last) {
        last = confirmations;
        watch.onProgress?.(confirmations);
      }
    });
  }

  watchSpend(watch: SpendWatch): () => void {
    let { existed } = watch;
    return this.#add(async (end) => {
      const output = await this.#deps.source.txOut(watch.outpoint.txid, watch.outpoint.vout);
      if (output !== undefined) {
        existed = true;
      } else if (existed) {
        if (end()) watch.onSpent(watch.outpoint);
      }
    });
  }

  close(): void {
    this.#looks.clear();
    this.#pause();
  }

  /** `end` tells whether the watch was still wanted: it may have been ended while its look was under way. */
  #add(look: Look): () => void {
    const key = Symbol('watch');
    const end = (): boolean => {
      const wanted = this.#looks.delete(key);
      if (this.#looks.size === 0) this.#pause();
      return wanted;
    };
    this.#looks.set(key, () => look(end));
    this.#stopTip ??= this.#deps.source.watchTip(() => void this.#round());
    this.#timer ??= setInterval(() => void this.#round(), this.#options.pollMs);
    void this.#round();
    return end;
  }

  #pause(): void {
    this.#stopTip?.();
    clearInterval(this.#timer);
    this.#stopTip = undefined;
    this.#timer = undefined;
  }

  async #round(): Promise<void> {
    this.#again = this.#running;
    if (this.#running) return;
    this.#running = true;
    do {
      this.#again = false;
      for (const [key, look] of [...this.#looks]) if (this.#looks.has(key)) await this.#tryLook(look);
    } while (this.#again);
    this.#running = false;
  }

  async #tryLook(look: () => Promise<void>): Promise<void> {
    this.stats.checks += 1;
    try {
      await look();
      this.#failing = false;
    } catch (error) {
      if (codeOf(error) === 'internal') throw error;
      this.stats.failures += 1;
      if (!this.#failing) {
        this.#deps.log.warn({ error: codeOf(error), detail: String(error) }, 'chain watch failed');
      }
      this.#failing = true;
    }
  }
}
