import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { derSignature, refundWitness } from './scripts.ts';
import { checkSignerKey, isEcdsaSignature, type Signer } from './signer.ts';
import { checkFeeRate, dustSat, feeOfVsize, refundVsize } from './sizes.ts';
import {
  channelDigest,
  type SignedTransaction,
  STATE_SEQUENCE,
  STATE_VERSION,
  signatureBytes,
  signedTransaction,
} from './states.ts';

/**
 * The refund R: the whole channel to the maker, locked until the expiry (final in a block above
 * `expiryHeight`). Throws `bad_amount` for a fee rate out of range or more than the channel holds.
 */
export function buildRefund(params: ChannelParams, feeRateSatPerKvb: number): Transaction {
  checkFeeRate(feeRateSatPerKvb);
  const facts = channelFacts(params);
  const feeSat = feeOfVsize(refundVsize(facts.script, params.makerPayoutScript), feeRateSatPerKvb);
  const valueSat = facts.capacitySat - feeSat;
  if (valueSat < dustSat(params.makerPayoutScript)) {
    throw new CodedError('bad_amount', 'the channel does not pay for its refund at this fee rate');
  }
  const transaction = new Transaction();
  transaction.version = STATE_VERSION;
  transaction.locktime = params.terms.expiryHeight;
  transaction.addInput(facts.fundingHash, params.funding.vout, STATE_SEQUENCE);
  transaction.addOutput(params.makerPayoutScript, valueSat);
  return transaction;
}

/**
 * Builds and signs the refund with the `refund` key. Throws as `buildRefund`, `bad_key_file`, and `cold_key`
 * where the key is elsewhere: then `refundRequest` and `finalizeRefund`.
 */
export function signRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'refund', params.keys.makerRefund);
  const digest = channelDigest(params, buildRefund(params, feeRateSatPerKvb));
  return finalizeRefund(params, feeRateSatPerKvb, toHex(signer.signEcdsa('refund', digest)));
}

/** The same with a signature from elsewhere. Throws `bad_signature`, and as `buildRefund`. */
export function finalizeRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signature: string,
): SignedTransaction {
  const transaction = buildRefund(params, feeRateSatPerKvb);
  const bytes = signatureBytes(signature);
  const { makerRefund } = params.keys;
  if (bytes === undefined || !isEcdsaSignature(channelDigest(params, transaction), makerRefund, bytes)) {
    throw new CodedError('bad_signature', 'the signature of the refund does not verify');
  }
  transaction.setWitness(0, refundWitness(derSignature(bytes), channelFacts(params).script));
  return signedTransaction(params, transaction);
}
