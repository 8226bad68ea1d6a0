/** Rates that a trend is drawn of. */
const SEEN_MOST = 40;
/** Workers whose rates are kept. */
const NAMES_MOST = 1_000;

/** Rates of workers, as long as the page shows them; a name is a key and nothing else. */
export class Trends {
  readonly #seen = new Map<string, readonly number[]>();

  /** Those that were not looked at for longest are forgotten first. */
  add(name: string, rate: number): void {
    const rates = [...this.of(name), rate].slice(-SEEN_MOST);
    this.#seen.delete(name);
    this.#seen.set(name, rates);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > NAMES_MOST && oldest !== undefined) this.#seen.delete(oldest);
  }

  of(name: string): readonly number[] {
    return this.#seen.get(name) ?? [];
  }
}
