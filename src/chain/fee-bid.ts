import { larger, smaller } from '../base/bigints.ts';
import { FREE_FEE_SAT } from './fee-caps.ts';
import { CLIMB } from './fee-climb.ts';
import { feeAt, incrementSat, rateOf } from './fee-rate.ts';

/** A rung of the ladder: a whole close at one fee. */
export type FeeLevel = { readonly satPerKvb: number; readonly feeSat: bigint; readonly vsize: number };

/** What waits in the own mempool and spends the channel, with all that spends from it. */
export type Waiting = {
  readonly feeSat: bigint;
  readonly vsize: number;
  /** Of it and its descendants together. */
  readonly packageFeeSat: bigint;
  readonly packageVsize: number;
};

/** The own close as it was bid last. */
export type Bid = {
  readonly feeSat: bigint;
  readonly vsize: number;
  /** 0 without a child. */
  readonly childFeeSat: bigint;
};

export type BidOptions = {
  /** Rungs that may be taken, lowest first; none where the present close stays. */
  readonly ladder: readonly FeeLevel[];
  /** Of a child of the own output; undefined where its key is not known. */
  readonly childVsize: number | undefined;
  /** The most that close and child may pay; undefined where nothing bounds them. */
  readonly mostSat: bigint | undefined;
  /** What blocks ask for. */
  readonly satPerKvb: number;
  /** No block took what was bid for so long that it grows, whatever blocks ask for. */
  readonly isStuck: boolean;
  /** A rung pays more than this: a state that was sent is replaced by a better paid one only. */
  readonly floorSat: bigint;
};

/** What spends the channel in a mempool. */
export type InTheWay = {
  /** The present bid, and not another transaction. */
  readonly isOwn: boolean;
  /** It gives this side less than the own close: it must not confirm. */
  readonly isRival: boolean;
  /** Undefined where no node tells. */
  readonly waiting: Waiting | undefined;
};

/** A rung, the present close where there is none, and the fee of the child with it; 0 for no child. */
export type NextBid = { readonly rung: number | undefined; readonly childFeeSat: bigint };

/** A rung may pay so many times what is asked for; where it would be more, a child pays the difference. */
const MOST_TIMES = 2n;

/**
 * What is to be bid now; undefined where the present bid is enough, or no more may be paid. Pure. A rung
 * alone comes first, as every node relays it. What puts others out pays more than they do, with all that
 * spends from them, and at a better rate.
 */
export function nextBid(
  options: BidOptions,
  present: Bid | undefined,
  inTheWay: InTheWay | undefined,
): NextBid | undefined {
  const { ladder, isStuck } = options;
  const offered = offeredSatPerKvb(options, present, inTheWay);
  const wanted = wantedSatPerKvb(options, present, offered);
  const isOffered = offered >= wanted;
  if (isOffered && present !== undefined) return undefined;
  // What waits and is as good as the own close may confirm.
  const rival = isOffered ? undefined : inTheWay;
  const toBeat = (vsize: number): bigint => toBeatSat(vsize, present, rival);
  const toPay = (vsize: number): bigint => larger(feeAt(vsize, wanted), toBeat(vsize));
  const alone = ladder.findIndex((rung) => {
    return isAllowed(options, rung) && rung.feeSat >= toPay(rung.vsize);
  });
  const level = ladder[alone];
  if (level !== undefined && level.feeSat <= modestSat(toPay(level.vsize))) {
    return { rung: alone, childFeeSat: 0n };
  }
  const isChildEnough = present !== undefined && rival?.isOwn !== false;
  const pair = isChildEnough
    ? childOfPresent(options, present, wanted, rival)
    : rungWithChild(options, toPay, toBeat);
  if (pair !== undefined) return pair;
  // What is stuck climbs, and what must not confirm is outbid at once, however dear the rung.
  if (level !== undefined && (isStuck || rival?.isRival === true)) return { rung: alone, childFeeSat: 0n };
  const below = ladder.findLastIndex((rung) => {
    const isBelow = rung.feeSat < toPay(rung.vsize) && rung.feeSat >= toBeat(rung.vsize);
    return isBelow && isAllowed(options, rung);
  });
  if (below !== -1) return { rung: below, childFeeSat: 0n };
  // The lowest rung of a first bid is always allowed.
  return present === undefined && ladder.length > 0 ? { rung: 0, childFeeSat: 0n } : undefined;
}

