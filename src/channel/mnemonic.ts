import { entropyToMnemonic, mnemonicToEntropy, mnemonicToSeedSync } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { CodedError } from '../base/errors.ts';

/**
 * The mnemonic of entropy (BIP39), in the words of the English list.
 * @param entropy 16, 20, 24, 28 or 32 bytes: 12 to 24 words
 */
export function mnemonicOfEntropy(entropy: Uint8Array): string {
  return entropyToMnemonic(entropy, wordlist);
}

/**
 * The entropy of an English mnemonic (BIP39), checked: words and checksum. Throws `bad_key_file`, whose
 * message quotes no word.
 */
export function entropyOfMnemonic(mnemonic: string): Uint8Array {
  try {
    return mnemonicToEntropy(mnemonic, wordlist);
  } catch {
    throw new CodedError('bad_key_file', problemOf(mnemonic));
  }
}

function problemOf(mnemonic: string): string {
  const words = mnemonic.split(' ');
  if (words.length < 12 || words.length > 24 || words.length % 3 !== 0)
    return 'a mnemonic has 12, 15, 18, 21 or 24 words';
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown !== -1) return `word ${unknown + 1} of the mnemonic is not in the word list`;
  return 'the checksum of the mnemonic does not hold: a word is wrong';
}

/**
 * The 64-byte seed of a mnemonic (BIP39). Any words give one: check them with `entropyOfMnemonic` first.
 */
export function seedOfMnemonic(mnemonic: string, passphrase = ''): Uint8Array {
  return mnemonicToSeedSync(mnemonic, passphrase);
}
