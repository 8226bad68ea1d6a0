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
  readonly apply?: (() => WorldOptions) | undefined;
  /** What else the program says, in a process of its own. */
  readonly edits?: readonly Edit[];
};

/** Another text in a file of the program, in the place of one that stands there once. */
export type Edit = {
  /** Its path below `src`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
};

export type Mutations = Readonly<Record<string, Mutation>>;

/** In one file, one check less: what stands there, and what stands there without it. */
export const without =
  (file: string) =>
  (what: string, strategy: string, from: string, to = '', seed = 1): Mutation => ({
    ...{ what, strategy, seed },
    edits: [{ file, from, to }],
  });

/** Answers before the work is done, and says nothing of how it ends. */
export function early<Words extends unknown[]>(
  run: (...words: Words) => Promise<unknown>,
): (...words: Words) => Promise<void> {
  return function answerAtOnce(this: unknown, ...words: Words) {
    run.apply(this, words).catch(() => {});
    return Promise.resolve();
  };
}
