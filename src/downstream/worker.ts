import type { SubmitFields } from '../stratum/submit-parser.ts';

/** Hashes of one unit of difficulty: `2^256 / (0xffff * 2^208)`. For display; credit is exact elsewhere. */
const HASHES_PER_DIFFICULTY = 2 ** 48 / 0xffff;

/** Time constant of the hashrate shown. */
const AVERAGE_MS = 5 * 60_000;

/** A worker name on one connection: what it did, for status and metrics. */
export class SessionWorker {
  readonly name: string;
  /** The name in UTF-8, compared with submits without decoding them. */
  readonly bytes: Uint8Array;
  accepted = 0;
  rejected = 0;
  acceptedDifficulty = 0;
  lastShareAtMs = 0;
  #averaged = 0;
  #weight = 0;
  #folded = 0;

  constructor(name: string) {
    this.name = name;
    this.bytes = Buffer.from(name, 'utf8');
  }

  /** The submit names this worker. */
  isNamedIn({ workerBytes, workerStart, workerEnd }: SubmitFields): boolean {
    const { bytes } = this;
    if (bytes.length !== workerEnd - workerStart) return false;
    for (let at = 0; at < bytes.length; at += 1)
      if (bytes[at] !== workerBytes[workerStart + at]) return false;
    return true;
  }

  accept(difficulty: number, nowMs: number): void {
    this.accepted += 1;
    this.acceptedDifficulty += difficulty;
    this.lastShareAtMs = nowMs;
  }

  /** Takes what was accepted since the last fold, `elapsedMs` ago, into the average. */
  fold(elapsedMs: number): void {
    const keep = Math.exp(-elapsedMs / AVERAGE_MS);
    const rate = (this.acceptedDifficulty - this.#folded) / (elapsedMs / 1000);
    this.#folded = this.acceptedDifficulty;
    this.#averaged = this.#averaged * keep + rate * (1 - keep);
    this.#weight = this.#weight * keep + (1 - keep);
  }

  /** An exponential average over some five minutes, unbiased from the first fold on. */
  get hashesPerSecond(): number {
    return this.#weight === 0 ? 0 : (this.#averaged / this.#weight) * HASHES_PER_DIFFICULTY;
  }
}
