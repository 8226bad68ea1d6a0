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

/** What a claim `Q_n` says the miner delivered: the other direction of the tie (`PROTOCOL.md`). */
export type SealClaim = {
  /** The state this work is to be paid by. */
  readonly n: number;
  /** `w_n`, cumulative. */
  readonly workHashes: bigint;
  /** Of the shares up to `w_n`: `ShareTree.root`. */
  readonly shareRoot: Uint8Array;
};

/** A claim with the miner's signature: what the maker keeps, the newest of which it can broadcast. */
export type SignedSealClaim = SealClaim & {
  /** 64 bytes in hex. */
  readonly signature: string;
};

/** The first four bytes of a claim's data: `shsl`. */
const SEAL_TAG = Uint8Array.of(0x73, 0x68, 0x73, 0x6c);

/** What a channel with a seal has. Throws `bad_terms` for one without. */
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
 * What a claim commits to, 32 bytes: contract, n, work, share root and the output script of the maker's next
 * seal, which stands for the next seal (its outpoint follows from this transaction, and so cannot be in it).
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
 * The unsigned claim: F1 to `OP_RETURN tag || commitment`, and to the maker's next seal. One for each claim,
 * at the fee rate of the terms. Throws `bad_terms`, `bad_amount`, `over_budget`, `wrong_state_number`.
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

/** What a signature of a transaction that spends the seal signs. */
export function sealDigest(params: ChannelParams, transaction: Transaction): Uint8Array {
  return spendDigest(sealOf(params).output, transaction);
}

/**
 * The miner's signature of a claim, for the maker. Only for work the miner has delivered: its caller takes
 * the numbers from its own log. Throws as `buildSealClaim`, and `bad_key_file`.
 */
export function signSealClaim(params: ChannelParams, claim: SealClaim, signer: Signer): SignedSealClaim {
  const transaction = buildSealClaim(params, claim);
  checkSignerKey(signer, 'seal', params.keys.minerSeal);
  const { n, workHashes, shareRoot } = claim;
  const signature = toHex(signer.signEcdsa('seal', sealDigest(params, transaction)));
  return { n, workHashes, shareRoot, signature };
}

/** Throws `bad_signature` unless the miner signed exactly this claim; as `buildSealClaim`. */
export function verifySealClaim(params: ChannelParams, claim: SignedSealClaim): void {
  const digest = sealDigest(params, buildSealClaim(params, claim));
  const key = params.keys.minerSeal;
  const bytes = signatureBytes(claim.signature);
  if (key === undefined || bytes === undefined || !isEcdsaSignature(digest, key, bytes))
    throw new CodedError('bad_signature', `the signature of claim ${claim.n} does not verify`);
}

/**
 * The maker's check of a claim against the last it has on disk; `same` is a repetition. Claims may skip
 * numbers, never go back. Throws `wrong_state_number`, `not_monotone` for less work, `equivocation` for
 * another content of the last number, and as `verifySealClaim`.
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

/** The same with the maker's signature from elsewhere. Throws `bad_signature`. */
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
 * The unsigned refund of the seal: all of it to the miner, locked until `T_seal`. Throws `bad_terms` without
 * a seal, `bad_amount` for a fee rate out of range or above what the seal holds.
 */
export function buildSealRefund(params: ChannelParams, feeRateSatPerKvb: number): Transaction {
  const { output } = sealOf(params);
  const to = params.minerPayoutScript;
  const fee = { vsize: refundVsize(output.script, to), satPerKvb: feeRateSatPerKvb };
  return buildSweep(output, to, fee, 'seal', { locktime: sealExpiryHeight(params.terms) });
}

/** Builds and signs it with the miner's `sealExit` key. Throws as `buildSealRefund`, and `bad_key_file`. */
export function signAndFinalizeSealRefund(
  params: ChannelParams,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'sealExit', params.keys.minerSealExit);
  const digest = sealDigest(params, buildSealRefund(params, feeRateSatPerKvb));
  return finalizeSealRefund(params, feeRateSatPerKvb, toHex(signer.signEcdsa('sealExit', digest)));
}

/** The same with a signature from elsewhere. Throws `bad_signature`, and as `buildSealRefund`. */
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

export function signedSealClaimToJson(claim: SignedSealClaim): { readonly [key: string]: Json } {
  return {
    n: claim.n,
    work_hashes: claim.workHashes.toString(),
    share_root: toHex(claim.shareRoot),
    signature: claim.signature,
  };
}

/** The shape only: `verifyNextSealClaim` judges the content. Throws `protocol`. */
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
