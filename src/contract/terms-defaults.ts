/**
 * The defaults of a version 3 proposal, for terms that its configuration leaves out. A parser uses none:
 * terms that lack one of these are refused.
 */
export const TERMS_DEFAULTS = {
  /** Part of the work that the maker may refuse before delivery pauses, ppm. */
  refusedPpm: 100,
  /** Part of the solutions that may first come in a batch before credit pauses, ppm. */
  latePpm: 1000,
  /** Part of the work that may fall between two views of one new block, ppm. */
  staleRaceAllowancePpm: 1000,
  staleGraceSeconds: 30,
  /** Greatest age of work kept while the peers were disconnected: six hours. */
  backlogMinutes: 360,
  /**
   * Caps of a close's fee as a part of what it saves: 10 % until 72 blocks before the expiry, half until
   * 12, then all but dust.
   */
  feeCaps: [
    { blocksLeft: 72, ppm: 100_000 },
    { blocksLeft: 12, ppm: 500_000 },
    { blocksLeft: 0, ppm: 1_000_000 },
  ],
  /** Blocks from the proposal within which the funding must be deep. */
  fundingByBlocks: 72,
} as const;
