import { ContractAudit } from '../../src/audit/contract-audit.ts';
import { readFrames } from '../../src/audit/frames.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { seal } from '../audit/exports.ts';
import { SyntheticContract } from '../audit/synthetic.ts';
import { SeededRandom } from '../sim/random.ts';

/*
 * The audit of an export beside the bare kernel on the same shares, in turns in one process.
 * `node test/bench/audit-bench.ts [SHARES]`; a minute of 200 shares a second has one state, a job 30 s.
 */

const SHARES = Number(process.argv[2] ?? 200_000);
const ROUNDS = 5;

/** The shares as the kernel takes them, and nothing else: what is measured has no heap to look through. */
type Flat = {
  readonly jobs: readonly JobRecord[];
  /** Job and shares of each block. */
  readonly blocks: readonly (readonly [job: number, count: number])[];
  readonly extranonces: Uint8Array;
  readonly nonces: Uint32Array;
};

function flatten({ blocks, jobs }: SyntheticContract): Flat {
  const extranonces = new Uint8Array(SHARES * 8);
  const nonces = new Uint32Array(SHARES);
  blocks.flat().forEach(({ extranonce1, extranonce2, nonce }, index) => {
    extranonces.set(extranonce1, index * 8);
    extranonces.set(extranonce2, index * 8 + 4);
    nonces[index] = nonce;
  });
  return { jobs, blocks: blocks.map((shares) => [shares[0]!.jobId, shares.length]), extranonces, nonces };
}

/** CPU time of the process, ms: another program on the machine does not count. */
async function cpuMs(run: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
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

async function audited(kernel: ShareKernel, file: Uint8Array): Promise<void> {
  const audit = new ContractAudit(kernel);
  for await (const frame of readFrames(chunksOf(file))) audit.take(frame);
  if (audit.findings.length > 0) throw new Error(JSON.stringify(audit.findings[0]));
  if (audit.counts.committed !== SHARES) throw new Error(`only ${audit.counts.committed} shares`);
}

function prepare(): { file: Uint8Array; flat: Flat } {
  const options = { shares: SHARES, sharesPerState: 12_000, sharesPerJob: 6_000, branches: 12 };
  const contract = new SyntheticContract(options, new SeededRandom(1));
  return { file: seal(contract.frames), flat: flatten(contract) };
}

const kernel = createKernel(LIMITS.peerBatchShares);
const { file, flat } = prepare();
process.stdout.write(
  `${SHARES} shares, ${(file.length / SHARES).toFixed(1)} bytes each, kernel ${kernel.name}\n`,
);
for (let round = 0; round < ROUNDS; round += 1) {
  const bare = await cpuMs(() => bareKernel(kernel, flat));
  const all = await cpuMs(() => audited(kernel, file));
  const perShare = (ms: number): string => `${((ms * 1000) / SHARES).toFixed(2)} us`;
  const rss = Math.round(process.memoryUsage().rss / 2 ** 20);
  process.stdout.write(
    `CPU of the kernel ${perShare(bare)}, of the audit ${perShare(all)} a share: ${(bare / all).toFixed(3)} of its speed; ${rss} MiB\n`,
  );
}
