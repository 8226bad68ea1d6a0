/** BIP320's bits, what nearly all firmware rolls. */
export const DEFAULT_VERSION_MASK = 0x1fffe000;

/** BIP323 adds eight lower bits. */
export const BIP323_VERSION_MASK = 0x1fffffe0;

const MASK_HEX = /^(?:0x)?([0-9a-f]{1,8})$/i;
const DECIMAL = /^[0-9]{1,10}$/;

/**
 * A version mask as a pool or node writes it: eight hex digits (BIP310), fewer of them, or a decimal number,
 * as a number or as text (Braidpool: `"536862720"`). Where digits can be read both ways the reading counts
 * that keeps to the bits that anybody rolls, and of two such the hex of eight digits, else the decimal.
 * @returns a u32; undefined for anything else
 */
export function parseVersionMask(value: unknown): number | undefined {
  if (typeof value === 'number') return isU32(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const hex = MASK_HEX.exec(value)?.[1];
  const readings = hex === undefined ? [] : [Number.parseInt(hex, 16)];
  if (DECIMAL.test(value) && isU32(Number(value))) {
    if (hex?.length === 8) readings.push(Number(value));
    else readings.unshift(Number(value));
  }
  return readings.find((mask) => bitsWithin(mask, BIP323_VERSION_MASK)) ?? readings[0];
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

/**
 * How an upstream combines the sixth parameter of `mining.submit` with its job's version (`WIRE.md`).
 */
export type VersionReading = 'replace' | 'xor' | 'or';

/** The version bits that every mask has; all are u32. */
export function commonMask(...masks: readonly number[]): number {
  return masks.reduce((all, mask) => all & mask, 0xffffffff) >>> 0;
}

/** The version with the bits of a mask replaced: `(version & ~mask) | (bits & mask)`, u32 (BIP310). */
export function rolledVersion(version: number, mask: number, bits: number): number {
  return ((version & ~mask) | (bits & mask)) >>> 0;
}

/** True when `bits` touches nothing outside `mask`; BIP310 demands a rejection otherwise. */
export function bitsWithin(bits: number, mask: number): boolean {
  return (bits & ~mask) === 0;
}

/**
 * The mask to offer downstream for one upstream job. An upstream that ORs cannot clear bits its own
 * version has set, so those may not be rolled.
 */
export function rollableMask(reading: VersionReading, upstreamVersion: number, mask: number): number {
  return (reading === 'or' ? mask & ~upstreamVersion : mask) >>> 0;
}

/**
 * The sixth parameter that makes an upstream arrive at `version`, which must differ from
 * `upstreamVersion` only inside `mask` (as `rollableMask` gave it).
 */
export function upstreamVersionBits(
  reading: VersionReading,
  upstreamVersion: number,
  mask: number,
  version: number,
): number {
  return (reading === 'xor' ? version ^ upstreamVersion : version & mask) >>> 0;
}

/** The version an upstream arrives at from the sixth parameter; the inverse of `upstreamVersionBits`. */
export function upstreamVersion(
  reading: VersionReading,
  jobVersion: number,
  mask: number,
  bits: number,
): number {
  if (reading === 'xor') return (jobVersion ^ bits) >>> 0;
  if (reading === 'or') return (jobVersion | bits) >>> 0;
  return rolledVersion(jobVersion, mask, bits);
}
