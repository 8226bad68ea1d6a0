import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NATIVE_KERNEL_FILE } from './native-hasher.ts';

const SOURCE = fileURLToPath(new URL('native/native-kernel.c', import.meta.url));
const HEADERS = fileURLToPath(new URL('include', import.meta.resolve('node-api-headers')));
const WARNINGS = ['-Wall', '-Wextra', '-Werror'];

/**
 * Compiles the native kernel with `$CC`, or `cc`. Throws with the compiler's words.
 * @param file where it goes
 * @param options more of the compiler's
 */
export function buildNativeKernel(file = NATIVE_KERNEL_FILE, options: readonly string[] = []): void {
  mkdirSync(dirname(file), { recursive: true });
  const how = ['-std=gnu11', '-O3', '-shared', '-fPIC', '-fvisibility=hidden', ...WARNINGS, ...options];
  const compiler = process.env['CC'] ?? 'cc';
  const { error, status, stderr } = spawnSync(compiler, [...how, '-I', HEADERS, SOURCE, '-o', file], {
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`the native kernel does not compile: ${stderr}`);
}

if (import.meta.main) {
  buildNativeKernel();
  process.stdout.write(`${NATIVE_KERNEL_FILE}\n`);
}
