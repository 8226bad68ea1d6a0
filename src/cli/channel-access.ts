import { resolve } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { FALLBACK_SAT_PER_KVB } from '../chain/source.ts';
import type { ChainAuth, ChainConfig } from '../config/config.ts';
import { silentLogger } from '../log/logger.ts';
import { type ChannelAccess, chainOf, channelAccess, openForReading } from '../operator/channel-access.ts';
import type { PlanInput } from '../operator/channel-plan.ts';
import type { RecoveryDeps } from '../operator/channel-recovery.ts';
import {
  type ChannelSnapshot,
  type FundedChannel,
  type OnChain,
  pickChannel,
  readChannels,
  readOnChainIfPossible,
} from '../operator/channel-report.ts';
import { channelSigner, fallbackOf } from '../operator/channel-tools.ts';
import { type ActionName, requestAction } from '../operator/daemon-action.ts';
import type { CommandIo, OptionSpec, ParsedOptions } from './command.ts';

/** Where a ledger is: enough to look. */
export const READ_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  config: { type: 'string', value: 'FILE', help: 'configuration (TOML) of the proxy or the market maker' },
  ledger: { type: 'string', value: 'FILE', help: 'the ledger, instead of that of the configuration' },
};

/** Where keys and a bitcoin node are: what it takes to act. */
export const SIGN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...READ_OPTIONS,
  keys: { type: 'string', value: 'FILE', help: 'the key file, instead of that of the configuration' },
  'rpc-url': { type: 'string', value: 'URL', help: 'JSON-RPC of a bitcoin node, instead of [chain]' },
  'rpc-user': { type: 'string', value: 'NAME', help: 'user name there' },
  'rpc-password-file': { type: 'string', value: 'FILE', help: 'file with its password, mode 0600' },
  'rpc-cookie-file': { type: 'string', value: 'FILE', help: 'cookie file of the node instead of a user' },
};

/** Of what a daemon is asked to do. */
export const ASK_ONLY: OptionSpec = { type: 'boolean', help: 'say what it would do, and do nothing' };

export const DRY_RUN: OptionSpec = {
  type: 'boolean',
  help: 'show the transaction, its fee, who gets what and when it can confirm; broadcast and write nothing',
};
export const YES: OptionSpec = { type: 'boolean', help: 'do it: it cannot be undone' };
export const WAIT: OptionSpec = {
  type: 'string',
  value: 'SECONDS',
  help: 'wait until a block holds the close, and fail when none does in time',
};
export const URGENT: OptionSpec = { type: 'boolean', help: 'at the highest fee of the ladder' };

const MAX_WAIT_SECONDS = 30 * 24 * 3600;

export const DEPS: RecoveryDeps = {
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  log: silentLogger,
};

/** Throws `usage`, and as `channelAccess`. */
export function accessOf(options: ParsedOptions, io: CommandIo): ChannelAccess {
  const path = (name: string): string | undefined => {
    const text = options.text(name);
    return text === undefined ? undefined : resolve(text);
  };
  return channelAccess({
    configFile: path('config') ?? io.env['SHARESTREAM_CONFIG'],
    ledgerFile: path('ledger'),
    keyFile: path('keys'),
    node: nodeOf(options, path),
    env: io.env,
  });
}

function nodeOf(
  options: ParsedOptions,
  path: (name: string) => string | undefined,
): ChainConfig | undefined {
  const rpcUrl = options.text('rpc-url');
  if (rpcUrl === undefined) return undefined;
  if (!URL.canParse(rpcUrl) || !/^https?:$/.test(new URL(rpcUrl).protocol)) {
    throw new CodedError('usage', '--rpc-url must be an http or https URL');
  }
  const user = options.text('rpc-user');
  const passwordFile = path('rpc-password-file');
  const cookieFile = path('rpc-cookie-file');
  const auth: ChainAuth =
    cookieFile !== undefined
      ? { type: 'cookie', cookieFile }
      : user !== undefined && passwordFile !== undefined
        ? { type: 'password', user, passwordFile }
        : { type: 'none' };
  const shared = { pollMs: 1_000, feeRateSatPerKvb: FALLBACK_SAT_PER_KVB, blockIntervalMs: 0 };
  return { rpcUrl, auth, otherNodes: [], ...shared };
}

