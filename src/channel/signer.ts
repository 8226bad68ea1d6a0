import { BIP32Factory } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { assert } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';

/**
 * What a key is for. `channel` and `refund` differ per channel, `node` and `wallet` are one for the life of
 * the seed.
 */
export type KeyRole = 'node' | 'wallet' | 'channel' | 'refund';

/**
 * Holds the private keys; nothing else in the program does. A hardware or cloud signer is another
 * implementation.
 */
export interface Signer {
  /** Compressed public key, 33 bytes. */
  publicKey(role: KeyRole): Uint8Array;
  /** ECDSA over a 32-byte digest: 64 bytes `r || s`, `s` low. */
  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array;
  /** BIP340 over a 32-byte digest: 64 bytes, for the x-only form of the public key. */
  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array;
}

const MAX_CHANNEL_INDEX = 0x7fff_ffff;

export type SeedSignerOptions = {
  /** 32 bytes. */
  readonly seed: Uint8Array;
  readonly network: NetworkName;
  /**
   * Which channel's `channel` and `refund` keys: an integer from 0 to 2^31-1, never used for two channels.
   */
  readonly channelIndex?: number;
};

/**
 * Keys of one 32-byte seed, derived by BIP32:
 *
 * | role | path |
 * |---|---|
 * | node | `m/7363'/0'` |
 * | channel | `m/7363'/1'/index'` |
 * | refund | `m/7363'/2'/index'` |
 * | wallet | `m/84'/coin'/0'/0/0`, coin 0 on mainnet and 1 elsewhere: the first address of a BIP84 wallet |
 *
 * Signatures are deterministic (RFC6979; BIP340 without auxiliary randomness), so signing the same thing
 * again after a crash gives the same bytes.
 */
export class SeedSigner implements Signer {
  readonly #options: SeedSignerOptions;
  readonly #keys = new Map<KeyRole, { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array }>();

  constructor(options: SeedSignerOptions) {
    assert(options.seed.length === 32, 'seed_size');
    this.#options = { ...options, seed: Uint8Array.from(options.seed) };
    const index = options.channelIndex ?? 0;
    assert(Number.isInteger(index) && index >= 0 && index <= MAX_CHANNEL_INDEX, 'channel_index', index);
  }

  /** The same node and wallet, with the keys of another channel. */
  forChannel(channelIndex: number): SeedSigner {
    return new SeedSigner({ ...this.#options, channelIndex });
  }

  publicKey(role: KeyRole): Uint8Array {
    return Uint8Array.from(this.#key(role).publicKey);
  }

  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array {
    return ecc.sign(digest, this.#key(role).privateKey);
  }

  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array {
    return ecc.signSchnorr(digest, this.#key(role).privateKey);
  }

  #key(role: KeyRole): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array } {
    const known = this.#keys.get(role);
    if (known !== undefined) return known;
    const { seed, network, channelIndex = 0 } = this.#options;
    const coin = network === 'mainnet' ? 0 : 1;
    const paths: Readonly<Record<KeyRole, string>> = {
      node: "m/7363'/0'",
      channel: `m/7363'/1'/${channelIndex}'`,
      refund: `m/7363'/2'/${channelIndex}'`,
      wallet: `m/84'/${coin}'/0'/0/0`,
    };
    const node = BIP32Factory(ecc).fromSeed(seed, NETWORKS[network].params).derivePath(paths[role]);
    assert(node.privateKey !== undefined, 'derived_key_is_private');
    const key = { privateKey: node.privateKey, publicKey: node.publicKey };
    this.#keys.set(role, key);
    return key;
  }
}

/** The 32-byte x-only key of a signer's node, as node ids are written. */
export function nodeIdBytes(signer: Signer): Uint8Array {
  return signer.publicKey('node').subarray(1);
}

/** Throws `bad_key_file` unless the signer's key is the one agreed for the role. */
export function checkSignerKey(signer: Signer, role: KeyRole, expected: Uint8Array): void {
  if (!equal(signer.publicKey(role), expected)) {
    throw new CodedError('bad_key_file', `the seed does not hold the ${role} key of this channel`);
  }
}

/** True for a valid ECDSA signature with low s (BIP146). Never throws for hostile bytes. */
export function isEcdsaSignature(
  digest: Uint8Array,
  publicKey: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64) return false;
  try {
    return ecc.verify(digest, publicKey, signature, true);
  } catch {
    return false;
  }
}

/** True for a valid BIP340 signature. Never throws for hostile bytes. */
export function isSchnorrSignature(
  digest: Uint8Array,
  publicKey: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  try {
    return ecc.verifySchnorr(digest, publicKey, signature);
  } catch {
    return false;
  }
}
