import { fromHex } from '../../src/base/bytes.ts';
import { DIFFICULTY_1_TARGET } from '../../src/bitcoin/target.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { parseServerLine } from '../../src/stratum/server-messages.ts';

/** Upstream work as it follows from the params of a `mining.notify` and a subscribe reply. */
export function upstreamJobOf(
  params: readonly unknown[],
  extranonce1: string,
  extranonce2Size: number,
  changes: Partial<UpstreamJob> = {},
): UpstreamJob {
  const notify = parseServerLine(
    Buffer.from(JSON.stringify({ id: null, method: 'mining.notify', params })),
  );
  if (notify.type !== 'notify') throw new Error(JSON.stringify(notify));
  const { jobId, ...work } = notify.job;
  return {
    ...work,
    upstreamJobId: jobId,
    extranonce1: fromHex(extranonce1),
    extranonce2Size,
    target: DIFFICULTY_1_TARGET,
    versionMask: 0,
    ...changes,
  };
}

/** Work of no real chain; `seed` makes another previous block. */
export function plainWork(seed = 1, changes: Partial<UpstreamJob> = {}): UpstreamJob {
  return {
    upstreamJobId: `u${seed}`,
    prevHash: new Uint8Array(32).fill(seed),
    coinb1: Uint8Array.of(1, 2, 3),
    coinb2: Uint8Array.of(4, 5, 6),
    branches: [new Uint8Array(32).fill(9)],
    version: 0x20000000,
    bits: 0x1d00ffff,
    time: 1_700_000_000,
    clean: false,
    extranonce1: Uint8Array.of(0xaa, 0xbb),
    extranonce2Size: 8,
    target: DIFFICULTY_1_TARGET,
    versionMask: 0x1fffe000,
    ...changes,
  };
}
