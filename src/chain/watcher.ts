import { codeOf } from '../base/errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ChainSource, ChainTip } from './source.ts';

export type Outpoint = { readonly txid: string; readonly vout: number };

export type ChainWatcherOptions = {
  /** How often watched things are looked at between tips, so that mempool changes are seen. */
  readonly pollMs: number;
};

export type ConfirmationWatch = {
  readonly txid: string;
  /** Confirmations wanted; 1 is "in a block". */
  readonly depth: number;
  /** On each change below the depth: 0 in the mempool, undefined when the node lost sight of it (reorg, eviction). */
  readonly onProgress?: (confirmations: number | undefined) => void;
  /** Once; the watch ends with it. */
  readonly onConfirmed: (confirmations: number) => void;
};

export type SpendWatch = {
  readonly outpoint: Outpoint;
  /** True when the output is known to have existed; otherwise it must be seen unspent before it can be spent. */
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

/** Looks at watched transactions and outputs at each tip and each `pollMs`, one at a time. A failed look is tried again. */
export function createChainWatcher(
  options: ChainWatcherOptions,
  deps: { readonly source: ChainSource; readonly log: Logger },
): ChainWatcher {
  const stats = { checks: 0, failures: 0 };
  const looks = new Map<symbol, () => Promise<void>>();
  let stopTip: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let again = false;
  let failing = false;

  async function round(): Promise<void> {
    if (running) {
      again = true;
      return;
    }
    running = true;
    do {
      again = false;
      for (const [key, look] of [...looks]) if (looks.has(key)) await tryLook(look);
    } while (again);
    running = false;
  }

  async function tryLook(look: () => Promise<void>): Promise<void> {
    stats.checks += 1;
    try {
      await look();
      failing = false;
    } catch (error) {
      if (codeOf(error) === 'internal') throw error;
      stats.failures += 1;
      if (!failing) deps.log.warn({ error: codeOf(error), detail: String(error) }, 'chain watch failed');
      failing = true;
    }
  }

  /** `end` tells whether the watch was still wanted: it may have been ended while its look was under way. */
  function add(look: (end: () => boolean) => Promise<void>): () => boolean {
    const key = Symbol('watch');
    const end = (): boolean => {
      const wanted = looks.delete(key);
      if (looks.size === 0) pause();
      return wanted;
    };
    looks.set(key, () => look(end));
    stopTip ??= deps.source.watchTip((_tip: ChainTip) => void round());
    timer ??= setInterval(() => void round(), options.pollMs);
    void round();
    return end;
  }

  function pause(): void {
    stopTip?.();
    clearInterval(timer);
    stopTip = undefined;
    timer = undefined;
  }

  return {
    stats,
    watchConfirmation: (watch) => {
      let last: number | undefined | null = null;
      return add(async (end) => {
        const confirmations = await deps.source.confirmations(watch.txid);
        if (confirmations !== undefined && confirmations >= watch.depth) {
          if (end()) watch.onConfirmed(confirmations);
        } else if (confirmations !== last) {
          last = confirmations;
          watch.onProgress?.(confirmations);
        }
      });
    },
    watchSpend: (watch) => {
      let existed = watch.existed;
      return add(async (end) => {
        const output = await deps.source.txOut(watch.outpoint.txid, watch.outpoint.vout);
        if (output !== undefined) {
          existed = true;
        } else if (existed) {
          if (end()) watch.onSpent(watch.outpoint);
        }
      });
    },
    close: () => {
      looks.clear();
      pause();
    },
  };
}
