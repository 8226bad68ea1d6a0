import { expect } from 'vitest';

/**
 * What a property saw. A property that takes what is parsed and what is refused says nothing unless it saw
 * both: `expectEach` fails where one of them never came.
 */
export class Outcomes<T extends string> {
  readonly #seen = new Map<T, number>();

  constructor(...each: readonly T[]) {
    for (const outcome of each) this.#seen.set(outcome, 0);
  }

  saw(outcome: T): void {
    this.#seen.set(outcome, (this.#seen.get(outcome) ?? 0) + 1);
  }

  expectEach(atLeast = 1): void {
    for (const [outcome, count] of this.#seen) expect(count, outcome).toBeGreaterThanOrEqual(atLeast);
  }
}
