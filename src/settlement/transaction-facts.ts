import { Transaction } from 'bitcoinjs-lib';
import { memo } from '../base/memo.ts';

type TransactionFacts = { readonly txid: string; readonly vsize: number };

/** The facts of a transaction, cached: the same few are looked at at each tip. */
const factsOf = memo(256, (transactionHex: string): TransactionFacts => {
  const transaction = Transaction.fromHex(transactionHex);
  return { txid: transaction.getId(), vsize: transaction.virtualSize() };
});

/** The txid of a transaction, as displayed. */
export function txidOfHex(transactionHex: string): string {
  return factsOf(transactionHex).txid;
}

/** The virtual bytes of a complete transaction. */
export function vsizeOfHex(transactionHex: string): number {
  return factsOf(transactionHex).vsize;
}
