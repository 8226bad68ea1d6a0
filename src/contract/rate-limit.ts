import type { ContractTerms } from './terms.ts';

/**
 * The most work that is credited by a block, where the terms refuse more than the greatest rate
 * (`over_delivery`). It follows from the height of the block that a share builds on, as does whether it is
 * within the contract at all: so no clock of either side, and no start of either, changes it.
 */

/** Blocks by which delivery may be ahead of the greatest rate: chance makes some blocks quick. */
export const AHEAD_BLOCKS = 36;
const BLOCK_SECONDS = 600n;

/**
 * Hashes that are credited in all on blocks up to one: a share is, while less is. Undefined where all is.
 * @param deepHeight where the funding was deep; undefined while that is not known
 */
export function creditLimit(
  terms: ContractTerms,
  deepHeight: number | undefined,
  height: number,
): bigint | undefined {
  if (terms.version !== 3 || terms.overDelivery !== 'refuse' || terms.rate === undefined) return undefined;
  if (deepHeight === undefined) return undefined;
  const began = Math.max(terms.start?.notBeforeHeight ?? 0, deepHeight);
  const blocks = Math.max(height - began + 1, 0) + AHEAD_BLOCKS;
  return terms.rate.max * BLOCK_SECONDS * BigInt(blocks);
}
