import type { Transaction } from 'bitcoinjs-lib';
import { CodedError } from '../../base/errors.ts';
import { MAX_SATS } from '../../base/units.ts';
import { displayHash } from '../../bitcoin/header.ts';

/** An unspent output. Heights are those of the block that holds it; the next height while in the mempool. */
export type Coin = {
  readonly valueSat: bigint;
  readonly script: Uint8Array;
  readonly height: number;
  /** Subject to coinbase maturity; false for the premine. */
  readonly coinbase: boolean;
  readonly confirmed: boolean;
};

/** What the rules must know of the chain that a transaction would be added to. */
export type RuleContext = {
  /** Height of the block that would hold the transaction. */
  readonly height: number;
  /** Median time of the tip (BIP113), seconds. */
  readonly medianTime: number;
  /** Median time of the block at a height, seconds. */
  readonly medianTimeAt: (height: number) => number;
  readonly coinbaseMaturity: number;
  readonly coin: (outpoint: string) => Coin | undefined;
};

export type CheckedInputs = { readonly feeSat: bigint; readonly coins: readonly Coin[] };

/** The JSON-RPC numbers bitcoind gives with a refused transaction. */
export const RPC_DESERIALIZATION_ERROR = -22;
export const RPC_VERIFY_ERROR = -25;
export const RPC_VERIFY_REJECTED = -26;
export const RPC_VERIFY_ALREADY_IN_CHAIN = -27;

/** `tx_refused` with bitcoind's own reason and RPC number in `meta`. */
export function refusal(
  reason: string,
  rpcCode: number = RPC_VERIFY_REJECTED,
  meta: Readonly<Record<string, unknown>> = {},
): CodedError {
  return new CodedError('tx_refused', reason, { ...meta, reason, rpcCode });
}

/** `txid:vout` with the txid as displayed. */
export function outpointOf(input: { readonly hash: Uint8Array; readonly index: number }): string {
  return `${displayHash(input.hash)}:${input.index}`;
}

/** Rules that need no chain: shape, amounts, no input twice. Throws `tx_refused`. */
export function checkShape(transaction: Transaction): void {
  if (transaction.ins.length === 0) throw refusal('bad-txns-vin-empty');
  if (transaction.outs.length === 0) throw refusal('bad-txns-vout-empty');
  if (transaction.weight() > 400_000) throw refusal('tx-size');
  let total = 0n;
  for (const output of transaction.outs) {
    if (output.value > MAX_SATS) throw refusal('bad-txns-vout-toolarge');
    total += output.value;
  }
  if (total > MAX_SATS) throw refusal('bad-txns-txouttotal-toolarge');
  if (new Set(transaction.ins.map(outpointOf)).size !== transaction.ins.length) {
    throw refusal('bad-txns-inputs-duplicate');
  }
  if (transaction.isCoinbase()) throw refusal('coinbase');
}

const LOCKTIME_THRESHOLD = 500_000_000;
const SEQUENCE_FINAL = 0xffffffff;

/** nLockTime with BIP113: heights below 500 million, else seconds compared with the median time. */
export function isFinal(transaction: Transaction, height: number, medianTime: number): boolean {
  if (transaction.locktime === 0) return true;
  const limit = transaction.locktime < LOCKTIME_THRESHOLD ? height : medianTime;
  return (
    transaction.locktime < limit || transaction.ins.every((input) => input.sequence === SEQUENCE_FINAL)
  );
}

const SEQUENCE_DISABLED = 0x80000000;
const SEQUENCE_IS_TIME = 0x00400000;

/** BIP68: every relative lock of a version 2 or later transaction has passed. */
export function relativeLocksPassed(
  transaction: Transaction,
  coins: readonly Coin[],
  context: RuleContext,
): boolean {
  if (transaction.version < 2) return true;
  return transaction.ins.every((input, index) => {
    if ((input.sequence & SEQUENCE_DISABLED) !== 0) return true;
    const lock = input.sequence & 0xffff;
    const coin = coins[index]!;
    if ((input.sequence & SEQUENCE_IS_TIME) === 0) return coin.height + lock <= context.height;
    const since = context.medianTimeAt(Math.max(coin.height - 1, 0));
    return since + lock * 512 <= context.medianTime;
  });
}

/** Inputs exist, are mature and cover the outputs, and all locks have passed. Throws `tx_refused`. */
export function checkInputs(transaction: Transaction, context: RuleContext): CheckedInputs {
  if (!isFinal(transaction, context.height, context.medianTime)) throw refusal('non-final');
  const coins = transaction.ins.map((input) => {
    const coin = context.coin(outpointOf(input));
    if (coin === undefined) throw refusal('bad-txns-inputs-missingorspent', RPC_VERIFY_ERROR);
    if (coin.coinbase && context.height - coin.height < context.coinbaseMaturity) {
      throw refusal('bad-txns-premature-spend-of-coinbase');
    }
    return coin;
  });
  const inSat = coins.reduce((sum, coin) => sum + coin.valueSat, 0n);
  const outSat = transaction.outs.reduce((sum, output) => sum + output.value, 0n);
  if (inSat < outSat) throw refusal('bad-txns-in-belowout');
  if (!relativeLocksPassed(transaction, coins, context)) throw refusal('non-BIP68-final');
  return { feeSat: inSat - outSat, coins };
}

/**
 * bitcoind's dust limit at its 3 sat/vB: what spending the output would cost. Zero for unspendable
 * outputs.
 */
export function dustLimitSat(script: Uint8Array): bigint {
  if (script[0] === 0x6a) return 0n;
  const witness = script.length >= 4 && script.length <= 42 && isWitnessVersion(script[0]!);
  const outputSize = 8 + 1 + script.length;
  return BigInt((outputSize + (witness ? 67 : 148)) * 3);
}

function isWitnessVersion(opcode: number): boolean {
  return opcode === 0x00 || (opcode >= 0x51 && opcode <= 0x60);
}
