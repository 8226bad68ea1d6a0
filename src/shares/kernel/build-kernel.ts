import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main as compile } from 'assemblyscript/asc';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const OUTPUT = join(FOLDER, 'simd-kernel.wasm.ts');
const LINE_WIDTH = 100;

/**
 * Compiles `assembly/kernel.ts`. The same source and compiler give the same bytes. Throws with the
 * compiler's messages.
 */
export async function compileKernel(): Promise<Uint8Array> {
  const scratch = await mkdtemp(join(tmpdir(), 'kernel-'));
  try {
    const wasm = join(scratch, 'kernel.wasm');
    const source = join(FOLDER, 'assembly', 'kernel.ts');
    const options = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--baseDir', FOLDER];
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
