import { smaller } from '../base/bigints.ts';
import { MAX_SATS } from '../base/units.ts';
import { type NetworkName, subsidySat } from '../bitcoin/network.ts';
import { areBitsRight, type BlockFacts } from '../chain/block-facts.ts';
import type { BindingV3 } from '../contract/binding.ts';
import type { JobRecord } from '../work/evidence.ts';
import { type BlockClaim, isAtHeight, type JobCoinbase, paidByScript, totalSatOf } from './job-coinbase.ts';

/** The rules of the binding `payout`: what the block of a job must be to be worth something to its buyer. */

/** The terms of the binding. */
export type PayoutTerms = Extract<BindingV3, { readonly type: 'payout' }>;
/** A payee of the coinbase and its part of the value. */
export type Payee = { readonly scriptHex: string; readonly ppm: number };

/** What is wrong with a job, in words. */
export const PAYOUT_FAULTS = {
  payees: 'the coinbase does not pay each script of the terms its part',
  height: 'the coinbase is of another height than the block would have',
  bits: 'its nbits are not those of the next block',
  time: 'its time is before the least that the next block may have',
  too_little: 'the coinbase claims less than the subsidy and the agreed part of the fees',
  too_much: 'the coinbase claims more than the subsidy and all fees there could be',
} as const;
/** The name of a fault. */
export type PayoutFault = keyof typeof PAYOUT_FAULTS;

/**
 * Fees in sats that a block may claim whatever waits in the own mempool: transactions may have come to its
 * miner alone. A block that claims more than its own fees is invalid, which only its transactions show.
 */
const UNSEEN_FEES_SAT = 100_000_000n;

/** True where the coinbase pays each payee its part of the whole, rounded down to a sat. */
export function paysParts(coinbase: JobCoinbase, payees: readonly Payee[]): boolean {
  const totalSat = totalSatOf(coinbase);
  if (totalSat === 0n) return false;
  const paid = paidByScript(coinbase);
  return payees.every(({ scriptHex, ppm }) => (paid.get(scriptHex) ?? 0n) >= partSat(totalSat, ppm));
}

/** The least that a coinbase claims in sats. */
export function leastSat(network: NetworkName, minFeesPpm: number, facts: BlockFacts): bigint {
  return subsidySat(network, facts.height) + partSat(facts.feesSat ?? 0n, minFeesPpm);
}

/**
 * The most that a coinbase claims in sats: the subsidy, and twice the fees of all that waits in the own
 * mempool or `UNSEEN_FEES_SAT`. Where the node does not tell what waits, the supply.
 */
export function mostSat(network: NetworkName, { height, feesSat, waitingFeesSat }: BlockFacts): bigint {
  const known = waitingFeesSat ?? feesSat;
  if (known === undefined) return MAX_SATS;
  const feesSatAtMost = 2n * known > UNSEEN_FEES_SAT ? 2n * known : UNSEEN_FEES_SAT;
  return smaller(MAX_SATS, subsidySat(network, height) + feesSatAtMost);
}

/** Checks the block of a job against what the own node knows of it; whom it pays is `paysParts`. */
export function checkPayout(
  network: NetworkName,
  minFeesPpm: number,
  job: Pick<JobRecord, 'bits' | 'time'>,
  claim: BlockClaim,
  facts: BlockFacts,
): PayoutFault | undefined {
  if (!isAtHeight(claim, facts.height)) return 'height';
  if (!areBitsRight(network, facts, job)) return 'bits';
  if (facts.minTimeSeconds !== undefined && job.time < facts.minTimeSeconds) return 'time';
  if (claim.totalSat < leastSat(network, minFeesPpm, facts)) return 'too_little';
  return claim.totalSat > mostSat(network, facts) ? 'too_much' : undefined;
}

function partSat(sat: bigint, ppm: number): bigint {
  return (sat * BigInt(ppm)) / 1_000_000n;
}
