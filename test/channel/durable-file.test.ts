import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ReplaceStep, replaceFile, replaceFileAsync } from '../../src/channel/durable-file.ts';

const root = mkdtempSync(join(tmpdir(), 'durable-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const OPEN = '/proc/self/fd';
const newFolder = (): string => mkdtempSync(join(root, 'case-'));

/** 0 where the system does not tell. */
const openFiles = (): number => (existsSync(OPEN) ? readdirSync(OPEN).length : 0);

const WAYS = [
  { name: 'replaceFile', replace: async (path: string, text: string) => replaceFile(path, text) },
  { name: 'replaceFileAsync', replace: replaceFileAsync },
];

describe.each(WAYS)('$name', ({ replace }) => {
  it('leaves the new text alone, for its owner alone', async () => {
    const folder = newFolder();
    const path = join(folder, 'file');
    await replace(path, 'a longer text than the next\n');
    await replace(path, 'é\n');
    expect(readFileSync(path, 'utf8')).toBe('é\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('begins anew over what a crash left beside the file', async () => {
    const folder = newFolder();
    const path = join(folder, 'file');
    writeFileSync(`${path}.tmp`, 'half of something much longer');
    await replace(path, 'new\n');
    expect(readFileSync(path, 'utf8')).toBe('new\n');
  });

  it('keeps no descriptor, also where it fails', async () => {
    const folder = newFolder();
    const before = openFiles();
    for (let round = 0; round < 20; round += 1) {
      await replace(join(folder, 'file'), String(round));
      await expect(replace(join(folder, 'not/there'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
      // A folder is in the way: the rename fails once all is written.
      await expect(replace(folder, 'x')).rejects.toThrow();
    }
    expect(openFiles()).toBeLessThan(before + 10);
  });
});

describe('replaceFile', () => {
  it('tells its steps in order, and a stop at one leaves the old text before the rename, else the new', () => {
    const steps: ReplaceStep[] = [];
    const path = join(newFolder(), 'file');
    replaceFile(path, 'old', (step) => steps.push(step));
    expect(steps).toEqual(['opened', 'written', 'synced', 'renamed', 'durable']);
    const before = openFiles();
    for (const stop of steps) {
      replaceFile(path, 'old');
      const run = (): void =>
        replaceFile(path, 'new', (step) => {
          if (step === stop) throw new Error(`stop at ${stop}`);
        });
      expect(run).toThrow(`stop at ${stop}`);
      expect(readFileSync(path, 'utf8')).toBe(steps.indexOf(stop) < 3 ? 'old' : 'new');
    }
    expect(openFiles()).toBeLessThan(before + 3);
  });
});
