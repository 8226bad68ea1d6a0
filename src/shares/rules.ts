import { bitsWithin } from '../stratum/version-rolling.ts';

/** How far ahead of the clock a header may be: consensus' two hours. */
export const MAX_FUTURE_SECONDS = 7200;

/**
 * The same for whoever answers miners: what it takes must not be refused by a buyer whose clock is behind.
 * Each of the two clocks may be a minute off.
 */
export const SELLER_FUTURE_SECONDS = MAX_FUTURE_SECONDS - 120;

/**
 * True when a header hash is at or below a target, both as little-endian 256-bit numbers.
 * @param hash holds the 32 bytes of the hash (internal order) from `offset` on
 * @param words eight u32 of the target, least significant first (`ShareTarget.words`)
 */
export function meets(hash: Uint8Array, offset: number, words: Uint32Array): boolean {
  for (let word = 7; word >= 0; word -= 1) {
    const at = offset + word * 4;
    const value = (hash[at]! | (hash[at + 1]! << 8) | (hash[at + 2]! << 16) | (hash[at + 3]! << 24)) >>> 0;
    const bound = words[word]!;
    if (value !== bound) return value < bound;
  }
  return true;
}

/**
 * The window of a share's ntime, both ends included: from the time of its job to `futureSeconds` from now.
 * Below the time of its job a header can break the median-time rule; above two hours from now no node takes
 * it.
 * @param ntime u32 seconds, as hashed
 * @param jobTime u32 seconds, of `mining.notify`
 * @param nowMs wall time, ms since the epoch
 */
export function ntimeInWindow(
  ntime: number,
  jobTime: number,
  nowMs: number,
  futureSeconds = MAX_FUTURE_SECONDS,
): boolean {
  return ntime >= jobTime && ntime * 1000 <= nowMs + futureSeconds * 1000;
}

/** A version as hashed differs from its job's in bits of the job's mask only (BIP310). All u32. */
export function versionInMask(version: number, jobVersion: number, mask: number): boolean {
  return bitsWithin(version ^ jobVersion, mask);
}
