import type { CommandIo } from './command.ts';

/** Between two pictures. */
const PROGRESS_MS = 200;
const BAR_CELLS = 30;

/** A bar of how far long work is, on a terminal; elsewhere nothing. */
export class ProgressBar {
  readonly #out: CommandIo['stderr'];
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(out: CommandIo['stderr']) {
    this.#out = out;
  }

  /** Shows it, if the last picture is old enough. @param part done, 0 to 1 @param words made only then */
  show(part: number, words: () => string): void {
    const nowMs = performance.now();
    if (!this.#out.isTTY || nowMs - this.#lastMs < PROGRESS_MS) return;
    this.#lastMs = nowMs;
    const bar = '#'.repeat(Math.round(part * BAR_CELLS)).padEnd(BAR_CELLS, '.');
    this.#out.write(`\r[${bar}] ${Math.floor(part * 100)} %  ${words()} `);
  }

  /** Wipes it. */
  end(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001b[2K');
  }
}
