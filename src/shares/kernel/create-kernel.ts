import type { ShareKernel } from './kernel.ts';
import { loadNativeHasher } from './native-hasher.ts';
import { createPortableKernel } from './portable-kernel.ts';
import { hashesRight } from './self-check.ts';
import { createNativeKernel, createSimdKernel, isSimdSupported } from './simd-kernel.ts';

/** Fastest first. `native` is there where somebody built it (`build-native.ts`). */
export const KERNEL_KINDS = ['native', 'simd', 'simd_plain', 'portable'] as const;
export type KernelKind = (typeof KERNEL_KINDS)[number];

/**
 * A kernel of this kind, or the portable one where this machine does not run it, or not right. A kind that
 * breaks the compiler ends the process: `chooseKernelKind` knows before.
 * @param capacity shares a batch
 */
export function createKernel(capacity: number, kind: KernelKind = 'simd'): ShareKernel {
  const kernel = isSimdSupported() ? kernelOf(capacity, kind) : undefined;
  return kernel !== undefined && hashesRight(kernel) ? kernel : createPortableKernel(capacity);
}

function kernelOf(capacity: number, kind: KernelKind): ShareKernel | undefined {
  if (kind === 'portable') return undefined;
  if (kind !== 'native') return createSimdKernel(capacity, kind);
  const hasher = loadNativeHasher();
  return hasher === undefined ? undefined : createNativeKernel(capacity, hasher);
}
