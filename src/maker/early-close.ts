import { CodedError } from '../base/errors.ts';
import type { CloseSettlement } from '../channel/close.ts';
import { isAtStake } from '../contract/vesting.ts';
import type { MakerStore } from './maker-store.ts';
import type { StakesPolicy } from './policy.ts';

/**
 * Checks by the policy whether both may close together while bonds are at stake, and who receives them.
 * Throws `bonds_at_stake`.
 * @param settlement undefined where none is named yet, which the close itself does
 */
export function assertEarlyClose(
  { terms, isTermOver }: Pick<MakerStore, 'terms' | 'isTermOver'>,
  wanted: StakesPolicy['earlyClose'],
  workHashes: bigint,
  settlement: CloseSettlement | undefined,
): void {
  if (!isAtStake(terms, workHashes)) return;
  // Over by the block clock of the terms: nobody failed, and each has its own back.
  if (isTermOver && (settlement === undefined || settlement === 'returned')) return;
  if (wanted === 'refused' || (settlement !== undefined && settlement !== wanted))
    throw new CodedError('bonds_at_stake', wanted === 'refused' ? undefined : `settle as ${wanted}`);
}
