import { fromHex, reversed, toHex } from '../base/bytes.ts';
import { sha256d } from '../base/hash.ts';

/** A block header. `prevHash` and `merkleRoot` in internal byte order; the rest are u32. */
export type Header = {
  readonly version: number;
  readonly prevHash: Uint8Array;
  readonly merkleRoot: Uint8Array;
  readonly time: number;
  readonly bits: number;
  readonly nonce: number;
};

export const HEADER_SIZE = 80;

/** The 80 bytes of a header, as they are hashed. */
export function serializeHeader(header: Header): Uint8Array {
  const out = new Uint8Array(HEADER_SIZE);
  const view = new DataView(out.buffer);
  view.setUint32(0, header.version, true);
  out.set(header.prevHash, 4);
  out.set(header.merkleRoot, 36);
  view.setUint32(68, header.time, true);
  view.setUint32(72, header.bits, true);
  view.setUint32(76, header.nonce, true);
  return out;
}

/** The header in 80 bytes, the inverse of `serializeHeader`; throws RangeError for anything but 80 bytes. */
export function parseHeader(bytes: Uint8Array): Header {
  if (bytes.length !== HEADER_SIZE)
    throw new RangeError(`a header has ${HEADER_SIZE} bytes, got ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    version: view.getUint32(0, true),
    prevHash: bytes.slice(4, 36),
    merkleRoot: bytes.slice(36, 68),
    time: view.getUint32(68, true),
    bits: view.getUint32(72, true),
    nonce: view.getUint32(76, true),
  };
}

/** The block hash: sha256d of the header, internal byte order. */
export function headerHash(header: Header): Uint8Array {
  return sha256d(serializeHeader(header));
}

/** The hash as explorers display it: 64 hex digits, reversed from internal order. */
export function displayHash(hash: Uint8Array): string {
  return toHex(reversed(hash));
}

/** The hash in internal byte order, from its displayed form; throws `malformed` unless 64 hex digits. */
export function parseDisplayHash(text: string): Uint8Array {
  return reversed(fromHex(text, 32));
}

/** Orders displayed hashes by their bytes in internal order. */
export function compareHashes(a: string, b: string): number {
  for (let at = a.length - 2; at >= 0; at -= 2) {
    const [left, right] = [a.slice(at, at + 2), b.slice(at, at + 2)];
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** The bytes with each 4-byte word reversed: `mining.notify` writes prevhash this way (`WIRE.md`). */
export function swapWords(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 4) {
    for (let byte = 0; byte < 4; byte += 1) out[at + byte] = bytes[at + 3 - byte]!;
  }
  return out;
}
