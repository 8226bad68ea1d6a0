import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { payments } from 'bitcoinjs-lib';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isNetworkName, NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import { loadOrCreateSeed, loadSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../channel/signer.ts';
import type { Command } from './command.ts';

export const keysCommand: Command = {
  name: 'keys',
  summary: 'make a key file, or show the node id and the address of one',
  usage: 'new|show --file FILE [--network NAME]',
  help: [
    'new   writes a fresh seed to FILE (64 hex digits, mode 0600); never over an existing file.',
    'show  prints the node id, which the other party puts on its list of peers, and the address that funds channels.',
    '',
    'The seed holds the money of every channel: keep a copy of the file somewhere safe.',
  ],
  options: {
    file: { type: 'string', value: 'FILE', help: 'the key file' },
    network: {
      type: 'string',
      value: 'NAME',
      help: 'mainnet, testnet, signet or regtest (default mainnet)',
    },
  },
  run: (options, io) => {
    const [action] = options.positionals;
    const file = options.text('file');
    const network = options.text('network') ?? 'mainnet';
    if (action !== 'new' && action !== 'show')
      throw new CodedError('usage', 'say `keys new` or `keys show`');
    if (file === undefined) throw new CodedError('usage', '--file is missing');
    if (!isNetworkName(network))
      throw new CodedError('usage', `there is no network ${JSON.stringify(network)}`);
    if (action === 'new' && existsSync(file))
      throw new CodedError('bad_key_file', `${file} exists already`);
    const seed = action === 'new' ? loadOrCreateSeed(file, { bytes: randomBytes }) : loadSeed(file);
    const shown = publicFacts(seed, network);
    const text = options.flag('json')
      ? JSON.stringify({ file, network, ...shown })
      : `key file  ${file}\nnode id   ${shown.node_id}\naddress   ${shown.address}`;
    io.stdout.write(`${text}\n`);
    return Promise.resolve(0);
  },
};

/** What others may know of a seed. */
export function publicFacts(seed: Uint8Array, network: NetworkName): { node_id: string; address: string } {
  const signer = new SeedSigner({ seed, network });
  const payment = payments.p2wpkh({
    pubkey: signer.publicKey('wallet'),
    network: NETWORKS[network].params,
  });
  return { node_id: toHex(nodeIdBytes(signer)), address: payment.address! };
}
