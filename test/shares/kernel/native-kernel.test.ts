import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildNativeKernel } from '../../../src/shares/kernel/build-native.ts';
import { loadNativeHasher } from '../../../src/shares/kernel/native-hasher.ts';
import { TEST_SEED } from '../../seed.ts';
import { builtHasher } from './native-build.ts';

const FUZZ = fileURLToPath(new URL('native-fuzz.ts', import.meta.url));
const SANITIZED = ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

const hasher = builtHasher();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'native-kernel-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('reads and writes nothing beyond the memory it is given, whatever that says', ({ skip }) => {
  skip(typeof hasher === 'string', String(hasher));
  const file = join(folder, 'sanitized.node');
  buildNativeKernel(file, SANITIZED);
  const library = execFileSync('cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  const env = { ...process.env, LD_PRELOAD: library, ASAN_OPTIONS: 'detect_leaks=0' };
  const ran = execFileSync(process.execPath, [FUZZ, file, String(TEST_SEED)], { env, encoding: 'utf8' });
  // Enough of what it was given was hashed, so that what was refused is not all.
  expect(Number(ran)).toBeGreaterThan(100);
});

it('refuses calls that are not as they should be', ({ skip }) => {
  if (typeof hasher === 'string') return skip(hasher);
  const memory = new Uint8Array(1024);
  const run = hasher.run as (...values: readonly unknown[]) => boolean;
  const hashTree = hasher.hashTree as (...values: readonly unknown[]) => boolean;
  expect(run(memory, 0, 0, 0)).toBe(true);
  expect(hashTree(memory, 0, 2, 64)).toBe(true);
  for (const values of [[], [memory], [memory, 0, 0], ['', 0, 0, 0], [new Uint16Array(64), 0, 0, 0]]) {
    expect(run(...values)).toBe(false);
    expect(hashTree(...values)).toBe(false);
  }
  for (const values of [
    [1040, 0, 0],
    [0, 1025, 0],
    [8, 0, 1],
    [0, 1000, 1],
    [960, 0, 2],
    [0, 0, 2 ** 32 - 1],
  ])
    expect(run(memory, ...values)).toBe(false);
  for (const values of [
    [1025, 0, 32],
    [1000, 1, 32],
    [0, 17, 64],
    [0, 1, 33],
  ])
    expect(hashTree(memory, ...values)).toBe(false);
});

it('is none where there is no file, no module, or one of something else', ({ skip }) => {
  expect(loadNativeHasher(join(folder, 'missing.node'))).toBeUndefined();
  const text = join(folder, 'text.node');
  writeFileSync(text, 'no library');
  expect(loadNativeHasher(text)).toBeUndefined();
  skip(hasher === 'no compiler', hasher.toString());
  const other = join(folder, 'other.node');
  execFileSync('cc', ['-shared', '-o', other, '-x', 'c', '-'], { input: 'int nothing;' });
  expect(loadNativeHasher(other)).toBeUndefined();
});

it('says what the compiler found', ({ skip }) => {
  skip(hasher === 'no compiler', hasher.toString());
  const file = join(folder, 'broken.node');
  expect(() => buildNativeKernel(file, ['-DSLOT_SIZE=1'])).toThrow('does not compile');
  expect(existsSync(file)).toBe(false);
});
