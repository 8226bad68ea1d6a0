import { toHex } from '../base/bytes.ts';
import { parseDisplayHash } from './header.ts';

/** Bytes of a transaction's short id. */
export const SHORT_ID_SIZE = 8;

/** The short id of a transaction in hex: the first bytes of its txid (as displayed) in internal order. */
export function shortIdOf(txid: string): string {
  return toHex(parseDisplayHash(txid).subarray(0, SHORT_ID_SIZE));
}
