import type { ContractTerms } from './terms.ts';

/** A side of a contract. */
type Side = 'miner' | 'maker';

/** Both, in the order they are shown in. */
export const SIDES = ['miner', 'maker'] as const satisfies readonly Side[];

/** The other side of a contract. */
export function otherSide(side: Side): Side {
  return side === 'miner' ? 'maker' : 'miner';
}

/** The node key of a side, in hex. */
export function nodeIdOf(
  { minerNodeId, makerNodeId }: Pick<ContractTerms, 'minerNodeId' | 'makerNodeId'>,
  side: Side,
): string {
  return side === 'miner' ? minerNodeId : makerNodeId;
}
