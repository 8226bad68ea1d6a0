import { script as bitcoinScript, type Transaction } from 'bitcoinjs-lib';
import { smaller } from '../base/bigints.ts';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type CloseSettlement, closeAmounts } from './amounts.ts';
import type { ChannelRole } from './keys.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { checkSignerKey, isEcdsaSignature, type Signer } from './signer.ts';
import { dustSat, feeOfVsize } from './sizes.ts';
import { type SignedTransaction, signatureBytes } from './spend.ts';
import { buildSplit, channelDigest, finalizeJointSpend, payOutputs, type SignedState } from './states.ts';

export type { CloseSettlement } from './amounts.ts';
export type { ChannelRole } from './keys.ts';

/**
 * The least and the highest fee of a close of this channel in sats: 0.1 sat/vB, and the top of the fee
 * ladder.
 */
export function closeFeeBounds(params: ChannelParams): {
  readonly minSat: bigint;
  readonly maxSat: bigint;
} {
  const { stateVsize } = channelFacts(params);
  return {
    minSat: feeOfVsize(stateVsize, 100),
    maxSat: feeOfVsize(stateVsize, params.terms.feeLadderSatPerKvb.at(-1)!),
  };
}

/**
 * The fee in sats to offer for a close at this rate: within `closeFeeBounds`, and small enough that the
 * miner's output stays above dust. Throws `over_budget`.
 */
export function closeFeeFor(
  params: ChannelParams,
  last: SignedState,
  feeRateSatPerKvb: number,
  settlement: CloseSettlement = 'returned',
): bigint {
  const { minSat, maxSat } = closeFeeBounds(params);
  const { minerSat } = closeAmounts(params.terms, last.workHashes, settlement);
  const haveSat = minerSat - dustSat(params.minerPayoutScript);
  const wantSat = feeOfVsize(channelFacts(params).stateVsize, Math.ceil(feeRateSatPerKvb));
  const mostSat = smaller(maxSat, haveSat);
  return wantSat < minSat ? minSat : wantSat > mostSat ? mostSat : wantSat;
}

/**
 * The unsigned cooperative close X of `PROTOCOL.md`: pays as the last state, at a fee of its own from the
 * miner's output, without bond outputs. Throws `over_budget`, and `bad_amount` for a fee outside
 * `closeFeeBounds` or above the miner's part, or for unvested bonds without a settlement.
 * @param settlement who receives the unvested bonds, as agreed by both sides
 */
export function buildClose(
  params: ChannelParams,
  workHashes: bigint,
  feeSat: bigint,
  settlement?: CloseSettlement,
): Transaction {
  const { minSat, maxSat } = closeFeeBounds(params);
  if (feeSat < minSat || feeSat > maxSat) {
    throw new CodedError('bad_amount', `the fee of a close must be from ${minSat} to ${maxSat} sat`);
  }
  const amounts = closeAmounts(params.terms, workHashes, settlement);
  if (amounts.minerSat - feeSat < dustSat(params.minerPayoutScript)) {
    throw new CodedError('bad_amount', 'the miner cannot pay this fee');
  }
  return buildSplit(params, payOutputs(params, amounts), feeSat);
}

/**
 * One side's signature of the close, 64 bytes in hex. Takes the last state this side holds, so that it can
 * never sign away what a state already gives it; after signing, neither side may go on. Throws as
 * `buildClose`, and `bad_key_file`.
 */
export function signClose(
  params: ChannelParams,
  last: SignedState,
  feeSat: bigint,
  role: ChannelRole,
  signer: Signer,
  settlement?: CloseSettlement,
): string {
  const transaction = buildClose(params, last.workHashes, feeSat, settlement);
  checkSignerKey(signer, 'channel', channelKeyOf(params, role));
  return toHex(signer.signEcdsa('channel', channelDigest(params, transaction)));
}

/** Checks a side's signature of the close of this state. Throws `bad_signature`; else as `buildClose`. */
export function verifyClose(
  params: ChannelParams,
  last: SignedState,
  feeSat: bigint,
  role: ChannelRole,
  signature: string,
  settlement?: CloseSettlement,
): void {
  const digest = channelDigest(params, buildClose(params, last.workHashes, feeSat, settlement));
  const bytes = signatureBytes(signature);
  if (bytes === undefined || !isEcdsaSignature(digest, channelKeyOf(params, role), bytes)) {
    throw new CodedError('bad_signature', `the signature of the ${role} does not verify for this close`);
  }
}

/**
 * The maker's signature in a complete close, 64 bytes in hex. Throws `bad_signature` where there is none.
 */
export function makerSignatureOf(closeTx: Transaction): string {
  const [der] = closeTx.ins[0]?.witness ?? [];
  try {
    return toHex(bitcoinScript.signature.decode(der ?? new Uint8Array()).signature);
  } catch {
    throw new CodedError('bad_signature', 'the close has no signature of the maker');
  }
}

/**
 * Completes a close with both signatures, ready to broadcast. Throws `bad_signature`, and as `buildClose`.
 */
export function finalizeClose(
  params: ChannelParams,
  last: SignedState,
  feeSat: bigint,
  signatures: { readonly miner: string; readonly maker: string },
  settlement?: CloseSettlement,
): SignedTransaction {
  const transaction = buildClose(params, last.workHashes, feeSat, settlement);
  const maker = signatureBytes(signatures.maker);
  const miner = signatureBytes(signatures.miner);
  if (maker === undefined || miner === undefined) {
    throw new CodedError('bad_signature', 'a signature is 64 bytes of lower-case hex');
  }
  return finalizeJointSpend(params, transaction, maker, miner);
}

function channelKeyOf(params: ChannelParams, role: ChannelRole): Uint8Array {
  return role === 'miner' ? params.keys.minerChannel : params.keys.makerChannel;
}
