/** While at least so many blocks are left, the fee of a close may take so much of what it saves. */
export type FeeCap = { readonly blocksLeft: number; readonly ppm: number };

/** Unless the terms say otherwise: a tenth until 72 blocks before the expiry, half until 12, then all. */
export const DEFAULT_FEE_CAPS: readonly FeeCap[] = [
  { blocksLeft: 72, ppm: 100_000 },
  { blocksLeft: 12, ppm: 500_000 },
  { blocksLeft: 0, ppm: 1_000_000 },
];

/** Where an output is small its part buys no place in a block: so much may always be paid. */
export const FREE_FEE_SAT = 1_000n;

/** A bid that no block took for so long was too low, whatever the estimate says. */
export const STUCK_BLOCKS = 2;

/** What a close saves: the own output before any fee, and what of it would not relay. */
export type Saved = { readonly outputSat: bigint; readonly dustSat: bigint };

/**
 * The most that a close and its child may pay; it clamps, and never says that nothing may be sent.
 * @param left blocks to the expiry
 */
export function mostFeeSat(caps: readonly FeeCap[], left: number, { outputSat, dustSat }: Saved): bigint {
  const cap = caps.find(({ blocksLeft }) => left >= blocksLeft) ?? caps.at(-1);
  const partSat = (outputSat * BigInt(cap?.ppm ?? 1_000_000)) / 1_000_000n;
  const shareSat = partSat > FREE_FEE_SAT ? partSat : FREE_FEE_SAT;
  const freeSat = outputSat > dustSat ? outputSat - dustSat : 0n;
  return shareSat < freeSat ? shareSat : freeSat;
}
