import { feeAt, incrementSat, MOST_SAT_PER_KVB, rateOf } from './fee-rate.ts';

/** Blocks for which a bid waits before it climbs, whatever blocks ask for. */
export const STUCK_BLOCKS = 2;
/** What is stuck grows by this factor. */
export const CLIMB = 1.5;

/**
 * A transaction that one side replaces as a whole until a block holds it: a spend by its own key, or the
 * child of one whose fee a signature fixed.
 */
export type Payer = {
  readonly vsize: number;
  /** The most in sats that it may pay; absent where nothing bounds it. */
  readonly mostSat?: bigint;
  /** What a child pays for. */
  readonly parent?: { readonly feeSat: bigint; readonly vsize: number };
};

/** The newest bid of a payer: what it pays, 0 before the first, and since which height it waits. */
export type Standing = { readonly paidSat: bigint; readonly since: number | undefined };

/** What blocks ask for, and the height of the tip. */
export type Asked = { readonly satPerKvb: number; readonly height: number };

/** What is to be paid from here on; `satPerKvb` is that of the payer and its parent together. */
export type Climbed = { readonly standing: Standing; readonly satPerKvb: number; readonly isNew: boolean };

/**
 * The bid of a payer at a tip; pure. It follows what blocks ask for. Once it waited for two blocks it grows
 * by half at each block, or by the least that replaces it, up to the most that it may pay. A bid that stands
 * is never lowered.
 */
export function climb(payer: Payer, { paidSat, since: before }: Standing, asked: Asked): Climbed {
  const { vsize: ownVsize, mostSat, parent } = payer;
  const carriedSat = parent?.feeSat ?? 0n;
  const vsize = ownVsize + (parent?.vsize ?? 0);
  const { height } = asked;
  // A reorganisation takes no bid back.
  const since = Math.min(before ?? height, height);
  const isStuck = height - since >= STUCK_BLOCKS;
  const isFirst = paidSat === 0n;
  const paidRate =
    isFirst && parent ? rateOf(carriedSat, parent.vsize) : rateOf(paidSat + carriedSat, vsize);
  const stands = { standing: { paidSat, since }, satPerKvb: paidRate, isNew: false };
  // What pays by itself needs no child.
  if (isFirst && parent && !isStuck && paidRate >= asked.satPerKvb) return stands;
  const leastSat = isFirst && parent === undefined ? 0n : paidSat + incrementSat(ownVsize);
  const climbed = isStuck ? Math.max(paidRate * CLIMB, rateOf(leastSat + carriedSat, vsize) + 1) : 0;
  const affordable = mostSat === undefined ? Infinity : rateOf(mostSat + carriedSat, vsize);
  const most = Math.min(affordable, MOST_SAT_PER_KVB);
  const satPerKvb = Math.min(Math.ceil(Math.max(asked.satPerKvb, climbed)), most);
  const feeSat = feeAt(vsize, satPerKvb) - carriedSat;
  if (feeSat < leastSat) return stands;
  return { standing: { paidSat: feeSat, since: sinceAfter(isStuck, height) }, satPerKvb, isNew: true };
}

/**
 * Since which height a bid waits, that counts from `since` here: a node that tells of blocks late took it
 * later than that, and no bid waits from before its mempool had it.
 */
export function waitsFrom(since: number | undefined, waitingSince: number | undefined): number | undefined {
  if (since === undefined || waitingSince === undefined) return since ?? waitingSince;
  return Math.max(since, sinceAfter(true, waitingSince));
}

/** The height from which a new bid counts: what is stuck goes on climbing at each block. */
export function sinceAfter(isStuck: boolean, height: number): number {
  return isStuck ? height - STUCK_BLOCKS + 1 : height;
}
