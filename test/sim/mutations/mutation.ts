import type { WorldOptions } from '../world-options.ts';

/**
 * A fault of the kind that the simulation is there to find: each must be found, or its checks are worth
 * nothing. It is put in from outside, so that no fault can ever be left in the program.
 */
export type Mutation = {
  /** What is broken, in words. */
  readonly what: string;
  /** Where it is found. */
  readonly strategy: string;
  readonly seed: number;
  /** Breaks it, for the rest of the process, and says what else is different. */
  readonly apply: () => WorldOptions;
};

export type Mutations = Readonly<Record<string, Mutation>>;

/** Answers before the work is done, and says nothing of how it ends. */
export function early<Words extends unknown[]>(
  run: (...words: Words) => Promise<unknown>,
): (...words: Words) => Promise<void> {
  return function answerAtOnce(this: unknown, ...words: Words) {
    run.apply(this, words).catch(() => {});
    return Promise.resolve();
  };
}
