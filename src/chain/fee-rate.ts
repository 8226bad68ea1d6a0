/** The highest fee rate of anything that is sent, in sat per kvB: by default bitcoind takes no more. */
export const MOST_SAT_PER_KVB = 10_000_000;

/** What a replacement of so many vbytes pays more in sats, at the least: one for each (BIP125, rule 4). */
export function incrementSat(vsize: number): bigint {
  return BigInt(vsize);
}

/** The fee in sats of so many virtual bytes at a rate, rounded up. */
export function feeAt(vsize: number, satPerKvb: number): bigint {
  return (BigInt(vsize) * BigInt(Math.ceil(satPerKvb)) + 999n) / 1000n;
}

/** The rate of a fee in sat per kvB, rounded down. */
export function rateOf(feeSat: bigint, vsize: number): number {
  return Number((feeSat * 1000n) / BigInt(vsize));
}
