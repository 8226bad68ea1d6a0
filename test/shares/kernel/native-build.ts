import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildNativeKernel } from '../../../src/shares/kernel/build-native.ts';
import { loadNativeHasher, type NativeHasher } from '../../../src/shares/kernel/native-hasher.ts';

/** Why there is none: nothing to compile it with here, or no processor for it. */
export type NoHasher = 'no compiler' | 'no SHA instructions';

/** The native hasher of this source, compiled for a moment. Throws what a compiler finds in it. */
export function builtHasher(): NativeHasher | NoHasher {
  if (!hasCompiler()) return 'no compiler';
  const folder = mkdtempSync(join(tmpdir(), 'native-kernel-'));
  try {
    const file = join(folder, 'native-kernel.node');
    buildNativeKernel(file);
    return loadNativeHasher(file) ?? 'no SHA instructions';
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hasCompiler(): boolean {
  return spawnSync(process.env['CC'] ?? 'cc', ['--version']).status === 0;
}
