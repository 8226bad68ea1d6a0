import { systemClock } from '../base/clock.ts';
import { systemTimers } from '../base/system-timers.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { NodeWallet } from '../chain/node-wallet.ts';
import { ChainRpcClient, type RpcClientOptions } from '../chain/rpc-client.ts';
import { createRpcChainSource, type RpcChainSource } from '../chain/rpc-source.ts';
import type { ChainSource } from '../chain/source.ts';
import type { ChainConfig, MakerConfig } from '../config/config.ts';
import { readSecretFile } from '../config/secrets.ts';
import type { Logger } from '../log/logger.ts';
import { type FundingWallet, fileWallet, nodeWallet } from '../settlement/funding-wallet.ts';

const TIMEOUT_MS = 10_000;

function accessTo({ auth }: ChainConfig): Partial<RpcClientOptions> {
  if (auth.type === 'cookie') return { cookieFile: auth.cookieFile };
  if (auth.type === 'none') return {};
  return { user: auth.user, password: readSecretFile(auth.passwordFile, process.env) };
}

/** A node of the configuration; its password is read now, a cookie at each connection. */
export function chainSource(network: NetworkName, config: ChainConfig, log: Logger): RpcChainSource {
  const access = accessTo(config);
  return createRpcChainSource(
    {
      ...{ url: config.rpcUrl, ...access, pollMs: config.pollMs, timeoutMs: TIMEOUT_MS },
      genesisHash: NETWORKS[network].genesisHash,
      feeRateSatPerKvb: config.feeRateSatPerKvb,
    },
    { log: log.child({ part: 'chain' }), clock: systemClock, timers: systemTimers },
  );
}

/** The wallet of the configuration; none is named where the key of the seed is it. Throws as `fileWallet`. */
export function fundingWallet(
  { network, chain: node, wallet }: MakerConfig,
  deps: { readonly chain: ChainSource; readonly log: Logger },
): { readonly wallet?: FundingWallet } {
  if (wallet.type === 'key') return {};
  if (wallet.type === 'file') return { wallet: fileWallet({ ...wallet, network }, deps) };
  const url = `${node.rpcUrl.replace(/\/$/, '')}/wallet/${encodeURIComponent(wallet.name)}`;
  const client = new ChainRpcClient(
    { url, ...accessTo(node), timeoutMs: TIMEOUT_MS },
    { timers: systemTimers },
  );
  return { wallet: nodeWallet(new NodeWallet(client)) };
}
