import { BIP32Factory, type BIP32Interface } from 'bip32';
import { ECPairFactory, type ECPairInterface } from 'ecpair';
import * as ecc from 'tiny-secp256k1';
import { assert } from '../base/assert.ts';
import { equal, toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { type ChannelIndex, stepsOfIndex } from './channel-index.ts';

/**
 * The purpose of a key. `node` and `wallet` are fixed for a seed, the others differ per channel: `channel`
 * and `bond` sign with the other side, `refund` (maker) and `exit` take a side's own money back after a
 * delay, `seal` signs claims and `sealExit` (miner) takes the seal back, `auditor` rules on bonds.
 */
export type KeyRole =
  | 'node'
  | 'wallet'
  | 'channel'
  | 'refund'
  | 'bond'
  | 'exit'
  | 'seal'
  | 'sealExit'
  | 'auditor';

/** The origin of a key (BIP32, BIP174), by which hardware finds it. */
export type KeyOrigin = {
  /** Fingerprint of the master key, 8 hex digits. */
  readonly fingerprintHex: string;
  /** Path from the master key, as `m/84'/0'/0'/0/0`. */
  readonly path: string;
};

/**
 * A holder of private keys: the only place in the program that has them. A hardware or cloud signer is
 * another implementation.
 */
export interface Signer {
  /** Compressed public key, 33 bytes. */
  publicKey(role: KeyRole): Uint8Array;
  /** ECDSA over a 32-byte digest: 64 bytes `r || s`, `s` low. */
  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array;
  /**
   * BIP340 over a 32-byte digest: 64 bytes, for the x-only form of the public key. Of the same digest it
   * may be another one each time.
   */
  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array;
  /** A secret of 32 bytes for a 32-byte label, always the same, that is never sent: the key of a cipher. */
  secretOf(label: Uint8Array): Uint8Array;
  /** The origin of a role's key; a signer without this method cannot be used with hardware. */
  origin?(role: KeyRole): KeyOrigin;
}

/** The branch of each role that differs per channel, in the paths of seeds and of cold accounts. */
export const CHANNEL_ROLE_BRANCH: Readonly<Record<Exclude<KeyRole, 'node' | 'wallet'>, number>> = {
  channel: 1,
  refund: 2,
  bond: 3,
  exit: 4,
  seal: 5,
  sealExit: 6,
  auditor: 7,
};

export type SeedSignerOptions = {
  /** The seed: 32 bytes, or the 64 of a mnemonic (BIP39). */
  readonly seed: Uint8Array;
  readonly network: NetworkName;
  /** Index of the channel whose keys these are, never used for two channels. */
  readonly channelIndex?: ChannelIndex;
  /** Which of its node keys is in use; 0 is the first. */
  readonly nodeNumber?: number;
  /**
   * Auxiliary randomness of BIP340 signatures, which protects the key of a device that leaks or errs. Left
   * out, they have none and are deterministic.
   */
  readonly random?: Random;
};

/** Bytes of auxiliary randomness; zeros are the same as none. */
const AUX_BYTES = 32;

/** A BIP340 signature of a 32-byte digest with auxiliary randomness: 64 bytes. */
export function schnorrSignature(digest: Uint8Array, privateKey: Uint8Array, aux: Uint8Array): Uint8Array {
  assert(aux.length === AUX_BYTES, 'aux_size', aux.length);
  return ecc.signSchnorr(digest, privateKey, aux);
}

/**
 * Keys of one seed, derived by BIP32:
 *
 * | role | path |
 * |---|---|
 * | node | `m/7363'/0'`; of a node number above 0 `m/7363'/8'/number'` |
 * | channel | `m/7363'/1'/index'` |
 * | refund | `m/7363'/2'/index'` |
 * | bond | `m/7363'/3'/index'` |
 * | exit | `m/7363'/4'/index'` |
 * | seal | `m/7363'/5'/index'` |
 * | sealExit | `m/7363'/6'/index'` |
 * | auditor | `m/7363'/7'/index'`, the index the auditor's own |
 * | wallet | `m/84'/coin'/0'/0/0`, coin 0 on mainnet and 1 elsewhere: the first address of a BIP84 wallet |
 *
 * An index `a/b` is two steps, `a'/b'`. ECDSA signatures are deterministic (RFC6979), so signing the same
 * transaction again after a crash gives the same bytes; BIP340 signatures take auxiliary randomness.
 */
export class SeedSigner implements Signer {
  readonly #options: SeedSignerOptions;
  readonly #keys = new Map<KeyRole, ECPairInterface>();

  constructor(options: SeedSignerOptions) {
    assert(options.seed.length === 32 || options.seed.length === 64, 'seed_size');
    this.#options = { ...options, seed: Uint8Array.from(options.seed) };
    stepsOfIndex(options.channelIndex ?? 0);
  }

  /** A signer with the same node and wallet keys, and the keys of another channel. */
  forChannel(channelIndex: ChannelIndex): SeedSigner {
    return new SeedSigner({ ...this.#options, channelIndex });
  }

  publicKey(role: KeyRole): Uint8Array {
    return Uint8Array.from(this.#key(role).publicKey);
  }

  signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array {
    return this.#key(role).sign(digest);
  }

  signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array {
    const aux = this.#options.random?.bytes(AUX_BYTES) ?? new Uint8Array(AUX_BYTES);
    return schnorrSignature(digest, this.#privateKey(role), aux);
  }

  secretOf(label: Uint8Array): Uint8Array {
    // From a signature that is never made for anybody else.
    return sha256(schnorrSignature(label, this.#privateKey('node'), new Uint8Array(AUX_BYTES)));
  }

  origin(role: KeyRole): KeyOrigin {
    return { fingerprintHex: toHex(this.#root().fingerprint), path: this.#path(role) };
  }

  #key(role: KeyRole): ECPairInterface {
    const known = this.#keys.get(role);
    if (known !== undefined) return known;
    const node = this.#root().derivePath(this.#path(role));
    assert(node.privateKey !== undefined, 'derived_key_is_private');
    const key = ECPairFactory(ecc).fromPrivateKey(node.privateKey);
    this.#keys.set(role, key);
    return key;
  }

  #privateKey(role: KeyRole): Uint8Array {
    const { privateKey } = this.#key(role);
    assert(privateKey !== undefined, 'derived_key_is_private');
    return privateKey;
  }

  #root(): BIP32Interface {
    const { seed, network } = this.#options;
    return BIP32Factory(ecc).fromSeed(seed, NETWORKS[network].params);
  }

  #path(role: KeyRole): string {
    const { network, channelIndex = 0, nodeNumber = 0 } = this.#options;
    if (role === 'node') return nodeNumber === 0 ? "m/7363'/0'" : `m/7363'/8'/${nodeNumber}'`;
    if (role === 'wallet') return `m/84'/${coinTypeOf(network)}'/0'/0/0`;
    const steps = stepsOfIndex(channelIndex).map((step) => `${step}'`);
    return `m/7363'/${CHANNEL_ROLE_BRANCH[role]}'/${steps.join('/')}`;
  }
}

/** The coin type of BIP44 paths: 0 on mainnet, 1 elsewhere. */
export function coinTypeOf(network: NetworkName): 0 | 1 {
  return network === 'mainnet' ? 0 : 1;
}

/** The node id of a signer as bytes: the 32-byte x-only key. */
export function nodeIdBytes(signer: Signer): Uint8Array {
  return signer.publicKey('node').subarray(1);
}

/** Checks a signer's key of a role. Throws `bad_key_file` unless it is the one agreed. */
export function checkSignerKey(signer: Signer, role: KeyRole, expected: Uint8Array | undefined): void {
  if (expected === undefined || !equal(signer.publicKey(role), expected)) {
    throw new CodedError('bad_key_file', `the seed does not hold the ${role} key of this channel`);
  }
}

/** True for a valid ECDSA signature with low s (BIP146). Never throws, whatever the bytes. */
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

/** True for a valid BIP340 signature. Never throws, whatever the bytes. */
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
