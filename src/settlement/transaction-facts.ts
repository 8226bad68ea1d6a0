import { Transaction } from 'bitcoinjs-lib';

type TransactionFacts = { readonly txid: string; readonly vsize: number };

const MAX_REMEMBERED = 256;
const remembered = new Map<string, TransactionFacts>();

/** Parsed once: the same few transactions are looked at at each tip. */
function factsOf(transactionHex: string): TransactionFacts {
  const known = remembered.get(transactionHex);
  if (known !== undefined) return known;
  const transaction = Transaction.fromHex(transactionHex);
  const facts = { txid: transaction.getId(), vsize: transaction.virtualSize() };
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(transactionHex, facts);
  return facts;
}

export function txidOfHex(transactionHex: string): string {
  return factsOf(transactionHex).txid;
}

/** Virtual bytes of a complete transaction. */
export function vsizeOfHex(transactionHex: string): number {
  return factsOf(transactionHex).vsize;
}
