import type { Lease } from '../ledger/lease.ts';

/** Ids from `first` on, so many. */
type Ids = { readonly first: number; readonly count: number };

/** Ranges that are leased, as many as the table of them has rows. */
export const RANGES = 2048;
/** Session ids are four bytes: the lower half of them is leased in ranges, ... */
const LEASED_IDS = 2 ** 31;
/** ... and who has no lease takes ids of the upper one, which others without a lease may have too. */
export const IDS_WITHOUT_LEASE: Ids = { first: LEASED_IDS, count: LEASED_IDS };

/** So many sessions begin in a range until ids that rested are given again. */
const IDS_OF_RANGE = LEASED_IDS / RANGES;

/** The session ids of a range, which are the extranonce1s of miners. No two ranges share one. */
export function idsOfRange(number: number): Ids {
  return { first: number * IDS_OF_RANGE, count: IDS_OF_RANGE };
}

/** The ids of a lease of a range. */
export function idsOfLease({ resource }: Lease): Ids {
  return idsOfRange(Number(resource));
}
