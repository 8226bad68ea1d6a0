import * as crypto from 'node:crypto';

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(crypto.hash('sha256', bytes, 'buffer'));
}

/** SHA-256 twice: headers, transactions, merkle nodes. Internal byte order. */
export function sha256d(bytes: Uint8Array): Uint8Array {
  return sha256(sha256(bytes));
}

/** BIP340 tagged hash: `sha256(sha256(tag) || sha256(tag) || bytes)`. */
export function taggedHash(tag: string, bytes: Uint8Array): Uint8Array {
  const prefix = sha256(new TextEncoder().encode(tag));
  return new Uint8Array(crypto.createHash('sha256').update(prefix).update(prefix).update(bytes).digest());
}
