import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { feeAt, MOST_SAT_PER_KVB } from '../chain/fee-rate.ts';

/**
 * Longest ECDSA signature in a witness: DER with a 33-byte r and, being low, a 32-byte s, and the hash
 * type.
 */
const DER_BYTES = 72;

/** Version, locktime, the two counts (4 + 4 + 1 + 1 bytes), and the segwit marker and flag. */
const FRAME_WEIGHT = 10 * 4 + 2;

/** Outpoint, empty script, sequence. */
const INPUT_WEIGHT = (36 + 1 + 4) * 4;

/** Length of the script of a claim's data output: `OP_RETURN`, a push, four bytes of tag and a hash. */
export const SEAL_DATA_OUTPUT_BYTES = 2 + 4 + 32;

type ScriptKind = 'p2wpkh' | 'p2wsh' | 'p2tr';

function kindOf(script: Uint8Array): ScriptKind | undefined {
  if (script.length === 22 && script[0] === 0x00 && script[1] === 0x14) return 'p2wpkh';
  if (script.length === 34 && script[0] === 0x00 && script[1] === 0x20) return 'p2wsh';
  if (script.length === 34 && script[0] === 0x51 && script[1] === 0x20) return 'p2tr';
  return undefined;
}

/**
 * Checks a payout script: only kinds of known size and relay policy are paid. Throws `bad_terms` for
 * anything but P2WPKH, P2WSH and P2TR.
 */
export function checkPayoutScript(script: Uint8Array, name: string): void {
  if (kindOf(script) === undefined) {
    throw new CodedError('bad_terms', `${name} must be a P2WPKH, P2WSH or P2TR output script`);
  }
}

/** The smallest output nodes relay: 294 sat for P2WPKH, 330 for P2WSH and P2TR. */
export function dustSat(script: Uint8Array): bigint {
  return kindOf(script) === 'p2wpkh' ? 294n : 330n;
}

/** Weight of an output: value, script length and script. */
export function outputWeight(script: Uint8Array): number {
  return (8 + 1 + script.length) * 4;
}

/** Upper bound of the weight of a P2WPKH input with its witness. */
export const WALLET_INPUT_WEIGHT = INPUT_WEIGHT + 1 + (1 + DER_BYTES) + (1 + 33);

/** Weight of a funding transaction without the sides' own inputs and change. */
export function fundingCommonWeight(channelOutput: Uint8Array): number {
  return FRAME_WEIGHT + outputWeight(channelOutput);
}

function virtualSize(weight: number): number {
  return Math.ceil(weight / 4);
}

/**
 * Upper bound of the virtual bytes of a state or a close: 180 with two P2WPKH outputs and a script of 113
 * bytes, where a signature one byte shorter makes 179.
 */
export function jointSpendVsize(script: Uint8Array, outputs: readonly Uint8Array[]): number {
  const witness = 1 + 2 * (1 + DER_BYTES) + 2 + (1 + script.length);
  return virtualSize(FRAME_WEIGHT + INPUT_WEIGHT + witness + sum(outputs));
}

/** Upper bound of the virtual bytes of the refund: 130 to P2WPKH. */
export function refundVsize(script: Uint8Array, output: Uint8Array): number {
  const witness = 1 + (1 + DER_BYTES) + 1 + (1 + script.length);
  return virtualSize(FRAME_WEIGHT + INPUT_WEIGHT + witness + outputWeight(output));
}

/**
 * Upper bound of the virtual bytes of a bond spent by two keys to one output: 157 for a script of 147 bytes
 * to P2WPKH.
 */
export function twoKeysVsize(script: Uint8Array, output: Uint8Array): number {
  const witness = 1 + 1 + 2 * (1 + DER_BYTES) + (1 + script.length);
  return virtualSize(FRAME_WEIGHT + INPUT_WEIGHT + witness + outputWeight(output));
}

/**
 * Upper bound of the virtual bytes of a bond spent by its owner to one output: 139 for a script of 147
 * bytes to P2WPKH.
 */
export function ownerVsize(script: Uint8Array, output: Uint8Array): number {
  const witness = 1 + (1 + DER_BYTES) + 3 + (1 + script.length);
  return virtualSize(FRAME_WEIGHT + INPUT_WEIGHT + witness + outputWeight(output));
}

function sum(outputs: readonly Uint8Array[]): number {
  return outputs.reduce((total, script) => total + outputWeight(script), 0);
}

/** Fee in sats of a size at a rate, rounded up. */
export function feeOfVsize(vsize: number, feeRateSatPerKvb: number): bigint {
  assert(Number.isInteger(vsize) && Number.isInteger(feeRateSatPerKvb), 'fee_of_integers');
  return feeAt(vsize, feeRateSatPerKvb);
}

/**
 * Fee in sats of a part of a transaction, over whole virtual bytes, so that the parts together never pay
 * too little.
 */
export function feeOfWeight(weight: number, feeRateSatPerKvb: number): bigint {
  return feeOfVsize(virtualSize(weight), feeRateSatPerKvb);
}

/** Range of fee rates in sat/kvB: from the relay minimum to one above any use. */
const FEE_RATES = { least: 100, most: MOST_SAT_PER_KVB } as const;
/** The highest that a node is believed, in sat/kvB: above it only what climbs goes. */
const MOST_BELIEVED = 1_000_000;

/** The rate nearest to the given one that is believed; a node may report anything. */
export function boundedRate(satPerKvb: number): number {
  const { least } = FEE_RATES;
  return Math.min(Math.max(Math.ceil(satPerKvb) || least, least), MOST_BELIEVED);
}

/**
 * Checks a fee rate. Throws `bad_amount` unless it is an integer from 100 (relay minimum) to 10000000
 * sat/kvB.
 */
export function checkFeeRate(feeRateSatPerKvb: number): void {
  const { least, most } = FEE_RATES;
  if (!Number.isInteger(feeRateSatPerKvb) || feeRateSatPerKvb < least || feeRateSatPerKvb > most) {
    throw new CodedError('bad_amount', 'the fee rate must be an integer from 100 to 10000000 sat per kvB');
  }
}
