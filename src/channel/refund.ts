import type { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ChannelParams } from './params.ts';
import { derSignature, refundWitness } from './scripts.ts';
import { checkSignerKey, isEcdsaSignature, type Signer } from './signer.ts';
import { refundVsize } from './sizes.ts';
import { buildSweep, finalizeSpend, type SignedTransaction, signatureBytes } from './spend.ts';
import { channelDigest, channelOutput } from './states.ts';

/**
 * The unsigned refund R of `PROTOCOL.md`: the whole channel to the maker, locked until the expiry (final in
 * a block above `expiryHeight`). Throws `bad_amount` for a fee rate out of range or a fee above the
 * channel's value.
 */
export function buildRefund(params: ChannelParams, feeRateSatPerKvb: number): Transaction {
  const output = channelOutput(params);
  const { makerPayoutScript: to, terms } = params;
  const fee = { vsize: refundVsize(output.script, to), satPerKvb: feeRateSatPerKvb };
  return buildSweep(output, to, fee, 'channel', { locktime: terms.expiryHeight });
}

/**
 * Builds and signs the refund with the `refund` key. Throws as `buildRefund`, `bad_key_file`, and
 * `cold_key` for a key in an external wallet: then use `refundRequest` and `finalizeRefund`.
 */
export function signAndFinalizeRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'refund', params.keys.makerRefund);
  const digest = channelDigest(params, buildRefund(params, feeRateSatPerKvb));
  return finalizeRefund(params, feeRateSatPerKvb, toHex(signer.signEcdsa('refund', digest)));
}

/**
 * Completes the refund with an external signature, 64 bytes in hex. Throws `bad_signature`, and as
 * `buildRefund`.
 */
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
  const output = channelOutput(params);
  return finalizeSpend(output, transaction, refundWitness(derSignature(bytes), output.script));
}
