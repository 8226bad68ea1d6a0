import { address as addresses } from 'bitcoinjs-lib';
import { isXOnlyPoint } from 'tiny-secp256k1';
import { concat } from '../base/bytes.ts';
import { NETWORKS, type NetworkName } from './network.ts';

/** What an address pays, or why it is none; the reason ends a sentence that begins with the address. */
export type AddressReading =
  | { readonly script: Uint8Array; readonly why?: undefined }
  | { readonly script?: undefined; readonly why: string };

/** Human-readable parts of segwit addresses, longest first: one begins with another. */
const PREFIXES: readonly (readonly [prefix: string, networks: readonly NetworkName[]])[] = [
  ['bcrt', ['regtest']],
  ['bc', ['mainnet']],
  ['tb', ['testnet', 'testnet4', 'signet']],
];

const BASE58_NETWORKS: Readonly<Record<number, readonly NetworkName[]>> = {
  0: ['mainnet'],
  5: ['mainnet'],
  111: ['testnet', 'testnet4', 'signet', 'regtest'],
  196: ['testnet', 'testnet4', 'signet', 'regtest'],
};

/**
 * The output script of an address of `network`: P2WPKH, P2WSH or P2TR, or of the older types. Checksum and
 * network are checked, and that the key of P2TR is one, without which nobody could spend.
 */
export function readAddress(text: string, network: NetworkName): AddressReading {
  const lower = text.toLowerCase();
  const known = PREFIXES.find(([prefix]) => lower.startsWith(`${prefix}1`));
  if (known !== undefined) return readSegwit(text, known[1], network);
  let version: number;
  try {
    ({ version } = addresses.fromBase58Check(text));
  } catch {
    return { why: 'is no bitcoin address, or a character of it is mistyped' };
  }
  const networks = BASE58_NETWORKS[version] ?? [];
  if (!networks.includes(network)) return { why: ofAnother(networks, network) };
  return { script: addresses.toOutputScript(text, NETWORKS[network].params) };
}

function readSegwit(text: string, networks: readonly NetworkName[], network: NetworkName): AddressReading {
  let decoded: ReturnType<typeof addresses.fromBech32>;
  try {
    decoded = addresses.fromBech32(text);
  } catch {
    return { why: 'does not match its checksum: a character is mistyped or missing' };
  }
  const { version, data } = decoded;
  if (!networks.includes(network)) return { why: ofAnother(networks, network) };
  if (version === 0 && (data.length === 20 || data.length === 32))
    return { script: concat(Uint8Array.of(0x00, data.length), data) };
  if (version !== 1 || data.length !== 32) return { why: 'is of a type that nobody can spend yet' };
  if (!isXOnlyPoint(data)) return { why: 'names no key: nobody could spend what it is paid' };
  return { script: concat(Uint8Array.of(0x51, 0x20), data) };
}

function ofAnother(networks: readonly NetworkName[], network: NetworkName): string {
  return `is an address of ${networks.join(' or ') || 'no bitcoin network'}, not of ${network}`;
}
