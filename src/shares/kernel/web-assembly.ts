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

/** Compiles and starts a module without imports. */
export function instantiateWasm(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
}
