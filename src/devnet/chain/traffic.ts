import { Transaction } from 'bitcoinjs-lib';
import { fromHex, reversed } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from './chain.ts';

const FILLER_FEE_SAT = 50n;
const OP_TRUE = Uint8Array.of(0x51);

/**
 * Brings the mempool to `count` transactions, so that blocks have merkle branches as real ones do. Each
 * filler is a real transaction that moves one filler coin to itself; without filler coins nothing happens.
 */
export function fillMempool(chain: DevnetChain, count: number): void {
  let missing = count - chain.mempoolSize;
  if (missing <= 0) return;
  for (const coin of chain.utxos(ANYONE_SCRIPT_HEX)) {
    if (missing <= 0) return;
    const usable = chain.coin(coin.txid, coin.vout);
    if (usable === undefined || usable.coinbase || coin.valueSat < 2n * FILLER_FEE_SAT + 1_000n) continue;
    const transaction = new Transaction();
    transaction.version = 2;
    transaction.addInput(reversed(fromHex(coin.txid)), coin.vout, 0xfffffffd);
    transaction.addOutput(fromHex(ANYONE_SCRIPT_HEX), coin.valueSat - FILLER_FEE_SAT);
    transaction.setWitness(0, [OP_TRUE]);
    if (entered(chain, transaction)) missing -= 1;
  }
}

function entered(chain: DevnetChain, transaction: Transaction): boolean {
  try {
    chain.broadcast(transaction.toHex());
    return true;
  } catch (error) {
    if (error instanceof CodedError) return false;
    throw error;
  }
}
