import {
  MIN_DIFFICULTY_AFTER_SECONDS,
  NETWORKS,
  type NetworkName,
  RETARGET_BLOCKS,
} from '../bitcoin/network.ts';

/** What the own node says of the block that work on a parent would make. Undefined: it does not tell. */
export type BlockFacts = {
  readonly height: number;
  /** nBits of a block that comes within twenty minutes of its parent, where that makes a difference. */
  readonly bits: number | undefined;
  readonly parentTimeSeconds: number | undefined;
  /** The least time of the block. */
  readonly minTimeSeconds: number | undefined;
  /** Fees in sats that the own template claimed, the least since the block before it was found. */
  readonly feesSat: bigint | undefined;
  /** Fees in sats of all that waits for a block. */
  readonly waitingFeesSat: bigint | undefined;
};

/** The parent of a block. */
export type ParentBlock = { readonly height: number; readonly bits: number };

/**
 * What follows from the parent alone, without a template: the height, and nBits unless they change there or
 * the parent's may be those of a late block.
 */
export function factsOfParent(network: NetworkName, parent: ParentBlock): BlockFacts {
  const { isRetargeted, minDifficultyBits } = NETWORKS[network].consensus;
  const height = parent.height + 1;
  const changes = isRetargeted && height % RETARGET_BLOCKS === 0;
  return {
    height,
    bits: changes || parent.bits === minDifficultyBits ? undefined : parent.bits,
    parentTimeSeconds: undefined,
    minTimeSeconds: undefined,
    feesSat: undefined,
    waitingFeesSat: undefined,
  };
}

/**
 * True for a time at which a block must have the least difficulty, as on testnets; undefined where the time
 * of the parent is not known.
 */
export function isLateBlock(
  network: NetworkName,
  facts: Pick<BlockFacts, 'height' | 'parentTimeSeconds'>,
  timeSeconds: number,
): boolean | undefined {
  const hasRule = NETWORKS[network].consensus.minDifficultyBits !== undefined;
  if (!hasRule || facts.height % RETARGET_BLOCKS === 0) return false;
  if (facts.parentTimeSeconds === undefined) return undefined;
  return timeSeconds > facts.parentTimeSeconds + MIN_DIFFICULTY_AFTER_SECONDS;
}

/** True unless the own node knows that a block of this time has other nBits. */
export function areBitsRight(
  network: NetworkName,
  facts: BlockFacts,
  { bits, time }: { readonly bits: number; readonly time: number },
): boolean {
  const least = NETWORKS[network].consensus.minDifficultyBits;
  const isLate = isLateBlock(network, facts, time);
  if (isLate === undefined && bits === least) return true;
  if (isLate === true) return bits === least;
  return facts.bits === undefined || bits === facts.bits;
}
