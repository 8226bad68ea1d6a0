import { existsSync, fstatSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { systemRandom } from '../base/random.ts';
import { isNetworkName, type NetworkName } from '../bitcoin/network.ts';
import { channelSteps } from '../channel/channel-index.ts';
import { createMnemonicFile, loadKeyFile, loadOrCreateSeed, loadSeed } from '../channel/key-file.ts';
import { type PublicKeys, publicKeysOf } from '../channel/public-keys.ts';
import { loadKeyPlace } from '../config/load.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const STANDARD_OUTPUT = 1;

export const keysCommand: Command = {
  name: 'keys',
  summary: 'make the keys of a daemon, show what others may know of them, or back them up',
  usage:
    'new|show|backup proxy|maker|auditor [--config FILE]  |  new|show|backup --file FILE [--network NAME]',
  words: 2,
  help: [
    'The key file is the one that the daemon of this configuration reads, for its network; or FILE.',
    '',
    'new     writes fresh keys (mode 0600; never over an existing file): 64 hex digits, or with --mnemonic the 24 words of',
    '        BIP39, which can be written down.',
    'show    prints the node id, which the other party puts on its list of peers, the address that funds channels, and every',
    '        public key with its BIP32 path; no secret.',
    'backup  with --reveal prints the words or digits, or writes them to --out FILE (mode 0600, never over another).',
    '',
    'The keys hold the money of every channel. With them, the ledger or an export gets it back (`channel recover`).',
  ],
  options: {
    config: {
      type: 'string',
      value: 'FILE',
      help: 'configuration (TOML); only network, data_dir and [keys] are read',
    },
    file: { type: 'string', value: 'FILE', help: 'the key file, without a configuration' },
    network: {
      type: 'string',
      value: 'NAME',
      help: 'with --file: mainnet, testnet, signet or regtest (default mainnet)',
    },
    raw: { type: 'boolean', help: 'new: 64 hex digits (the default)' },
    mnemonic: { type: 'boolean', help: 'new: 24 words' },
    channel: { type: 'string', value: 'INDEX', help: 'show: the keys of this channel (default 0)' },
    out: { type: 'string', value: 'FILE', help: 'backup: where to' },
    reveal: { type: 'boolean', help: 'backup: yes, show the secret' },
  },
  run: (options, io) => {
    const [action, role, ...rest] = options.positionals;
    if (rest.length > 0 || (action !== 'new' && action !== 'show' && action !== 'backup')) {
      throw new CodedError('usage', 'say `keys new`, `keys show` or `keys backup`');
    }
    const place = placeOf(role, options, io);
    if (action === 'backup') backUp(place.file, options, io);
    else
      show(
        place,
        action === 'new' ? create(place.file, role !== undefined, options) : loadSeed(place.file),
        options,
        io,
      );
    return Promise.resolve(0);
  },
};

type KeyPlace = { readonly file: string; readonly network: NetworkName; readonly nodeNumber: number };

/** Where the daemon of a role has its keys, or what `--file` says. Throws `usage`, and as `loadConfig`. */
function placeOf(role: string | undefined, options: ParsedOptions, io: CommandIo): KeyPlace {
  const file = options.text('file');
  if (role === undefined) {
    if (file === undefined) {
      throw new CodedError('usage', 'say whose keys: proxy or maker, with its --config, or --file FILE');
    }
    return { file, network: networkOf(options), nodeNumber: 0 };
  }
  if (role !== 'proxy' && role !== 'maker' && role !== 'auditor')
    throw new CodedError('usage', 'say which role: proxy, maker or auditor');
  for (const name of ['file', 'network']) {
    if (options.text(name) !== undefined)
      throw new CodedError('usage', `the configuration says which: leave out --${name}, or ${role}`);
  }
  const config = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
  const { keys, network } = loadKeyPlace(role, {
    ...(config === undefined ? {} : { file: config }),
    env: io.env,
  });
  return { file: keys.seedFile, network, nodeNumber: keys.nodeNumber };
}

/** @param isOfDaemon its folder is made as the daemon makes it */
function create(file: string, isOfDaemon: boolean, options: ParsedOptions): Uint8Array {
  if (options.flag('raw') && options.flag('mnemonic')) {
    throw new CodedError('usage', '--raw and --mnemonic exclude each other');
  }
  if (existsSync(file)) throw new CodedError('bad_key_file', `${file} exists already`);
  if (isOfDaemon) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  return options.flag('mnemonic')
    ? createMnemonicFile(file, systemRandom)
    : loadOrCreateSeed(file, systemRandom);
}

function networkOf(options: ParsedOptions): NetworkName {
  const network = options.text('network') ?? 'mainnet';
  if (!isNetworkName(network)) {
    throw new CodedError('usage', `there is no network ${JSON.stringify(network)}`);
  }
  return network;
}

function show(
  { file, network, nodeNumber }: KeyPlace,
  seed: Uint8Array,
  options: ParsedOptions,
  io: CommandIo,
): void {
  const text = options.text('channel') ?? '0';
  const index = /^[0-9]+$/.test(text) ? Number(text) : text;
  if (channelSteps(index) === undefined) {
    throw new CodedError('usage', '--channel must be an index as `channel show` prints it');
  }
  const publicKeys = publicKeysOf(seed, network, index, nodeNumber);
  const { nodeId, address, fingerprint, walletAccount, keys } = publicKeys;
  const rows = keys.map(({ role, path, publicKey, xpub }) => ({ role, path, public_key: publicKey, xpub }));
  const json = {
    ...{ file, network, node_id: nodeId, address, fingerprint, channel: index },
    wallet_account: walletAccount,
    keys: rows,
  };
  io.stdout.write(`${options.flag('json') ? JSON.stringify(json) : textOf(file, network, publicKeys)}\n`);
}

function textOf(
  file: string,
  network: NetworkName,
  { nodeId, address, fingerprint, walletAccount, keys }: PublicKeys,
): string {
  return [
    `key file     ${file}`,
    `network      ${network}`,
    `node id      ${nodeId}`,
    `address      ${address}`,
    `fingerprint  ${fingerprint}`,
    `wallet       ${walletAccount.path}  ${walletAccount.xpub}`,
    '',
    ...keys.map(({ role, path, publicKey }) => `${role.padEnd(9)} ${path.padEnd(18)} ${publicKey}`),
  ].join('\n');
}

function backUp(file: string, options: ParsedOptions, io: CommandIo): void {
  if (!options.flag('reveal')) {
    throw new CodedError('usage', 'a backup shows the secret keys: say --reveal where nobody looks on');
  }
  const { kind, text } = loadKeyFile(file);
  const out = options.text('out');
  if (out === undefined) {
    assertPrivateOutput();
    io.stdout.write(`${options.flag('json') ? JSON.stringify({ kind, secret: text }) : text}\n`);
    return;
  }
  const path = resolve(out);
  assertPrivatePlace(path);
  writePrivateFile(path, `${text}\n`);
  const message = options.flag('json')
    ? JSON.stringify({ kind, file: path })
    : `written to ${path} (${kind})`;
  io.stdout.write(`${message}\n`);
}

/** Standard output may have been sent to a file that others read. Throws `output_refused`. */
function assertPrivateOutput(): void {
  const status = fstatSync(STANDARD_OUTPUT);
  if (status.isFile() && (status.mode & 0o077) !== 0) {
    throw new CodedError('output_refused', 'standard output is a file that others may read; use --out');
  }
}

/** Whoever may write to a folder may put another file in the place of ours. Throws `output_refused`. */
function assertPrivatePlace(path: string): void {
  const folder = dirname(path);
  const mode = statSync(folder, { throwIfNoEntry: false })?.mode;
  if (mode === undefined) throw new CodedError('output_refused', `${folder} does not exist`);
  const isSticky = (mode & 0o1000) !== 0;
  if ((mode & 0o022) !== 0 && !isSticky) {
    throw new CodedError('output_refused', `others may write to ${folder}`);
  }
}
