import { divideUp } from '../base/bigints.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { stopHeightOf } from '../contract/updated-terms.ts';

/** Seconds between blocks on average. */
const BLOCK_SECONDS = 600n;

/** A hashrate, in hashes per second, that is bought from a height on and below another. */
export type Booking = {
  readonly fromHeight: number;
  readonly endHeight: number;
  readonly hashesPerSecond: bigint;
};

/** What of a contract or a request a booking follows from. */
export type BookedTerms = {
  /** Work that is not credited yet. */
  readonly openHashes: bigint;
  readonly committedHps: bigint | undefined;
  readonly notBeforeHeight: number | undefined;
  readonly durationBlocks: number | undefined;
  /** From which on nothing is bought. */
  readonly lastHeight: number;
};

/** @param beginBlocks before the expiry, within which nothing is bought */
export function bookedTermsOf(terms: ContractTerms, openHashes: bigint, beginBlocks: number): BookedTerms {
  const of3 = terms.version === 3 ? terms : undefined;
  const lastHeight = terms.expiryHeight - beginBlocks;
  const stopHeight = stopHeightOf(terms);
  return {
    ...{ openHashes, committedHps: of3?.rate?.committed },
    durationBlocks: stopHeight === undefined ? of3?.durationBlocks : undefined,
    notBeforeHeight: of3?.start?.notBeforeHeight,
    lastHeight: Math.min(lastHeight, stopHeight ?? lastHeight),
  };
}

/**
 * The hashrate that a contract takes from a height on: what is committed until the work is done or the time
 * is over, and without a rate what is left spread evenly over the blocks that are.
 */
export function bookingOf(
  { openHashes, committedHps, notBeforeHeight, durationBlocks, lastHeight }: BookedTerms,
  height: number,
): Booking {
  const fromHeight = Math.max(height, notBeforeHeight ?? height);
  const clockEnd = Math.min(lastHeight, fromHeight + (durationBlocks ?? Number.POSITIVE_INFINITY));
  const blocks = Math.max(1, clockEnd - fromHeight);
  if (openHashes <= 0n) return { fromHeight, endHeight: fromHeight, hashesPerSecond: 0n };
  if (committedHps === undefined || committedHps === 0n) {
    const hashesPerSecond = divideUp(openHashes, BLOCK_SECONDS * BigInt(blocks));
    return { fromHeight, endHeight: fromHeight + blocks, hashesPerSecond };
  }
  const workBlocks = divideUp(openHashes, committedHps * BLOCK_SECONDS);
  const endHeight = fromHeight + (workBlocks < BigInt(blocks) ? Number(workBlocks) : blocks);
  return { fromHeight, endHeight, hashesPerSecond: committedHps };
}

/**
 * The greatest sum of bookings at any height from `fromHeight` on and below `endHeight`. Bookings of one
 * group are alternatives, of which the largest of each height counts. Pure.
 */
export function peakRate(
  groups: readonly (readonly Booking[])[],
  { fromHeight, endHeight }: Pick<Booking, 'fromHeight' | 'endHeight'>,
): bigint {
  // A sum of steps is greatest where one of them begins.
  const begins = groups.flat().map((booking) => booking.fromHeight);
  const heights = new Set([fromHeight, ...begins.filter((at) => at > fromHeight && at < endHeight)]);
  let peak = 0n;
  for (const height of heights) {
    const sum = groups.reduce((total, group) => total + rateAt(group, height), 0n);
    if (sum > peak) peak = sum;
  }
  return peak;
}

function rateAt(group: readonly Booking[], height: number): bigint {
  let most = 0n;
  for (const { fromHeight, endHeight, hashesPerSecond } of group)
    if (height >= fromHeight && height < endHeight && hashesPerSecond > most) most = hashesPerSecond;
  return most;
}
