/** Transactions that are mined together, for the fee and the size they have together. */
export type FeeChunk = { readonly feeSat: bigint; readonly vsize: number };

type Point = { readonly vsize: bigint; readonly feeSat: bigint };

/** A parent and its only child: together if the child pays the better rate, else one after the other. */
export function pairChunks(parent: FeeChunk, child: FeeChunk): readonly FeeChunk[] {
  return isBetterRate(child, parent)
    ? [{ feeSat: parent.feeSat + child.feeSat, vsize: parent.vsize + child.vsize }]
    : [parent, child];
}

/** At every size blocks earn by the new chunks at least what they did by the old ones, and at one more. */
export function improvesDiagram(before: readonly FeeChunk[], after: readonly FeeChunk[]): boolean {
  const [old, now] = [pointsOf(before), pointsOf(after)];
  const sizes = [...old, ...now].map(({ vsize }) => vsize);
  const gains = sizes.map((vsize) => compareAt(now, old, vsize));
  return gains.every((gain) => gain >= 0n) && gains.some((gain) => gain > 0n);
}

function isBetterRate(one: FeeChunk, other: FeeChunk): boolean {
  return one.feeSat * BigInt(other.vsize) > other.feeSat * BigInt(one.vsize);
}

/** Sizes and fees added up, the best rate first. */
function pointsOf(chunks: readonly FeeChunk[]): readonly Point[] {
  let [vsize, feeSat] = [0n, 0n];
  const sorted = [...chunks].sort((one, other) => {
    if (isBetterRate(one, other)) return -1;
    return isBetterRate(other, one) ? 1 : 0;
  });
  return [
    { vsize, feeSat },
    ...sorted.map((chunk) => {
      vsize += BigInt(chunk.vsize);
      feeSat += chunk.feeSat;
      return { vsize, feeSat };
    }),
  ];
}

/** The sign of what one line has above the other at a size. */
function compareAt(one: readonly Point[], other: readonly Point[], vsize: bigint): bigint {
  const [a, b] = [feeAt(one, vsize), feeAt(other, vsize)];
  return a.over * b.under - b.over * a.under;
}

/** A fraction: straight between two points, level after the last. */
function feeAt(points: readonly Point[], vsize: bigint): { readonly over: bigint; readonly under: bigint } {
  const next = points.findIndex((point) => point.vsize >= vsize);
  if (next === -1) return { over: points.at(-1)!.feeSat, under: 1n };
  const to = points[next]!;
  const from = points[next - 1];
  if (from === undefined) return { over: to.feeSat, under: 1n };
  const under = to.vsize - from.vsize;
  return { over: from.feeSat * under + (to.feeSat - from.feeSat) * (vsize - from.vsize), under };
}
