import { toHex } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import { displayHash, headerHash, swapWords } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import type { UpstreamShare } from '../../src/upstream/verdict.ts';

export type NotifyOverrides = {
  readonly jobId?: string;
  readonly prevHash?: string;
  readonly version?: string;
  readonly bits?: string;
  readonly clean?: boolean;
};

/** The params of a valid, made-up `mining.notify`. */
export function notifyParams(overrides: NotifyOverrides = {}): unknown[] {
  return [
    overrides.jobId ?? '1',
    overrides.prevHash ?? 'ab'.repeat(32),
    '01000000',
    'ffffffff',
    ['cd'.repeat(32)],
    overrides.version ?? '20000000',
    overrides.bits ?? '1d00ffff',
    '65000000',
    overrides.clean ?? false,
  ];
}

export function call(method: string, params: readonly unknown[]): string {
  return JSON.stringify({ id: null, method, params });
}

export function notify(overrides: NotifyOverrides = {}): string {
  return call('mining.notify', notifyParams(overrides));
}

/** The displayed hash of the header a share makes, from what the upstream sent and would get. */
export function hashOfShare(share: UpstreamShare): string {
  const { job } = share;
  const coinbase = Buffer.concat([job.coinb1, job.extranonce1, share.extranonce2, job.coinb2]);
  const header = {
    version: ((job.version & ~job.versionMask) | share.versionBits) >>> 0,
    prevHash: job.prevHash,
    merkleRoot: merkleRootFromBranches(sha256d(coinbase), job.branches),
    time: share.ntime,
    bits: job.bits,
    nonce: share.nonce,
  };
  return displayHash(headerHash(header));
}

export function shareOf(job: UpstreamJob, overrides: Partial<UpstreamShare> = {}): UpstreamShare {
  return {
    job,
    extranonce2: new Uint8Array(job.extranonce2Size),
    ntime: job.time,
    nonce: 7,
    versionBits: 0,
    ...overrides,
  };
}

export function stratumPrevHash(job: UpstreamJob): string {
  return toHex(swapWords(job.prevHash));
}
