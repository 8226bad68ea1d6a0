import { Transaction } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import { p2wpkhScript, signP2wpkhInput } from '../../src/chain/wallet.ts';

export type Coins = { readonly txid: string; readonly vout: number; readonly valueSat: bigint };

/** A key with a fixed secret, for tests. */
export function testKey(seed: number): {
  readonly publicKey: Uint8Array;
  readonly scriptHex: string;
  readonly sign: (hash: Uint8Array) => Uint8Array;
} {
  const secret = new Uint8Array(32).fill(seed);
  const publicKey = ecc.pointFromScalar(secret, true)!;
  return {
    publicKey,
    scriptHex: toHex(p2wpkhScript(publicKey)),
    sign: (hash) => ecc.sign(hash, secret),
  };
}

export type Payment = {
  readonly from: readonly Coins[];
  readonly key: ReturnType<typeof testKey>;
  readonly to: readonly { readonly scriptHex: string; readonly valueSat: bigint }[];
  readonly version?: number;
  readonly locktime?: number;
  readonly sequence?: number;
};

/** A signed P2WPKH payment. */
export function pay(payment: Payment): Transaction {
  const transaction = new Transaction();
  transaction.version = payment.version ?? 2;
  transaction.locktime = payment.locktime ?? 0;
  for (const coin of payment.from) {
    transaction.addInput(reversed(fromHex(coin.txid)), coin.vout, payment.sequence ?? 0xfffffffd);
  }
  for (const output of payment.to) transaction.addOutput(fromHex(output.scriptHex), output.valueSat);
  for (const [index, coin] of payment.from.entries()) {
    const spent = { valueSat: coin.valueSat, publicKey: payment.key.publicKey };
    transaction.setWitness(index, signP2wpkhInput(transaction, index, spent, payment.key.sign));
  }
  return transaction;
}
