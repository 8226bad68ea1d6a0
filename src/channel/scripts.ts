import { script as bitcoinScript, crypto, opcodes } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { concat, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';

/** The keys of a channel's scripts, each a compressed public key of 33 bytes. */
export type ChannelKeys = {
  /** `P_c`: the miner's key of states and closes. */
  readonly minerChannel: Uint8Array;
  /** `M_c`: signs every state, so it is hot; alone it moves nothing. */
  readonly makerChannel: Uint8Array;
  /** `M_r`: takes the channel back after its expiry; may be cold. */
  readonly makerRefund: Uint8Array;
  /** `P_b` and `M_b`: sign the spend of a bond together. */
  readonly minerBond?: Uint8Array;
  readonly makerBond?: Uint8Array;
  /** `P_x` and `M_x`: each takes its side's bond after the delay; may be cold. */
  readonly minerExit?: Uint8Array;
  readonly makerExit?: Uint8Array;
  /** `P_s` and `M_s`: sign claims of the seal. */
  readonly minerSeal?: Uint8Array;
  readonly makerSeal?: Uint8Array;
  /** `P_x2`: takes the seal back after its expiry; may be cold. */
  readonly minerSealExit?: Uint8Array;
};

/** Checks a public key. Throws `bad_terms` for anything but a point in compressed form. */
function checkPublicKey(key: Uint8Array): void {
  if (key.length !== 33 || !ecc.isPointCompressed(key)) {
    throw new CodedError('bad_terms', 'a channel key is not a compressed public key');
  }
}

/**
 * Checks the keys of a channel. Throws `bad_terms` unless they and `others` are different points in
 * compressed form: one key has one purpose.
 */
export function checkChannelKeys(keys: ChannelKeys, others: readonly Uint8Array[] = []): void {
  const all = [...Object.values(keys), ...others];
  for (const key of all) checkPublicKey(key);
  const xs = new Set(all.map((key) => toHex(key.subarray(1))));
  if (xs.size !== all.length) throw new CodedError('bad_terms', 'the channel keys must differ');
}

function checkHeight(height: number): void {
  if (!Number.isInteger(height) || height < 1 || height > 499_999_999) {
    throw new CodedError('bad_terms', 'the expiry must be a block height');
  }
}

/**
 * `or_i(and_v(v:pk(first),pk(second)),and_v(v:pk(alone),after(height)))`: both at any time, or one after a
 * height (BIP65). 113 bytes for the heights of this century.
 */
function jointOrAfterScript(
  keys: { readonly first: Uint8Array; readonly second: Uint8Array; readonly alone: Uint8Array },
  height: number,
): Uint8Array {
  checkHeight(height);
  return bitcoinScript.compile([
    opcodes['OP_IF']!,
    keys.first,
    opcodes['OP_CHECKSIGVERIFY']!,
    keys.second,
    opcodes['OP_CHECKSIG']!,
    opcodes['OP_ELSE']!,
    keys.alone,
    opcodes['OP_CHECKSIGVERIFY']!,
    bitcoinScript.number.encode(height),
    opcodes['OP_CHECKLOCKTIMEVERIFY']!,
    opcodes['OP_ENDIF']!,
  ]);
}

/**
 * Witness script of the channel output F0 of `PROTOCOL.md`:
 * `or_i(and_v(v:pk(P_c),pk(M_c)),and_v(v:pk(M_r),after(T_exp)))`.
 * @param expiryHeight 1 to 499999999: a greater one would be a time (BIP65)
 */
export function channelScript(keys: ChannelKeys, expiryHeight: number): Uint8Array {
  checkChannelKeys(keys);
  const { minerChannel, makerChannel, makerRefund } = keys;
  return jointOrAfterScript(
    { first: minerChannel, second: makerChannel, alone: makerRefund },
    expiryHeight,
  );
}

/**
 * Witness script of the seal output F1 of `PROTOCOL.md`:
 * `or_i(and_v(v:pk(P_s),pk(M_s)),and_v(v:pk(P_x2),after(T_seal)))`.
 * @param expiryHeight `T_seal`
 */
export function sealScript(
  keys: { readonly miner: Uint8Array; readonly maker: Uint8Array; readonly exit: Uint8Array },
  expiryHeight: number,
): Uint8Array {
  for (const key of Object.values(keys)) checkPublicKey(key);
  return jointOrAfterScript({ first: keys.miner, second: keys.maker, alone: keys.exit }, expiryHeight);
}

/**
 * Witness script of a bond in `auditor` mode:
 * `or_d(multi(2,P_b,M_b,A_b),and_v(v:pk(owner),older(csvBlocks)))`, 147 bytes for 2016 blocks.
 */
export function auditedBondScript(
  keys: {
    readonly miner: Uint8Array;
    readonly maker: Uint8Array;
    readonly auditor: Uint8Array;
    readonly owner: Uint8Array;
  },
  csvBlocks: number,
): Uint8Array {
  for (const key of Object.values(keys)) checkPublicKey(key);
  if (!Number.isInteger(csvBlocks) || csvBlocks < 1 || csvBlocks > 65_535) {
    throw new CodedError('bad_terms', 'the delay of a bond must be 1 to 65535 blocks');
  }
  return bitcoinScript.compile([
    opcodes['OP_2']!,
    keys.miner,
    keys.maker,
    keys.auditor,
    opcodes['OP_3']!,
    opcodes['OP_CHECKMULTISIG']!,
    opcodes['OP_IFDUP']!,
    opcodes['OP_NOTIF']!,
    keys.owner,
    opcodes['OP_CHECKSIGVERIFY']!,
    bitcoinScript.number.encode(csvBlocks),
    opcodes['OP_CHECKSEQUENCEVERIFY']!,
    opcodes['OP_ENDIF']!,
  ]);
}

/** Witness script of a bond in `hostage` mode: `multi(2,P_b,M_b)`, 71 bytes. */
export function hostageBondScript(miner: Uint8Array, maker: Uint8Array): Uint8Array {
  for (const key of [miner, maker]) checkPublicKey(key);
  return bitcoinScript.compile([
    opcodes['OP_2']!,
    miner,
    maker,
    opcodes['OP_2']!,
    opcodes['OP_CHECKMULTISIG']!,
  ]);
}

/** An output script of `OP_RETURN` and one push of at most 75 bytes. */
export function dataOutput(data: Uint8Array): Uint8Array {
  return bitcoinScript.compile([opcodes['OP_RETURN']!, data]);
}

/** The P2WSH output script of a witness script. */
export function witnessScriptHashOutput(witnessScript: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x00, 0x20), sha256(witnessScript));
}

