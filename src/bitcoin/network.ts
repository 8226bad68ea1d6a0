import { type Network, networks } from 'bitcoinjs-lib';

export type NetworkName = 'mainnet' | 'testnet' | 'signet' | 'regtest';

/**
 * The networks and what differs between them: address prefixes for bitcoinjs-lib and the genesis hash peers
 * compare.
 */
export const NETWORKS: Readonly<
  Record<NetworkName, { readonly params: Network; readonly genesisHash: string }>
> = {
  mainnet: {
    params: networks.bitcoin,
    genesisHash: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
  },
  testnet: {
    params: networks.testnet,
    genesisHash: '000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943',
  },
  signet: {
    params: networks.testnet,
    genesisHash: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
  },
  regtest: {
    params: networks.regtest,
    genesisHash: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
  },
};

/** True for the name of a network that this program knows. */
export function isNetworkName(value: unknown): value is NetworkName {
  return typeof value === 'string' && Object.hasOwn(NETWORKS, value);
}
