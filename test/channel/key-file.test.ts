import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadKeyFile, loadOrCreateSeed, loadSeed } from '../../src/channel/key-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'key-file-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const random = { bytes: (size: number) => new Uint8Array(size).fill(7) };
const OPEN = '/proc/self/fd';
/** 0 where the system does not tell. */
const openFiles = (): number => (existsSync(OPEN) ? readdirSync(OPEN).length : 0);
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};

describe('a key file', () => {
  it('that cannot be looked for is not taken for missing', () => {
    const path = join(file('no-folder', ''), 'key');
    for (const load of [loadSeed, (at: string) => loadOrCreateSeed(at, random)])
      expect(() => load(path)).toThrow(`bad_key_file: cannot read ${path}`);
    expect(() => loadSeed(join(folder, 'none'))).toThrow('none does not exist');
    expect(() => loadOrCreateSeed(join(folder, 'no', 'where'), random)).toThrow('cannot be made');
  });

  it('is refused by what it is, and its text is never quoted', () => {
    for (const [name, text] of [
      ['short', 'abcd'],
      ['word', 'abandon'],
      ['two', 'abandon abandon'],
      ['spaced', ' abandon abandon abandon'],
      ['capital', 'Xabandon abandon abandon'],
      ['figure', '1 abandon abandon abandon'],
    ] as const)
      expect(() => loadKeyFile(file(name, text))).toThrow(
        new RegExp(`^bad_key_file: .*${name} is not 64 hex`),
      );
    const words = (): unknown => loadKeyFile(file('words', 'abandon secretword abandon'));
    expect(words).toThrow('bad_key_file');
    expect(words).not.toThrow(/secretword|64 hex/);
  });

  it('is made of a seed that has zeros, and of none that has nothing else', () => {
    const seed = new Uint8Array(32);
    expect(() => loadOrCreateSeed(join(folder, 'zeros'), { bytes: () => seed })).toThrow('gave no seed');
    seed[31] = 1;
    expect(loadOrCreateSeed(join(folder, 'some'), { bytes: () => seed })).toEqual(seed);
    expect(loadSeed(join(folder, 'some'))).toEqual(seed);
  });

  it('leaves no descriptor open, whatever comes of it', () => {
    const good = file('good', 'cd'.repeat(32));
    const bad = file('bad', 'x');
    const before = openFiles();
    for (let round = 0; round < 20; round += 1) {
      loadSeed(good);
      expect(() => loadSeed(bad)).toThrow('bad_key_file');
      expect(() => loadSeed(folder)).toThrow('is not a file');
    }
    expect(openFiles()).toBeLessThan(before + 10);
  });
});
