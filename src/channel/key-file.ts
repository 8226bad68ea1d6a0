import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fromHex, isHex, toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { entropyOfMnemonic, mnemonicOfEntropy, seedOfMnemonic } from './mnemonic.ts';

const SEED_BYTES = 32;
/** Most bytes of a key file: 24 words of at most eight letters, each with a separator or newline. */
const FILE_BYTES = 24 * (8 + 1);

/** The content of a key file: 64 hex digits, or the words of a mnemonic (BIP39, English, no passphrase). */
export type KeyFile = {
  readonly kind: 'raw' | 'mnemonic';
  /** The text of the file without the newline. Secret. */
  readonly text: string;
  /** The seed: 32 bytes of a raw one, 64 of a mnemonic. Secret. */
  readonly seed: Uint8Array;
};

/**
 * Reads a key file, which only its owner may read; a newline at its end is allowed. Throws `bad_key_file`.
 */
export function loadKeyFile(path: string): KeyFile {
  const found = readKeyFile(path);
  if (found === undefined) throw new CodedError('bad_key_file', `${path} does not exist`);
  return found;
}

/** Reads the seed of a key file. Throws `bad_key_file`. */
export function loadSeed(path: string): Uint8Array {
  return loadKeyFile(path).seed;
}

/**
 * Makes a key file with a fresh mnemonic of 24 words, never over an existing one, and returns its seed.
 * Throws `bad_key_file`.
 */
export function createMnemonicFile(path: string, random: Random): Uint8Array {
  const mnemonic = mnemonicOfEntropy(freshEntropy(random));
  createFile(path, `${mnemonic}\n`);
  return seedOfMnemonic(mnemonic);
}

/**
 * Loads a seed as `loadSeed`, or makes the file where there is none: never over an existing one, and on
 * disk before the seed is used. Throws `bad_key_file`.
 */
export function loadOrCreateSeed(path: string, random: Random): Uint8Array {
  const known = readKeyFile(path);
  if (known !== undefined) return known.seed;
  const seed = freshEntropy(random);
  createFile(path, `${toHex(seed)}\n`);
  return seed;
}

function freshEntropy(random: Random): Uint8Array {
  const seed = random.bytes(SEED_BYTES);
  if (seed.length !== SEED_BYTES || seed.every((byte) => byte === 0)) {
    throw new CodedError('bad_key_file', 'the source of randomness gave no seed');
  }
  return seed;
}

function createFile(path: string, text: string): void {
  try {
    writePrivateFile(path, text);
  } catch (cause) {
    throw new CodedError('bad_key_file', `${path} exists already or cannot be made`, {}, { cause });
  }
}

function readKeyFile(path: string): KeyFile | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CodedError('bad_key_file', `cannot read ${path}`, {}, { cause });
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile()) throw new CodedError('bad_key_file', `${path} is not a file`);
    if ((status.mode & 0o077) !== 0) {
      throw new CodedError('bad_key_file', `${path} may be read by others; run chmod 600 on it`);
    }
    const bytes = Buffer.alloc(FILE_BYTES + 1);
    return parseKeyText(bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0)), path);
  } finally {
    closeSync(file);
  }
}

/** Parses the text of a key file. Throws `bad_key_file`, whose message never quotes the text. */
function parseKeyText(content: string, path: string): KeyFile {
  const text = content.endsWith('\n') ? content.slice(0, -1) : content;
  if (isHex(text, SEED_BYTES)) return { kind: 'raw', text, seed: fromHex(text) };
  if (!/^[a-z]+ [a-z]+ /.test(text)) throw new CodedError('bad_key_file', `${path} is not 64 hex digits`);
  entropyOfMnemonic(text);
  return { kind: 'mnemonic', text, seed: seedOfMnemonic(text) };
}
