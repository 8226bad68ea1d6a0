import { Transaction } from 'bitcoinjs-lib';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { buildCoinbase, compactSize } from '../../src/bitcoin/coinbase.ts';
import {
  displayHash,
  type Header,
  headerHash,
  parseDisplayHash,
  serializeHeader,
} from '../../src/bitcoin/header.ts';
import { hashToNumber, targetOfCompact } from '../../src/bitcoin/target.ts';
import { blockMerkleRoot, witnessCommitmentScript } from '../../src/devnet/chain/block.ts';
import { ANYONE_SCRIPT_HEX } from '../../src/devnet/chain/chain.ts';

let blocks = 0;

/** A solved block of regtest with just these transactions and a coinbase that claims nothing. */
export function solvedBlock(on: {
  readonly parent: string;
  readonly height: number;
  readonly timeSeconds: number;
  readonly bits: number;
  readonly transactions: readonly Transaction[];
}): { readonly hex: string; readonly hash: string } {
  const transactions = [coinbaseOf(on.height, on.transactions), ...on.transactions];
  const header: Header = {
    version: 0x2000_0000,
    prevHash: parseDisplayHash(on.parent),
    merkleRoot: blockMerkleRoot(transactions),
    time: on.timeSeconds,
    bits: on.bits,
    nonce: 0,
  };
  const target = targetOfCompact(on.bits);
  for (let nonce = 0; ; nonce += 1) {
    const solved = { ...header, nonce };
    const hash = headerHash(solved);
    if (hashToNumber(hash) > target) continue;
    const body = concat(
      serializeHeader(solved),
      compactSize(transactions.length),
      ...transactions.map((transaction) => fromHex(transaction.toHex())),
    );
    return { hex: toHex(body), hash: displayHash(hash) };
  }
}

function coinbaseOf(height: number, transactions: readonly Transaction[]): Transaction {
  blocks += 1;
  const { coinb1, coinb2 } = buildCoinbase({
    height,
    extranonceSize: 0,
    tag: new TextEncoder().encode(`suite ${process.pid} ${blocks}`),
    outputs: [
      { script: fromHex(ANYONE_SCRIPT_HEX), valueSat: 0n },
      { script: witnessCommitmentScript(transactions), valueSat: 0n },
    ],
  });
  const coinbase = Transaction.fromBuffer(concat(coinb1, coinb2));
  coinbase.setWitness(0, [new Uint8Array(32)]);
  return coinbase;
}
