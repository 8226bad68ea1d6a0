import type { CodedError } from '../base/errors.ts';

/** Codes of what is this side's own affair: its money, keys, disk and node. */
const OWN_AFFAIRS =
  /^(?:insufficient_funds|tx_refused|channel_frozen|cold_key|bad_(?:key|signer)_file|(?:chain|truc|ledger)_)/;

/** What a peer is told of an error: all of it where it is about what the peer sent, else the code alone. */
export function toldMessage({ code, message }: CodedError): string {
  return OWN_AFFAIRS.test(code) ? code : message;
}

/** Members of the data of a refusal that say which term, what it is and what would be taken. */
const TERM_MEMBERS = ['path', 'got', 'allowed'] as const;

/** What a peer is told beside the message: the code, what to do, and of refused terms which one. */
export function toldData({ code, hint, meta }: CodedError): Record<string, string> {
  return { code, hint, ...(code === 'bad_terms' ? termMembers(meta) : {}) };
}

/** The members of a refused term in what a peer told, or in what it will be. */
export function termMembers(data: Readonly<Record<string, unknown>>): Record<string, string> {
  const told = TERM_MEMBERS.flatMap((name) => {
    const value = data[name];
    return typeof value === 'string' ? [[name, value.slice(0, 100)]] : [];
  });
  return Object.fromEntries(told);
}
