import { auditFiles } from '../../src/audit/audit.ts';
import { type Hashing, hashingHere, hashingInThreads, spareThreads } from '../../src/audit/hashing.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createKernel, KERNEL_KINDS } from '../../src/shares/kernel/create-kernel.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { seal } from '../audit/exports.ts';
import { SyntheticContract } from '../audit/synthetic.ts';
import { SeededRandom } from '../sim/random.ts';

/*
 * The audit of an export beside the bare kernel in one thread on the same shares, in turns in one process.
 * `node test/bench/audit-bench.ts [SHARES] [THREADS] [KERNEL] [ROUNDS]`; a minute of 200 shares a second has
 * one state, a job 30 s. By default as many threads hash as the command would start. The bare kernel takes
 * the first million.
 */

const SHARES = Number(process.argv[2] ?? 200_000);
const THREADS = Number(process.argv[3] ?? spareThreads());
const KIND = KERNEL_KINDS.find((kind) => kind === process.argv[4]) ?? 'simd';
const ROUNDS = Number(process.argv[5] ?? 9);
/** Shares of the bare kernel. */
const BARE = Math.min(SHARES, 1_000_000);

/** The shares as the kernel takes them, and nothing else: what is measured has no heap to look through. */
type Flat = {
  readonly jobs: readonly JobRecord[];
  /** Job and shares of each block. */
  readonly blocks: readonly (readonly [job: number, count: number])[];
  readonly extranonces: Uint8Array;
  readonly nonces: Uint32Array;
};

function flatten({ blocks, jobs }: SyntheticContract): Flat {
  const extranonces = new Uint8Array((BARE + 1024) * 8);
  const nonces = new Uint32Array(BARE + 1024);
  blocks.flat().forEach(({ extranonce1, extranonce2, nonce }, index) => {
    extranonces.set(extranonce1, index * 8);
    extranonces.set(extranonce2, index * 8 + 4);
    nonces[index] = nonce;
  });
  return { jobs, blocks: blocks.map((shares) => [shares[0]!.jobId, shares.length]), extranonces, nonces };
}

type Cost = { readonly wallMs: number; readonly cpuMs: number };

/** Time and CPU time of the process: another program on the machine counts in the first alone. */
async function costOf(run: () => Promise<void> | void): Promise<Cost> {
  const [before, begin] = [process.cpuUsage(), performance.now()];
  await run();
  const { user, system } = process.cpuUsage(before);
  return { wallMs: performance.now() - begin, cpuMs: (user + system) / 1000 };
}

function bareKernel(kernel: ShareKernel, { jobs, blocks, extranonces, nonces }: Flat): void {
  const extranonce = new Uint8Array(8);
  let seq = 0;
  for (const [job, count] of blocks) {
    const { time, version } = jobs[job]!;
    const handle = kernel.addJob(jobs[job]!);
    for (let slot = 0; slot < count; slot += 1, seq += 1) {
      for (let byte = 0; byte < 8; byte += 1) extranonce[byte] = extranonces[seq * 8 + byte]!;
      kernel.setShare(slot, handle, extranonce, time, nonces[seq]!, version);
    }
    kernel.run(count);
    kernel.removeJob(handle);
  }
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
}

async function audited(kernel: ShareKernel, hashing: Hashing, file: Uint8Array): Promise<void> {
  const source = { name: 'the export', chunks: chunksOf(file) };
  const { verdict, finding, files } = await auditFiles([source], kernel, hashing);
  if (verdict !== 'agreed') throw new Error(JSON.stringify(finding));
  const committed = files[0]?.counts.committed;
  if (committed !== SHARES) throw new Error(`only ${committed} shares`);
}

function prepare(): { file: Uint8Array; flat: Flat } {
  const options = { shares: SHARES, sharesPerState: 12_000, sharesPerJob: 6_000, branches: 12, kept: BARE };
  const contract = new SyntheticContract(options, new SeededRandom(1));
  return { file: seal(contract.frames), flat: flatten(contract) };
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const kernel = createKernel(LIMITS.peerBatchShares, KIND);
const hashing = THREADS === 0 ? hashingHere(kernel) : hashingInThreads(THREADS, KIND, kernel);
const { file, flat } = prepare();
process.stdout.write(
  `${SHARES} shares, ${(file.length / SHARES).toFixed(1)} bytes each, kernel ${kernel.name}, ${THREADS} threads\n`,
);
const bareShares = flat.blocks.reduce((sum, [, count]) => sum + count, 0);
const ratios: number[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  const bare = await costOf(() => bareKernel(kernel, flat));
  const all = await costOf(() => audited(kernel, hashing, file));
  const perShare = (ms: number, shares = SHARES): string => `${((ms * 1000) / shares).toFixed(2)}`;
  const rss = Math.round(process.memoryUsage().rss / 2 ** 20);
  ratios.push(bare.wallMs / bareShares / (all.wallMs / SHARES));
  process.stdout.write(
    `us a share, time and CPU: kernel ${perShare(bare.wallMs, bareShares)} ${perShare(bare.cpuMs, bareShares)}, ` +
      `audit ${perShare(all.wallMs)} ${perShare(all.cpuMs)}; ${ratios.at(-1)!.toFixed(3)} of its speed; ${rss} MiB\n`,
  );
}
process.stdout.write(`the middle of ${ROUNDS}: ${middle(ratios).toFixed(3)} of the kernel's speed\n`);
await hashing.close();
