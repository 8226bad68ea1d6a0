import { Transaction } from 'bitcoinjs-lib';
import { equal, reversed, toHex } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { CLIMB } from '../chain/fee-climb.ts';
import { feeAt, MOST_SAT_PER_KVB } from '../chain/fee-rate.ts';
import { buildAndSignChild, CHILD_VBYTES, p2wpkhScript } from '../chain/wallet.ts';
import type { Signer } from './signer.ts';

/**
 * A child of the highest rung of a ladder, which pays for both: for a fee market above the ladder, where no
 * key is at hand. Size, fee and rate are of the two together.
 */
export type LadderChild = {
  readonly satPerKvb: number;
  readonly feeSat: bigint;
  readonly vsize: number;
  readonly txid: string;
  readonly hex: string;
};

type Rung = Omit<LadderChild, 'txid'>;

/** Whoever has the file could broadcast the dearest one: it burns no more than this part of the output. */
const MOST_PERCENT = 50n;
export const MAX_CHILDREN = 8;

/**
 * The children of a rung, each at half as much again, lowest first, up to half of the own output. None where
 * that is not of the wallet of the signer, or its key is cold: the output of a payee pays for no close, whose
 * wallet ever it is.
 * @param payoutScript of the own output
 */
export function makeLadderChildren(
  rung: Rung,
  payoutScript: Uint8Array,
  signer: Signer,
): readonly LadderChild[] {
  const publicKey = signer.publicKey('wallet');
  if (!equal(payoutScript, p2wpkhScript(publicKey))) return [];
  const parent = Transaction.fromHex(rung.hex);
  const vout = parent.outs.findIndex(({ script }) => equal(script, payoutScript));
  const output = parent.outs[vout];
  if (output === undefined) return [];
  const key = { publicKey, sign: (hash: Uint8Array) => signer.signEcdsa('wallet', hash) };
  const vsize = rung.vsize + CHILD_VBYTES;
  const children: LadderChild[] = [];
  for (let rate = rung.satPerKvb * CLIMB; children.length < MAX_CHILDREN; rate *= CLIMB) {
    const satPerKvb = Math.ceil(rate);
    const feeSat = feeAt(vsize, satPerKvb);
    const ownSat = feeSat - rung.feeSat;
    if (satPerKvb > MOST_SAT_PER_KVB || ownSat * 100n > output.value * MOST_PERCENT) break;
    try {
      const child = buildAndSignChild(parent, vout, ownSat, key);
      children.push(readLadderChild(child.toHex(), satPerKvb, rung));
    } catch (error) {
      if (codeOf(error) === 'cold_key') return [];
      throw error;
    }
  }
  return children;
}

/**
 * Reads a child as it is: of the rung, back to the script of the output that it spends, so that it takes
 * nothing. Throws `protocol`.
 */
export function readLadderChild(hex: string, satPerKvb: number, rung: Rung): LadderChild {
  let child: Transaction;
  try {
    child = Transaction.fromHex(hex);
  } catch {
    throw new CodedError('protocol', 'a child is no transaction');
  }
  const parent = Transaction.fromHex(rung.hex);
  const [input, ...inputs] = child.ins;
  const [output, ...outputs] = child.outs;
  const spent = input && parent.outs[input.index];
  const isOwn =
    inputs.length === 0 &&
    outputs.length === 0 &&
    spent !== undefined &&
    output !== undefined &&
    toHex(reversed(input!.hash)) === parent.getId() &&
    equal(output.script, spent.script) &&
    child.version === parent.version &&
    child.toHex() === hex;
  if (!isOwn) throw new CodedError('protocol', 'a child does not pay for its rung alone');
  const feeSat = rung.feeSat + spent.value - output.value;
  const vsize = rung.vsize + child.virtualSize();
  return { satPerKvb, feeSat, vsize, txid: child.getId(), hex };
}
