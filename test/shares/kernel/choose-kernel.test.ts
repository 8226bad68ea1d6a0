import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Logger } from '../../../src/log/logger.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { chooseKernelKind, type Trial } from '../../../src/shares/kernel/choose-kernel.ts';
import type { KernelKind } from '../../../src/shares/kernel/create-kernel.ts';

const TRIAL = fileURLToPath(new URL('../../../src/shares/kernel/kernel-trial.ts', import.meta.url));
const MODULES = fileURLToPath(new URL('../../../node_modules', import.meta.url));
const NODES = ['node', 'node-newest'].map((name) => join(MODULES, name, 'bin/node'));

let folder: string;
/** The native kernel: not there, unless a test puts it there. */
let nativeFile: string;
let cache: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kernel-choice-'));
  cache = join(folder, 'kernel.json');
  nativeFile = join(folder, 'native-kernel.node');
});
afterEach(() => rmSync(folder, { recursive: true }));

const WORKS: Trial = { outcome: 'works' };
const FAILS: Trial = { outcome: 'fails', detail: 'Fatal error in , line 0' };
const UNKNOWN: Trial = { outcome: 'unknown', detail: 'spawn EAGAIN' };

/** Chooses with these outcomes instead of processes. */
async function choose(outcomes: Partial<Record<KernelKind, Trial>>) {
  const tried: KernelKind[] = [];
  const warned: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (fields) => warned.push(fields) };
  const kind = await chooseKernelKind(cache, {
    log,
    nativeFile,
    tryKernel: async (candidate) => {
      tried.push(candidate);
      return outcomes[candidate] ?? FAILS;
    },
  });
  return { kind, tried, warned };
}

it.for(NODES)('compiles and runs every kernel on %s', (node, { skip }) => {
  skip(!existsSync(node), 'npm ci brings it');
  for (const kind of ['simd', 'simd_plain', 'portable'])
    expect(execFileSync(node, [TRIAL, kind], { encoding: 'utf8' })).toBe(kind);
});

it('takes the fastest, and tries it once for this Node and processor', async () => {
  expect(await chooseKernelKind(cache, { log: silentLogger, nativeFile })).toBe('simd');
  expect(JSON.parse(readFileSync(cache, 'utf8'))).toMatchObject({ kind: 'simd' });
  expect(readFileSync(cache, 'utf8')).toContain(
    `${process.version} ${process.versions.v8} ${process.arch}`,
  );
  expect(await choose({})).toEqual({ kind: 'simd', tried: [], warned: [] });
  expect(readdirSync(folder)).toEqual(['kernel.json']);
});

it('tries a native kernel where one was built, and again when it is another', async () => {
  expect(await choose({ simd: WORKS })).toMatchObject({ kind: 'simd' });
  writeFileSync(nativeFile, 'one');
  expect(await choose({ native: WORKS })).toMatchObject({ kind: 'native', tried: ['native'], warned: [] });
  expect(await choose({})).toMatchObject({ kind: 'native', tried: [] });
  writeFileSync(nativeFile, 'another');
  expect(await choose({ native: FAILS, simd: WORKS })).toMatchObject({
    kind: 'simd',
    tried: ['native', 'simd'],
    warned: [
      { code: 'kernel_fallback', kernel: 'native', detail: 'Fatal error in , line 0' },
      { code: 'kernel_fallback', kernel: 'simd' },
    ],
  });
});

it('survives a compiler that ends its process, and says so at every start', async () => {
  const first = await choose({ simd: FAILS, simd_plain: WORKS });
  expect(first).toMatchObject({ kind: 'simd_plain', tried: ['simd', 'simd_plain'] });
  expect(first.warned).toEqual([
    { code: 'kernel_fallback', kernel: 'simd', detail: 'Fatal error in , line 0' },
    { code: 'kernel_fallback', kernel: 'simd_plain' },
  ]);
  expect(await choose({})).toEqual({
    kind: 'simd_plain',
    tried: [],
    warned: [{ code: 'kernel_fallback', kernel: 'simd_plain' }],
  });
});

it('does without WebAssembly where no module compiles', async () => {
  expect(await choose({})).toMatchObject({ kind: 'portable', tried: ['simd', 'simd_plain'] });
});

it('keeps nothing of a trial that could not be made', async () => {
  expect(await choose({ simd: UNKNOWN, simd_plain: WORKS })).toMatchObject({ kind: 'simd_plain' });
  expect(await choose({ simd: UNKNOWN, simd_plain: UNKNOWN })).toMatchObject({ kind: 'simd_plain' });
  expect(existsSync(cache)).toBe(false);
  expect(await choose({ simd: WORKS })).toMatchObject({ kind: 'simd', tried: ['simd'] });
});

it('tries again after another Node, a torn file, or what no version wrote', async () => {
  for (const text of ['', '{"machine":', '{"machine":"v1 x","kind":"simd"}', '[]', 'null']) {
    writeFileSync(cache, text);
    expect(await choose({ simd: WORKS })).toMatchObject({ kind: 'simd', tried: ['simd'] });
  }
  const { machine } = JSON.parse(readFileSync(cache, 'utf8')) as { machine: string };
  writeFileSync(cache, JSON.stringify({ machine, kind: 'quantum' }));
  expect(await choose({ simd: WORKS })).toMatchObject({ tried: ['simd'] });
});

it('starts where the choice cannot be kept', async () => {
  cache = join(folder, 'missing', 'kernel.json');
  expect(await choose({ simd: WORKS })).toMatchObject({ kind: 'simd' });
});
