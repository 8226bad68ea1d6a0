import { CodedError } from './errors.ts';

/** 1 EH = 10^18 hashes. Prices are msat per EH. */
export const HASHES_PER_EH = 10n ** 18n;

/** Satoshis in one bitcoin, and the most that can ever exist. */
export const SATS_PER_BTC = 100_000_000n;
export const MAX_SATS = 21_000_000n * SATS_PER_BTC;

/**
 * The pay of `workHashes` at a fixed price, floored once over the whole cumulative amount (`PROTOCOL.md`).
 * @returns millisatoshis
 */
export function owedMsat(workHashes: bigint, priceMsatPerEh: bigint): bigint {
  return (workHashes * priceMsatPerEh) / HASHES_PER_EH;
}

/** The pay of state n, `a_n = floor(floor(w_n * price / 10^18) / 1000)`, in sats (`PROTOCOL.md`). */
export function owedSat(workHashes: bigint, priceMsatPerEh: bigint): bigint {
  return owedMsat(workHashes, priceMsatPerEh) / 1000n;
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,77})$/;

/**
 * A non-negative canonical decimal integer (no sign, no leading zero, at most 78 digits), as on the wire.
 * Throws `protocol`.
 */
export function parseDecimal(text: unknown, field: string): bigint {
  if (typeof text !== 'string' || !DECIMAL.test(text)) {
    throw new CodedError(
      'protocol',
      `${field} must be a decimal string, got ${JSON.stringify(text)?.slice(0, 80)}`,
    );
  }
  return BigInt(text);
}

const SI = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'] as const;

/** A number with an SI prefix, such as "12.3 TH" for the unit "H". Display only. */
export function formatSi(value: number, unit: string): string {
  let power = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 1000 && power < SI.length - 1) {
    scaled /= 1000;
    power += 1;
  }
  const digits = power === 0 ? 0 : scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${SI[power]}${unit}`;
}

/** A number in groups of three with thin spaces between, such as "1 234 567". Display only. */
export function formatGrouped(value: bigint | number): string {
  return value.toString().replace(/\B(?=(\d{3})+(?!\d))/g, '\u2009');
}
