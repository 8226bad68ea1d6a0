import { assert } from '../../base/assert.ts';
import type { WasmMemory } from './web-assembly.ts';

/** Smallest block: a job of eleven branches and no fixed coinbase block. */
const FIRST_CLASS_BYTES = 1024;
const PAGE_BYTES = 65_536;

/**
 * Memory for jobs behind the kernel's own, in a WebAssembly memory that only grows. Blocks are powers of
 * two; freed ones are kept by size and used again, so a steady set of jobs needs no more memory however
 * many pass through.
 */
export class JobMemory {
  readonly #memory: WasmMemory;
  #top: number;
  /** Free blocks by size class. */
  readonly #free: number[][] = [];
  readonly #classes = new Map<number, number>();

  /** @param start first byte that may be used */
  constructor(memory: WasmMemory, start: number) {
    this.#memory = memory;
    this.#top = Math.ceil(start / 64) * 64;
  }

  /** Blocks handed out and not freed. */
  get size(): number {
    return this.#classes.size;
  }

  /**
   * @returns the address of at least `bytes` bytes, aligned to 64. The memory's buffer may be another one
   * afterwards.
   */
  allocate(bytes: number): number {
    let sizeClass = 0;
    while (FIRST_CLASS_BYTES * 2 ** sizeClass < bytes) sizeClass += 1;
    const address = this.#free[sizeClass]?.pop() ?? this.#extend(FIRST_CLASS_BYTES * 2 ** sizeClass);
    this.#classes.set(address, sizeClass);
    return address;
  }

  has(address: number): boolean {
    return this.#classes.has(address);
  }

  free(address: number): void {
    const sizeClass = this.#classes.get(address);
    assert(sizeClass !== undefined, 'kernel_job_unknown', address);
    this.#classes.delete(address);
    const freed = this.#free[sizeClass] ?? [];
    freed.push(address);
    this.#free[sizeClass] = freed;
  }

  #extend(bytes: number): number {
    const address = this.#top;
    this.#top += bytes;
    const missing = this.#top - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    return address;
  }
}
