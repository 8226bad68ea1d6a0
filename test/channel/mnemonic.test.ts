import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { createMnemonicFile, loadKeyFile, loadOrCreateSeed, loadSeed } from '../../src/channel/key-file.ts';
import { entropyOfMnemonic, mnemonicOfEntropy, seedOfMnemonic } from '../../src/channel/mnemonic.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { code } from './fixtures.ts';

const ABANDON = `${'abandon '.repeat(11)}about`;
const ZOO = `${'zoo '.repeat(11)}wrong`;

describe('a mnemonic', () => {
  it.each([
    ['00'.repeat(16), ABANDON],
    ['ff'.repeat(16), ZOO],
  ])('of %s is %s (BIP39 vectors)', (entropy, mnemonic) => {
    expect(mnemonicOfEntropy(fromHex(entropy))).toBe(mnemonic);
    expect(toHex(entropyOfMnemonic(mnemonic))).toBe(entropy);
  });

  it.each([
    [
      ABANDON,
      'TREZOR',
      'c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04',
    ],
    [
      ZOO,
      'TREZOR',
      'ac27495480225222079d7be181583751e86f571027b0497b5b5d11218e0a8a13332572917f0f8e5a589620c6f15b11c61dee327651a14c34e18231052e48c069',
    ],
  ])('%s has its seed (BIP39 vectors)', (mnemonic, passphrase, seed) => {
    expect(toHex(seedOfMnemonic(mnemonic, passphrase))).toBe(seed);
    expect(toHex(seedOfMnemonic(mnemonic))).not.toBe(seed);
  });

  it('opens the wallet that every other program opens with it (BIP84 vector)', () => {
    const signer = new SeedSigner({ seed: seedOfMnemonic(ABANDON), network: 'mainnet' });
    expect(toHex(signer.publicKey('wallet'))).toBe(
      '0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c',
    );
  });

  it('comes back as the entropy it was made of, of every size', () => {
    const entropies = fc
      .constantFrom(16, 20, 24, 28, 32)
      .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }));
    fc.assert(
      fc.property(entropies, (entropy) => {
        const mnemonic = mnemonicOfEntropy(entropy);
        expect(mnemonic.split(' ')).toHaveLength((entropy.length * 3) / 4);
        expect(entropyOfMnemonic(mnemonic)).toEqual(Uint8Array.from(entropy));
      }),
    );
  });

  it('is refused with a word wrong, unknown, missing, more, or out of place, without being shown', () => {
    const bad = [
      '',
      'abandon',
      `${'abandon '.repeat(11)}abandon`,
      `${ABANDON} abandon`,
      ABANDON.replace('about', 'aboot'),
      ABANDON.replace(' about', ''),
      ABANDON.toUpperCase(),
      ` ${ABANDON}`,
      ABANDON.replace(' ', '  '),
      `about ${'abandon '.repeat(10)}abandon`,
      `${'abandon '.repeat(26)}about`,
    ];
    for (const mnemonic of bad) {
      try {
        entropyOfMnemonic(mnemonic);
        expect.unreachable();
      } catch (error) {
        expect((error as Error).message).toMatch(/^bad_key_file/);
        expect((error as Error).message).not.toMatch(/abandon|aboot/i);
      }
    }
  });
});

describe('what is wrong with a mnemonic', () => {
  const said = (mnemonic: string): string => {
    try {
      entropyOfMnemonic(mnemonic);
      return 'nothing';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it.each([3, 9, 11, 13, 14, 27])('is its number of words where it has %i', (count) => {
    expect(said('abandon '.repeat(count).trim())).toMatch(/12, 15, 18, 21 or 24 words/);
  });

  it.each([12, 15, 18, 21, 24])('is its checksum where %i words are known', (count) => {
    expect(said('abandon '.repeat(count).trim())).toMatch(/checksum/);
  });

  it('is the place of the first word that is not known', () => {
    const words = ABANDON.split(' ');
    for (const at of [0, 5, 11]) {
      expect(said(words.with(at, 'aboot').join(' '))).toMatch(`word ${at + 1} of the mnemonic`);
    }
    expect(said(words.with(3, 'aboot').with(7, 'aboot').join(' '))).toMatch('word 4 of');
    expect(said(ABANDON)).toBe('nothing');
  });
});

describe('a key file with a mnemonic', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sharestream-mnemonic-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const random = { bytes: (size: number) => new Uint8Array(size).fill(0xab) };

  it('is made once, for its owner alone, and read back', () => {
    const path = join(mkdtempSync(join(folder, 'new-')), 'key');
    const seed = createMnemonicFile(path, random);
    expect(seed).toHaveLength(64);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const text = readFileSync(path, 'utf8');
    expect(entropyOfMnemonic(text.trim())).toEqual(random.bytes(32));
    expect(loadSeed(path)).toEqual(seed);
    expect(loadOrCreateSeed(path, random)).toEqual(seed);
    expect(loadKeyFile(path)).toEqual({ kind: 'mnemonic', text: text.trim(), seed });
    expect(code(() => createMnemonicFile(path, random))).toBe('bad_key_file');
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('is refused when a word is wrong or others may read it, and hex is still hex', () => {
    const path = join(mkdtempSync(join(folder, 'other-')), 'key');
    writeFileSync(path, `${ABANDON} \n`, { mode: 0o600 });
    expect(code(() => loadSeed(path))).toBe('bad_key_file');
    writeFileSync(path, ABANDON);
    expect(loadSeed(path)).toEqual(seedOfMnemonic(ABANDON));
    chmodSync(path, 0o644);
    expect(code(() => loadSeed(path))).toBe('bad_key_file');
    chmodSync(path, 0o600);
    writeFileSync(path, 'cd'.repeat(32));
    expect(loadSeed(path)).toEqual(new Uint8Array(32).fill(0xcd));
  });

  it('is not made where randomness fails', () => {
    const short = { bytes: () => new Uint8Array(16).fill(7) };
    expect(code(() => createMnemonicFile(join(folder, 'short'), short))).toBe('bad_key_file');
    const broken = { bytes: () => new Uint8Array(32) };
    const path = join(mkdtempSync(join(folder, 'never-')), 'key');
    expect(code(() => createMnemonicFile(path, broken))).toBe('bad_key_file');
    expect(code(() => statSync(path))).toBe('internal');
  });
});
