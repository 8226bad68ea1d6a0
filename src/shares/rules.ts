/** How far ahead of the clock a header may be: consensus' two hours. */
export const MAX_FUTURE_SECONDS = 7200;

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
 * The window of a share's ntime: `[jobTime, now + 7200 s]`, both ends included. Below the time of its job
 * a header can break the median-time rule; above two hours from now no node takes it.
 * @param ntime u32 seconds, as hashed
 * @param jobTime u32 seconds, of `mining.notify`
 * @param nowMs wall time, ms since the epoch
 */
export function ntimeInWindow(ntime: number, jobTime: number, nowMs: number): boolean {
  return ntime >= jobTime && ntime * 1000 <= nowMs + MAX_FUTURE_SECONDS * 1000;
}

/** BIP310: bits outside the negotiated mask make a submit invalid. Both u32. */
export function versionBitsAllowed(bits: number, mask: number): boolean {
  return (bits & ~mask) === 0;
}

/**
 * BIP310: `(jobVersion & ~mask) | (bits & mask)`, the version as hashed.
 * @returns u32
 */
export function rolledVersion(jobVersion: number, mask: number, bits: number): number {
  return ((jobVersion & ~mask) | (bits & mask)) >>> 0;
}
