/** Changes older than this are forgotten. */
const MEMORY_MS = 10 * 60_000;
/** Kept at most: whether there were more says nothing more. */
const REMEMBERED = 64;

/**
 * What of an upstream's jobs miners have to follow each time it changes: the size of extranonce2 and the
 * version bits. An upstream that keeps changing them, forth and back, costs more than it gives.
 */
export class WorkShape {
  #extranonce2Size: number | undefined;
  #versionMask = 0;
  #changedAtMs: number[] = [];

  /** A job was given out. */
  see(extranonce2Size: number, versionMask: number, monotonicMs: number): void {
    const isSame = extranonce2Size === this.#extranonce2Size && versionMask === this.#versionMask;
    const isFirst = this.#extranonce2Size === undefined;
    this.#extranonce2Size = extranonce2Size;
    this.#versionMask = versionMask;
    if (isSame || isFirst) return;
    this.#changedAtMs.push(monotonicMs);
    if (this.#changedAtMs.length > REMEMBERED) this.#changedAtMs.shift();
  }

  /** Of the last ten minutes. */
  changes(monotonicMs: number): number {
    this.#changedAtMs = this.#changedAtMs.filter((atMs) => monotonicMs - atMs < MEMORY_MS);
    return this.#changedAtMs.length;
  }
}
