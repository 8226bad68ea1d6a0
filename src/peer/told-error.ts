import type { CodedError } from '../base/errors.ts';

/** Codes of what is this side's own affair: its money, keys, disk and node. */
const OWN_AFFAIRS =
  /^(?:insufficient_funds|tx_refused|channel_frozen|cold_key|bad_(?:key|signer)_file|(?:chain|truc|ledger)_)/;

/** What a peer is told of an error: all of it where it is about what the peer sent, else the code alone. */
export function toldMessage({ code, message }: CodedError): string {
  return OWN_AFFAIRS.test(code) ? code : message;
}
