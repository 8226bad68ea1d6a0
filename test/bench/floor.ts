import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildNativeKernel } from '../../src/shares/kernel/build-native.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { loadNativeHasher } from '../../src/shares/kernel/native-hasher.ts';
import { hashesRight } from '../../src/shares/kernel/self-check.ts';
import { createNativeKernel } from '../../src/shares/kernel/simd-kernel.ts';
import { randomJob, randomShare, seededBytes } from './kernel-bench.ts';

/** What the hashing of a share depends on: bytes of its parts, and branches. */
export type HashedShape = {
  readonly coinb1: number;
  readonly coinb2: number;
  readonly extranonce: number;
  readonly branches: number;
};

const BATCH = 1024;
/** Of a measurement, ms of CPU time. */
const PROBE_MS = 40;

/**
 * What the hashing of a share takes at the least: by the SHA instructions of the processor, in full batches.
 * The native kernel is compiled for it where a compiler is; without one, it is the fastest kernel there is.
 */
export class ShaProbe {
  readonly #kernel: ShareKernel;

  constructor() {
    this.#kernel = compiled() ?? createKernel(BATCH, 'native');
  }

  /** The kernel that is the measure. */
  get name(): string {
    return this.#kernel.name;
  }

  /** CPU time of one share, in microseconds. */
  microsOf(shape: HashedShape): number {
    const kernel = this.#kernel;
    const bytes = seededBytes(1);
    const job = randomJob(bytes, shape);
    const handle = kernel.addJob(job);
    for (let slot = 0; slot < BATCH; slot += 1) {
      const { extranonce, ntime, nonce, version } = randomShare(bytes, job);
      kernel.setShare(slot, handle, extranonce, ntime, nonce, version);
    }
    kernel.run(BATCH);
    const begun = process.cpuUsage();
    let [shares, micros] = [0, 0];
    while (micros < PROBE_MS * 1000) {
      kernel.run(BATCH);
      shares += BATCH;
      const { user, system } = process.cpuUsage(begun);
      micros = user + system;
    }
    kernel.removeJob(handle);
    return micros / shares;
  }
}

function compiled(): ShareKernel | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'sharestream-sha-'));
  try {
    const file = join(folder, 'kernel.node');
    buildNativeKernel(file);
    const hasher = loadNativeHasher(file);
    const kernel = hasher === undefined ? undefined : createNativeKernel(BATCH, hasher);
    return kernel !== undefined && hashesRight(kernel) ? kernel : undefined;
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
