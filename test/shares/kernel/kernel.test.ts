import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, reversed, toHex } from '../../../src/base/bytes.ts';
import { displayHash, swapWords } from '../../../src/bitcoin/header.ts';
import { createKernel } from '../../../src/shares/kernel/create-kernel.ts';
import type { KernelJob, ShareKernel } from '../../../src/shares/kernel/kernel.ts';
import type { NativeHasher } from '../../../src/shares/kernel/native-hasher.ts';
import { createPortableKernel } from '../../../src/shares/kernel/portable-kernel.ts';
import { hashesRight } from '../../../src/shares/kernel/self-check.ts';
import { createNativeKernel, createSimdKernel } from '../../../src/shares/kernel/simd-kernel.ts';
import {
  assertAgreement,
  assertRandomAgreement,
  benchKernels,
  hashBatch,
  type KernelShare,
  randomJob,
  randomShare,
  seededBytes,
} from '../../bench/kernel-bench.ts';
import { type BlockVector, blockVector, blockVectors } from '../../vectors.ts';
import { builtHasher } from './native-build.ts';

const hasher = builtHasher();
const NATIVE = typeof hasher === 'string' ? [] : [hasher];
const KERNELS: readonly [string, (capacity: number) => ShareKernel][] = [
  ['portable', createPortableKernel],
  ['simd', createSimdKernel],
  ...NATIVE.map(nativeKernelOf),
];
function nativeKernelOf(one: NativeHasher): [string, (capacity: number) => ShareKernel] {
  return ['native', (capacity) => createNativeKernel(capacity, one)];
}
const u32 = (hex: string): number => Number.parseInt(hex, 16);

/** The first transaction of the chain, 3 January 2009. */
const GENESIS_COINBASE = fromHex(
  '01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d01' +
    '04455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f662073' +
    '65636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe55482719' +
    '67f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a' +
    '4c702b6bf11d5fac00000000',
);

function genesisShare(cut: number, extranonceSize: number): KernelShare {
  return {
    job: {
      coinb1: GENESIS_COINBASE.subarray(0, cut),
      coinb2: GENESIS_COINBASE.subarray(cut + extranonceSize),
      branches: [],
      prevHash: new Uint8Array(32),
      bits: 0x1d00ffff,
      extranonceSize,
    },
    extranonce: GENESIS_COINBASE.subarray(cut, cut + extranonceSize),
    ntime: 1_231_006_505,
    nonce: 2_083_236_893,
    version: 1,
  };
}

function hashOne(kernel: ShareKernel, share: KernelShare): string {
  return displayHash(hashBatch(kernel, [share]));
}

it('they agree with plain node:crypto on forty thousand random shares', () => {
  const kernels = KERNELS.map(([, create]) => create(1024));
  const { coinbaseSizes, branches, batchSizes } = assertRandomAgreement(kernels, 40_000, 7);
  expect([...coinbaseSizes].sort((a, b) => a - b)).toEqual(Array.from({ length: 941 }, (_, at) => 60 + at));
  expect([...branches].sort((a, b) => a - b)).toEqual(Array.from({ length: 17 }, (_, at) => at));
  expect(Math.min(...batchSizes)).toBe(1);
  expect(Math.max(...batchSizes)).toBeGreaterThan(1000);
});

