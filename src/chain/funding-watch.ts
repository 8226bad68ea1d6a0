import { larger, smaller } from '../base/bigints.ts';
import { feeAt, incrementSat } from './fee-rate.ts';

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
export type CancelBid = {
  /** Fee of the newest one; 0 before the first. */
  readonly paidSat: bigint;
  /** The fee of a child that this side paid for the funding. */
  readonly pushFeeSat: bigint;
  /** The funding is in the mempool, and so the last bid was not enough. */
  readonly isFundingWaiting: boolean;
};

/**
 * The fee at which the own coins are taken back: what blocks ask for, more than the funding pays where that
 * waits, and half as much again each time it goes on waiting. At most half of what is taken back: a
 * funding that pays more than that confirms, and is closed.
 */
export function cancelFee(
  { vsize, contributionSat, fundingFeeSat, fundingVsize }: Cancellable,
  { paidSat, pushFeeSat, isFundingWaiting }: CancelBid,
  satPerKvb: number,
): bigint {
  const size = BigInt(vsize);
  const bids = [feeAt(vsize, satPerKvb), incrementSat(vsize), paidSat];
  if (isFundingWaiting) {
    // Rules 3, 4 and 6 of replacement: the fee of all that goes, the increment, and the rate.
    bids.push(fundingFeeSat + pushFeeSat + incrementSat(vsize));
    bids.push((fundingFeeSat * size) / BigInt(fundingVsize) + incrementSat(vsize));
    bids.push((paidSat * 3n) / 2n);
  }
  const wantedSat = bids.reduce(larger, 0n);
  return smaller(wantedSat, (contributionSat * CANCEL_SHARE_PERCENT) / 100n);
}
