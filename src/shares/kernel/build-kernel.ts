import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main as compile } from 'assemblyscript/asc';
import { roundsSource } from './rounds-source.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const OUTPUT = join(FOLDER, 'simd-kernel.wasm.ts');
const LINE_WIDTH = 100;

/**
 * Compiles `assembly/kernel.ts` and the rounds it needs. The same source and compiler give the same bytes.
 * Throws with the compiler's messages.
 */
export async function compileKernel(): Promise<Uint8Array> {
  const scratch = await mkdtemp(join(tmpdir(), 'kernel-'));
  try {
    const wasm = join(scratch, 'kernel.wasm');
    await cp(join(FOLDER, 'assembly'), scratch, { recursive: true });
    await writeFile(join(scratch, 'rounds.ts'), roundsSource());
    const source = join(scratch, 'kernel.ts');
    const options = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--baseDir', scratch];
    const { error, stderr } = await compile([source, '--outFile', wasm, ...options]);
    if (error !== null) throw new Error(`kernel does not compile: ${stderr.toString()}`, { cause: error });
    return new Uint8Array(await readFile(wasm));
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** The text of `simd-kernel.wasm.ts`. */
export function kernelModuleSource(wasm: Uint8Array): string {
  const base64 = Buffer.from(wasm).toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += LINE_WIDTH) {
    lines.push(`  '${base64.slice(at, at + LINE_WIDTH)}',`);
  }
  return [
    '/** Made by `build-kernel.ts` from `assembly/`; not edited by hand. */',
    'export const SIMD_KERNEL_WASM_BASE64 = [',
    ...lines,
    "].join('');",
    '',
  ].join('\n');
}

if (import.meta.main) await writeFile(OUTPUT, kernelModuleSource(await compileKernel()));
