import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mnemonicToSeedSync, validateMnemonic } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { BIP32Factory } from 'bip32';
import { payments } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { answer, refusal, sharestream } from './program.ts';

type Shown = {
  node_id: string;
  address: string;
  fingerprint: string;
  wallet_account: { path: string; xpub: string };
  keys: { role: string; path: string; public_key: string; xpub: string }[];
};

const folder = mkdtempSync(join(tmpdir(), 'sharestream-keys-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const bip32 = BIP32Factory(ecc);

describe('keys new', () => {
  it('makes 64 hex digits, or 24 words, for the owner alone', async () => {
    await answer(['keys', 'new', '--file', at('raw'), '--raw']);
    expect(readFileSync(at('raw'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    await answer(['keys', 'new', '--file', at('words'), '--mnemonic']);
    const words = readFileSync(at('words'), 'utf8').trim();
    expect(words.split(' ')).toHaveLength(24);
    expect(validateMnemonic(words, wordlist)).toBe(true);
    for (const name of ['raw', 'words']) expect(statSync(at(name)).mode & 0o777).toBe(0o600);
  });

  it('never writes over a file, and takes one form only', async () => {
    const before = readFileSync(at('raw'), 'utf8');
    expect(await refusal(['keys', 'new', '--file', at('raw')])).toBe('1 bad_key_file');
    expect(await refusal(['keys', 'new', '--file', at('raw'), '--mnemonic'])).toBe('1 bad_key_file');
    expect(readFileSync(at('raw'), 'utf8')).toBe(before);
    expect(await refusal(['keys', 'new', '--file', at('x'), '--raw', '--mnemonic'])).toBe('2 usage');
    expect(await refusal(['keys', 'new', '--file', at('x'), '--network', 'moon'])).toBe('2 usage');
    expect(await refusal(['keys', 'new'])).toBe('2 usage');
    expect(await refusal(['keys', 'burn', '--file', at('raw')])).toBe('2 usage');
  });
});

describe('keys of a daemon', () => {
  const config = at('proxy.toml');
  const write = (text: string): void => writeFileSync(config, text);

  it('are made where its configuration says, for its network, before the rest of it is right', async () => {
    write('network = "signet"\n[keys]\nseed_file = "own/keys"\n[stratum]\nlisten = "not yet"\n');
    const made = await sharestream(['keys', 'new', 'proxy', '--config', config, '--mnemonic']);
    expect(made.stdout).toMatch(/^network +signet$/m);
    expect(made.stdout).toMatch(/^address +tb1q/m);
    expect(readFileSync(at('own/keys'), 'utf8').trim().split(' ')).toHaveLength(24);
    expect(statSync(at('own')).mode & 0o777).toBe(0o700);
    const [ofDaemon, ofFile] = await Promise.all([
      answer<Shown>(['keys', 'show', 'proxy', '--config', config]),
      answer<Shown>(['keys', 'show', '--file', at('own/keys'), '--network', 'signet']),
    ]);
    expect({ ...ofDaemon, file: '' }).toEqual({ ...ofFile, file: '' });
    expect(await refusal(['keys', 'new', 'proxy', '--config', config])).toBe('1 bad_key_file');
    const printed = await sharestream(['keys', 'backup', 'proxy', '--config', config, '--reveal']);
    expect(printed.stdout).toBe(readFileSync(at('own/keys'), 'utf8'));
  });

  it('lie in its data_dir by default, which differs between the roles', async () => {
    write('network = "regtest"\ndata_dir = "state"\n');
    const { stdout } = await sharestream(['keys', 'new', 'maker', '--config', config]);
    expect(stdout).toContain(`${at('state/seed')}\n`);
    expect(await refusal(['keys', 'show', 'proxy'])).toBe('1 bad_key_file');
    const { stderr } = await sharestream(['keys', 'show', 'proxy']);
    expect(stderr).toContain('/nonexistent/.sharestream/proxy/seed');
  });

  it('are not made where the place of keys is in doubt', async () => {
    write('[keys]\nseed_fil = "x"\n');
    expect(await refusal(['keys', 'new', 'proxy', '--config', config])).toBe('1 config_invalid');
    write('netwrk = "regtest"\n');
    expect(await refusal(['keys', 'new', 'proxy', '--config', config])).toBe('1 config_invalid');
    expect(await refusal(['keys', 'new', 'proxy', '--config', at('nowhere.toml')])).toBe(
      '1 config_unreadable',
    );
    expect(await refusal(['keys', 'new', 'proxy', '--file', at('y')])).toBe('2 usage');
    expect(await refusal(['keys', 'new', 'proxy', '--network', 'regtest'])).toBe('2 usage');
    expect(await refusal(['keys', 'new', 'miner'])).toBe('2 usage');
  });
});

describe('config sample', () => {
  it('writes the whole file for its owner, and over another only when told to', async () => {
    const out = at('sample.toml');
    await answer(['config', 'sample', 'maker', '--out', out]);
    const { stdout } = await sharestream(['config', 'sample', 'maker']);
    expect(readFileSync(out, 'utf8')).toBe(stdout);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(await refusal(['config', 'sample', 'proxy', '--out', out])).toBe('1 output_refused');
    expect(readFileSync(out, 'utf8')).toBe(stdout);
    await answer(['config', 'sample', 'proxy', '--out', out, '--force']);
    expect(readFileSync(out, 'utf8')).toMatch(/^# Sharestream, Stratum proxy/);
    expect(await refusal(['config', 'sample', 'proxy', '--out', at('no/where')])).toBe('1 output_refused');
  });

  it('is one object with --json', async () => {
    const { toml } = await answer<{ toml: string }>(['config', 'sample', 'proxy']);
    expect(toml).toContain('[stratum]');
  });
});

describe('config check', () => {
  it('refuses keys that are named and not there', async () => {
    const pool = '[[destination]]\nname = "own"\nurl = "stratum+tcp://127.0.0.1:1"\nworker = "farm"\n';
    writeFileSync(at('named.toml'), `${pool}[keys]\nseed_file = "gone"\n`);
    expect(await refusal(['config', 'check', 'proxy', '--config', at('named.toml')])).toBe(
      '1 key_file_missing',
    );
  });
});

describe('keys show', () => {
  it.each(['raw', 'words'])(
    'tells what others may know of %s, as any BIP32 program finds it',
    async (name) => {
      const secret = readFileSync(at(name), 'utf8').trim();
      const seed = name === 'raw' ? Buffer.from(secret, 'hex') : mnemonicToSeedSync(secret);
      const words = ['keys', 'show', '--file', at(name), '--channel', '3'];
      const shown = await answer<Shown>(words);
      const root = bip32.fromSeed(seed);
      expect(shown.fingerprint).toBe(toHex(root.fingerprint));
      expect(shown.keys.map(({ role }) => role)).toEqual([
        'node',
        'wallet',
        'channel',
        'refund',
        'bond',
        'exit',
        'seal',
        'sealExit',
        'auditor',
      ]);
      for (const { path, public_key: publicKey, xpub } of shown.keys) {
        const node = root.derivePath(path);
        expect(toHex(node.publicKey)).toBe(publicKey);
        expect(bip32.fromBase58(xpub).isNeutered()).toBe(true);
        expect(node.neutered().toBase58()).toBe(xpub);
      }
      expect(shown.keys[2]!.path).toBe("m/7363'/1'/3'");
      expect(shown.node_id).toBe(shown.keys[0]!.public_key.slice(2));
      const first = bip32.fromBase58(shown.wallet_account.xpub).derivePath('0/0');
      expect(payments.p2wpkh({ pubkey: first.publicKey }).address).toBe(shown.address);
      const text = (await sharestream(words)).stdout;
      expect(text).toContain(shown.node_id);
      expect(text).not.toContain('xprv');
      // One of the words may be a label of the page too; no two of them stand together by chance.
      const secretWords = secret.split(' ');
      const pairs = secretWords.slice(1).map((word, index) => `${secretWords[index]} ${word}`);
      for (const part of [secret, ...pairs]) expect(text.split(/\s+/).join(' ')).not.toContain(part);
    },
  );

  it('refuses what is no key file, and a network or channel there is not', async () => {
    expect(await refusal(['keys', 'show', '--file', at('none')])).toBe('1 bad_key_file');
    writeFileSync(at('typo'), 'abandon '.repeat(24).trim(), { mode: 0o600 });
    expect(await refusal(['keys', 'show', '--file', at('typo')])).toBe('1 bad_key_file');
    const { stderr } = await sharestream(['keys', 'show', '--file', at('typo')]);
    expect(stderr).not.toContain('abandon');
    chmodSync(at('typo'), 0o640);
    expect(await refusal(['keys', 'show', '--file', at('typo')])).toBe('1 bad_key_file');
    expect(await refusal(['keys', 'show', '--file', at('raw'), '--channel', '-1'])).toBe('2 usage');
    expect(await refusal(['keys', 'show', '--file', at('raw'), '--network', 'moon'])).toBe('2 usage');
  });
});

describe('keys backup', () => {
  it.each(['raw', 'words'])('of %s gives the secret when it is told to, and only then', async (name) => {
    const secret = readFileSync(at(name), 'utf8').trim();
    expect(await refusal(['keys', 'backup', '--file', at(name)])).toBe('2 usage');
    const printed = await sharestream(['keys', 'backup', '--file', at(name), '--reveal']);
    expect(printed.stdout).toBe(`${secret}\n`);
    const out = at(`${name}-copy`);
    await answer(['keys', 'backup', '--file', at(name), '--reveal', '--out', out]);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const [first, second] = await Promise.all(
      [at(name), out].map((file) => answer<Shown>(['keys', 'show', '--file', file])),
    );
    expect({ ...first, file: '' }).toEqual({ ...second, file: '' });
  });

  it('refuses a file that exists, a folder others write to, and an output others read', async () => {
    const reveal = ['keys', 'backup', '--file', at('words'), '--reveal'];
    expect(await refusal([...reveal, '--out', at('raw')])).toBe('1 output_refused');
    expect(await refusal([...reveal, '--out', at('no/where')])).toBe('1 output_refused');
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o777);
    expect(await refusal([...reveal, '--out', at('open/copy')])).toBe('1 output_refused');
    const file = openSync(at('readable'), 'w', 0o644);
    const { code, stderr } = await sharestream(reveal, { stdout: file });
    closeSync(file);
    expect([code, /^[a-z_]+/.exec(stderr)?.[0]]).toEqual([1, 'output_refused']);
    expect(readFileSync(at('readable'), 'utf8')).toBe('');
  });
});