/** The P2WPKH output script of a compressed public key. */
export function publicKeyHashOutput(publicKey: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x00, 0x14), crypto.hash160(publicKey));
}

const NOTHING = new Uint8Array(0);

/**
 * Witness of a state, a close or a seal claim, by the branch of two keys. Signatures in DER with hash type.
 */
export function jointWitness(makerDer: Uint8Array, minerDer: Uint8Array, script: Uint8Array): Uint8Array[] {
  return [makerDer, minerDer, Uint8Array.of(1), script];
}

/** Witness of a refund, of the channel or the seal, by the branch of one key after a height. */
export function refundWitness(refundDer: Uint8Array, script: Uint8Array): Uint8Array[] {
  return [refundDer, NOTHING, script];
}

/** Witness of a bond spend by two keys, signatures in the order of the keys in the script. */
export function twoKeysWitness(ders: readonly [Uint8Array, Uint8Array], script: Uint8Array): Uint8Array[] {
  return [NOTHING, ...ders, script];
}

/** Witness of the return of an audited bond to its owner after the delay. */
export function ownerWitness(ownerDer: Uint8Array, script: Uint8Array): Uint8Array[] {
  return [ownerDer, NOTHING, NOTHING, NOTHING, script];
}

/** A signature of 64 bytes in DER with the hash type SIGHASH_ALL, as a witness has it. */
export function derSignature(compact: Uint8Array): Uint8Array {
  return bitcoinScript.signature.encode(compact, 0x01);
}