describe.each(KERNELS)('%s kernel', (_name, create) => {
  it('hashes the genesis block with its coinbase cut anywhere', () => {
    const kernel = create(512);
    for (const extranonceSize of [0, 1, 4, 8, 12, 31, 32]) {
      const shares: KernelShare[] = [];
      for (let cut = 0; cut + extranonceSize <= GENESIS_COINBASE.length; cut += 1) {
        shares.push(genesisShare(cut, extranonceSize));
      }
      const hashes = hashBatch(kernel, shares);
      for (let slot = 0; slot < shares.length; slot += 1) {
        expect(displayHash(hashes.subarray(slot * 32, slot * 32 + 32))).toBe(
          '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
        );
      }
    }
  });

  it.each([1, 2, 3, 4, 5, 7, 1023, 1024])('hashes a batch of %i', (size) => {
    const bytes = seededBytes(size);
    const jobs = [3, 0, 12].map((branches) =>
      randomJob(bytes, { coinb1: 77, coinb2: 150, extranonce: 8, branches }),
    );
    const shares = Array.from({ length: size }, (_, slot) => randomShare(bytes, jobs[slot % 3]!));
    expect(() => assertAgreement([create(1024)], shares)).not.toThrow();
  });

  it('takes the largest job there is', () => {
    const bytes = seededBytes(3);
    const shape = { coinb1: 20_000, coinb2: 32_768 - 20_032, extranonce: 32, branches: 32 };
    const job = randomJob(bytes, shape);
    assertAgreement(
      [create(8)],
      [1, 2, 3].map(() => randomShare(bytes, job)),
    );
    expect(() => create(8).addJob({ ...job, coinb2: new Uint8Array(job.coinb2.length + 1) })).toThrow(
      'malformed',
    );
    expect(() => create(8).addJob({ ...job, branches: [...job.branches, new Uint8Array(32)] })).toThrow(
      'malformed',
    );
    expect(() => create(8).addJob({ ...job, extranonceSize: 33 })).toThrow('malformed');
    expect(() => create(8).addJob({ ...job, branches: [new Uint8Array(31)] })).toThrow('malformed');
    expect(() => create(8).addJob({ ...job, prevHash: new Uint8Array(31) })).toThrow('malformed');
  });

  it('keeps jobs apart while others come and go', () => {
    const bytes = seededBytes(4);
    const kernel = create(16);
    const live: { share: KernelShare; handle: number }[] = [];
    for (let turn = 0; turn < 400; turn += 1) {
      const coinb2 = turn % 7 === 0 ? 3000 : turn;
      const job = randomJob(bytes, {
        coinb1: turn % 130,
        coinb2,
        extranonce: turn % 33,
        branches: turn % 16,
      });
      live.push({ share: randomShare(bytes, job), handle: kernel.addJob(job) });
      if (live.length > 16) kernel.removeJob(live.splice(turn % 16, 1)[0]!.handle);
      if (turn % 20 !== 0) continue;
      live.forEach(({ share, handle }, slot) => {
        kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
      });
      kernel.run(live.length);
      const hashes = kernel.hashes.slice();
      live.forEach(({ share }, slot) => {
        expect(toHex(hashes.subarray(slot * 32, slot * 32 + 32))).toBe(
          toHex(hashBatch(createPortableKernel(1), [share])),
        );
      });
    }
  });

  it('refuses misuse: a wrong extranonce, an unknown job, a slot out of range', () => {
    const kernel = create(4);
    const share = genesisShare(40, 8);
    const handle = kernel.addJob(share.job);
    expect(() => kernel.setShare(0, handle, new Uint8Array(7), 0, 0, 0)).toThrow('kernel_extranonce_size');
    expect(() => kernel.setShare(4, handle, share.extranonce, 0, 0, 0)).toThrow('kernel_slot');
    expect(() => kernel.setShare(-1, handle, share.extranonce, 0, 0, 0)).toThrow('kernel_slot');
    expect(() => kernel.run(5)).toThrow('kernel_count');
    expect(() => kernel.run(1)).toThrow('kernel_slot');
    kernel.setShare(0, handle, share.extranonce, 0, 0, 0);
    kernel.run(0);
    kernel.removeJob(handle);
    expect(() => kernel.removeJob(handle)).toThrow('kernel_job_unknown');
    expect(() => kernel.setShare(0, handle, share.extranonce, 0, 0, 0)).toThrow('kernel_job_unknown');
    expect(() => create(0)).toThrow('kernel_capacity');
  });
});

describe('simd kernel memory', () => {
  it('does not grow while a steady set of jobs passes through', () => {
    const bytes = seededBytes(5);
    const kernel = createSimdKernel(4);
    const job = randomJob(bytes, { coinb1: 90, coinb2: 900, extranonce: 8, branches: 12 });
    for (let turn = 0; turn < 10; turn += 1) kernel.removeJob(kernel.addJob(job));
    const { memoryBytes } = kernel;
    for (let turn = 0; turn < 5000; turn += 1) kernel.removeJob(kernel.addJob(job));
    expect(kernel.memoryBytes).toBe(memoryBytes);
  });

  it('still works after a run that was refused', () => {
    const kernel = createSimdKernel(4);
    const share = genesisShare(40, 8);
    const handle = kernel.addJob(share.job);
    const put = (slot: number): void =>
      kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
    put(0);
    put(2);
    expect(() => kernel.run(3)).toThrow('kernel_slot_without_job');
    put(1);
    kernel.run(3);
    expect(toHex(kernel.hashes.subarray(0, 32))).toBe(toHex(kernel.hashes.subarray(64, 96)));
  });
});

