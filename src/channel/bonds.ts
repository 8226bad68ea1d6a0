import type { Transaction } from 'bitcoinjs-lib';
import { fromHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { auditorKeyOf, type ChannelRole } from './keys.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { derSignature, ownerWitness, twoKeysWitness } from './scripts.ts';
import { checkSignerKey, isEcdsaSignature, type Signer } from './signer.ts';
import { ownerVsize, twoKeysVsize } from './sizes.ts';
import {
  buildSweep,
  finalizeSpend,
  type SignedTransaction,
  type SpendLock,
  signatureBytes,
  spendDigest,
} from './spend.ts';
import { buildState, stateOutputs } from './states.ts';

/** A bond output of a state that is on the chain. */
export type BondCoin = {
  /** The owner of the bond: bondP is the miner's, bondM the maker's. */
  readonly owner: ChannelRole;
  readonly txid: string;
  readonly vout: number;
  readonly valueSat: bigint;
  /** The witness script. */
  readonly script: Uint8Array;
};

/** Who may sign for a bond, by the order of the keys in its script. */
export type BondSignatory = ChannelRole | 'auditor';
const SIGNATORIES: readonly BondSignatory[] = ['miner', 'maker', 'auditor'];

/** A spend of a bond by two keys to a side's payout script: transaction Z of `PROTOCOL.md`. */
export type BondSpend = {
  readonly coin: BondCoin;
  readonly payee: ChannelRole;
  readonly feeRateSatPerKvb: number;
};

/** The bond outputs of one rung of a state; empty once all has vested. Throws as `buildState`. */
export function bondCoins(params: ChannelParams, workHashes: bigint, rung: number): readonly BondCoin[] {
  const { bonds } = channelFacts(params);
  const txid = buildState(params, workHashes, rung).getId();
  return stateOutputs(params, workHashes).flatMap(({ name, valueSat }, vout): BondCoin[] => {
    if (bonds === undefined || (name !== 'minerBond' && name !== 'makerBond')) return [];
    const owner = name === 'minerBond' ? 'miner' : 'maker';
    return [{ owner, txid, vout, valueSat, script: bonds[owner].script }];
  });
}

/** The 32-byte digest to sign for a transaction that spends this bond (BIP143, SIGHASH_ALL). */
export function bondDigest(coin: BondCoin, transaction: Transaction): Uint8Array {
  return spendDigest(coin, transaction);
}

/**
 * The unsigned spend of a bond by two keys; it can confirm as soon as the state has. Throws `bad_amount`
 * for a fee rate out of range or a fee above the value of the bond.
 */
export function buildBondSpend(params: ChannelParams, spend: BondSpend): Transaction {
  return sweepBond(params, spend, twoKeysVsize);
}

/**
 * The unsigned return of a bond to its owner, `bondCsvBlocks` after the state confirmed (BIP68, BIP112).
 * Throws `bad_terms` in modes without a return (`hostage`), and `bad_amount`.
 */
export function buildBondReturn(
  params: ChannelParams,
  coin: BondCoin,
  feeRateSatPerKvb: number,
): Transaction {
  const bonds = bondsOf(params.terms);
  if (bonds.bondMode !== 'auditor')
    throw new CodedError('bad_terms', 'this bond has no way for its owner alone');
  const spend = { coin, payee: coin.owner, feeRateSatPerKvb };
  return sweepBond(params, spend, ownerVsize, { sequence: bonds.bondCsvBlocks });
}

function sweepBond(
  params: ChannelParams,
  { coin, payee, feeRateSatPerKvb }: BondSpend,
  vsizeOf: (script: Uint8Array, output: Uint8Array) => number,
  lock?: SpendLock,
): Transaction {
  const output = payee === 'miner' ? params.minerPayoutScript : params.makerPayoutScript;
  const from = { ...coin, hash: reversed(fromHex(coin.txid, 32)) };
  return buildSweep(
    from,
    output,
    { vsize: vsizeOf(coin.script, output), satPerKvb: feeRateSatPerKvb },
    'bond',
    lock,
  );
}

/**
 * One of the two signatures of a bond spend, 64 bytes in hex. The auditor's is its ruling. Throws as
 * `buildBondSpend`, and `bad_key_file`.
 */
export function signBondSpend(
  params: ChannelParams,
  spend: BondSpend,
  signatory: BondSignatory,
  signer: Signer,
): string {
  const transaction = buildBondSpend(params, spend);
  const role = signatory === 'auditor' ? 'auditor' : 'bond';
  checkSignerKey(signer, role, bondKeyOf(params, signatory));
  return toHex(signer.signEcdsa(role, bondDigest(spend.coin, transaction)));
}

/**
 * Checks a signature of a bond spend. Throws `bad_signature` unless it is the signatory's for exactly this
 * spend; else as `buildBondSpend`.
 */
export function verifyBondSpend(
  params: ChannelParams,
  spend: BondSpend,
  signatory: BondSignatory,
  signature: string,
): void {
  const digest = bondDigest(spend.coin, buildBondSpend(params, spend));
  const key = bondKeyOf(params, signatory);
  const bytes = signatureBytes(signature);
  if (key === undefined || bytes === undefined || !isEcdsaSignature(digest, key, bytes)) {
    throw new CodedError(
      'bad_signature',
      `the signature of the ${signatory} does not verify for this bond`,
    );
  }
}

/**
 * Completes a bond spend with its two signatures, ready to broadcast. Throws `bad_signature` unless there
 * are exactly two and both verify; else as `buildBondSpend`.
 */
export function finalizeBondSpend(
  params: ChannelParams,
  spend: BondSpend,
  signatures: Readonly<Partial<Record<BondSignatory, string>>>,
): SignedTransaction {
  const ders: Uint8Array[] = [];
  for (const signatory of SIGNATORIES) {
    const signature = signatures[signatory];
    if (signature === undefined) continue;
    verifyBondSpend(params, spend, signatory, signature);
    ders.push(derSignature(fromHex(signature, 64)));
  }
  const [first, second] = ders;
  if (first === undefined || second === undefined || ders.length !== 2)
    throw new CodedError('bad_signature', `a bond takes two signatures, not ${ders.length}`);
  const transaction = buildBondSpend(params, spend);
  return finalizeSpend(spend.coin, transaction, twoKeysWitness([first, second], spend.coin.script));
}

/**
 * Builds and signs the return of a bond to its owner with the `exit` key. Throws as `buildBondReturn`, and
 * `bad_key_file`, `cold_key`.
 */
export function signAndFinalizeBondReturn(
  params: ChannelParams,
  coin: BondCoin,
  feeRateSatPerKvb: number,
  signer: Signer,
): SignedTransaction {
  const transaction = buildBondReturn(params, coin, feeRateSatPerKvb);
  checkSignerKey(signer, 'exit', exitKeyOf(params, coin));
  const signature = signer.signEcdsa('exit', bondDigest(coin, transaction));
  return finalizeBondReturn(params, coin, feeRateSatPerKvb, toHex(signature));
}

/**
 * Completes the return of a bond with an external signature, 64 bytes in hex. Throws `bad_signature`, and
 * as `buildBondReturn`.
 */
export function finalizeBondReturn(
  params: ChannelParams,
  coin: BondCoin,
  feeRateSatPerKvb: number,
  signature: string,
): SignedTransaction {
  const transaction = buildBondReturn(params, coin, feeRateSatPerKvb);
  const key = exitKeyOf(params, coin);
  const bytes = signatureBytes(signature);
  if (!key || !bytes || !isEcdsaSignature(bondDigest(coin, transaction), key, bytes))
    throw new CodedError('bad_signature', 'the signature of the owner does not verify');
  return finalizeSpend(coin, transaction, ownerWitness(derSignature(bytes), coin.script));
}

/** The public key of a signatory in the bond scripts; undefined where the channel has none. */
export function bondKeyOf(params: ChannelParams, signatory: BondSignatory): Uint8Array | undefined {
  if (signatory === 'auditor') return auditorKeyOf(params.terms);
  return signatory === 'miner' ? params.keys.minerBond : params.keys.makerBond;
}

/** The public key that returns a bond to its owner; undefined where the channel has none. */
export function exitKeyOf(params: ChannelParams, coin: BondCoin): Uint8Array | undefined {
  return coin.owner === 'miner' ? params.keys.minerExit : params.keys.makerExit;
}
