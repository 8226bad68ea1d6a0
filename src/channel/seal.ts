import type { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { bigToBe, bigToLe, concat, equal, fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256, taggedHash } from '../base/hash.ts';
import type { Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { type SealTerms, sealExpiryHeight } from '../contract/bond-terms.ts';
import { readHex, readRecord } from './fields.ts';
import { type ChannelParams, type ChannelSeal, channelFacts } from './params.ts';
import { dataOutput, derSignature, jointWitness, refundWitness } from './scripts.ts';
import { checkSignerKey, isEcdsaSignature, type Signer } from './signer.ts';
import { dustSat, feeOfVsize, jointSpendVsize, refundVsize } from './sizes.ts';
import {
  buildSpend,
  buildSweep,
  finalizeSpend,
  type SignedTransaction,
  type SpentOutput,
  signatureBytes,
  spendDigest,
} from './spend.ts';

/** A seal claim `Q_n` of `PROTOCOL.md`: the work that the miner says it has delivered. */
export type SealClaim = {
  /** Number of the state that is to pay this work. */
  readonly n: number;
  /** Cumulative work `w_n` in hashes. */
  readonly workHashes: bigint;
  /** Root (`ShareTree.root`) of the shares up to `w_n`, 32 bytes. */
  readonly shareRoot: Uint8Array;
};

/** A seal claim with the miner's signature; the maker can broadcast the newest one. */
export type SignedSealClaim = SealClaim & {
  /** 64 bytes in hex. */
  readonly signature: string;
};

/** The first four bytes of a claim's data: `shsl`. */
const SEAL_TAG = Uint8Array.of(0x73, 0x68, 0x73, 0x6c);

/** The seal of a channel. Throws `bad_terms` for a channel without one. */
function sealOf(params: ChannelParams): { terms: SealTerms; output: SpentOutput; seal: ChannelSeal } {
  const { seal: output, fundingHash: hash } = channelFacts(params);
  const { seal } = params;
  const { seal: terms } = params.terms;
  if (terms === undefined || output === undefined || seal === undefined)
    throw new CodedError('bad_terms', 'this channel has no seal');
  const { script } = output;
  return { terms, output: { hash, vout: seal.vout, valueSat: terms.sealSat, script }, seal };
}

/**
 * The hash in a claim's data output, 32 bytes, over contract, n, work, share root and the output script of
 * the maker's next seal. It has that script and not the outpoint, which depends on the txid of the claim
 * itself.
 */
export function sealCommitment(params: ChannelParams, claim: SealClaim): Uint8Array {
  const { seal } = sealOf(params);
  return taggedHash(
    'sharestream/seal/1',
    concat(
      fromHex(params.contractId, 32),
      bigToLe(BigInt(claim.n), 8),
      bigToBe(claim.workHashes, 32),
      claim.shareRoot,
      sha256(seal.nextScript),
    ),
  );
}

/**
 * The unsigned claim transaction: F1 to `OP_RETURN tag || commitment` and the maker's next seal, at the fee
 * rate of the terms. Throws `bad_terms`, `bad_amount`, `over_budget`, `wrong_state_number`.
 */
export function buildSealClaim(params: ChannelParams, claim: SealClaim): Transaction {
  const { terms, output, seal } = sealOf(params);
  checkClaim(params, claim);
  const data = dataOutput(concat(SEAL_TAG, sealCommitment(params, claim)));
  const vsize = jointSpendVsize(output.script, [data, seal.nextScript]);
  const valueSat = terms.sealSat - feeOfVsize(vsize, terms.claimFeeRateSatPerKvb);
  assert(valueSat >= dustSat(seal.nextScript), 'seal_pays_for_its_claim');
  return buildSpend(output, [
    { script: data, valueSat: 0n },
    { script: seal.nextScript, valueSat },
  ]);
}

function checkClaim(params: ChannelParams, claim: SealClaim): void {
  const { n, workHashes, shareRoot } = claim;
  if (!Number.isSafeInteger(n) || n < 0)
    throw new CodedError('wrong_state_number', `no claim has number ${n}`);
  if (workHashes < 0n || (n === 0 && workHashes !== 0n) || shareRoot.length !== 32)
    throw new CodedError('bad_amount', 'claim 0 is of no work, no work is negative, a root has 32 bytes');
  if (workHashes > params.terms.workTotalHashes)
    throw new CodedError('over_budget', `${workHashes} hashes are more than the contract has`);
}

/** The 32-byte digest to sign for a transaction that spends the seal (BIP143, SIGHASH_ALL). */
export function sealDigest(params: ChannelParams, transaction: Transaction): Uint8Array {
  return spendDigest(sealOf(params).output, transaction);
}

/**
 * Signs a claim as the miner. The caller takes the numbers from its own log, so that only delivered work is
 * claimed. Throws as `buildSealClaim`, and `bad_key_file`.
 */
export function signSealClaim(params: ChannelParams, claim: SealClaim, signer: Signer): SignedSealClaim {
  const transaction = buildSealClaim(params, claim);
  checkSignerKey(signer, 'seal', params.keys.minerSeal);
  const { n, workHashes, shareRoot } = claim;
  const signature = toHex(signer.signEcdsa('seal', sealDigest(params, transaction)));
  return { n, workHashes, shareRoot, signature };
}

/**
 * Checks a claim's signature. Throws `bad_signature` unless the miner signed exactly this claim; else as
 * `buildSealClaim`.
 */
export function verifySealClaim(params: ChannelParams, claim: SignedSealClaim): void {
  const digest = sealDigest(params, buildSealClaim(params, claim));
  const key = params.keys.minerSeal;
  const bytes = signatureBytes(claim.signature);
  if (key === undefined || bytes === undefined || !isEcdsaSignature(digest, key, bytes))
    throw new CodedError('bad_signature', `the signature of claim ${claim.n} does not verify`);
}

/**
 * The maker's check of a claim against the last it has on disk; returns `same` for a repetition. Claims may
 * skip numbers and never go back. Throws `wrong_state_number`, `not_monotone` for less work, `equivocation`
 * for another content of the last number, and as `verifySealClaim`.
 */
export function verifyNextSealClaim(
  params: ChannelParams,
  previous: SignedSealClaim | undefined,
  next: SignedSealClaim,
): 'next' | 'same' {
  verifySealClaim(params, next);
  if (previous === undefined) return 'next';
  if (next.n < previous.n)
    throw new CodedError('wrong_state_number', `claim ${next.n} came after ${previous.n}`);
  if (next.n === previous.n) {
    if (next.workHashes === previous.workHashes && equal(next.shareRoot, previous.shareRoot)) return 'same';
    throw new CodedError('equivocation', `two contents for claim ${next.n}`);
  }
  if (next.workHashes < previous.workHashes)
    throw new CodedError('not_monotone', `claim ${next.n} has less work than claim ${previous.n}`);
  return 'next';
}

/** Completes a claim with the maker's `seal` key. Throws `bad_signature`, `bad_key_file`. */
export function signAndFinalizeSealClaim(
  params: ChannelParams,
  claim: SignedSealClaim,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'seal', params.keys.makerSeal);
  const digest = sealDigest(params, buildSealClaim(params, claim));
  return finalizeSealClaim(params, claim, toHex(signer.signEcdsa('seal', digest)));
}

/** Completes a claim with an external signature of the maker. Throws `bad_signature`. */
export function finalizeSealClaim(
  params: ChannelParams,
  claim: SignedSealClaim,
  makerSignature: string,
): SignedTransaction {
  verifySealClaim(params, claim);
  const transaction = buildSealClaim(params, claim);
  const key = params.keys.makerSeal;
  const maker = signatureBytes(makerSignature);
  if (!key || !maker || !isEcdsaSignature(sealDigest(params, transaction), key, maker))
    throw new CodedError('bad_signature', 'the signature of the maker does not verify for this claim');
  const miner = derSignature(fromHex(claim.signature, 64));
  const { output } = sealOf(params);
  return finalizeSpend(output, transaction, jointWitness(derSignature(maker), miner, output.script));
}

/**
 * The unsigned refund of the seal: all of it to the miner, locked until `T_seal`. Throws `bad_terms`
 * without a seal, `bad_amount` for a fee rate out of range or above what the seal holds.
 */
export function buildSealRefund(params: ChannelParams, feeRateSatPerKvb: number): Transaction {
  const { output } = sealOf(params);
  const to = params.minerPayoutScript;
  const fee = { vsize: refundVsize(output.script, to), satPerKvb: feeRateSatPerKvb };
  return buildSweep(output, to, fee, 'seal', { locktime: sealExpiryHeight(params.terms) });
}

/**
 * Builds and signs the refund of the seal with the miner's `sealExit` key. Throws as `buildSealRefund`, and
 * `bad_key_file`.
 */
export function signAndFinalizeSealRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'sealExit', params.keys.minerSealExit);
  const digest = sealDigest(params, buildSealRefund(params, feeRateSatPerKvb));
  return finalizeSealRefund(params, feeRateSatPerKvb, toHex(signer.signEcdsa('sealExit', digest)));
}