function modestSat(toPaySat: bigint): bigint {
  return larger(toPaySat * MOST_TIMES, FREE_FEE_SAT);
}

function isAllowed({ floorSat, mostSat }: BidOptions, { feeSat }: FeeLevel): boolean {
  return feeSat > floorSat && (mostSat === undefined || feeSat <= mostSat);
}

/**
 * What blocks ask for; of what is stuck at least the next rung, and beyond the ladder half as much again. A
 * child of another that waits with it was not enough either.
 */
function wantedSatPerKvb(options: BidOptions, present: Bid | undefined, offered: number): number {
  const { satPerKvb, isStuck, ladder } = options;
  if (!isStuck || present === undefined) return satPerKvb;
  const paid = Math.max(rateOfBid(options, present), offered);
  const next = ladder.find((rung) => rung.satPerKvb > paid)?.satPerKvb ?? paid * CLIMB;
  return Math.max(satPerKvb, next);
}

/** What a block earns by the present bid, or by what waits in its place. */
function offeredSatPerKvb(
  options: BidOptions,
  present: Bid | undefined,
  inTheWay: InTheWay | undefined,
): number {
  if (inTheWay?.isRival === true) return -1;
  const waiting = inTheWay?.waiting;
  if (waiting !== undefined) {
    const { feeSat, vsize, packageFeeSat, packageVsize } = waiting;
    return Math.max(rateOf(feeSat, vsize), rateOf(packageFeeSat, packageVsize));
  }
  return present === undefined ? -1 : rateOfBid(options, present);
}

function rateOfBid({ childVsize = 0 }: BidOptions, { feeSat, vsize, childFeeSat }: Bid): number {
  return rateOf(feeSat + childFeeSat, vsize + (childFeeSat > 0n ? childVsize : 0));
}

/** The least that puts out what waits: by the fees of all of it, and by the rate of what is replaced. */
function toBeatSat(vsize: number, present: Bid | undefined, rival: InTheWay | undefined): bigint {
  if (rival === undefined) return 0n;
  const moreSat = incrementSat(vsize);
  const { waiting } = rival;
  if (waiting === undefined)
    return present === undefined ? 0n : present.feeSat + present.childFeeSat + moreSat;
  return larger(waiting.packageFeeSat + moreSat, feeAt(vsize, rateOf(waiting.feeSat, waiting.vsize) + 1));
}

/** A child of the close that stands; it puts out another child, or the own one before it. */
function childOfPresent(
  { childVsize, mostSat }: BidOptions,
  present: Bid,
  wanted: number,
  rival: InTheWay | undefined,
): NextBid | undefined {
  if (childVsize === undefined) return undefined;
  const { feeSat, vsize, childFeeSat } = present;
  const { waiting } = rival ?? {};
  const othersSat = waiting === undefined ? 0n : waiting.packageFeeSat - waiting.feeSat;
  const leastSat = larger(othersSat, childFeeSat) + incrementSat(childVsize);
  const missingSat = feeAt(vsize + childVsize, wanted) - feeSat;
  // Too little for a replacement; another side's child is put out all the same.
  if (missingSat < leastSat && othersSat <= childFeeSat) return undefined;
  const wantedSat = larger(missingSat, leastSat);
  const paidSat = mostSat === undefined ? wantedSat : smaller(wantedSat, mostSat - feeSat);
  return paidSat >= leastSat ? { rung: undefined, childFeeSat: paidSat } : undefined;
}

/** The highest rung below what is to be paid, with a child for the rest. */
function rungWithChild(
  options: BidOptions,
  toPay: (vsize: number) => bigint,
  toBeat: (vsize: number) => bigint,
): NextBid | undefined {
  const { ladder, childVsize, mostSat } = options;
  if (childVsize === undefined) return undefined;
  const rung = ladder.findLastIndex((each) => {
    return isAllowed(options, each) && each.feeSat < toPay(each.vsize + childVsize);
  });
  const level = ladder[rung];
  if (level === undefined) return undefined;
  const vsize = level.vsize + childVsize;
  const totalSat = mostSat === undefined ? toPay(vsize) : smaller(toPay(vsize), mostSat);
  const childFeeSat = totalSat - level.feeSat;
  const isRelayed = childFeeSat >= incrementSat(childVsize) && totalSat >= toBeat(vsize);
  return isRelayed ? { rung, childFeeSat } : undefined;
}
