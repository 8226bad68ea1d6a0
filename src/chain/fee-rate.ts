/** What a replacement pays more for each virtual byte in sats, at the least (BIP125, rule 4). */
export const INCREMENT_SAT = 1n;

/** The fee in sats of so many virtual bytes at a rate, rounded up. */
export function feeAt(vsize: number, satPerKvb: number): bigint {
  return (BigInt(vsize) * BigInt(Math.ceil(satPerKvb)) + 999n) / 1000n;
}

/** The rate of a fee in sat per kvB, rounded down. */
export function rateOf(feeSat: bigint, vsize: number): number {
  return Number((feeSat * 1000n) / BigInt(vsize));
}
