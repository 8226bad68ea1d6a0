import type { ShareKernel } from './kernel.ts';
import { createPortableKernel } from './portable-kernel.ts';
import { hashesRight } from './self-check.ts';
import { createSimdKernel, isSimdSupported } from './simd-kernel.ts';

/**
 * The fastest kernel that this machine runs, and runs right.
 * @param capacity shares a batch
 * @param kind `portable` to do without WebAssembly
 */
export function createKernel(capacity: number, kind: 'auto' | 'portable' = 'auto'): ShareKernel {
  if (kind === 'portable' || !isSimdSupported()) return createPortableKernel(capacity);
  const simd = createSimdKernel(capacity);
  return hashesRight(simd) ? simd : createPortableKernel(capacity);
}
