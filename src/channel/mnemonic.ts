import { pbkdf2Sync } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';

/** A BIP39 word list: 2048 different words in the order of their numbers. */
export type WordList = readonly string[];

const WORD_BITS = 11;

/** Bits as a string of zeros and ones, most significant first. */
function bitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
}

function checkWords(words: WordList): void {
  assert(words.length === 2 ** WORD_BITS && new Set(words).size === words.length, 'word_list');
}

/**
 * The mnemonic of entropy (BIP39).
 * @param entropy 16, 20, 24, 28 or 32 bytes: 12 to 24 words
 */
export function mnemonicOfEntropy(entropy: Uint8Array, words: WordList): string {
  checkWords(words);
  const { length } = entropy;
  assert(length >= 16 && length <= 32 && length % 4 === 0, 'entropy_size', length);
  const bits = bitsOf(entropy) + bitsOf(sha256(entropy)).slice(0, length / 4);
  const chunks = bits.match(/.{11}/g) ?? [];
  return chunks.map((chunk) => words[Number.parseInt(chunk, 2)]!).join(' ');
}

/**
 * The entropy of a mnemonic: the check that its words are known and its checksum holds. Throws
 * `bad_key_file`, without a word of it in the message.
 */
export function entropyOfMnemonic(mnemonic: string, words: WordList): Uint8Array {
  checkWords(words);
  const numbers = mnemonic
    .normalize('NFKD')
    .split(' ')
    .map((word) => words.indexOf(word));
  const unknown = numbers.indexOf(-1);
  if (unknown !== -1)
    throw new CodedError('bad_key_file', `word ${unknown + 1} of the mnemonic is not in the word list`);
  const size = (numbers.length * 4) / 3;
  if (size < 16 || size > 32 || !Number.isInteger(size))
    throw new CodedError('bad_key_file', 'a mnemonic has 12, 15, 18, 21 or 24 words');
  const bits = numbers.map((number) => number.toString(2).padStart(WORD_BITS, '0')).join('');
  const entropy = Uint8Array.from({ length: size }, (_, at) =>
    Number.parseInt(bits.slice(at * 8, at * 8 + 8), 2),
  );
  if (mnemonicOfEntropy(entropy, words) !== mnemonic.normalize('NFKD'))
    throw new CodedError('bad_key_file', 'the checksum of the mnemonic does not hold: a word is wrong');
  return entropy;
}

/** The 64-byte seed of a mnemonic (BIP39: PBKDF2-HMAC-SHA512, 2048 rounds). Any mnemonic has one. */
export function seedOfMnemonic(mnemonic: string, passphrase = ''): Uint8Array {
  const salt = `mnemonic${passphrase}`.normalize('NFKD');
  return new Uint8Array(pbkdf2Sync(mnemonic.normalize('NFKD'), salt, 2048, 64, 'sha512'));
}
