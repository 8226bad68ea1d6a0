import { stat } from 'node:fs/promises';
import type { Timer, Timers } from '../base/clock.ts';
import { oneAtATime } from '../base/one-at-a-time.ts';
import { backupMark } from '../ledger/backup.ts';

const EVERY_MS = 60_000;

/** When a ledger was backed up last, looked at every minute; of one that never was, when it was made. */
export class BackupDate {
  readonly #path: string;
  readonly #timers: Timers;
  #atMs: number | undefined;
  #timer: Timer | undefined;

  /** @param path of the ledger */
  constructor(path: string, { timers }: { readonly timers: Timers }) {
    this.#path = path;
    this.#timers = timers;
  }

  /** Since the epoch. Undefined until it was seen, and where the disk tells no dates. */
  get seconds(): number | undefined {
    return this.#atMs === undefined ? undefined : this.#atMs / 1000;
  }

  start(): void {
    const look = oneAtATime(() => this.look());
    look();
    this.#timer = this.#timers.every(EVERY_MS, look);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const made = await dateOf(backupMark(this.#path), 'mtimeMs');
    this.#atMs = made ?? (await dateOf(this.#path, 'birthtimeMs'));
  }
}

/** Undefined where there is no such file, or its disk keeps no such date. */
async function dateOf(path: string, date: 'mtimeMs' | 'birthtimeMs'): Promise<number | undefined> {
  try {
    const ms = (await stat(path))[date];
    return ms > 0 ? ms : undefined;
  } catch {
    return undefined;
  }
}
