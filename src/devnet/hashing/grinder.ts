import { sha256d } from '../../base/hash.ts';
import { hashToNumber } from '../../bitcoin/target.ts';
import {
  MIDSTATE_OFFSET,
  SHA256_INITIAL,
  SHA256_ROUND,
  sha256ModuleBytes,
  TAIL_OFFSET,
  TARGET_TOP_OFFSET,
} from './sha256-module.ts';

type Scan = (nonce: number, groups: number) => number;
type WasmModule = { readonly __brand: 'module' };
type WasmExports = { readonly memory: { readonly buffer: ArrayBuffer }; readonly scan: Scan };

/** The part of the global used here: the compiler is given no DOM types. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: object) => { readonly exports: WasmExports };
};

let compiled: WasmModule | undefined;

/**
 * Searches nonces of one header at a time: real double SHA-256, the first block's midstate reused.
 * Synchronous.
 */
export class Grinder {
  readonly #scan: Scan;
  readonly #view: DataView;
  readonly #header = new Uint8Array(80);
  #target = 0n;

  constructor() {
    compiled ??= new WebAssembly.Module(sha256ModuleBytes());
    const { memory, scan } = new WebAssembly.Instance(compiled, {}).exports;
    this.#scan = scan;
    this.#view = new DataView(memory.buffer);
  }

  /**
   * The header to search from now on.
   * @param header 80 bytes; the nonce in it is ignored
   * @param target a hash at or below it counts
   */
  setHeader(header: Uint8Array, target: bigint): void {
    this.#header.set(header);
    this.#target = target;
    const midstate = compressBlock(SHA256_INITIAL, header);
    for (const [index, word] of midstate.entries()) {
      this.#view.setUint32(MIDSTATE_OFFSET + index * 4, word, true);
    }
    const source = new DataView(header.buffer, header.byteOffset, header.byteLength);
    for (let index = 0; index < 3; index += 1) {
      this.#view.setUint32(TAIL_OFFSET + index * 4, source.getUint32(64 + index * 4), true);
    }
    this.#view.setUint32(TARGET_TOP_OFFSET, Number(target >> 224n), true);
  }

  /**
   * The first good nonce of `start .. start+count-1`, or undefined. Nonces wrap at 2^32.
   * @param count a multiple of 4
   */
  search(start: number, count: number): number | undefined {
    const groups = Math.floor(count / 4);
    for (let done = 0; done < groups; done += 1) {
      const base = (start + done * 4) >>> 0;
      const skipped = this.#scan(base | 0, groups - done);
      if (done + skipped >= groups) return undefined;
      done += skipped;
      const good = this.#goodNonce((start + done * 4) >>> 0);
      if (good !== undefined) return good;
    }
    return undefined;
  }

  #goodNonce(base: number): number | undefined {
    for (let lane = 0; lane < 4; lane += 1) {
      const nonce = (base + lane) >>> 0;
      if (hashToNumber(sha256d(this.header(nonce))) <= this.#target) return nonce;
    }
    return undefined;
  }

  /** The header with a nonce in place: a copy. */
  header(nonce: number): Uint8Array {
    const header = this.#header.slice();
    new DataView(header.buffer).setUint32(76, nonce, true);
    return header;
  }
}

const rotate = (value: number, bits: number): number => (value >>> bits) | (value << (32 - bits));

/** One SHA-256 compression of the first 64 bytes of `block`. */
export function compressBlock(state: readonly number[], block: Uint8Array): number[] {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const words = Array.from({ length: 16 }, (_, index) => view.getUint32(index * 4));
  for (let at = 16; at < 64; at += 1) {
    const early = words[at - 15]!;
    const late = words[at - 2]!;
    const low = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    const high = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    words.push((words[at - 16]! + low + words[at - 7]! + high) | 0);
  }
  let [a, b, c, d, e, f, g, h] = state as [number, number, number, number, number, number, number, number];
  for (let round = 0; round < 64; round += 1) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const temp = (h + sum1 + ((e & f) ^ (~e & g)) + SHA256_ROUND[round]! + words[round]!) | 0;
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const next = (temp + sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + temp) | 0, c, b, a, next];
  }
  return [a, b, c, d, e, f, g, h].map((value, index) => (value + state[index]!) >>> 0);
}
