import { payments, script, Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { equal, fromHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { feeAt } from './fee-rate.ts';
import type { ChainSource, Utxo } from './source.ts';

/** Virtual bytes of a transaction without inputs and outputs, of a P2WPKH input and of a P2WPKH output. */
export const OVERHEAD_VBYTES = 11;
export const INPUT_VBYTES = 68;
export const CHANGE_VBYTES = 31;
/** A P2WSH or P2TR output. */
export const SCRIPT_HASH_OUTPUT_VBYTES = 43;
/** bitcoind's dust limit of a P2WPKH output. */
export const CHANGE_DUST_SAT = 294n;

/** The P2WPKH output script of a compressed public key (33 bytes). */
export function p2wpkhScript(publicKey: Uint8Array): Uint8Array {
  const { output } = payments.p2wpkh({ pubkey: publicKey });
  if (output === undefined) throw new CodedError('malformed', 'not a compressed public key');
  return output;
}

/** Confirmed unspent outputs of the P2WPKH address of a key, less those the mempool already spends. */
export async function listUtxos(source: ChainSource, publicKey: Uint8Array): Promise<Utxo[]> {
  const found = await source.utxos(toHex(p2wpkhScript(publicKey)));
  const unspent: Utxo[] = [];
  for (const utxo of found) {
    if ((await source.txOut(utxo.txid, utxo.vout)) !== undefined) unspent.push(utxo);
  }
  return unspent;
}

type Coin = Pick<Utxo, 'txid' | 'vout' | 'valueSat'>;

export type CoinSelection<C extends Coin> = {
  readonly inputs: readonly C[];
  readonly feeSat: bigint;
  /** 0 when the rest would be dust; it is in the fee then. */
  readonly changeSat: bigint;
};

/**
 * Chooses P2WPKH coins for a payment: the smallest that is enough by itself, so that no larger one is
 * locked up for it; else the fewest, largest first. Ties by outpoint: the same coins give the same choice.
 * Throws `insufficient_funds`.
 * @param outputsVbytes virtual bytes of the outputs paid, without change; default one P2WSH output
 */
export function selectCoins<C extends Coin>(
  utxos: readonly C[],
  amountSat: bigint,
  feeRateSatPerKvb: number,
  outputsVbytes: number = SCRIPT_HASH_OUTPUT_VBYTES,
): CoinSelection<C> {
  const largest = [...utxos].sort(largestFirst);
  const aloneSat = amountSat + feeAt(OVERHEAD_VBYTES + outputsVbytes + INPUT_VBYTES, feeRateSatPerKvb);
  const best = largest.findLast(({ valueSat }) => valueSat >= aloneSat);
  const sorted = best === undefined ? largest : [best];
  const inputs: C[] = [];
  let totalSat = 0n;
  for (const utxo of sorted) {
    inputs.push(utxo);
    totalSat += utxo.valueSat;
    const vbytes = OVERHEAD_VBYTES + outputsVbytes + inputs.length * INPUT_VBYTES;
    const bareFeeSat = feeAt(vbytes, feeRateSatPerKvb);
    if (totalSat < amountSat + bareFeeSat) continue;
    const feeSat = feeAt(vbytes + CHANGE_VBYTES, feeRateSatPerKvb);
    const changeSat = totalSat - amountSat - feeSat;
    return changeSat >= CHANGE_DUST_SAT
      ? { inputs, feeSat, changeSat }
      : { inputs, feeSat: totalSat - amountSat, changeSat: 0n };
  }
  const meta = { haveSat: totalSat.toString(), amountSat: amountSat.toString() };
  throw new CodedError(
    'insufficient_funds',
    `the wallet of this node has ${totalSat} sat, too little for ${amountSat} sat and the fee`,
    meta,
  );
}

function largestFirst(a: Coin, b: Coin): number {
  if (a.valueSat !== b.valueSat) return a.valueSat > b.valueSat ? -1 : 1;
  const [left, right] = [`${a.txid}:${a.vout}`, `${b.txid}:${b.vout}`];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Sequence of an input that a higher fee may replace (BIP125). */
const REPLACEABLE = 0xffff_fffd;

/** Virtual bytes of a transaction from one P2WPKH output to another: a child that pays for its parent. */
export const CHILD_VBYTES = OVERHEAD_VBYTES + INPUT_VBYTES + CHANGE_VBYTES;

/**
 * Spends a P2WPKH output of a transaction that waits to the same script, so that the fee pays for both. Of
 * the version of its parent: nodes take no others as children of version 3 (BIP431).
 * @param coins of the same key that pay too, where the output is too small
 */
export function buildAndSignChild(
  parent: Transaction,
  vout: number,
  feeSat: bigint,
  key: { readonly publicKey: Uint8Array; readonly sign: SignHash },
  coins: readonly Coin[] = [],
): Transaction {
  const output = parent.outs[vout];
  assert(
    output !== undefined && equal(output.script, p2wpkhScript(key.publicKey)),
    'child_spends_own_output',
  );
  const values = [output.value, ...coins.map(({ valueSat }) => valueSat)];
  const restSat = values.reduce((sum, each) => sum + each, 0n) - feeSat;
  assert(restSat >= CHANGE_DUST_SAT, 'child_output_relays');
  const child = new Transaction();
  child.version = parent.version;
  child.addInput(parent.getHash(false), vout, REPLACEABLE);
  for (const coin of coins) child.addInput(reversed(fromHex(coin.txid, 32)), coin.vout, REPLACEABLE);
  child.addOutput(output.script, restSat);
  for (const [index, valueSat] of values.entries()) {
    const spent = { valueSat, publicKey: key.publicKey };
    child.setWitness(index, signP2wpkhInput(child, index, spent, key.sign));
  }
  return child;
}

/** Signs 32 bytes with ECDSA: 64 bytes, low S. */
export type SignHash = (hash: Uint8Array) => Uint8Array;

/** The witness of a P2WPKH input: SIGHASH_ALL signature and public key. */
export function signP2wpkhInput(
  transaction: Transaction,
  index: number,
  spent: { readonly valueSat: bigint; readonly publicKey: Uint8Array },
  sign: SignHash,
): Uint8Array[] {
  const { output: scriptCode } = payments.p2pkh({ pubkey: spent.publicKey });
  const hash = transaction.hashForWitnessV0(index, scriptCode!, spent.valueSat, Transaction.SIGHASH_ALL);
  return [script.signature.encode(sign(hash), Transaction.SIGHASH_ALL), spent.publicKey];
}
