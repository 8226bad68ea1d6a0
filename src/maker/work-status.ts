/** Solutions in the batches of a contract, those that came late, and whether credit pauses for these. */
export type SolutionStatus = {
  readonly solutions: number;
  readonly lateSolutions: number;
  readonly isPaused: boolean;
};

/** What became of the work of a contract whose jobs are the maker's own, since the start. */
export type WorkStatus = SolutionStatus & {
  /** Jobs in force, and all of which shares are credited. */
  readonly jobsLive: number;
  readonly jobsKept: number;
  readonly jobsGiven: number;
  /** Jobs of the pools that were not given, by reason. */
  readonly notGiven: Readonly<Record<string, number>>;
  /** No pool gives work that can be used. */
  readonly isDown: boolean;
};
