import { readdir } from 'node:fs/promises';
import type { Timer, Timers } from '../base/clock.ts';
import { oneAtATime } from '../base/one-at-a-time.ts';
import type { Logger } from '../log/logger.ts';
import { descriptorLimit } from '../operator/config-check.ts';

export type DescriptorsDeps = {
  readonly timers: Timers;
  readonly log: Logger;
  /** For tests; the defaults are those of this process. */
  readonly limit?: number | undefined;
  readonly count?: () => Promise<number>;
};

const EVERY_MS = 10_000;
/** Parts of the limit at which it is said that it comes near, and that it is far again. */
const NEAR = 0.9;
const FAR = 0.8;

/**
 * Open files and connections of the process against what the system allows. Once all are used nobody new is
 * served, and the system says nothing of it.
 */
export class Descriptors {
  readonly limit: number | undefined;
  readonly #deps: DescriptorsDeps;
  #open: number | undefined;
  #isNear = false;
  #timer: Timer | undefined;

  constructor(deps: DescriptorsDeps) {
    this.#deps = deps;
    this.limit = 'limit' in deps ? deps.limit : descriptorLimit();
  }

  /** For the status; null where the system does not say. */
  get status(): { readonly open: number; readonly limit: number } | null {
    const { limit } = this;
    return this.#open === undefined || limit === undefined ? null : { open: this.#open, limit };
  }

  start(): void {
    const look = oneAtATime(() => this.look());
    look();
    this.#timer = this.#deps.timers.every(EVERY_MS, look);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { log, count = openDescriptors } = this.#deps;
    const { limit } = this;
    if (limit === undefined) return;
    try {
      this.#open = await count();
    } catch (error) {
      // To count them takes one.
      const { code } = error as NodeJS.ErrnoException;
      this.#open = code === 'EMFILE' || code === 'ENFILE' ? limit : undefined;
    }
    const open = this.#open;
    if (open === undefined) return;
    if (!this.#isNear && open >= limit * NEAR) {
      this.#isNear = true;
      log.error(
        { open, limit, hint: 'raise the limit (LimitNOFILE of the unit, ulimit -n)' },
        'file descriptors are nearly used up: without any, new connections are refused',
      );
    } else if (this.#isNear && open <= limit * FAR) {
      this.#isNear = false;
      log.info({ open, limit }, 'there are file descriptors again');
    }
  }
}

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

/** Of a daemon, until `undo`. */
export function watchDescriptors(
  undo: AsyncDisposableStack,
  deps: Pick<DescriptorsDeps, 'timers' | 'log'>,
): Descriptors {
  const descriptors = new Descriptors(deps);
  undo.defer(() => descriptors.stop());
  descriptors.start();
  return descriptors;
}
