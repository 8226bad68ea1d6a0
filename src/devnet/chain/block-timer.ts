import { Worker } from 'node:worker_threads';
import { targetOfCompact } from '../../bitcoin/target.ts';
import type { Logger } from '../../log/logger.ts';
import type { GrindOrder, GrindResult } from '../hashing/grind-worker.ts';
import { workerUrl } from '../net/worker-url.ts';
import type { DevnetChain } from './chain.ts';

export type BlockTimerOptions = {
  /** A block is mined when the tip has not moved for this long. */
  readonly intervalMs: number;
  /** Who its coinbase pays; default the chain's own. */
  readonly scriptHex?: string;
  /** Spent on it, in another thread. */
  readonly hashesPerSecond?: number;
};

const DEFAULT_HASHES_PER_SECOND = 2_000_000;

/**
 * Mines a block with real proof of work whenever the chain stands still too long. Returns the function
 * that ends it.
 */
export function startBlockTimer(
  options: BlockTimerOptions,
  deps: { readonly chain: DevnetChain; readonly log: Logger },
): () => Promise<void> {
  const { chain, log } = deps;
  let timer: NodeJS.Timeout | undefined;
  let submit: ((nonce: number) => void) | undefined;
  let orders = 0;

  function arm(): void {
    clearTimeout(timer);
    submit = undefined;
    timer = setTimeout(mine, options.intervalMs);
  }

  function mine(): void {
    const candidate = chain.candidate(options.scriptHex);
    orders += 1;
    submit = (nonce) => {
      const verdict = candidate.submit(nonce);
      if (verdict.accepted) log.info({ height: verdict.height }, 'block timer mined a block');
      else arm();
    };
    const order: GrindOrder = {
      order: orders,
      header: candidate.header,
      target: targetOfCompact(chain.bitsAt(chain.height + 1)),
      hashesPerSecond: options.hashesPerSecond ?? DEFAULT_HASHES_PER_SECOND,
    };
    worker.postMessage(order);
  }

  function startWorker(): Worker {
    const started = new Worker(workerUrl('../hashing/grind-worker.ts', import.meta.url));
    started.unref();
    started.on('message', (result: GrindResult) => {
      if (result.order !== orders || submit === undefined) return;
      if (result.nonce === undefined) arm();
      else submit(result.nonce);
    });
    started.on('error', (error) => log.error({ error: String(error) }, 'grinding worker failed'));
    return started;
  }

  // Now and not when it is first needed: starting a thread holds up this one.
  const worker = startWorker();
  const stopListening = chain.onTip(arm);
  arm();
  return async () => {
    stopListening();
    clearTimeout(timer);
    submit = undefined;
    await worker.terminate();
  };
}
