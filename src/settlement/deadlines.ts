import { CodedError } from '../base/errors.ts';
import type { CloseMargins } from '../chain/watcher.ts';
import type { ContractTerms } from '../contract/terms.ts';

/** True where it is too late to begin: a close at any of its fees no longer fits before the expiry. */
export function isTooLateToBegin(
  terms: ContractTerms,
  { askBlocks, urgentBlocks }: Pick<CloseMargins, 'askBlocks' | 'urgentBlocks'>,
  height: number,
): boolean {
  return height >= terms.expiryHeight - askBlocks - urgentBlocks;
}

/**
 * Checks that a step of a contract is not too late: a proposal, an opening, its signatures, and both
 * becoming ready. Pure. Throws `expiry_near`.
 */
export function assertTimeToBegin(
  terms: ContractTerms,
  margins: Pick<CloseMargins, 'askBlocks' | 'urgentBlocks'>,
  height: number,
): void {
  if (isTooLateToBegin(terms, margins, height)) {
    throw new CodedError(
      'expiry_near',
      `block ${height} is too late for a contract to ${terms.expiryHeight}`,
    );
  }
}

/** Checks the same for a step towards the funding, which terms may want to be deep by an earlier block. */
export function assertTimeToFund(
  terms: ContractTerms,
  margins: Pick<CloseMargins, 'askBlocks' | 'urgentBlocks'>,
  height: number,
): void {
  assertTimeToBegin(terms, margins, height);
  if (terms.version === 3 && height + terms.minDepth > terms.fundingByHeight) {
    throw new CodedError('expiry_near', `the funding was to be deep by block ${terms.fundingByHeight}`);
  }
}
