import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { systemRandom } from '../base/random.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { ChainSource } from '../chain/source.ts';
import { loadSeed } from '../channel/key-file.ts';
import { SeedSigner } from '../channel/signer.ts';
import type { ChainConfig, ProxyConfig, Role } from '../config/config.ts';
import { type ConfigOf, loadConfig } from '../config/load.ts';
import type { HostPort } from '../config/values.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { chainSource } from './chain-access.ts';
import { type LedgerPlace, ledgerPlaceOf, openLedger, openLedgerForReading } from './ledger-place.ts';

/** Where a market maker is reached, and who it must prove to be. */
export type MakerAddress = HostPort & { readonly nodeId: string };

type Env = Readonly<Record<string, string | undefined>>;

/** Where a channel's things are: from the configuration of a daemon, or named one by one. */
export type ChannelAccess = {
  readonly ledgerFile: string | undefined;
  /** In the place of a file, where the configuration says so. */
  readonly postgres: LedgerPlace['postgres'];
  readonly keyFile: string | undefined;
  /** Which node key of it is used, where the configuration says another than the first. */
  readonly nodeNumber?: number;
  readonly chain: ChainConfig | undefined;
  /** Undefined without a configuration: then the records say. */
  readonly network: NetworkName | undefined;
  /** Of the daemon that serves this ledger. */
  readonly daemon: { readonly url: string; readonly dataDir: string } | undefined;
  /** Of the market maker, in the configuration of a proxy that has a contract. */
  readonly maker: MakerAddress | undefined;
};

export type AccessOptions = {
  readonly configFile: string | undefined;
  readonly ledgerFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly node: ChainConfig | undefined;
  readonly env: Env;
};

/** What is named beats what the configuration says. Throws as `loadConfig`. */
export function channelAccess(options: AccessOptions): ChannelAccess {
  const named = { ledgerFile: options.ledgerFile, keyFile: options.keyFile, chain: options.node };
  if (options.configFile === undefined) {
    return { ...named, postgres: undefined, network: undefined, daemon: undefined, maker: undefined };
  }
  const config = loadEither(['proxy', 'maker'], options.configFile, options.env);
  const { dataDir } = config;
  return {
    ledgerFile: named.ledgerFile ?? ledgerPlaceOf(config).path,
    postgres: named.ledgerFile === undefined ? config.ledger.postgres : undefined,
    keyFile: named.keyFile ?? config.keys.seedFile,
    nodeNumber: config.keys.nodeNumber,
    chain: named.chain ?? config.chain,
    network: config.network,
    daemon: { url: urlOf(config.metrics.listen), dataDir },
    maker: 'contract' in config ? makerOf(config) : undefined,
  };
}

function makerOf({ contract }: ProxyConfig): MakerAddress | undefined {
  return contract === undefined ? undefined : { ...contract.maker, nodeId: contract.makerNodeId };
}

/** Where the daemon of a configuration answers, an auditor too. Throws as `loadConfig`. */
export function daemonPlace(file: string, env: Env): NonNullable<ChannelAccess['daemon']> {
  const { metrics, dataDir } = loadEither(['proxy', 'maker', 'auditor'], file, env);
  return { url: urlOf(metrics.listen), dataDir };
}

/** A configuration says by its options whose it is; one of nobody is told what the likeliest lacks. */
function loadEither<R extends Role>(roles: readonly R[], file: string, env: Env): ConfigOf<R> {
  const failures: CodedError[] = [];
  for (const role of roles) {
    try {
      return loadConfig(role, { file, env });
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'config_invalid') throw error;
      failures.push(error);
    }
  }
  const count = (error: CodedError): number => (error.meta['problems'] as readonly unknown[]).length;
  throw failures.reduce((best, error) => (count(error) < count(best) ? error : best));
}

/** A wildcard is where a daemon listens, not where it is called. */
function urlOf({ host, port }: HostPort): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${hostPortText(reachable, port)}`;
}

/** For a look, also while the daemon runs. Throws `usage` where none is named, and as `openSqliteLedger`. */
export function openForReading(access: ChannelAccess, log: Logger): Promise<Ledger> {
  return openLedgerForReading(ledgerPlace(access), { log });
}

/** Throws `ledger_locked` while the daemon runs, and as `openForReading`. */
export function openForWriting(access: ChannelAccess, log: Logger): Promise<Ledger> {
  return openLedger(ledgerPlace(access), { log });
}

/** Throws `usage` where none is named. */
export function ledgerPlace(access: ChannelAccess): LedgerPlace {
  return { path: ledgerFileOf(access), postgres: access.postgres };
}

function ledgerFileOf(access: ChannelAccess): string {
  if (access.ledgerFile === undefined) {
    throw new CodedError('usage', 'say where the ledger is: --config FILE or --ledger FILE');
  }
  return access.ledgerFile;
}

/** Throws `usage` where no key file is named, `bad_key_file`. */
export function signerOf(access: ChannelAccess, network: NetworkName): SeedSigner {
  if (access.keyFile === undefined) {
    throw new CodedError('usage', 'say where the keys are: --config FILE or --keys FILE');
  }
  return new SeedSigner({
    ...{ seed: loadSeed(access.keyFile), network, random: systemRandom },
    ...(access.nodeNumber === undefined ? {} : { nodeNumber: access.nodeNumber }),
  });
}

/** Undefined where no node is named. The caller closes it. */
export function chainOf(access: ChannelAccess, network: NetworkName, log: Logger): ChainSource | undefined {
  return access.chain === undefined ? undefined : chainSource(network, access.chain, log);
}

/** Throws `usage` where no node is named. */
export function requireChain(access: ChannelAccess, network: NetworkName, log: Logger): ChainSource {
  const chain = chainOf(access, network, log);
  if (chain === undefined) {
    throw new CodedError('usage', 'say which bitcoin node: [chain] of the configuration, or --rpc-url');
  }
  return chain;
}
