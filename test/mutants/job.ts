/** What one process of tests is given, as a file. */
export type Job = {
  /** Where it writes `Line`s. */
  readonly out: string;
  readonly testFiles: number;
  /** Faults to judge; without them, find which test reaches which. */
  readonly faults?: readonly Fault[];
  /** A fault that acts while modules load is there before the first of them. */
  readonly atImport?: string;
  /** How long each test took without a fault. */
  readonly milliseconds: Readonly<Record<string, number>>;
  /** How long the tests of one fault may take together, by that; the rest are left out. */
  readonly budgetMilliseconds?: number | undefined;
};

/** With the tests that reach it, the fastest first, and how often they do. */
export type Fault = { readonly id: string; readonly tests: readonly string[]; readonly hits: number };

/** Every way to be judged; the first three are found. */
export type Status = 'killed' | 'timeout' | 'hang' | 'survived' | 'uncovered' | 'static';

/** A line that a process of tests tells. */
export type Line =
  | {
      readonly kind: 'test';
      readonly id: string;
      readonly name: string;
      readonly ms: number;
      readonly ok: boolean;
    }
  | { readonly kind: 'hits'; readonly test: string; readonly hits: Readonly<Record<string, number>> }
  | { readonly kind: 'begin'; readonly id: string }
  | { readonly kind: 'runs'; readonly test: string }
  | { readonly kind: 'verdict'; readonly id: string; readonly status: Status; readonly by?: string }
  /** The process is not to be trusted with another fault, or has none left. */
  | { readonly kind: 'over'; readonly why: string };

/** The test of a hit outside of every test. */
export const NO_TEST = 'import';