/**
 * Completes the refund of the seal with an external signature. Throws `bad_signature`, and as
 * `buildSealRefund`.
 */
export function finalizeSealRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signature: string,
): SignedTransaction {
  const transaction = buildSealRefund(params, feeRateSatPerKvb);
  const key = params.keys.minerSealExit;
  const bytes = signatureBytes(signature);
  if (!key || !bytes || !isEcdsaSignature(sealDigest(params, transaction), key, bytes))
    throw new CodedError('bad_signature', 'the signature of the seal’s refund does not verify');
  const { output } = sealOf(params);
  return finalizeSpend(output, transaction, refundWitness(derSignature(bytes), output.script));
}

/** A signed claim as JSON, in one spelling. */
export function signedSealClaimToJson(claim: SignedSealClaim): { readonly [key: string]: Json } {
  return {
    n: claim.n,
    work_hashes: claim.workHashes.toString(),
    share_root: toHex(claim.shareRoot),
    signature: claim.signature,
  };
}

/** Parses a signed claim: its shape only, `verifyNextSealClaim` judges the content. Throws `protocol`. */
export function parseSignedSealClaim(value: unknown): SignedSealClaim {
  const record = readRecord(value, 'claim', ['n', 'work_hashes', 'share_root', 'signature']);
  const n = record['n'];
  if (typeof n !== 'number' || !Number.isSafeInteger(n) || n < 0 || Object.is(n, -0)) {
    throw new CodedError('protocol', 'claim.n must be an integer from 0');
  }
  return {
    n,
    workHashes: parseDecimal(record['work_hashes'], 'claim.work_hashes'),
    shareRoot: readHex(record['share_root'], 'claim.share_root', 32),
    signature: toHex(readHex(record['signature'], 'claim.signature', 64)),
  };
}
