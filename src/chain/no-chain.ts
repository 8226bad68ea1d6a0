import { CodedError } from '../base/errors.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { ChainSource } from './source.ts';

/** The chain of a program that has no bitcoin node: it knows which network it is on, and no more. */
export function noChain(network: NetworkName): ChainSource {
  const none = async (): Promise<never> => {
    throw new CodedError('chain_unreachable', 'no bitcoin node is configured');
  };
  return {
    genesisHash: async () => NETWORKS[network].genesisHash,
    watchTip: () => () => {},
    close: () => {},
    ...{ tip: none, header: none, txOut: none, confirmations: none, spender: none, broadcast: none },
    ...{ broadcastPackage: none, utxos: none, feeRateSatPerKvb: none },
  };
}
