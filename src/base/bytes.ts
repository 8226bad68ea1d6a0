import { CodedError } from './errors.ts';

/** Lower-case hex of bytes. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

const HEX = /^(?:[0-9a-fA-F]{2})*$/;

/** True for an even number of hex digits of either case; `size` in bytes when it must be exact. */
export function isHex(text: unknown, size?: number): text is string {
  return typeof text === 'string' && HEX.test(text) && (size === undefined || text.length === size * 2);
}

/**
 * The bytes of hex digits of either case. Throws `malformed` for anything but an even number of hex digits
 * (Node's own decoder stops silently).
 * @param size exact length in bytes, when it is known
 */
export function fromHex(text: string, size?: number): Uint8Array {
  if (!isHex(text, size)) {
    const expected = size === undefined ? 'hex' : `${size} bytes of hex`;
    throw new CodedError(
      'malformed',
      `expected ${expected}, got ${JSON.stringify(String(text).slice(0, 80))}`,
    );
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** A reversed copy: internal byte order <-> displayed byte order of hashes. */
export function reversed(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes).reverse();
}

/** One array of all the bytes of the parts, in order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** True for the same bytes; not in constant time, so never for secrets. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Four little-endian bytes of a u32. */
export function u32le(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

/** Eight hex digits of a u32, big-endian: how Stratum writes version, nbits, ntime and nonce. */
export function u32hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** The number that little-endian bytes spell; 0 for none. */
export function bigFromLe(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(reversed(bytes))}`);
}

/** The `size` little-endian bytes of a number; throws RangeError when it does not fit. */
export function bigToLe(value: bigint, size: number): Uint8Array {
  return reversed(bigToBe(value, size));
}

/** The `size` big-endian bytes of a number; throws RangeError when it does not fit. */
export function bigToBe(value: bigint, size: number): Uint8Array {
  if (value < 0n || value >> BigInt(size * 8) !== 0n)
    throw new RangeError(`${value} does not fit ${size} bytes`);
  return fromHex(value.toString(16).padStart(size * 2, '0'));
}
