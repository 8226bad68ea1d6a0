import * as crypto from 'node:crypto';
import { assert } from '../../base/assert.ts';
import type { KernelJob, KernelJobHandle, ShareKernel } from './kernel.ts';
import { checkKernelJob, coinbaseSize, MAX_EXTRANONCE_SIZE } from './kernel-job.ts';

type PreparedJob = {
  /** The coinbase with its extranonce bytes to be filled in. */
  readonly coinbase: Buffer;
  readonly extranonceAt: number;
  readonly extranonceSize: number;
  readonly branches: readonly Uint8Array[];
  /** The header with version, root, time and nonce to be filled in. */
  readonly header: Buffer;
};

/** A kernel on `node:crypto`: runs everywhere, and is what the other kernels are compared with. */
export function createPortableKernel(capacity: number): ShareKernel {
  return new PortableKernel(capacity);
}

class PortableKernel implements ShareKernel {
  readonly name = 'portable';
  readonly capacity: number;
  readonly hashes: Uint8Array;
  readonly #jobs = new Map<KernelJobHandle, PreparedJob>();
  #nextHandle = 1;
  readonly #slotJobs: (PreparedJob | undefined)[];
  readonly #extranonces: Uint8Array;
  /** ntime, nonce and version of each slot. */
  readonly #fields: Uint32Array;
  readonly #node = Buffer.alloc(64);

  constructor(capacity: number) {
    assert(Number.isInteger(capacity) && capacity > 0, 'kernel_capacity', capacity);
    this.capacity = capacity;
    this.hashes = new Uint8Array(capacity * 32);
    this.#slotJobs = new Array<PreparedJob | undefined>(capacity).fill(undefined);
    this.#extranonces = new Uint8Array(capacity * MAX_EXTRANONCE_SIZE);
    this.#fields = new Uint32Array(capacity * 3);
  }

  addJob(job: KernelJob): KernelJobHandle {
    checkKernelJob(job);
    const coinbase = Buffer.alloc(coinbaseSize(job));
    coinbase.set(job.coinb1, 0);
    coinbase.set(job.coinb2, job.coinb1.length + job.extranonceSize);
    const header = Buffer.alloc(80);
    header.set(job.prevHash, 4);
    header.writeUInt32LE(job.bits >>> 0, 72);
    const handle = this.#nextHandle++;
    this.#jobs.set(handle, {
      coinbase,
      extranonceAt: job.coinb1.length,
      extranonceSize: job.extranonceSize,
      branches: job.branches.map((branch) => Uint8Array.from(branch)),
      header,
    });
    return handle;
  }

  removeJob(handle: KernelJobHandle): void {
    assert(this.#jobs.delete(handle), 'kernel_job_unknown', handle);
  }

  setShare(
    slot: number,
    job: KernelJobHandle,
    extranonce: Uint8Array,
    ntime: number,
    nonce: number,
    version: number,
  ): void {
    const prepared = this.#jobs.get(job);
    assert(slot >= 0 && slot < this.capacity, 'kernel_slot', slot);
    assert(prepared !== undefined, 'kernel_job_unknown', job);
    assert(extranonce.length === prepared.extranonceSize, 'kernel_extranonce_size', extranonce.length);
    this.#slotJobs[slot] = prepared;
    this.#extranonces.set(extranonce, slot * MAX_EXTRANONCE_SIZE);
    this.#fields[slot * 3] = ntime;
    this.#fields[slot * 3 + 1] = nonce;
    this.#fields[slot * 3 + 2] = version;
  }

  run(count: number): void {
    assert(count >= 0 && count <= this.capacity, 'kernel_count', count);
    for (let slot = 0; slot < count; slot += 1) this.#hashSlot(slot);
  }

  hashTree(inputs: Uint8Array, size: 32 | 64, digests: Uint8Array): void {
    const count = inputs.length / size;
    assert(Number.isInteger(count) && count <= this.capacity, 'kernel_count', count);
    const prefixed = Buffer.alloc(1 + size, size === 32 ? 0 : 1);
    for (let index = 0; index < count; index += 1) {
      prefixed.set(inputs.subarray(index * size, (index + 1) * size), 1);
      digests.set(crypto.hash('sha256', prefixed, 'buffer'), index * 32);
    }
  }

  #hashSlot(slot: number): void {
    const job = this.#slotJobs[slot];
    assert(job !== undefined, 'kernel_slot_empty', slot);
    const from = slot * MAX_EXTRANONCE_SIZE;
    job.coinbase.set(this.#extranonces.subarray(from, from + job.extranonceSize), job.extranonceAt);
    let root = sha256d(job.coinbase);
    for (const branch of job.branches) {
      this.#node.set(root, 0);
      this.#node.set(branch, 32);
      root = sha256d(this.#node);
    }
    const { header } = job;
    header.set(root, 36);
    header.writeUInt32LE(this.#fields[slot * 3]!, 68);
    header.writeUInt32LE(this.#fields[slot * 3 + 1]!, 76);
    header.writeUInt32LE(this.#fields[slot * 3 + 2]!, 0);
    this.hashes.set(sha256d(header), slot * 32);
  }
}

function sha256d(bytes: Uint8Array): Buffer {
  return crypto.hash('sha256', crypto.hash('sha256', bytes, 'buffer'), 'buffer');
}
