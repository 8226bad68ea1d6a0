import { Psbt, Transaction } from 'bitcoinjs-lib';
import { CodedError } from '../base/errors.ts';
import { channelFacts } from '../channel/params.ts';
import { psbtSignature } from '../channel/psbt.ts';
import { finalizeRefund } from '../channel/refund.ts';
import { refundRequest, stateRequest } from '../channel/signing-requests.ts';
import { refundVsize } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import { finalizeState, rungOfTxid } from '../channel/states.ts';
import type { FundedChannel } from './channel-report.ts';

/**
 * The newest state, or the refund, with a signature made where the key is: from the PSBT that a dry run of
 * `force-close` gave. Throws `bad_psbt` for one that asks for anything else, `bad_signature`.
 */
export function readExternalSignature(channel: FundedChannel, text: string): SignedTransaction {
  const { params, last, role } = channel;
  const unsigned = unsignedOf(text);
  if (role === 'maker') {
    const rate = refundRateOf(channel, unsigned);
    const signature = psbtSignature(refundRequest(params, rate), text, params.keys.makerRefund);
    return finalizeRefund(params, rate, signature);
  }
  const rung = rungOfTxid(params, last.workHashes, unsigned.getId());
  if (rung === undefined) throw new CodedError('bad_psbt', `it is not of state ${last.n} of this channel`);
  const request = stateRequest(params, last.workHashes, rung);
  return finalizeState(params, last, rung, psbtSignature(request, text, params.keys.minerChannel));
}

function unsignedOf(text: string): Transaction {
  try {
    return Transaction.fromBuffer(Psbt.fromBase64(text).data.globalMap.unsignedTx.toBuffer());
  } catch (cause) {
    throw new CodedError('bad_psbt', 'the file is not a PSBT in base64', {}, { cause });
  }
}

/** Fees are rounded up, so the rate that gives one is the quotient rounded down. */
function refundRateOf({ params }: FundedChannel, unsigned: Transaction): number {
  const { script, capacitySat } = channelFacts(params);
  const paidSat = unsigned.outs.reduce((total, output) => total + output.value, 0n);
  const vsize = refundVsize(script, params.makerPayoutScript);
  const rate = (Number(capacitySat - paidSat) * 1000) / vsize;
  if (!(rate >= 100 && rate <= 1_000_000))
    throw new CodedError('bad_psbt', 'it is not the refund of this channel');
  return Math.floor(rate);
}
