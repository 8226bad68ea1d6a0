import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRecord } from '../../base/json.ts';

/** What `native/native-kernel.c` exports: the hashing of the WebAssembly module, over the memory of that. */
export type NativeHasher = {
  /** Hashes slots 0 to count-1. @returns false where a slot names no job, or memory ends too soon */
  readonly run: (memory: Uint8Array, slotsAt: number, hashesAt: number, count: number) => boolean;
  /** Digests of `count` leaves (32 bytes) or nodes (64), in the place of what they are of. */
  readonly hashTree: (memory: Uint8Array, at: number, count: number, size: number) => boolean;
};

/** What `npm run build:native` makes. */
export const NATIVE_KERNEL_FILE = join(
  fileURLToPath(new URL('../../..', import.meta.url)),
  'dist/native-kernel.node',
);

/**
 * The hasher of the compiled file; undefined where there is none, where it does not load, or where the
 * processor has no SHA instructions.
 */
export function loadNativeHasher(file = NATIVE_KERNEL_FILE): NativeHasher | undefined {
  try {
    const exported: unknown = createRequire(import.meta.url)(file);
    if (!isNativeModule(exported) || !exported.isSupported()) return undefined;
    return exported;
  } catch {
    return undefined;
  }
}

type NativeModule = NativeHasher & { readonly isSupported: () => boolean };

function isNativeModule(exported: unknown): exported is NativeModule {
  return (
    isRecord(exported) &&
    ['run', 'hashTree', 'isSupported'].every((name) => typeof exported[name] === 'function')
  );
}
