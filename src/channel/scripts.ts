import { script as bitcoinScript, crypto, opcodes } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { concat, equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';

/** The keys of the channel script, each a compressed public key of 33 bytes. */
export type ChannelKeys = {
  readonly minerChannel: Uint8Array;
  /** Signs every state: hot. Alone it moves nothing. */
  readonly makerChannel: Uint8Array;
  /** Takes the channel back after its expiry: may be cold. */
  readonly makerRefund: Uint8Array;
};

/** Throws `bad_terms` unless the keys are three different points, compressed. */
export function checkChannelKeys(keys: ChannelKeys): void {
  const all = [keys.minerChannel, keys.makerChannel, keys.makerRefund];
  for (const key of all) {
    if (key.length !== 33 || !ecc.isPointCompressed(key)) {
      throw new CodedError('bad_terms', 'a channel key is not a compressed public key');
    }
  }
  const xs = all.map((key) => key.subarray(1));
  if (equal(xs[0]!, xs[1]!) || equal(xs[0]!, xs[2]!) || equal(xs[1]!, xs[2]!)) {
    throw new CodedError('bad_terms', 'the channel keys must differ');
  }
}

/**
 * F0 of `channel.md` 2.2: `or_i(and_v(v:pk(P_c),pk(M_c)),and_v(v:pk(M_r),after(T_exp)))`; 113 bytes for the
 * heights of this century.
 * @param expiryHeight 1 to 499999999, else it would be read as a time (BIP65)
 */
export function channelScript(keys: ChannelKeys, expiryHeight: number): Uint8Array {
  checkChannelKeys(keys);
  if (!Number.isInteger(expiryHeight) || expiryHeight < 1 || expiryHeight > 499_999_999) {
    throw new CodedError('bad_terms', 'the expiry must be a block height');
  }
  return bitcoinScript.compile([
    opcodes['OP_IF']!,
    keys.minerChannel,
    opcodes['OP_CHECKSIGVERIFY']!,
    keys.makerChannel,
    opcodes['OP_CHECKSIG']!,
    opcodes['OP_ELSE']!,
    keys.makerRefund,
    opcodes['OP_CHECKSIGVERIFY']!,
    bitcoinScript.number.encode(expiryHeight),
    opcodes['OP_CHECKLOCKTIMEVERIFY']!,
    opcodes['OP_ENDIF']!,
  ]);
}

/** The P2WSH output script of a witness script. */
export function witnessScriptHashOutput(witnessScript: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x00, 0x20), sha256(witnessScript));
}

/** The P2WPKH output script of a compressed public key. */
export function publicKeyHashOutput(publicKey: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x00, 0x14), crypto.hash160(publicKey));
}

/** Witness of a state or a close: the branch both sign. Signatures in DER with their hash type. */
export function jointWitness(makerDer: Uint8Array, minerDer: Uint8Array, script: Uint8Array): Uint8Array[] {
  return [makerDer, minerDer, Uint8Array.of(1), script];
}

/** Witness of the refund: the branch of the maker alone. */
export function refundWitness(refundDer: Uint8Array, script: Uint8Array): Uint8Array[] {
  return [refundDer, new Uint8Array(0), script];
}

/** SIGHASH_ALL in DER, as it stands in a witness. */
export function derSignature(compact: Uint8Array): Uint8Array {
  return bitcoinScript.signature.encode(compact, 0x01);
}
