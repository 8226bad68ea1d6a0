import { Transaction } from 'bitcoinjs-lib';
import { expect, it } from 'vitest';
import { txidOfHex, vsizeOfHex } from '../../src/settlement/transaction-facts.ts';

let made = 0;

/** A transaction that was never seen before. */
function newTransaction(): Transaction {
  made += 1;
  const transaction = new Transaction();
  transaction.locktime = made;
  transaction.addInput(new Uint8Array(32).fill(3), made);
  transaction.addOutput(new Uint8Array(made % 40), 1n);
  return transaction;
}

it('the facts of a transaction are its own, first and again, whatever was looked at between', () => {
  const transactions = Array.from({ length: 600 }, newTransaction);
  for (let round = 0; round < 2; round += 1) {
    for (const transaction of transactions) {
      const hex = transaction.toHex();
      expect(txidOfHex(hex)).toBe(transaction.getId());
      expect(vsizeOfHex(hex)).toBe(transaction.virtualSize());
      expect(txidOfHex(hex)).toBe(transaction.getId());
    }
  }
});
