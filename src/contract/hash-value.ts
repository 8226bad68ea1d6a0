import { hashValueMsatPerEh } from '../base/price.ts';
import { targetOfCompact, workOfTarget } from '../bitcoin/target.ts';
import type { MovingPrice } from './price.ts';

/** Blocks that a value of hashes is of. */
export const VALUE_BLOCKS = 144;
/** Blocks of a difficulty period. */
const PERIOD_BLOCKS = 2016;

/** What of a block the value of hashes depends on. */
export type BlockValue = {
  /** Subsidy and fees, sats. */
  readonly rewardSat: bigint;
  readonly bits: number;
};

/**
 * `hash_value_144` of `MARKET.md`, msat per EH, from the blocks before a height, in any order; undefined for
 * another number of them.
 */
export function hashValue144(blocks: readonly BlockValue[]): bigint | undefined {
  if (blocks.length !== VALUE_BLOCKS) return undefined;
  const rewardSat = blocks.reduce((sum, block) => sum + block.rewardSat, 0n);
  const hashes = blocks.reduce((sum, { bits }) => sum + workOfTarget(targetOfCompact(bits)), 0n);
  return hashValueMsatPerEh(hashes, rewardSat);
}

/** The height at which the price that holds at a height was taken. */
export function epochStart(epoch: MovingPrice['epoch'], height: number): number {
  return height - (height % epochBlocks(epoch));
}

export function epochBlocks(epoch: MovingPrice['epoch']): number {
  return epoch === 'day' ? VALUE_BLOCKS : PERIOD_BLOCKS;
}
