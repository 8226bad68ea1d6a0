import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { isNetworkName } from '../bitcoin/network.ts';
import { FALLBACK_SAT_PER_KVB } from '../chain/source.ts';
import type { ChainAuth, ChainConfig } from '../config/config.ts';
import { HTTP_URL, Invalid, LISTEN, listOf } from '../config/values.ts';
import { startChain, stopChain } from '../daemon/chain-part.ts';
import { startWatch, troublesOf, Watch, type WatchConfig, type WatchedRow } from '../daemon/watch.ts';
import { silentLogger } from '../log/logger.ts';
import { print, secondsOption } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';
import { runDaemon, SERVE_OPTIONS } from './serve.ts';

type Config = WatchConfig & { readonly chain: ChainConfig };

const BLOCK_INTERVAL_MS = 600_000;
const READ_SECONDS = 10;
const POLL_MS = 5_000;
const MAX_AGE_SECONDS = 3_600;

export const watchCommand: Command = {
  name: 'watch',
  summary: 'close channels in time from their ladder files, on another machine, without keys',
  usage: 'FILE... --rpc-url URL[,URL...] [--once]',
  words: 1000,
  help: [
    'Reads ladder files (`close_dir` of a proxy) or folders of them again and again, and looks at their channels with the bitcoin',
    'nodes of this machine. 144 blocks before the expiry it broadcasts the newest state at the fee that blocks ask for, then climbs;',
    'never earlier, unless the file says that the proxy closes alone already. It can take nothing: a close pays both sides. In the',
    '`close_dir` of a maker is its refund, which is broadcast from the expiry on.',
    'Each option can stand in the environment instead, as SHARESTREAM_WATCH_RPC_URL. With --once it looks once, for cron:',
    'exit code 0 where all is well, 1 where somebody must look (what, is printed).',
  ],
  options: {
    'rpc-url': {
      type: 'string',
      value: 'URLS',
      help: 'JSON-RPC of one or several bitcoin nodes, commas between',
    },
    'rpc-user': { type: 'string', value: 'NAME', help: 'user name there' },
    'rpc-password-file': { type: 'string', value: 'FILE', help: 'file with its password, mode 0600' },
    'rpc-cookie-file': { type: 'string', value: 'FILE', help: 'cookie file of the node instead of a user' },
    network: { type: 'string', value: 'NAME', help: 'mainnet (default), testnet, signet or regtest' },
    read: {
      type: 'string',
      value: 'SECONDS',
      help: `how often the files are read (default ${READ_SECONDS})`,
    },
    'max-age': {
      type: 'string',
      value: 'SECONDS',
      help: `a file that is older is a trouble (default ${MAX_AGE_SECONDS})`,
    },
    listen: {
      type: 'string',
      value: 'ADDRESS',
      help: 'where /metrics, /readyz and the status are (default 127.0.0.1:9334)',
    },
    once: { type: 'boolean', help: 'look once, do what is due, and end' },
    pretty: SERVE_OPTIONS['pretty']!,
    'with-parent': SERVE_OPTIONS['with-parent']!,
  },
  run: async (given, io) => {
    const options = withEnvironment(given, io);
    const config = configOf(options);
    if (options.flag('once')) return once(config, options, io);
    const listen = LISTEN.parse(options.text('listen') ?? '127.0.0.1:9334');
    if (listen instanceof Invalid) throw new CodedError('usage', `--listen ${listen.why}`);
    return runDaemon('info', options, io, (log) => startWatch(config, listen, log));
  },
};

function withEnvironment(options: ParsedOptions, { env }: CommandIo): ParsedOptions {
  const text = (name: string): string | undefined =>
    options.text(name) ?? env[`SHARESTREAM_WATCH_${name.replaceAll('-', '_').toUpperCase()}`];
  const files = env['SHARESTREAM_WATCH_FILES']?.split(',') ?? [];
  return { ...options, text, positionals: options.positionals.length > 0 ? options.positionals : files };
}

/** Throws `usage`. */
function configOf(options: ParsedOptions): Config {
  const network = options.text('network') ?? 'mainnet';
  if (!isNetworkName(network)) throw new CodedError('usage', `--network ${network} is not known`);
  const paths = options.positionals.map((path) => resolve(path));
  if (paths.length === 0) throw new CodedError('usage', 'name a ladder file, or a folder of them');
  return {
    ...{ network, paths, chain: chainConfigOf(options, network) },
    readMs: Math.max(1, secondsOption(options, 'read') ?? READ_SECONDS) * 1000,
    maxAgeMs: (secondsOption(options, 'max-age') ?? MAX_AGE_SECONDS) * 1000,
  };
}

function chainConfigOf(options: ParsedOptions, network: NetworkName): ChainConfig {
  const urls = listOf(HTTP_URL).parse(options.text('rpc-url') ?? '');
  if (urls instanceof Invalid) throw new CodedError('usage', `--rpc-url ${urls.why}`);
  const auth = authOf(options);
  const [first, ...otherNodes] = [...new Set(urls)].map((rpcUrl) => ({ rpcUrl, auth }));
  if (first === undefined) throw new CodedError('usage', 'say which bitcoin node: --rpc-url');
  return {
    ...{ ...first, otherNodes, pollMs: POLL_MS, feeRateSatPerKvb: FALLBACK_SAT_PER_KVB },
    blockIntervalMs: network === 'regtest' ? 0 : BLOCK_INTERVAL_MS,
  };
}

function authOf(options: ParsedOptions): ChainAuth {
  const user = options.text('rpc-user');
  const passwordFile = options.text('rpc-password-file');
  const cookieFile = options.text('rpc-cookie-file');
  if (cookieFile !== undefined) return { type: 'cookie', cookieFile: resolve(cookieFile) };
  if (user === undefined && passwordFile === undefined) return { type: 'none' };
  if (user === undefined || passwordFile === undefined)
    throw new CodedError('usage', '--rpc-user and --rpc-password-file belong together');
  return { type: 'password', user, passwordFile: resolve(passwordFile) };
}

async function once(config: Config, options: ParsedOptions, io: CommandIo): Promise<number> {
  const part = startChain(config.network, config.chain, silentLogger);
  const watch = new Watch(config, { part, log: silentLogger });
  try {
    await watch.look();
    const { status } = watch;
    const troubles = troublesOf(status);
    const rows = status.channels.map(rowText);
    print(options, io, { ...status, troubles }, [...rows, ...troubles].join('\n'));
    return troubles.length === 0 ? 0 : 1;
  } finally {
    stopChain(part);
    await watch.close();
  }
}

function rowText({ contract, n, state, blocks_left: left, last_broadcast: sent }: WatchedRow): string {
  const words = [contract.slice(0, 16), `state ${n}`, state, `${left ?? '?'} blocks left`];
  return [...words, ...(sent === null ? [] : [`${sent.txid} ${sent.result}`])].join('  ');
}
