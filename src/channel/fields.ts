import { fromHex, isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';

/** True for a txid as displayed: 64 lower-case hex digits. */
export function isTxid(value: unknown): value is string {
  return isHex(value, 32) && value === value.toLowerCase();
}

/** True for an output index: an integer of 32 bits. */
export function isVout(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

/** Reads an object that has exactly these fields, and any of the optional ones. Throws `protocol`. */
export function readRecord(
  value: unknown,
  name: string,
  fields: readonly string[],
  optional: readonly string[] = [],
): Record<string, unknown> {
  if (!isRecord(value)) throw new CodedError('protocol', `${name} must be an object`);
  for (const field of fields) {
    if (!Object.hasOwn(value, field)) throw new CodedError('protocol', `${name} lacks ${field}`);
  }
  for (const field of Object.keys(value)) {
    if (!fields.includes(field) && !optional.includes(field)) {
      throw new CodedError('protocol', `${name} has fields that are not known`);
    }
  }
  return value;
}

/**
 * Reads lower-case hex of `size` bytes; without a size at most 10000 bytes, the longest script. Throws
 * `protocol`.
 */
export function readHex(value: unknown, name: string, size?: number): Uint8Array {
  if (!isHex(value, size) || value !== value.toLowerCase() || value.length > 20_000) {
    throw new CodedError('protocol', `${name} must be ${size ?? 'some'} bytes of lower-case hex`);
  }
  return fromHex(value);
}
