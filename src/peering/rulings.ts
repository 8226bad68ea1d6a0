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
import type { ChannelRole } from '../channel/keys.ts';
import { psbtSignature } from '../channel/psbt.ts';
import { bondSpendRequest } from '../channel/signing-requests.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { AssembledChannel, SignerTree } from './opening.ts';
import { AWARD_KIND, awardId, unstored } from './records.ts';

/** What of a contract's memory an award needs. */
export type AwardBook = {
  readonly contractId: string;
  readonly contract: { readonly channelIndex: number } | undefined;
  readonly assembled: AssembledChannel | undefined;
};

/** A bond's spend with two signatures, which `Remains` broadcasts until a block holds it. */
export function awardEntry(book: AwardBook, spend: BondSpend, signatures: Signatures): LedgerEntry {
  assert(book.assembled !== undefined, 'channel_before_award');
  const body = finalizeBondSpend(book.assembled.params, spend, signatures).hex;
  return { op: 'put', kind: AWARD_KIND, id: awardId(book.contractId, spend.coin), body };
}

type Signatures = Readonly<Partial<Record<BondSignatory, string>>>;

/**
 * A ruling: the auditor's signature in a PSBT of `bondSpendRequest`, with the own one added and stored for
 * `Remains` to broadcast; returns it, also where it could not be stored. Throws as `readPsbt`, `bad_signature` where the auditor did not sign.
 */
export async function takeRuling(
  side: { readonly role: ChannelRole; readonly book: AwardBook },
  spend: BondSpend,
  psbt: string,
  deps: { readonly ledger: Ledger; readonly signer: SignerTree; readonly log: Logger },
): Promise<string> {
  const { role, book } = side;
  const { assembled, contract } = book;
  if (!assembled || !contract) throw new CodedError('unknown_channel');
  const { params } = assembled;
  const auditor = psbtSignature(bondSpendRequest(params, spend), psbt, bondKeyOf(params, 'auditor'));
  const own = signBondSpend(params, spend, role, deps.signer.forChannel(contract.channelIndex));
  const award = awardEntry(book, spend, { [role]: own, auditor });
  await optional(() => deps.ledger.appendNow([award]), unstored(book.contractId, deps.log));
  return award.body as string;
}
