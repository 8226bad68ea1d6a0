import { concat, fromHex, isHex } from '../../base/bytes.ts';
import { sha256d } from '../../base/hash.ts';
import { serializeHeader, swapWords } from '../../bitcoin/header.ts';
import { merkleRootFromBranches } from '../../bitcoin/merkle.ts';

/** A `mining.notify` as an ASIC keeps it, with what was in force when it came. */
export type AsicJob = {
  readonly jobId: string;
  readonly prevHash: Uint8Array;
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly version: number;
  readonly bits: number;
  readonly ntime: number;
  readonly clean: boolean;
  readonly extranonce1: Uint8Array;
  readonly extranonce2Size: number;
  readonly difficulty: number;
  readonly target: bigint;
};

type InForce = Pick<AsicJob, 'extranonce1' | 'extranonce2Size' | 'difficulty' | 'target'>;

/** Undefined when the parameters are not those of `mining.notify`. */
export function parseAsicJob(params: readonly unknown[], inForce: InForce): AsicJob | undefined {
  const [jobId, prevHash, coinb1, coinb2, branches, version, bits, ntime, clean] = params;
  if (typeof jobId !== 'string' || !isHex(prevHash, 32) || !isHex(coinb1) || !isHex(coinb2))
    return undefined;
  if (!isHex(version, 4) || !isHex(bits, 4) || !isHex(ntime, 4)) return undefined;
  if (!Array.isArray(branches) || !branches.every((branch): branch is string => isHex(branch, 32))) {
    return undefined;
  }
  return {
    ...inForce,
    jobId,
    prevHash: swapWords(fromHex(prevHash)),
    coinb1: fromHex(coinb1),
    coinb2: fromHex(coinb2),
    branches: branches.map((branch) => fromHex(branch)),
    version: Number.parseInt(version, 16),
    bits: Number.parseInt(bits, 16),
    ntime: Number.parseInt(ntime, 16),
    clean: clean === true,
  };
}

/** The 80 bytes to hash, with nonce zero. */
export function asicHeader(job: AsicJob, extranonce2: Uint8Array, version: number): Uint8Array {
  const coinbase = concat(job.coinb1, job.extranonce1, extranonce2, job.coinb2);
  return serializeHeader({
    version,
    prevHash: job.prevHash,
    merkleRoot: merkleRootFromBranches(sha256d(coinbase), job.branches),
    time: job.ntime,
    bits: job.bits,
    nonce: 0,
  });
}
