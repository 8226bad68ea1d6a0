import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { fromHex, isHex, toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { entropyOfMnemonic, mnemonicOfEntropy, seedOfMnemonic, type WordList } from './mnemonic.ts';

const SEED_BYTES = 32;
/** Twenty-four words of at most eight letters of four bytes, and one newline. */
const FILE_BYTES = 24 * (8 * 4 + 1);

/**
 * The seed of a key file, readable by its owner alone: 32 bytes from 64 hex digits, or, where a word list is
 * given, 64 bytes from a mnemonic (BIP39, no passphrase); a newline allowed. Throws `bad_key_file`.
 */
export function loadSeed(path: string, words?: WordList): Uint8Array {
  const seed = readSeed(path, words);
  if (seed === undefined) throw new CodedError('bad_key_file', `${path} does not exist`);
  return seed;
}

/**
 * Makes a key file with a fresh mnemonic of 24 words, never over an existing one, and returns its seed.
 * Throws `bad_key_file`.
 */
export function createMnemonicFile(path: string, random: Random, words: WordList): Uint8Array {
  const mnemonic = mnemonicOfEntropy(freshEntropy(random), words);
  createFile(path, `${mnemonic}\n`);
  return seedOfMnemonic(mnemonic);
}

/**
 * As `loadSeed`, but makes the file when there is none: never over an existing one, and on disk before the
 * seed is used. Throws `bad_key_file`.
 */
export function loadOrCreateSeed(path: string, random: Random): Uint8Array {
  const known = readSeed(path);
  if (known !== undefined) return known;
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
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
  const file = openOrThrow(path, flags, `cannot create ${path}`);
  try {
    fchmodSync(file, 0o600);
    const bytes = Buffer.from(text);
    if (writeSync(file, bytes) !== bytes.length) throw new Error('short write');
    fsyncSync(file);
  } catch (cause) {
    unlinkSync(path);
    throw new CodedError('bad_key_file', `cannot write ${path}`, {}, { cause });
  } finally {
    closeSync(file);
  }
  const directory = openOrThrow(dirname(path), constants.O_RDONLY, `cannot open the directory of ${path}`);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function openOrThrow(path: string, flags: number, what: string): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (cause) {
    throw new CodedError('bad_key_file', what, {}, { cause });
  }
}

function readSeed(path: string, words?: WordList): Uint8Array | undefined {
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
    const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
    const line = text.endsWith('\n') ? text.slice(0, -1) : text;
    if (isHex(line, SEED_BYTES)) return fromHex(line);
    if (words === undefined) throw new CodedError('bad_key_file', `${path} is not 64 hex digits`);
    entropyOfMnemonic(line, words);
    return seedOfMnemonic(line);
  } finally {
    closeSync(file);
  }
}
