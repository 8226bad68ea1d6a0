import { assert } from '../base/assert.ts';

/** What a framer reports. Both return false to stop at once (the connection is being closed). */
export type LineSink = {
  /** The line is `bytes[start, end)`, without its terminator and never empty. Valid during the call only. */
  onLine(bytes: Uint8Array, start: number, end: number): boolean;
  /**
   * A line exceeded the limit (`line_too_long`): told once a line, whose bytes are dropped up to its
   * newline.
   */
  onLineTooLong(): boolean;
};

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const FIRST_PENDING_BYTES = 256;

/**
 * Cuts a byte stream into lines at `\n`; one `\r` before it is dropped, empty lines are skipped. Lines
 * that lie whole in a chunk are reported in place; only the unfinished rest is copied, and never more
 * than `maxLineBytes`. What is reported does not depend on how the stream is cut into chunks.
 */
export class LineFramer {
  readonly #maxLineBytes: number;
  #pending: Uint8Array | undefined;
  #pendingSize = 0;
  #dropping = false;

  constructor(maxLineBytes: number) {
    assert(maxLineBytes > 0, 'line_limit_positive');
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes held for an unfinished line: at most `maxLineBytes`. */
  get pendingBytes(): number {
    return this.#pendingSize;
  }

  /** It stands between two lines: a new one would go on as well. */
  get isIdle(): boolean {
    return this.#pendingSize === 0 && !this.#dropping;
  }

  /**
   * Returns false when the sink stopped; the rest of the chunk is then lost, and the framer must not be
   * used again.
   */
  push(chunk: Uint8Array, sink: LineSink): boolean {
    let start = 0;
    while (start < chunk.length) {
      const newline = chunk.indexOf(NEWLINE, start);
      if (newline < 0) return this.#keep(chunk, start, sink);
      if (!this.#finish(chunk, start, newline, sink)) return false;
      start = newline + 1;
    }
    return true;
  }

  #finish(chunk: Uint8Array, start: number, newline: number, sink: LineSink): boolean {
    if (this.#dropping) {
      this.#dropping = false;
      return true;
    }
    if (this.#pendingSize + newline - start > this.#maxLineBytes) {
      this.#release();
      return sink.onLineTooLong();
    }
    if (this.#pendingSize === 0) return emit(chunk, start, newline, sink);
    this.#append(chunk, start, newline);
    const line = this.#pending!;
    const size = this.#pendingSize;
    this.#release();
    return emit(line, 0, size, sink);
  }

  #keep(chunk: Uint8Array, start: number, sink: LineSink): boolean {
    if (this.#dropping) return true;
    if (this.#pendingSize + chunk.length - start > this.#maxLineBytes) {
      this.#release();
      this.#dropping = true;
      return sink.onLineTooLong();
    }
    this.#append(chunk, start, chunk.length);
    return true;
  }

  #append(chunk: Uint8Array, start: number, end: number): void {
    const size = this.#pendingSize + end - start;
    if (this.#pending === undefined || this.#pending.length < size) {
      let capacity = Math.max(FIRST_PENDING_BYTES, this.#pending?.length ?? 0);
      while (capacity < size) capacity *= 2;
      const grown = Buffer.allocUnsafeSlow(Math.min(capacity, Math.max(size, this.#maxLineBytes)));
      if (this.#pending !== undefined) grown.set(this.#pending.subarray(0, this.#pendingSize));
      this.#pending = grown;
    }
    this.#pending.set(chunk.subarray(start, end), this.#pendingSize);
    this.#pendingSize = size;
  }

  #release(): void {
    this.#pending = undefined;
    this.#pendingSize = 0;
  }
}

/**
 * For connections that are many and mostly send whole lines: between two lines they share one framer, and
 * only inside a line each has its own.
 */
export class SharedFramer {
  readonly #maxLineBytes: number;
  #between: LineFramer;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
    this.#between = new LineFramer(maxLineBytes);
  }

  /**
   * @param own what the call before returned for this connection, undefined at first
   * @returns its own framer while a line is unfinished; undefined otherwise, and when the sink stopped
   */
  push(own: LineFramer | undefined, chunk: Uint8Array, sink: LineSink): LineFramer | undefined {
    const framer = own ?? this.#between;
    const goesOn = framer.push(chunk, sink);
    if (goesOn && framer.isIdle) return undefined;
    if (framer === this.#between) this.#between = new LineFramer(this.#maxLineBytes);
    return goesOn ? framer : undefined;
  }
}

function emit(bytes: Uint8Array, start: number, newline: number, sink: LineSink): boolean {
  const end = newline > start && bytes[newline - 1] === CARRIAGE_RETURN ? newline - 1 : newline;
  return end === start || sink.onLine(bytes, start, end);
}
