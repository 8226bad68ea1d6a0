import { divideUp } from '../base/bigints.ts';
import { HASHES_PER_EH, owedSat } from '../base/units.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import {
  feeOfVsize,
  feeOfWeight,
  jointSpendVsize,
  outputWeight,
  WALLET_INPUT_WEIGHT,
} from '../channel/sizes.ts';

/** Seconds between blocks on average, by which durations in blocks are shown. */
const SECONDS_PER_BLOCK = 600n;
/** Bytes of the channel's script, and of the output scripts that wallets make. */
const CHANNEL_SCRIPT = new Uint8Array(113);
const WALLET_SCRIPT = new Uint8Array(22);

/** A contract as far as its seller reckons with it. */
export type Economics = {
  readonly priceMsatPerEh: bigint;
  readonly stepHashes: bigint;
  readonly maxUnpaidSteps: number;
  /** Time in which work is delivered. */
  readonly seconds: bigint;
  readonly shareDifficulty: number;
  /** Of the opening and the close. */
  readonly feeRateSatPerKvb: number;
};

/** What the miner pays to the chain for one contract, in sats. */
export type ContractFees = { readonly openSat: bigint; readonly closeSat: bigint };

/** One coin in and the change of it, and the spend of the channel, which the miner pays alone. */
export function contractFees(feeRateSatPerKvb: number): ContractFees {
  return {
    openSat: feeOfWeight(WALLET_INPUT_WEIGHT + outputWeight(WALLET_SCRIPT), feeRateSatPerKvb),
    closeSat: feeOfVsize(jointSpendVsize(CHANNEL_SCRIPT, [WALLET_SCRIPT, WALLET_SCRIPT]), feeRateSatPerKvb),
  };
}

/**
 * The least hashrate whose fees are at most `ppm` of what it earns, in hashes per second; with 1,000,000 it
 * breaks even.
 */
export function leastHashrate(economics: Economics, ppm: bigint): bigint {
  const { openSat, closeSat } = contractFees(economics.feeRateSatPerKvb);
  const neededMsat = ((openSat + closeSat) * 1000n * 1_000_000n) / ppm;
  return divideUp(neededMsat * HASHES_PER_EH, economics.priceMsatPerEh * economics.seconds);
}

/** What a contract comes to at a hashrate, in hashes per second. */
export type Outcome = {
  readonly workHashes: bigint;
  readonly earnsSat: bigint;
  readonly feesSat: bigint;
  /** Negative where fees are more. */
  readonly netSat: bigint;
  /** After fees; 0 where nothing is left. */
  readonly netMsatPerEh: bigint;
  readonly sharesPerMinute: number;
  readonly secondsPerStep: number;
  /** The most that is delivered and unpaid. */
  readonly atRiskSat: bigint;
};

export function outcomeOf(economics: Economics, hashesPerSecond: bigint): Outcome {
  const { priceMsatPerEh, stepHashes, seconds } = economics;
  const { openSat, closeSat } = contractFees(economics.feeRateSatPerKvb);
  const workHashes = hashesPerSecond * seconds;
  const earnsSat = owedSat(workHashes, priceMsatPerEh);
  const netSat = earnsSat - openSat - closeSat;
  const shareHashes = shareWork(economics.shareDifficulty);
  return {
    ...{ workHashes, earnsSat, feesSat: openSat + closeSat, netSat },
    netMsatPerEh: netSat > 0n && workHashes > 0n ? (netSat * 1000n * HASHES_PER_EH) / workHashes : 0n,
    sharesPerMinute: (Number(hashesPerSecond) * 60) / Number(shareHashes),
    secondsPerStep: Number(stepHashes) / Number(hashesPerSecond),
    atRiskSat: owedSat(BigInt(economics.maxUnpaidSteps) * stepHashes + shareHashes, priceMsatPerEh),
  };
}

/** Expected hashes of a share of this difficulty. */
export function shareWork(difficulty: number): bigint {
  return workOfTarget(targetOfDifficulty(difficulty));
}

export function secondsOfBlocks(blocks: number): bigint {
  return BigInt(Math.max(0, blocks)) * SECONDS_PER_BLOCK;
}
