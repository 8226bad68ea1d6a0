import { write, writeSync } from 'node:fs';
import type { Clock, Timers } from '../base/clock.ts';

/** Unwritten bytes beyond which lines are dropped: some minutes of an ordinary day. */
const MAX_QUEUED_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Before what could not be written is tried again. */
const RETRY_MS = 100;
/** A write under way for so long has a reader that stands still: to wait for it is to stand still too. */
const STUCK_MS = 1_000;

export type LineSinkDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Pick<Timers, 'after' | 'afterTurn'>;
  /** Lines get through again, after some were dropped. */
  readonly onDropped: (lines: number) => void;
  /** As `fs.write`. */
  readonly write?: (
    fd: number,
    bytes: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ) => void;
};

/**
 * Writes lines to a file descriptor and never waits for it: a full disk, or a reader that stands still, costs
 * lines, which are counted.
 */
export class LineSink {
  readonly stats = { droppedLines: 0, isBlocked: false };
  readonly #fd: number;
  readonly #deps: LineSinkDeps;
  /** Lines that no write has begun with. */
  #queue: string[] = [];
  #queuedBytes = 0;
  /** What is being written, or waits to be tried again. */
  #chunk: Uint8Array | undefined;
  #writingSinceMs: number | undefined;
  #isScheduled = false;
  #untold = 0;
  #onDrained: (() => void) | undefined;

  constructor(fd: number, deps: LineSinkDeps) {
    this.#fd = fd;
    this.#deps = deps;
  }

  write(line: string): void {
    if (this.#queuedBytes + line.length > MAX_QUEUED_BYTES) {
      this.stats.droppedLines += 1;
      this.#untold += 1;
      return;
    }
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    this.#schedule();
  }

  /** Writes out what waits: the last call before the process ends. What is not taken at once is left. */
  flushSync(): void {
    if (this.#isStuck) return;
    try {
      // What is being written will be, also while the process ends.
      if (this.#chunk !== undefined && this.#writingSinceMs === undefined) writeSync(this.#fd, this.#chunk);
      if (this.#queue.length > 0) writeSync(this.#fd, this.#takeAll());
    } catch {
      // There is nobody left to tell.
    }
  }

  /** Resolves when all is written, or after `ms`. */
  async drain(ms: number): Promise<void> {
    if (this.#isDrained) return;
    const drained = Promise.withResolvers<void>();
    this.#onDrained = drained.resolve;
    const late = this.#deps.timers.after(ms, drained.resolve);
    await drained.promise;
    late.cancel();
  }

  get #isDrained(): boolean {
    return this.#chunk === undefined && this.#queue.length === 0;
  }

  get #isStuck(): boolean {
    const sinceMs = this.#writingSinceMs;
    return sinceMs !== undefined && this.#deps.clock.monotonicMs() - sinceMs > STUCK_MS;
  }

  /** Not at once: what this turn says goes together, and `flushSync` still has it. */
  #schedule(): void {
    if (this.#isScheduled || this.#chunk !== undefined) return;
    this.#isScheduled = true;
    this.#deps.timers.afterTurn(() => {
      this.#isScheduled = false;
      if (this.#chunk !== undefined || this.#queue.length === 0) return;
      this.#chunk = this.#takeSome();
      this.#writeOn();
    });
  }

  #writeOn(): void {
    const { clock, timers, write: writeTo = writeFd } = this.#deps;
    const chunk = this.#chunk!;
    this.#writingSinceMs = clock.monotonicMs();
    writeTo(this.#fd, chunk, (error, written) => {
      this.#writingSinceMs = undefined;
      this.stats.isBlocked = error !== null;
      if (error !== null) {
        timers.after(RETRY_MS, () => this.#writeOn());
        return;
      }
      if (written < chunk.length) {
        this.#chunk = chunk.subarray(written);
        this.#writeOn();
        return;
      }
      this.#chunk = undefined;
      this.#tellDropped();
      if (this.#queue.length > 0) this.#schedule();
      else this.#onDrained?.();
    });
  }

  #tellDropped(): void {
    if (this.#untold === 0 || this.#queuedBytes > MAX_QUEUED_BYTES / 2) return;
    const lines = this.#untold;
    this.#untold = 0;
    this.#deps.onDropped(lines);
  }

  #takeSome(): Uint8Array {
    let count = 0;
    let chars = 0;
    for (; count < this.#queue.length && (count === 0 || chars < CHUNK_BYTES); count += 1)
      chars += this.#queue[count]!.length;
    this.#queuedBytes -= chars;
    return Buffer.from(this.#queue.splice(0, count).join(''));
  }

  #takeAll(): Uint8Array {
    this.#queuedBytes = 0;
    return Buffer.from(this.#queue.splice(0).join(''));
  }
}

function writeFd(
  fd: number,
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
): void {
  write(fd, bytes, 0, bytes.length, null, done);
}
