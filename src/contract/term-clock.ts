import type { ContractTerms } from './terms.ts';
import { stopHeightOf } from './updated-terms.ts';

/**
 * The block clock of a contract. A share belongs to the block that its job builds on, whose hash is in its
 * header: so both sides and whoever reads the evidence agree on the height of each share, whatever tip
 * either of them sees. The contract's blocks are those from `start.not_before_height`, or any, up to
 * `duration_blocks` after its start, which is where the funding was deep, or the first height where that is
 * later. Both follow from the terms and the chain alone, also after a reorganisation.
 */

/** The heights of the blocks that credited work builds on: from the first, and below the end. */
export type TermPeriod = { readonly from: number; readonly end: number };

/** The period of a contract that neither waits nor ends by the clock. */
export const EVERY_BLOCK: TermPeriod = { from: 0, end: Number.POSITIVE_INFINITY };

/**
 * Blocks by which the tips of two sides may differ. The side that buys ends nothing for want of a beginning
 * until so many blocks later, and agrees to a close that comes so many earlier.
 */
export const VIEW_BLOCKS = 2;

/** The height at which a funding of so many confirmations at the tip was deep. */
export function deepHeightOf({ minDepth }: ContractTerms, height: number, confirmations: number): number {
  return height - confirmations + minDepth;
}

/**
 * The period of a contract; undefined where its end is by the clock and its funding is not in a block.
 * @param deepHeight where the funding was `min_depth` deep, by the chain of now
 */
export function periodOf(terms: ContractTerms, deepHeight: number | undefined): TermPeriod | undefined {
  if (terms.version !== 3) return EVERY_BLOCK;
  const { start, durationBlocks } = terms;
  const from = start?.notBeforeHeight ?? EVERY_BLOCK.from;
  const stopHeight = stopHeightOf(terms);
  if (stopHeight !== undefined) return { from, end: stopHeight };
  if (durationBlocks === undefined) return { from, end: EVERY_BLOCK.end };
  return deepHeight === undefined ? undefined : { from, end: Math.max(from, deepHeight) + durationBlocks };
}

/** Where a block stands to the period, as the parent of work. */
export function placeIn({ from, end }: TermPeriod, height: number): 'before' | 'within' | 'after' {
  if (height < from) return 'before';
  return height < end ? 'within' : 'after';
}

/** True from the first block on after which a contract without any work lapses. */
export function isLapsed(terms: ContractTerms, height: number): boolean {
  return terms.version === 3 && terms.start !== undefined && height > terms.start.notAfterHeight;
}