describe('createKernel', () => {
  it('takes SIMD where there is SIMD, and does without when told', () => {
    expect(createKernel(4).name).toBe('simd');
    expect(createKernel(4, 'portable').name).toBe('portable');
  });

  it('checks its hashes before it is used', () => {
    for (const [, create] of KERNELS)
      for (const size of [1, 9, 64]) expect(hashesRight(create(size))).toBe(true);
    const simd = createSimdKernel(64);
    const run = simd.run.bind(simd);
    // Right but for one bit of one lane of a full batch.
    simd.run = (count) => {
      run(count);
      simd.hashes[31 * 32 + 5]! ^= count === 32 ? 1 : 0;
    };
    expect(hashesRight(simd)).toBe(false);
  });

  it('hashes right on processors without instructions of 256 bits', ({ skip }) => {
    skip(process.arch !== 'x64', 'only an x64 processor can be told to do without');
    const bench = new URL('../../bench/kernel-bench.ts', import.meta.url).href;
    const simd = new URL('../../../src/shares/kernel/simd-kernel.ts', import.meta.url).href;
    const script = `
      import { assertRandomAgreement } from ${JSON.stringify(bench)};
      import { createNativeKernel, createSimdKernel } from ${JSON.stringify(simd)};
      assertRandomAgreement([createSimdKernel(1024)], 5_000, 11);
      process.stdout.write('agreed');`;
    for (const flags of [['--no-enable-avx2'], ['--no-enable-avx2', '--no-enable-avx']]) {
      const words = [...flags, '--input-type=module', '--eval', script];
      expect(execFileSync(process.execPath, words, { encoding: 'utf8' })).toBe('agreed');
    }
  });

  it('is compared with the straightforward way before it is measured', () => {
    const rows = benchKernels(500, 1, ['simd', 'portable']);
    expect(rows.map((row) => row.kernel)).toEqual(['simd', 'portable', 'straightforward']);
    const wrong: ShareKernel = Object.assign(Object.create(createPortableKernel(4)) as ShareKernel, {
      name: 'wrong',
      addJob: () => 1,
      removeJob: () => undefined,
      setShare: () => undefined,
      run: () => undefined,
    });
    expect(() => assertAgreement([wrong], [genesisShare(40, 8)])).toThrow('wrong disagrees on slot 0 of 1');
  });
});

function shareOfVector({ extranonce1, notify, submit }: BlockVector): KernelShare {
  const extranonce = concat(fromHex(extranonce1), fromHex(submit[2]));
  const job: KernelJob = {
    coinb1: fromHex(notify[2]),
    coinb2: fromHex(notify[3]),
    branches: notify[4].map((branch) => fromHex(branch, 32)),
    prevHash: swapWords(fromHex(notify[1], 32)),
    bits: u32(notify[6]),
    extranonceSize: extranonce.length,
  };
  return { job, extranonce, ntime: u32(submit[3]), nonce: u32(submit[4]), version: u32(notify[5]) };
}

describe('mainnet blocks', () => {
  it.each(KERNELS)('%s kernel gives the hash of block 413567', (_name, create) => {
    const vector = blockVector('block 413567');
    expect(hashOne(create(4), shareOfVector(vector))).toBe(vector.hash);
  });

  it.each(KERNELS)('%s kernel gives the hashes of all blocks in one batch', (_name, create) => {
    const vectors = blockVectors();
    const hashes = hashBatch(create(8), vectors.map(shareOfVector));
    const found = vectors.map((_, slot) => toHex(reversed(hashes.subarray(slot * 32, slot * 32 + 32))));
    expect(found).toEqual(vectors.map((vector) => vector.hash));
  });
});
