import { BIP32Factory, type BIP32Interface } from 'bip32';
import { payments } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { toHex } from '../base/bytes.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { ChannelIndex } from './channel-index.ts';
import { CHANNEL_ROLE_BRANCH, coinTypeOf, type KeyRole, SeedSigner } from './signer.ts';

/** One public key of a seed. */
export type PublicKeyRow = {
  readonly role: KeyRole;
  /** BIP32 path from the master key. */
  readonly path: string;
  /** Compressed public key in hex. */
  readonly publicKey: string;
  /** Extended public key at this path (BIP32 serialisation). */
  readonly xpub: string;
};

/** The public half of the keys of a seed. */
export type PublicKeys = {
  /** Node id: the x-only node key in hex, by which peers name this node. */
  readonly nodeId: string;
  /** Fingerprint of the master key (BIP32), 8 hex digits, as signing requests have it. */
  readonly fingerprint: string;
  /** P2WPKH address of the wallet key, which funds channels. */
  readonly address: string;
  /** BIP84 account of the wallet: gives a watch-only wallet every address of it. */
  readonly walletAccount: { readonly path: string; readonly xpub: string };
  readonly keys: readonly PublicKeyRow[];
};

/**
 * The public half of every key of a seed, those of one channel among them.
 * @param seed 32 bytes, or the 64 of a mnemonic
 */
export function publicKeysOf(
  seed: Uint8Array,
  network: NetworkName,
  channelIndex: ChannelIndex,
  nodeNumber = 0,
): PublicKeys {
  const { params } = NETWORKS[network];
  const root = BIP32Factory(ecc).fromSeed(seed, params);
  const signer = new SeedSigner({ seed, network, channelIndex, nodeNumber });
  const roles = ['node', 'wallet', ...Object.keys(CHANNEL_ROLE_BRANCH)] as KeyRole[];
  const keys = roles.map((role): PublicKeyRow => {
    const { path } = signer.origin(role);
    const node = root.derivePath(path);
    return { role, path, publicKey: toHex(node.publicKey), xpub: xpubOf(node) };
  });
  const account = `m/84'/${coinTypeOf(network)}'/0'`;
  return {
    nodeId: toHex(signer.publicKey('node').subarray(1)),
    fingerprint: toHex(root.fingerprint),
    address: payments.p2wpkh({ pubkey: signer.publicKey('wallet'), network: params }).address!,
    walletAccount: { path: account, xpub: xpubOf(root.derivePath(account)) },
    keys,
  };
}

function xpubOf(node: BIP32Interface): string {
  return node.neutered().toBase58();
}
