import { larger, smaller } from '../base/bigints.ts';
import { type Asked, climb, type Standing } from './fee-climb.ts';
import { incrementSat } from './fee-rate.ts';

/** Of what a side puts into a funding, the most that taking it back may cost. */
const CANCEL_SHARE_PERCENT = 50n;

export type FundingDeadline = {
  readonly minDepth: number;
  /** Height by which the funding is to have that depth; undefined where none is waited for. */
  readonly fundingByHeight?: number;
};

/**
 * True for a funding that is not, and cannot be, deep by its last height. Of one in a block the answer
 * never changes, whatever comes after; one that waits could be in the next block.
 * @param coinDepth its confirmations, 0 while it waits or is not to be seen
 */
export function isFundingLate(
  { minDepth, fundingByHeight }: FundingDeadline,
  coinDepth: number,
  height: number,
): boolean {
  return fundingByHeight !== undefined && height - coinDepth + minDepth > fundingByHeight;
}

/** The transaction that takes the own coins of a funding back, and the funding that it must beat. */
export type Cancellable = {
  /** Of the spend of the own coins. */
  readonly vsize: number;
  /** The part of the own coins that would be in the channel. */
  readonly contributionSat: bigint;
  readonly fundingFeeSat: bigint;
  readonly fundingVsize: number;
};

/** A bid so far. */
export type CancelBid = Standing & {
  /** The fee of a child that this side paid for the funding. */
  readonly pushFeeSat: bigint;
  /** The funding is in the mempool, and so the last bid was not enough. */
  readonly isFundingWaiting: boolean;
};

/**
 * What taking the own coins back pays: what blocks ask for, climbing while no block takes it; more than the
 * funding pays where that waits, and half as much again each time it goes on waiting. At most half of what is
 * taken back: a funding that pays more than that confirms, and is closed.
 */
export function cancelBid(
  { vsize, contributionSat, fundingFeeSat, fundingVsize }: Cancellable,
  { paidSat, since, pushFeeSat, isFundingWaiting }: CancelBid,
  asked: Asked,
): Standing {
  const size = BigInt(vsize);
  const mostSat = (contributionSat * CANCEL_SHARE_PERCENT) / 100n;
  const { standing } = climb({ vsize, mostSat }, { paidSat, since }, asked);
  const bids = [standing.paidSat, incrementSat(vsize)];
  if (isFundingWaiting) {
    // Rules 3, 4 and 6 of replacement: the fee of all that goes, the increment, and the rate.
    bids.push(fundingFeeSat + pushFeeSat + incrementSat(vsize));
    bids.push((fundingFeeSat * size) / BigInt(fundingVsize) + incrementSat(vsize));
    bids.push((paidSat * 3n) / 2n);
  }
  return { paidSat: smaller(bids.reduce(larger, 0n), mostSat), since: standing.since };
}
