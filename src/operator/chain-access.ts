import { systemClock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { ChainNodes } from '../chain/chain-nodes.ts';
import { NodeWallet } from '../chain/node-wallet.ts';
import { ChainRpcClient, type RpcClientOptions } from '../chain/rpc-client.ts';
import { createRpcChainSource } from '../chain/rpc-source.ts';
import type { ChainSource } from '../chain/source.ts';
import type { ChainConfig, ChainNodeConfig, MakerConfig } from '../config/config.ts';
import { readSecretFile } from '../config/secrets.ts';
import type { Logger } from '../log/logger.ts';
import { type FundingWallet, fileWallet, nodeWallet } from '../settlement/funding-wallet.ts';

const TIMEOUT_MS = 10_000;

/** The credentials for a node; a password is read now. */
export function accessTo({ auth }: ChainNodeConfig): Partial<RpcClientOptions> {
  if (auth.type === 'cookie') return { cookieFile: auth.cookieFile };
  if (auth.type === 'none') return {};
  return { user: auth.user, password: readSecretFile(auth.passwordFile, process.env) };
}

/** The nodes of the configuration; their passwords are read now, a cookie at each connection. */
export function chainSource(network: NetworkName, config: ChainConfig, log: Logger): ChainNodes {
  const { pollMs, feeRateSatPerKvb } = config;
  const shared = { pollMs, feeRateSatPerKvb, genesisHash: NETWORKS[network].genesisHash };
  const deps = { log: log.child({ part: 'chain' }), clock: systemClock, timers: systemTimers };
  const nodes = [config, ...config.otherNodes].map((node) => {
    const options = { ...shared, ...accessTo(node), url: node.rpcUrl, timeoutMs: TIMEOUT_MS };
    return { name: new URL(node.rpcUrl).host, source: createRpcChainSource(options, deps) };
  });
  return new ChainNodes(nodes, shared, deps);
}

/** The wallet of the configuration; none is named where the key of the seed is it. Throws as `fileWallet`. */
export function fundingWallet(
  { network, chain: node, wallet }: MakerConfig,
  deps: { readonly chain: ChainSource; readonly log: Logger },
): { readonly wallet?: FundingWallet } {
  if (wallet.type === 'key') return {};
  if (wallet.type === 'file') return { wallet: fileWallet({ ...wallet, network }, deps) };
  if (node === undefined) throw new CodedError('config_invalid', 'wallet.type node needs [chain]');
  const url = `${node.rpcUrl.replace(/\/$/, '')}/wallet/${encodeURIComponent(wallet.name)}`;
  const client = new ChainRpcClient(
    { url, ...accessTo(node), timeoutMs: TIMEOUT_MS },
    { timers: systemTimers },
  );
  return { wallet: nodeWallet(new NodeWallet(client)) };
}
