/** Hashes of one unit of difficulty: `2^256 / (0xffff * 2^208)`. For display; credit is exact elsewhere. */
const HASHES_PER_DIFFICULTY = 2 ** 48 / 0xffff;

/** Averaging times of the hashrates shown, in ms. */
const [ONE_MINUTE, FIVE_MINUTES, ONE_HOUR] = [60_000, 300_000, 3_600_000] as const;

/** A worker name on one connection: what it did, for status and metrics. */
export class SessionWorker {
  readonly name: string;
  /** The bytes of the name in UTF-8, each as one character. */
  readonly wireName: string;
  accepted = 0;
  rejected = 0;
  acceptedDifficulty = 0;
  lastShareAtMs = 0;
  readonly #oneMinute = new Average();
  readonly #fiveMinutes = new Average();
  readonly #oneHour = new Average();
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

  /** Takes what was accepted since the last fold, `elapsedMs` ago, into the averages. */
  fold(elapsedMs: number): void {
    const rate = (this.acceptedDifficulty - this.#folded) / (elapsedMs / 1000);
    this.#folded = this.acceptedDifficulty;
    this.#oneMinute.fold(rate, elapsedMs / ONE_MINUTE);
    this.#fiveMinutes.fold(rate, elapsedMs / FIVE_MINUTES);
    this.#oneHour.fold(rate, elapsedMs / ONE_HOUR);
  }

  /** Over some five minutes. */
  get hashesPerSecond(): number {
    return this.#fiveMinutes.value * HASHES_PER_DIFFICULTY;
  }

  get hashesPerSecondOneMinute(): number {
    return this.#oneMinute.value * HASHES_PER_DIFFICULTY;
  }

  get hashesPerSecondOneHour(): number {
    return this.#oneHour.value * HASHES_PER_DIFFICULTY;
  }
}

/** An exponential average, unbiased from the first fold on. */
class Average {
  #sum = 0;
  #weight = 0;

  /** @param windows for how many of its averaging times `value` was seen */
  fold(value: number, windows: number): void {
    const keep = Math.exp(-windows);
    this.#sum = this.#sum * keep + value * (1 - keep);
    this.#weight = this.#weight * keep + (1 - keep);
  }

  /** 0 before the first. */
  get value(): number {
    return this.#weight === 0 ? 0 : this.#sum / this.#weight;
  }
}
