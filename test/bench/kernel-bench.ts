import { concat, equal } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { headerHash } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { createKernel, type KernelKind } from '../../src/shares/kernel/create-kernel.ts';
import type { KernelJob, ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { coinbaseSize } from '../../src/shares/kernel/kernel-job.ts';

export type KernelShare = {
  readonly job: KernelJob;
  readonly extranonce: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  readonly version: number;
};

export type KernelBenchRow = {
  readonly kernel: string;
  readonly sharesPerSecond: number;
  /** Nominal compressions of a share, whatever shortcuts a kernel takes. */
  readonly nsPerCompression: number;
  readonly timesStraightforward: number;
};

/** How one would write it from the protocol's text: a Buffer a step, `node:crypto` for every SHA-256. */
export function straightforwardHash(share: KernelShare): Uint8Array {
  const { job } = share;
  const coinbase = concat(job.coinb1, share.extranonce, job.coinb2);
  return headerHash({
    version: share.version,
    prevHash: job.prevHash,
    merkleRoot: merkleRootFromBranches(sha256d(coinbase), job.branches),
    time: share.ntime,
    bits: job.bits,
    nonce: share.nonce,
  });
}

/** SHA-256 compressions of a share: coinbase and its digest, three a branch, header and its digest. */
export function compressionsOf(job: KernelJob): number {
  return Math.ceil((coinbaseSize(job) + 9) / 64) + 1 + 3 * job.branches.length + 3;
}

/** Deterministic bytes, so that every run hashes the same shares (xorshift32). */
export function seededBytes(seed: number): (size: number) => Uint8Array {
  let state = seed >>> 0 || 1;
  return (size) => {
    const out = new Uint8Array(size);
    for (let at = 0; at < size; at += 1) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      out[at] = state >>> 24;
    }
    return out;
  };
}

export function randomJob(
  bytes: (size: number) => Uint8Array,
  shape: {
    readonly coinb1: number;
    readonly coinb2: number;
    readonly extranonce: number;
    readonly branches: number;
  },
): KernelJob {
  return {
    coinb1: bytes(shape.coinb1),
    coinb2: bytes(shape.coinb2),
    branches: Array.from({ length: shape.branches }, () => bytes(32)),
    prevHash: bytes(32),
    bits: randomU32(bytes),
    extranonceSize: shape.extranonce,
  };
}

export function randomShare(bytes: (size: number) => Uint8Array, job: KernelJob): KernelShare {
  return {
    job,
    extranonce: bytes(job.extranonceSize),
    ntime: randomU32(bytes),
    nonce: randomU32(bytes),
    version: randomU32(bytes),
  };
}

function randomU32(bytes: (size: number) => Uint8Array): number {
  const [a, b, c, d] = bytes(4);
  return ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0;
}

/** Hashes one batch. @returns 32 bytes a share */
export function hashBatch(kernel: ShareKernel, shares: readonly KernelShare[]): Uint8Array {
  const handles = new Map<KernelJob, number>();
  shares.forEach((share, slot) => {
    const handle = handles.get(share.job) ?? kernel.addJob(share.job);
    handles.set(share.job, handle);
    kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
  });
  kernel.run(shares.length);
  for (const handle of handles.values()) kernel.removeJob(handle);
  return kernel.hashes.slice(0, shares.length * 32);
}

/** The kernels' hashes of every share are the straightforward ones; throws otherwise. */
export function assertAgreement(kernels: readonly ShareKernel[], shares: readonly KernelShare[]): void {
  const wanted = shares.map(straightforwardHash);
  for (const kernel of kernels) {
    const hashes = hashBatch(kernel, shares);
    wanted.forEach((hash, slot) => {
      if (!equal(hashes.subarray(slot * 32, slot * 32 + 32), hash))
        throw new Error(`${kernel.name} disagrees on slot ${slot} of ${shares.length}`);
    });
  }
}

export type Coverage = {
  readonly coinbaseSizes: Set<number>;
  readonly branches: Set<number>;
  readonly batchSizes: Set<number>;
};

/** Coinbases of 60 to 1,000 bytes: a prime number of sizes, so that steps of any size come by all. */
const COINBASE_SIZES = 941;

/**
 * Batches of 1 to 1024 with several jobs mixed, of each size of coinbase and number of branches in turn;
 * throws at the first disagreement.
 */
