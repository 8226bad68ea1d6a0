import { Transaction } from 'bitcoinjs-lib';

type TransactionFacts = { readonly txid: string; readonly vsize: number };

const MAX_REMEMBERED = 256;
const remembered = new Map<string, TransactionFacts>();

/** The facts of a transaction, cached: the same few are looked at at each tip. */
function factsOf(transactionHex: string): TransactionFacts {
  const known = remembered.get(transactionHex);
  if (known !== undefined) return known;
  const transaction = Transaction.fromHex(transactionHex);
  const facts = { txid: transaction.getId(), vsize: transaction.virtualSize() };
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(transactionHex, facts);
  return facts;
}

/** The txid of a transaction, as displayed. */
export function txidOfHex(transactionHex: string): string {
  return factsOf(transactionHex).txid;
}

/** The virtual bytes of a complete transaction. */
export function vsizeOfHex(transactionHex: string): number {
  return factsOf(transactionHex).vsize;
}
