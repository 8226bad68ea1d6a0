import { setFlagsFromString } from 'node:v8';

/** The part of the JavaScript API of WebAssembly that the kernel uses; Node's types leave it out. */
export type WasmMemory = {
  /** Another buffer after `grow`. */
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
};
export type WasmGlobal = { readonly value: unknown };
type WasmModule = { readonly brand: 'module' };

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, never>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  validate(bytes: Uint8Array): boolean;
};

/** True when this engine can run the module. */
export function validateWasm(bytes: Uint8Array): boolean {
  return WebAssembly.validate(bytes);
}

/**
 * While a module is compiled: all of it now and by the optimising compiler, so that what is checked is what
 * runs later, and pairs of SIMD instructions made one of 256 bits where the processor has those.
 */
const COMPILER_FLAGS = [
  ['--no-liftoff', '--liftoff'],
  ['--no-wasm-lazy-compilation', '--wasm-lazy-compilation'],
  ['--experimental-wasm-revectorize', '--no-experimental-wasm-revectorize'],
] as const;

/** Compiles and starts a module without imports. */
export function instantiateWasm(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const flags = process.arch === 'x64' ? COMPILER_FLAGS : [];
  for (const [during] of flags) setFlagsFromString(during);
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
  } finally {
    for (const [, after] of flags) setFlagsFromString(after);
  }
}
