import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { compileKernel, kernelModuleSource } from '../../../src/shares/kernel/build-kernel.ts';

it('the committed module is what its source compiles to, byte for byte', async () => {
  const committed = await readFile(
    new URL('../../../src/shares/kernel/simd-kernel.wasm.ts', import.meta.url),
    'utf8',
  );
  expect(kernelModuleSource(await compileKernel()) === committed).toBe(true);
});