export function assertRandomAgreement(
  kernels: readonly ShareKernel[],
  shares: number,
  seed: number,
): Coverage {
  const bytes = seededBytes(seed);
  const pick = (bound: number): number => randomU32(bytes) % bound;
  const covered: Coverage = { coinbaseSizes: new Set(), branches: new Set(), batchSizes: new Set() };
  let made = 0;
  const makeJob = (): KernelJob => {
    const coinbase = 60 + ((made * 389) % COINBASE_SIZES);
    const branches = made % 17;
    made += 1;
    const extranonce = pick(33);
    const coinb1 = pick(coinbase - extranonce + 1);
    covered.coinbaseSizes.add(coinbase);
    covered.branches.add(branches);
    return randomJob(bytes, { coinb1, coinb2: coinbase - extranonce - coinb1, extranonce, branches });
  };
  for (let left = shares; left > 0; ) {
    const size = Math.min(left, 1 + pick(pick(8) === 0 ? 1024 : 32));
    const jobs = Array.from({ length: Math.min(size, 1 + pick(6)) }, makeJob);
    const batch = Array.from({ length: size }, (_, slot) =>
      randomShare(bytes, jobs[slot] ?? jobs[pick(jobs.length)]!),
    );
    assertAgreement(kernels, batch);
    covered.batchSizes.add(size);
    left -= size;
  }
  return covered;
}

const BATCH = 1024;
/** A full block of a pool that pays one address: 12 branches, a coinbase of 260 bytes cut as pools cut it. */
const SHAPE = { coinb1: 90, coinb2: 162, extranonce: 8, branches: 12 };

/**
 * Asserts agreement, then measures each way in this process, the best of several rounds each.
 * @param agreementShares random shares compared before anything is timed
 * @param roundMs how long a round of one kernel lasts
 * @param kinds those of them that run here; the native one where it was built
 */
export function benchKernels(
  agreementShares = 20_000,
  roundMs = 400,
  kinds: readonly KernelKind[] = ['native', 'simd', 'portable'],
): KernelBenchRow[] {
  // One that is not built, or does not run here, comes as another kind.
  const kernels = kinds
    .map((kind) => createKernel(BATCH, kind))
    .filter(({ name }, at) => name === kinds[at]);
  assertRandomAgreement(kernels, agreementShares, 20_090_103);
  const bytes = seededBytes(1);
  const job = randomJob(bytes, SHAPE);
  const shares = Array.from({ length: BATCH }, () => randomShare(bytes, job));
  const ways = [
    ...kernels.map((kernel) => ({ name: kernel.name, run: batchRunner(kernel, job, shares) })),
    {
      name: 'straightforward',
      run: (): void => {
        for (const share of shares) straightforwardHash(share);
      },
    },
  ];
  const rates = ways.map(() => 0);
  for (let round = 0; round < 5; round += 1) {
    ways.forEach(({ run }, index) => {
      rates[index] = Math.max(rates[index]!, ratePerSecond(run, roundMs));
    });
  }
  const reference = rates[rates.length - 1]!;
  return ways.map(({ name }, index) => ({
    kernel: name,
    sharesPerSecond: rates[index]!,
    nsPerCompression: 1e9 / rates[index]! / compressionsOf(job),
    timesStraightforward: rates[index]! / reference,
  }));
}

function batchRunner(kernel: ShareKernel, job: KernelJob, shares: readonly KernelShare[]): () => void {
  const handle = kernel.addJob(job);
  return () => {
    for (let slot = 0; slot < shares.length; slot += 1) {
      const share = shares[slot]!;
      kernel.setShare(slot, handle, share.extranonce, share.ntime, share.nonce, share.version);
    }
    kernel.run(shares.length);
  };
}

function ratePerSecond(run: () => void, roundMs: number): number {
  const started = performance.now();
  let batches = 0;
  while (performance.now() - started < roundMs) {
    run();
    batches += 1;
  }
  return (batches * BATCH * 1000) / (performance.now() - started);
}

export function kernelTable(rows: readonly KernelBenchRow[]): string {
  const lines = rows.map(
    (row) =>
      `${row.kernel.padEnd(16)} ${row.sharesPerSecond.toFixed(0).padStart(10)} ` +
      `${row.nsPerCompression.toFixed(1).padStart(15)} ${row.timesStraightforward.toFixed(1).padStart(8)}`,
  );
  return ['kernel             shares/s  ns/compression    ratio', ...lines, ''].join('\n');
}

if (import.meta.main) {
  const rows = benchKernels(process.argv.includes('--slow') ? 100_000 : 20_000);
  process.stdout.write(process.argv.includes('--json') ? `${JSON.stringify(rows)}\n` : kernelTable(rows));
}
