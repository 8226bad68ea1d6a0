import { statfs } from 'node:fs/promises';
import type { Clock, Timer, Timers } from '../base/clock.ts';
import { oneAtATime } from '../base/one-at-a-time.ts';

export type DiskSpaceDeps = {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Free bytes at a path, to who is not root; for tests. */
  readonly free?: (path: string) => Promise<number>;
};

const EVERY_MS = 60_000;
/** Looks that a forecast is made of: a day of them. */
const KEPT_EVERY_MS = 3_600_000;
const KEPT = 25;
/** A forecast from less would be of one burst. */
const FORECAST_AFTER_MS = 10 * 60_000;

type Look = { readonly atMs: number; readonly bytes: number };

/** The free space of a disk, looked at every minute, and when it will be used up. */
export class DiskSpace {
  readonly #path: string;
  readonly #deps: DiskSpaceDeps;
  /** One an hour, oldest first. */
  readonly #looks: Look[] = [];
  #newest: Look | undefined;
  #timer: Timer | undefined;

  constructor(path: string, deps: DiskSpaceDeps) {
    this.#path = path;
    this.#deps = deps;
  }

  /** Undefined until it was seen, and where the disk does not say. */
  get freeBytes(): number | undefined {
    return this.#newest?.bytes;
  }

  /** At the mean rate of the last day; undefined while the space does not shrink. */
  get secondsToFull(): number | undefined {
    const [first] = this.#looks;
    if (first === undefined || this.#newest === undefined) return undefined;
    const elapsedMs = this.#newest.atMs - first.atMs;
    const usedBytes = first.bytes - this.#newest.bytes;
    if (elapsedMs < FORECAST_AFTER_MS || usedBytes <= 0) return undefined;
    return (this.#newest.bytes * elapsedMs) / usedBytes / 1000;
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
    const { clock, free = freeBytesAt } = this.#deps;
    try {
      this.#newest = { bytes: await free(this.#path), atMs: clock.monotonicMs() };
    } catch {
      this.#newest = undefined;
      return;
    }
    const last = this.#looks.at(-1);
    if (last !== undefined && this.#newest.atMs - last.atMs < KEPT_EVERY_MS) return;
    this.#looks.push(this.#newest);
    if (this.#looks.length > KEPT) this.#looks.shift();
  }
}

async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
