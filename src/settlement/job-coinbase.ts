import { concat, equal, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type CoinbaseOutput, coinbaseOutputs, heightPush } from '../bitcoin/coinbase.ts';
import { BIP323_VERSION_MASK } from '../stratum/version-rolling.ts';
import type { JobRecord } from '../work/evidence.ts';

/**
 * Version, input count and outpoint of a coinbase, then the length of its script: where the script begins.
 */
const SCRIPT_AT = 4 + 1 + 36 + 1;
const MAX_SCRIPT_SIZE = 100;

/** The coinbase of a job, whatever its extranonce. */
export type JobCoinbase = {
  /** The beginning of the script of its input, which no extranonce changes. */
  readonly scriptHead: Uint8Array;
  readonly outputs: readonly CoinbaseOutput[];
};

/** The parts of a job that its coinbase is made of. */
export type CoinbaseParts = Pick<JobRecord, 'coinb1' | 'coinb2' | 'extranonceSize' | 'versionMask'>;

/**
 * Reads the coinbase of a job; undefined unless it parses with the extranonce inside the script of its input
 * (anywhere else a miner could move the outputs with it), and lets no more version bits roll than anyone may.
 */
export function jobCoinbase(job: CoinbaseParts): JobCoinbase | undefined {
  const { coinb1, coinb2, extranonceSize, versionMask } = job;
  const coinbase = concat(coinb1, new Uint8Array(extranonceSize), coinb2);
  const scriptSize = coinbase[SCRIPT_AT - 1] ?? 0;
  const isInside =
    scriptSize <= MAX_SCRIPT_SIZE &&
    coinb1.length >= SCRIPT_AT &&
    coinb1.length + extranonceSize <= SCRIPT_AT + scriptSize;
  if (!isInside || (versionMask & ~BIP323_VERSION_MASK) !== 0) return undefined;
  try {
    return { scriptHead: coinb1.subarray(SCRIPT_AT), outputs: coinbaseOutputs(coinbase) };
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

/** The whole value of a coinbase in sats. */
export function totalSatOf({ outputs }: JobCoinbase): bigint {
  return outputs.reduce((sum, { valueSat }) => sum + valueSat, 0n);
}

/** Sats to each script (hex) of a coinbase; outputs of no value pay nobody. */
export function paidByScript({ outputs }: JobCoinbase): ReadonlyMap<string, bigint> {
  const paid = new Map<string, bigint>();
  for (const { script, valueSat } of outputs) {
    if (valueSat === 0n) continue;
    const scriptHex = toHex(script);
    paid.set(scriptHex, (paid.get(scriptHex) ?? 0n) + valueSat);
  }
  return paid;
}

/** What a coinbase says of its block, whomever it pays. */
export type BlockClaim = { readonly scriptHead: Uint8Array; readonly totalSat: bigint };

/** The claim of a job; undefined as `jobCoinbase`. */
export function blockClaim(job: CoinbaseParts): BlockClaim | undefined {
  const coinbase = jobCoinbase(job);
  if (coinbase === undefined) return undefined;
  return { scriptHead: coinbase.scriptHead.slice(), totalSat: totalSatOf(coinbase) };
}

/** True where the coinbase is of a block at this height (BIP34), and of no other whatever the extranonce. */
export function isAtHeight({ scriptHead }: Pick<BlockClaim, 'scriptHead'>, height: number): boolean {
  const push = heightPush(height);
  return equal(scriptHead.subarray(0, push.length), push);
}
