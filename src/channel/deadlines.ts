import { CodedError } from '../base/errors.ts';
import { isFundingLate } from '../chain/funding-watch.ts';
import { type BeginMargins, beginBlocksOf } from '../chain/watcher.ts';
import type { ContractTerms } from '../contract/terms.ts';

/** True where it is too late to begin: a close at any of its fees no longer fits before the expiry. */
export function isTooLateToBegin(terms: ContractTerms, margins: BeginMargins, height: number): boolean {
  return height >= terms.expiryHeight - beginBlocksOf(margins);
}

/**
 * Checks that a step of a contract is not too late: a proposal, an opening, its signatures, and both
 * becoming ready. Pure. Throws `expiry_near`.
 */
export function assertTimeToBegin(terms: ContractTerms, margins: BeginMargins, height: number): void {
  if (isTooLateToBegin(terms, margins, height)) {
    throw new CodedError(
      'expiry_near',
      `block ${height} is too late for a contract to ${terms.expiryHeight}`,
    );
  }
}

/**
 * The block by which the funding is to be deep: that of the terms, and for older ones, which have none, the
 * last in which something can begin. One that is not deep by then is cancelled.
 */
export function fundingByHeightOf(terms: ContractTerms, margins: BeginMargins): number {
  const last = terms.expiryHeight - beginBlocksOf(margins) - 1;
  return terms.version === 3 ? Math.min(terms.fundingByHeight, last) : last;
}

/** Checks the same for a step towards the funding, which is to be deep by its last height. */
export function assertTimeToFund(terms: ContractTerms, margins: BeginMargins, height: number): void {
  assertTimeToBegin(terms, margins, height);
  if (isTooLateToFund(terms, margins, height)) {
    const byHeight = fundingByHeightOf(terms, margins);
    throw new CodedError('expiry_near', `the funding was to be deep by block ${byHeight}`);
  }
}

/** True where a funding of which nothing is in a block can be deep in time no more. */
export function isTooLateToFund(terms: ContractTerms, margins: BeginMargins, height: number): boolean {
  const fundingByHeight = fundingByHeightOf(terms, margins);
  return isFundingLate({ minDepth: terms.minDepth, fundingByHeight }, 0, height);
}
