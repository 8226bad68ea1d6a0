import { BIP32Factory } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { seedOfMnemonic } from '../../src/channel/mnemonic.ts';
import { publicKeysOf } from '../../src/channel/public-keys.ts';
import { SeedSigner } from '../../src/channel/signer.ts';

const seed = seedOfMnemonic(`${'abandon '.repeat(11)}about`);

describe('the public keys of a seed', () => {
  it('are those that every other wallet shows for it (BIP84 vector)', () => {
    const keys = publicKeysOf(seed, 'mainnet', 7);
    expect(keys.fingerprint).toBe('73c5da0a');
    expect(keys.address).toBe('bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu');
    expect(keys.walletAccount.path).toBe("m/84'/0'/0'");
    const account = BIP32Factory(ecc).fromBase58(keys.walletAccount.xpub);
    expect(toHex(account.derivePath('0/0').publicKey)).toBe(
      '0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c',
    );
  });

  it('name each role once, with the path and the key that sign for it, and nothing private', () => {
    const signer = new SeedSigner({ seed, network: 'mainnet', channelIndex: 7 });
    const { nodeId, keys } = publicKeysOf(seed, 'mainnet', 7);
    expect(nodeId).toBe(toHex(signer.publicKey('node')).slice(2));
    expect(keys.map(({ role }) => role)).toEqual(
      expect.arrayContaining(['node', 'wallet', 'channel', 'refund', 'exit']),
    );
    expect(new Set(keys.map(({ role }) => role)).size).toBe(keys.length);
    for (const { role, path, publicKey, xpub } of keys) {
      expect(path).toBe(signer.origin(role).path);
      expect(publicKey).toBe(toHex(signer.publicKey(role)));
      const node = BIP32Factory(ecc).fromBase58(xpub);
      expect(toHex(node.publicKey)).toBe(publicKey);
      expect(node.isNeutered()).toBe(true);
    }
  });
});
