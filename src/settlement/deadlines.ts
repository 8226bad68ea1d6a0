import { CodedError } from '../base/errors.ts';
import type { CloseMargins } from '../chain/watcher.ts';
import type { ContractTerms } from '../contract/terms.ts';

/** What the sides have begun so late that no close with all its fees fits before the expiry any more. */
export function isTooLateToBegin(
  terms: ContractTerms,
  { askBlocks, urgentBlocks }: Pick<CloseMargins, 'askBlocks' | 'urgentBlocks'>,
  height: number,
): boolean {
  return height >= terms.expiryHeight - askBlocks - urgentBlocks;
}

/**
 * Pure, and asked at every door: of a proposal, an opening, its signatures, and of both becoming ready.
 * Throws `expiry_near`.
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

/** The same for a step towards the funding, which terms may want to be deep by an earlier block. */
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
