import { Transaction } from 'bitcoinjs-lib';
import { CodedError } from '../base/errors.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { derSignature, refundWitness } from './scripts.ts';
import { checkSignerKey, type Signer } from './signer.ts';
import { checkFeeRate, dustSat, feeOfVsize, refundVsize } from './sizes.ts';
import {
  channelDigest,
  type SignedTransaction,
  STATE_SEQUENCE,
  STATE_VERSION,
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

/** Builds and signs the refund with the `refund` key. Throws as `buildRefund`, and `bad_key_file`. */
export function signRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'refund', params.keys.makerRefund);
  const transaction = buildRefund(params, feeRateSatPerKvb);
  const signature = signer.signEcdsa('refund', channelDigest(params, transaction));
  transaction.setWitness(0, refundWitness(derSignature(signature), channelFacts(params).script));
  return signedTransaction(params, transaction);
}
