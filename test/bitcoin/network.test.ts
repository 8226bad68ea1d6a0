import { describe, expect, it } from 'vitest';
import { readAddress } from '../../src/bitcoin/address.ts';
import { displayHash, headerHash, parseDisplayHash } from '../../src/bitcoin/header.ts';
import { isNetworkName, NETWORKS, type NetworkName, subsidySat } from '../../src/bitcoin/network.ts';

const FIRST_ROOT = '4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b';
const TESTNET4_ROOT = '7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e';

/** The first header of each network: its hash is computed, not told. */
const GENESIS: readonly (readonly [
  NetworkName,
  root: string,
  time: number,
  bits: number,
  nonce: number,
])[] = [
  ['mainnet', FIRST_ROOT, 1_231_006_505, 0x1d00ffff, 2_083_236_893],
  ['testnet', FIRST_ROOT, 1_296_688_602, 0x1d00ffff, 414_098_458],
  ['testnet4', TESTNET4_ROOT, 1_714_777_860, 0x1d00ffff, 393_743_547],
  ['signet', FIRST_ROOT, 1_598_918_400, 0x1e0377ae, 52_613_770],
  ['regtest', FIRST_ROOT, 1_296_688_602, 0x207fffff, 2],
];

describe('a network', () => {
  it.each(GENESIS)('%s begins with the block that has its hash', (network, root, time, bits, nonce) => {
    const merkleRoot = parseDisplayHash(root);
    const header = { version: 1, prevHash: new Uint8Array(32), merkleRoot, time, bits, nonce };
    expect(displayHash(headerHash(header))).toBe(NETWORKS[network].genesisHash);
  });

  it('is one of those tested', () => {
    expect(GENESIS.map(([network]) => network).sort()).toEqual(Object.keys(NETWORKS).sort());
    expect(isNetworkName('testnet4')).toBe(true);
    expect(isNetworkName('testnet5')).toBe(false);
  });

  it('testnet4 has the addresses of the other testnets', () => {
    const address = 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx';
    expect(readAddress(address, 'testnet4')).toEqual(readAddress(address, 'testnet'));
    expect(readAddress(address, 'mainnet').why).toContain('testnet4');
    expect(readAddress('bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4', 'testnet4').why).toContain('mainnet');
  });
});

describe('the subsidy', () => {
  it.each<[NetworkName, number, bigint]>([
    ['mainnet', 0, 5_000_000_000n],
    ['mainnet', 209_999, 5_000_000_000n],
    ['mainnet', 210_000, 2_500_000_000n],
    ['mainnet', 840_000, 312_500_000n],
    ['mainnet', 6_929_999, 1n],
    ['mainnet', 6_930_000, 0n],
    ['testnet4', 209_999, 5_000_000_000n],
    ['testnet4', 210_000, 2_500_000_000n],
    ['regtest', 149, 5_000_000_000n],
    ['regtest', 150, 2_500_000_000n],
    ['regtest', 300, 1_250_000_000n],
  ])('on %s at %i is %i', (network, height, sat) => {
    expect(subsidySat(network, height)).toBe(sat);
  });

  it('makes less than 21 million in all', () => {
    let sat = 0n;
    for (let height = 0; subsidySat('mainnet', height) > 0n; height += 210_000)
      sat += 210_000n * subsidySat('mainnet', height);
    expect(sat).toBe(2_099_999_997_690_000n);
  });
});
