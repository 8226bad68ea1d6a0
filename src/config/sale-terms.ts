/** Seconds between blocks on average, by which durations are made blocks and work. */
const BLOCK_SECONDS = 600;
/** Work of a contract where neither it nor a rate and a duration are said: 100 EH. */
const USUAL_WORK_HASHES = 100n * 10n ** 18n;
/** Blocks before the expiry in which nothing is delivered, and those until the funding has to be deep. */
const CLOSING_BLOCKS = 324;
const FUNDING_BLOCKS = 72;

/** A price so many times off the value of hashes is far, where coins are worth something. */
const OFF_MARKET = 1.5;

/** What is far off the value of hashes on a network: as it is said, or usual. */
export function offMarketOn(network: string, said: number | undefined): number | undefined {
  return said ?? (network === 'mainnet' ? OFF_MARKET : undefined);
}

/** What of a sale says how much, how fast, from when and for how long. */
export type SaleTimes = {
  readonly workTotalHashes: bigint;
  /** Undefined where no hashrate is promised. */
  readonly rate: { readonly committed: bigint; readonly min: bigint; readonly max: bigint } | undefined;
  readonly start: { readonly afterBlocks: number; readonly withinBlocks: number } | undefined;
  readonly durationBlocks: number | undefined;
  readonly expiryBlocks: number;
};

/** What is said of it; what is left out follows from the rest. */
export type SaidTimes = {
  readonly work: bigint | undefined;
  readonly rate: bigint | undefined;
  /** Default: a quarter above the rate. */
  readonly maxRate: bigint | undefined;
  readonly start: SaleTimes['start'];
  readonly durationBlocks: number | undefined;
  readonly expiryBlocks: number;
};

/** A sale of a rate for a time is of as much work as that is. The expiry leaves time for all of it. */
export function saleTimesOf(said: SaidTimes): SaleTimes {
  const { rate, maxRate, durationBlocks, start } = said;
  const timed = rate !== undefined && durationBlocks !== undefined ? rate * seconds(durationBlocks) : 0n;
  return {
    workTotalHashes: said.work ?? (timed > 0n ? timed : USUAL_WORK_HASHES),
    rate: rate === undefined ? undefined : { committed: rate, min: rate, max: maxRate ?? rate + rate / 4n },
    ...{ start, durationBlocks },
    expiryBlocks: Math.max(said.expiryBlocks, leastExpiryBlocks(start, durationBlocks)),
  };
}

/** Blocks of a time in ms, rounded up: what was promised is not cut short. */
export function blocksOfMs(ms: number): number {
  return Math.ceil(ms / (BLOCK_SECONDS * 1000));
}

function seconds(blocks: number): bigint {
  return BigInt(blocks * BLOCK_SECONDS);
}

function leastExpiryBlocks(start: SaleTimes['start'], durationBlocks: number | undefined): number {
  if (start === undefined && durationBlocks === undefined) return 0;
  const latestStart = start === undefined ? FUNDING_BLOCKS : start.afterBlocks + start.withinBlocks;
  return latestStart + (durationBlocks ?? 0) + CLOSING_BLOCKS + 1;
}
