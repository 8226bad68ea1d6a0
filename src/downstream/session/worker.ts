/** Hashes of one unit of difficulty: `2^256 / (0xffff * 2^208)`. For display; credit is exact elsewhere. */
const HASHES_PER_DIFFICULTY = 2 ** 48 / 0xffff;

/** Time constant of the hashrate shown. */
const AVERAGE_MS = 5 * 60_000;

/** A worker name on one connection: what it did, for status and metrics. */
export class SessionWorker {
  readonly name: string;
  /** The bytes of the name in UTF-8, each as one character. */
  readonly wireName: string;
  accepted = 0;
  rejected = 0;
  acceptedDifficulty = 0;
  lastShareAtMs = 0;
  #averaged = 0;
  #weight = 0;
  #folded = 0;

  constructor(name: string) {
    this.name = name;
    const utf8 = Buffer.from(name, 'utf8');
    this.wireName = utf8.length === name.length ? name : utf8.toString('latin1');
  }

  /** @param difficulty of each of the shares; @param lastAtMs wall time of the last of them */
  accept(shares: number, difficulty: number, lastAtMs: number): void {
    this.accepted += shares;
    this.acceptedDifficulty += shares * difficulty;
    this.lastShareAtMs = lastAtMs;
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
