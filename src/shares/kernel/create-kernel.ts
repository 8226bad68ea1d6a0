import type { ShareKernel } from './kernel.ts';
import { createPortableKernel } from './portable-kernel.ts';
import { createSimdKernel, isSimdSupported } from './simd-kernel.ts';

/**
 * The fastest kernel this machine runs.
 * @param capacity shares a batch
 * @param kind `portable` to do without WebAssembly
 */
export function createKernel(capacity: number, kind: 'auto' | 'portable' = 'auto'): ShareKernel {
  return kind === 'auto' && isSimdSupported() ? createSimdKernel(capacity) : createPortableKernel(capacity);
}
