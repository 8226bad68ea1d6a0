import { assert } from '../../base/assert.ts';
import { JobMemory } from './job-memory.ts';
import type { KernelJob, KernelJobHandle, ShareKernel } from './kernel.ts';
import { checkKernelJob, coinbaseSize } from './kernel-job.ts';
import type { NativeHasher } from './native-hasher.ts';
import { SIMD_KERNEL_WASM_BASE64 } from './simd-kernel.wasm.ts';
import { instantiateWasm, validateWasm, type WasmGlobal, type WasmMemory } from './web-assembly.ts';

const BLOCK = 64;
/** 0x80 and the 64-bit length that SHA-256 ends a message with. */
const PADDING_BYTES = 9;

/** What `assembly/kernel.ts` exports: its layout and its functions. */
type KernelExports = {
  readonly memory: WasmMemory;
  readonly configure: (capacity: number) => number;
  readonly slotsAt: () => number;
  readonly hashesAt: () => number;
  readonly treeAt: () => number;
  readonly stageAt: () => number;
  readonly start: (state: number) => void;
  readonly absorb: (state: number) => void;
  readonly expand: (to: number) => void;
  readonly run: (count: number) => number;
  readonly hashTree: (count: number, size: number) => void;
} & Readonly<Record<LayoutName, WasmGlobal>>;

const LAYOUT_NAMES = [
  'SLOT_SIZE',
  'SLOT_EXTRANONCE',
  'JOB_BLOCKS',
  'JOB_VARIABLE_BLOCKS',
  'JOB_BRANCHES',
  'JOB_EXTRANONCE_AT',
  'JOB_EXTRANONCE_SIZE',
  'JOB_BITS',
  'JOB_MAGIC',
  'JOB_MIDSTATE',
  'JOB_PREV_HASH',
  'JOB_TEMPLATE',
  'JOB_TAIL',
  'MAGIC',
] as const;
type LayoutName = (typeof LAYOUT_NAMES)[number];
type Layout = Readonly<Record<LayoutName, number>>;

function kernelBytes(): Uint8Array {
  return Buffer.from(SIMD_KERNEL_WASM_BASE64, 'base64');
}

/** True when this engine runs WebAssembly SIMD. */
export function isSimdSupported(): boolean {
  return validateWasm(kernelBytes());
}

/** Eight shares abreast in WebAssembly SIMD. Throws a CompileError where SIMD is not supported. */
export function createSimdKernel(capacity: number, kind: SimdKind = 'simd'): SimdKernel {
  return new SimdKernel(capacity, kind);
}

/** The same, but that another one does the hashing, in the module's memory. */
export function createNativeKernel(capacity: number, hasher: NativeHasher): SimdKernel {
  return new SimdKernel(capacity, 'native', hasher);
}

/** `simd_plain` is compiled as V8 compiles by default: half as fast, and nothing of it is experimental. */
export type SimdKind = 'simd' | 'simd_plain';

export class SimdKernel implements ShareKernel {
  readonly name: SimdKind | 'native';
  readonly capacity: number;
  readonly hashes: Uint8Array;
  readonly #wasm: KernelExports;
  readonly #layout: Layout;
  readonly #jobs: JobMemory;
  readonly #slotsAt: number;
  readonly #hashesAt: number;
  readonly #treeAt: number;
  readonly #hasher: NativeHasher | undefined;
  #bytes: Uint8Array;
  #words: Uint32Array;