/** The channels of the ledger, read beside whoever writes it. */
export async function channelsOf(access: ChannelAccess): Promise<readonly ChannelSnapshot[]> {
  const ledger = await openForReading(access, DEPS.log);
  try {
    return await readChannels(ledger);
  } finally {
    await ledger.close();
  }
}

/** The channel a command is about: its first word, or the only one. */
export async function channelOf(access: ChannelAccess, options: ParsedOptions): Promise<ChannelSnapshot> {
  const prefix = contractWord(options);
  return pickChannel(await channelsOf(access), prefix);
}

/** The first word of a command, as the beginning of a contract id. Throws `usage`. */
export function contractWord(options: ParsedOptions): string | undefined {
  const [prefix, ...rest] = options.positionals;
  if (rest.length > 0) throw new CodedError('usage', 'one contract at a time');
  if (prefix !== undefined && !/^[0-9a-f]{4,64}$/.test(prefix)) {
    throw new CodedError('usage', 'a contract is named by its id, or the first 4 or more digits of it');
  }
  return prefix;
}

/** What the node says of a channel, or why it says nothing. */
export async function onChainOf(
  access: ChannelAccess,
  { params, stored }: ChannelSnapshot,
): Promise<{ readonly onChain: OnChain | undefined; readonly problem: string | undefined }> {
  const chain = chainOf(access, stored.contract.terms.network, DEPS.log);
  try {
    return await readOnChainIfPossible(chain, params, fallbackOf(access));
  } finally {
    chain?.close();
  }
}

/** What a plan to close is made of. */
export async function planInput(
  access: ChannelAccess,
  channel: FundedChannel,
  options: ParsedOptions,
): Promise<PlanInput> {
  const { stored, role, params, last } = channel;
  const { onChain, problem } = await onChainOf(access, channel);
  return {
    subject: { contractId: stored.contractId, role, params, last },
    closeFeeSat: stored.channel?.closeFeeSat,
    signer: channelSigner(access, channel),
    onChain,
    problem,
    fallbackSatPerKvb: fallbackOf(access),
    urgent: options.flag('urgent'),
  };
}

/** Whole seconds, or undefined without the option. Throws `usage`. */
export function secondsOption(options: ParsedOptions, name: string): number | undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > MAX_WAIT_SECONDS) {
    throw new CodedError('usage', `--${name} must be whole seconds`);
  }
  return value;
}

/** What cannot be undone is asked for twice. Throws `usage`. */
export function assertConfirmed(options: ParsedOptions, what: string): void {
  if (options.flag('yes')) return;
  throw new CodedError('usage', `${what} Look at it with --dry-run, then say --yes.`);
}

/** The result: one JSON object on a line, or text. Bigints become decimal strings. */
export function print(options: ParsedOptions, io: CommandIo, value: unknown, text: string): void {
  const json = (): string =>
    JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? item.toString() : item));
  io.stdout.write(`${options.flag('json') ? json() : text}\n`);
}

/** The usage of commands that ask a running daemon about one contract, and the first line of their help. */
export const ASK_USAGE = '[CONTRACT] --config FILE';
export const ASK_HELP =
  'Asks the running daemon of either side. CONTRACT is the id or the beginning of it.';

/** The daemon of the configuration. Throws `usage`, and as `channelAccess`. */
export function daemonOf(
  options: ParsedOptions,
  io: CommandIo,
  what = 'daemon',
): NonNullable<ChannelAccess['daemon']> {
  const { daemon } = accessOf(options, io);
  if (daemon === undefined) throw new CodedError('usage', `say which ${what}: --config FILE`);
  return daemon;
}

/** Has the running daemon do something about a contract: its answer. Throws `usage`, and as the daemon. */
export async function askDaemon(
  action: ActionName,
  options: ParsedOptions,
  io: CommandIo,
  fields: object,
): Promise<Readonly<Record<string, unknown>>> {
  const { url, dataDir } = daemonOf(options, io);
  const { stored } = await channelOf(accessOf(options, io), options);
  const answer = await requestAction(url, dataDir, action, { ...fields, contract: stored.contractId });
  return isRecord(answer) ? answer : {};
}

/** An option that is a number of blocks, or a height. Throws `usage`. */
export function wholeNumber(options: ParsedOptions, name: string): number | undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new CodedError('usage', `--${name} must be a whole number`);
  return Number(text);
}
