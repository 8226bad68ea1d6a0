import type { ShareKernel } from './kernel.ts';
import { createPortableKernel } from './portable-kernel.ts';
import { hashesRight } from './self-check.ts';
import { createSimdKernel, isSimdSupported } from './simd-kernel.ts';

/** Fastest first. */
export const KERNEL_KINDS = ['simd', 'simd_plain', 'portable'] as const;
export type KernelKind = (typeof KERNEL_KINDS)[number];

/**
 * A kernel of this kind, or the portable one where this machine does not run it, or not right. A kind that
 * breaks the compiler ends the process: `chooseKernelKind` knows before.
 * @param capacity shares a batch
 */
export function createKernel(capacity: number, kind: KernelKind = 'simd'): ShareKernel {
  if (kind === 'portable' || !isSimdSupported()) return createPortableKernel(capacity);
  const simd = createSimdKernel(capacity, kind);
  return hashesRight(simd) ? simd : createPortableKernel(capacity);
}
