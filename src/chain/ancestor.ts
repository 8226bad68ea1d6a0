import type { ChainHeader, ChainTip } from './source.ts';

/** What of a header leads to the one before it. */
type Linked = Pick<ChainHeader, 'height' | 'previousHash'>;

/**
 * The header of a height on the chain of a tip, by its headers from the tip down; undefined for one that is
 * ahead, more than so many blocks behind, or behind what the node has.
 * @param headerOf by a hash as displayed
 */
export async function ancestorOf<T extends Linked>(
  headerOf: (hash: string) => Promise<T | undefined>,
  tip: ChainTip,
  height: number,
  mostBlocks: number,
): Promise<T | undefined> {
  if (height > tip.height || height < tip.height - mostBlocks) return undefined;
  let at = await headerOf(tip.hash);
  while (at !== undefined && at.height > height) at = await headerOf(at.previousHash);
  return at?.height === height ? at : undefined;
}
