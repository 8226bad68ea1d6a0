import { Transaction } from 'bitcoinjs-lib';
import { fromHex, reversed } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { ANYONE_SCRIPT_HEX, type DevnetChain } from './chain.ts';

const OP_TRUE = Uint8Array.of(0x51);
/** For each input; an output and the rest of the transaction cost less than one more. */
const FEE_SAT = 200n;
/** Keeps the change above dust. */
const LEAST_CHANGE_SAT = 1_000n;
const MAX_INPUTS = 100;

/**
 * Sends filler coins of a chain, which anyone can spend, to a script: the transaction is in the mempool, and
 * its txid is returned. Throws `insufficient_funds`, `tx_refused`.
 */
export function sendFillerCoins(chain: DevnetChain, scriptHex: string, valueSat: bigint): string {
  const transaction = new Transaction();
  transaction.version = 2;
  let inputSat = 0n;
  const neededSat = (): bigint =>
    valueSat + LEAST_CHANGE_SAT + FEE_SAT * BigInt(transaction.ins.length + 2);
  for (const { txid, vout } of chain.utxos(ANYONE_SCRIPT_HEX)) {
    if (transaction.ins.length === MAX_INPUTS || (transaction.ins.length > 0 && inputSat >= neededSat()))
      break;
    const coin = chain.coin(txid, vout);
    if (coin === undefined || coin.coinbase) continue;
    transaction.addInput(reversed(fromHex(txid)), vout, 0xfffffffd);
    inputSat += coin.valueSat;
  }
  const feeSat = FEE_SAT * BigInt(transaction.ins.length + 2);
  if (inputSat < neededSat()) {
    throw new CodedError(
      'insufficient_funds',
      `the simulated chain has ${inputSat} sat to give at present`,
    );
  }
  transaction.addOutput(fromHex(scriptHex), valueSat);
  transaction.addOutput(fromHex(ANYONE_SCRIPT_HEX), inputSat - valueSat - feeSat);
  for (const index of transaction.ins.keys()) transaction.setWitness(index, [OP_TRUE]);
  return chain.broadcast(transaction.toHex());
}
