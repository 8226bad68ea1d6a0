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
const OFF = ['liftoff', 'wasm-lazy-compilation'];
/** V8 has it for this architecture alone, and complains of what it does not know. */
const ON = process.arch === 'x64' ? ['experimental-wasm-revectorize'] : [];
/**
 * Off from then on: it wants what Liftoff notes of each call, and V8 aborts where that is missing (Node 25
 * and 26 have it on by default). With it back on, a module compiled later may meet the same.
 */
const OFF_FOR_GOOD = ['wasm-deopt'];

/**
 * Compiles and starts a module without imports.
 * @param how `default` leaves V8 as it is; `optimised` is twice as fast and uses flags that may break a
 *   newer V8: to be tried in another process first
 */
export function instantiateWasm(
  bytes: Uint8Array,
  how: 'optimised' | 'default',
): Readonly<Record<string, unknown>> {
  if (how === 'default') return instantiate(bytes);
  setFlags(OFF_FOR_GOOD, []);
  setFlags(OFF, ON);
  try {
    return instantiate(bytes);
  } finally {
    setFlags(ON, OFF);
  }
}

function instantiate(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
}

function setFlags(off: readonly string[], on: readonly string[]): void {
  for (const name of off) setFlagsFromString(`--no-${name}`);
  for (const name of on) setFlagsFromString(`--${name}`);
}
