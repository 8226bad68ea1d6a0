import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { optional } from '../chain/source.ts';
import {
  type BondSignatory,
  type BondSpend,
  bondKeyOf,
  finalizeBondSpend,
  signBondSpend,
} from '../channel/bonds.ts';
import type { ChannelIndex } from '../channel/channel-index.ts';
import type { ChannelRole } from '../channel/keys.ts';
import { psbtSignature } from '../channel/psbt.ts';
import { bondSpendRequest } from '../channel/signing-requests.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { AssembledChannel, SignerTree } from './opening.ts';
import { AWARD_KIND, awardId, unstored } from './records.ts';

/** The part of a contract's store that an award needs. */
export type AwardStore = {
  readonly contractId: string;
  readonly contract: { readonly channelIndex: ChannelIndex } | undefined;
  readonly assembled: AssembledChannel | undefined;
};

/**
 * The ledger entry of a bond spend with two signatures, which `StakeSettlement` broadcasts until a block
 * has it.
 */
export function awardEntry(store: AwardStore, spend: BondSpend, signatures: Signatures): LedgerEntry {
  assert(store.assembled !== undefined, 'channel_before_award');
  const body = finalizeBondSpend(store.assembled.params, spend, signatures).hex;
  return { type: 'put', kind: AWARD_KIND, id: awardId(store.contractId, spend.coin), body };
}

type Signatures = Readonly<Partial<Record<BondSignatory, string>>>;

/**
 * Takes an auditor's ruling: its signature in a PSBT of `bondSpendRequest`. Adds the own signature and
 * stores the spend for `StakeSettlement` to broadcast; returns it even where it could not be stored. Throws
 * as `readPsbt`, `bad_signature` where the auditor did not sign.
 */
export async function takeAuditorAward(
  side: { readonly role: ChannelRole; readonly store: AwardStore },
  spend: BondSpend,
  psbt: string,
  deps: { readonly ledger: Ledger; readonly signer: SignerTree; readonly log: Logger },
): Promise<string> {
  const { role, store } = side;
  const { assembled, contract } = store;
  if (!assembled || !contract) throw new CodedError('unknown_channel');
  const { params } = assembled;
  const auditor = psbtSignature(bondSpendRequest(params, spend), psbt, bondKeyOf(params, 'auditor'));
  const own = signBondSpend(params, spend, role, deps.signer.forChannel(contract.channelIndex));
  const award = awardEntry(store, spend, { [role]: own, auditor });
  await optional(() => deps.ledger.appendNow([award]), unstored(store.contractId, deps.log));
  return award.body as string;
}
