/**
 * What a proposal of version 3 says where its configuration does not. They are for whoever writes terms: a
 * parser knows no default, and terms that lack one of these are refused.
 */
export const TERMS_DEFAULTS = {
  /** Part of the work that the maker may refuse before delivery pauses. */
  refusedPpm: 100,
  /** Part of the solutions that may first come in a batch before credit pauses. */
  latePpm: 1000,
  /** Part of the work that may fall between two views of one new block. */
  staleRaceAllowancePpm: 1000,
  staleGraceSeconds: 30,
  /** How old work may be that was kept while the peers were apart: six hours. */
  backlogMinutes: 360,
  /**
   * Part of what a close saves that its fee may take: 10 % until 72 blocks before the expiry, half until 12,
   * then all but dust.
   */
  feeCaps: [
    { blocksLeft: 72, ppm: 100_000 },
    { blocksLeft: 12, ppm: 500_000 },
    { blocksLeft: 0, ppm: 1_000_000 },
  ],
  /** Blocks from the proposal within which the funding must be deep. */
  fundingByBlocks: 72,
} as const;
