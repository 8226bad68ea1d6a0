/**
 * A contract that lasts so many blocks was meant to last a time. How far both are apart, and where it would
 * have to stop to last that time: what ERC-1620 leaves to its parties under "Block Times".
 */

/** A contract that lasts so many blocks from a height on. */
export type BlockSpan = { readonly fromHeight: number; readonly durationBlocks: number };

/** What the chain and the clock say. */
export type ClockReading = {
  readonly height: number;
  readonly nowMs: number;
  /** Time in ms of the header of the first block. */
  readonly fromMs: number;
};

export type BlockDrift = {
  /** When the height was to be expected less now, in ms: positive where blocks came sooner. */
  readonly driftMs: number;
  /** Mean time in ms between blocks: of the contract's, and of a day of blocks as they were meant. */
  readonly blockIntervalMs: number;
  /** Where the contract would stop in its time, if blocks go on so; undefined once that is over. */
  readonly stopHeight: number | undefined;
};

/** Blocks as they were meant that weigh beside those that came: a few say little. */
const MEANT_BLOCKS = 144;

/**
 * The drift of a contract's block clock.
 * @param meantMs the time between blocks that the terms were made by
 */
export function driftOf(
  { fromHeight, durationBlocks }: BlockSpan,
  { height, nowMs, fromMs }: ClockReading,
  meantMs: number,
): BlockDrift {
  const blocks = Math.max(0, height - fromHeight);
  const passedMs = Math.max(0, nowMs - fromMs);
  const blockIntervalMs = (passedMs + MEANT_BLOCKS * meantMs) / (blocks + MEANT_BLOCKS);
  const leftMs = durationBlocks * meantMs - passedMs;
  return {
    driftMs: blocks * meantMs - passedMs,
    blockIntervalMs,
    stopHeight: leftMs <= 0 ? undefined : fromHeight + blocks + Math.ceil(leftMs / blockIntervalMs),
  };
}