  constructor(capacity: number, kind: SimdKind | 'native', hasher?: NativeHasher) {
    assert(Number.isInteger(capacity) && capacity > 0, 'kernel_capacity', capacity);
    this.name = kind;
    this.#hasher = hasher;
    const how = kind === 'simd' ? 'optimised' : 'default';
    this.#wasm = instantiateWasm(kernelBytes(), how) as unknown as KernelExports;
    this.#layout = Object.fromEntries(
      LAYOUT_NAMES.map((name) => [name, Number(this.#wasm[name].value)]),
    ) as Layout;
    this.capacity = capacity;
    this.hashes = new Uint8Array(capacity * 32);
    const { memory } = this.#wasm;
    const end = this.#wasm.configure(capacity);
    memory.grow(Math.ceil(end / 65_536));
    this.#jobs = new JobMemory(memory, end);
    this.#slotsAt = this.#wasm.slotsAt();
    this.#hashesAt = this.#wasm.hashesAt();
    this.#treeAt = this.#wasm.treeAt();
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Uint32Array(memory.buffer);
  }

  addJob(job: KernelJob): KernelJobHandle {
    checkKernelJob(job);
    const at = this.#layout;
    const whole = job.coinb1.length - (job.coinb1.length % BLOCK);
    const tail = paddedTail(job, whole);
    const blocks = tail.length / BLOCK;
    const extranonceAt = job.coinb1.length - whole;
    const variableBlocks = extranonceAt + job.extranonceSize > BLOCK ? 2 : 1;
    const schedulesAt = at.JOB_TAIL + job.branches.length * 32;
    const record = this.#jobs.allocate(schedulesAt + (blocks - variableBlocks) * 256);
    this.#refreshViews();

    this.#bytes.fill(0, record, record + at.JOB_TAIL);
    this.#setWord(record + at.JOB_BLOCKS, blocks);
    this.#setWord(record + at.JOB_VARIABLE_BLOCKS, variableBlocks);
    this.#setWord(record + at.JOB_BRANCHES, job.branches.length);
    this.#setWord(record + at.JOB_EXTRANONCE_AT, extranonceAt);
    this.#setWord(record + at.JOB_EXTRANONCE_SIZE, job.extranonceSize);
    this.#setWord(record + at.JOB_BITS, job.bits);
    this.#bytes.set(swappedWords(job.prevHash), record + at.JOB_PREV_HASH);
    this.#bytes.set(tail.subarray(0, variableBlocks * BLOCK), record + at.JOB_TEMPLATE);
    job.branches.forEach((branch, index) => {
      this.#bytes.set(branch, record + at.JOB_TAIL + index * 32);
    });
    this.#wasm.start(record + at.JOB_MIDSTATE);
    for (let from = 0; from < whole; from += BLOCK) {
      this.#stage(job.coinb1, from);
      this.#wasm.absorb(record + at.JOB_MIDSTATE);
    }
    for (let block = variableBlocks; block < blocks; block += 1) {
      this.#stage(tail, block * BLOCK);
      this.#wasm.expand(record + schedulesAt + (block - variableBlocks) * 256);
    }
    this.#setWord(record + at.JOB_MAGIC, at.MAGIC);
    return record;
  }

  removeJob(handle: KernelJobHandle): void {
    this.#jobs.free(handle);
    this.#setWord(handle + this.#layout.JOB_MAGIC, 0);
  }

  setShare(
    slot: number,
    job: KernelJobHandle,
    extranonce: Uint8Array,
    ntime: number,
    nonce: number,
    version: number,
  ): void {
    assert(slot >= 0 && slot < this.capacity, 'kernel_slot', slot);
    const layout = this.#layout;
    const words = this.#words;
    assert(words[(job + layout.JOB_MAGIC) >>> 2] === layout.MAGIC, 'kernel_job_unknown', job);
    const size = words[(job + layout.JOB_EXTRANONCE_SIZE) >>> 2];
    assert(extranonce.length === size, 'kernel_extranonce_size', extranonce.length);
    const address = this.#slotsAt + slot * layout.SLOT_SIZE;
    const at = address >>> 2;
    words[at] = job;
    words[at + 1] = version;
    words[at + 2] = ntime;
    words[at + 3] = nonce;
    const extranonceAt = address + layout.SLOT_EXTRANONCE;
    for (let byte = 0; byte < extranonce.length; byte += 1)
      this.#bytes[extranonceAt + byte] = extranonce[byte]!;
  }

  /** Of the module; it only grows. */
  get memoryBytes(): number {
    return this.#bytes.length;
  }

  run(count: number): void {
    assert(count >= 0 && count <= this.capacity, 'kernel_count', count);
    assert(this.#hash(count), 'kernel_slot_without_job', count);
    this.hashes.set(this.#bytes.subarray(this.#hashesAt, this.#hashesAt + count * 32));
  }

  hashTree(inputs: Uint8Array, size: 32 | 64, digests: Uint8Array): void {
    const count = inputs.length / size;
    assert(Number.isInteger(count) && count <= this.capacity, 'kernel_count', count);
    this.#bytes.set(inputs, this.#treeAt);
    if (this.#hasher === undefined) this.#wasm.hashTree(count, size);
    else assert(this.#hasher.hashTree(this.#bytes, this.#treeAt, count, size), 'kernel_count', count);
    digests.set(this.#bytes.subarray(this.#treeAt, this.#treeAt + count * 32));
  }

  #hash(count: number): boolean {
    if (this.#hasher === undefined) return this.#wasm.run(count) !== 0;
    return this.#hasher.run(this.#bytes, this.#slotsAt, this.#hashesAt, count);
  }

  #setWord(address: number, value: number): void {
    this.#words[address >>> 2] = value;
  }

  #stage(bytes: Uint8Array, from: number): void {
    this.#bytes.set(bytes.subarray(from, from + BLOCK), this.#wasm.stageAt());
  }

  /** A grown memory has another buffer. */
  #refreshViews(): void {
    const { buffer } = this.#wasm.memory;
    if (this.#bytes.buffer === buffer) return;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
  }
}

/**
 * The coinbase behind its first `whole` bytes, extranonce zero, padded as SHA-256 pads it (FIPS 180-4,
 * 5.1.1).
 */
function paddedTail(job: KernelJob, whole: number): Uint8Array {
  const size = coinbaseSize(job);
  const tail = new Uint8Array(Math.ceil((size - whole + PADDING_BYTES) / BLOCK) * BLOCK);
  tail.set(job.coinb1.subarray(whole));
  tail.set(job.coinb2, job.coinb1.length - whole + job.extranonceSize);
  tail[size - whole] = 0x80;
  new DataView(tail.buffer).setUint32(tail.length - 4, size * 8);
  return tail;
}

/** Bytes reversed in each word: how SHA-256 reads them. */
function swappedWords(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.from(bytes).swap32());
}
