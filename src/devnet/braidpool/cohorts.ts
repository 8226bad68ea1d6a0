/**
 * A bead among those whose cuts are looked for: its parents as positions in the same list, all of them
 * lower.
 */
export type CutNode = { readonly parents: readonly number[] };

/** For each node the set of its ancestors among the nodes, as a bit mask. */
function ancestorMasks(nodes: readonly CutNode[]): bigint[] {
  const masks: bigint[] = [];
  for (const { parents } of nodes) {
    let mask = 0n;
    for (const parent of parents) mask |= masks[parent]! | (1n << BigInt(parent));
    masks.push(mask);
  }
  return masks;
}

/** The position of the lowest bit that is not set. */
function lowestGap(mask: bigint): number {
  if ((mask & 1n) === 0n) return 0;
  const gap = ~mask & (mask + 1n);
  return gap.toString(2).length - 1;
}

/**
 * Where a braid falls apart: each position p such that every node from p on has every node before p among
 * its ancestors. Cohorts are what lies between two cuts.
 * @param nodes in an order in which parents come first
 * @returns the start of each cohort, ascending; the first is 0
 */
export function cutPositions(nodes: readonly CutNode[]): number[] {
  const gaps = ancestorMasks(nodes).map((mask, index) => Math.min(lowestGap(mask), index));
  const cuts: number[] = [];
  let leastGap = nodes.length;
  for (let position = nodes.length - 1; position >= 0; position -= 1) {
    leastGap = Math.min(leastGap, gaps[position]!);
    if (leastGap >= position) cuts.unshift(position);
  }
  return cuts;
}

/** How many ancestors each node has among the nodes. */
export function ancestorCounts(nodes: readonly CutNode[]): number[] {
  return ancestorMasks(nodes).map((mask) => {
    let count = 0;
    for (const digit of mask.toString(16)) count += BITS[Number.parseInt(digit, 16)]!;
    return count;
  });
}

const BITS = Array.from({ length: 16 }, (_, value) => value.toString(2).replaceAll('0', '').length);
