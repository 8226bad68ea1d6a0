import type { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { bigToBe, bigToLe, concat, fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256, taggedHash } from '../base/hash.ts';
import type { Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { type StateAmounts, stateAmounts } from './amounts.ts';
import { readHex, readRecord } from './fields.ts';
import { type ChannelParams, channelFacts, payeeScripts } from './params.ts';
import { derSignature, jointWitness } from './scripts.ts';
import {
  checkSignerKey,
  isEcdsaSignature,
  isSchnorrSignature,
  nodeIdBytes,
  type Signer,
} from './signer.ts';
import { dustSat, feeOfVsize, jointSpendVsize } from './sizes.ts';
import {
  buildSpend,
  finalizeSpend,
  type SignedTransaction,
  type SpentOutput,
  signatureBytes,
  spendDigest,
} from './spend.ts';

export { type StateAmounts, stateAmounts } from './amounts.ts';

/** State n as the maker signs it and the miner keeps it; it proves itself by its signatures. */
export type SignedState = {
  readonly n: number;
  /** Cumulative verified work in hashes. */
  readonly workHashes: bigint;
  /** Cumulative pay `a_n` in sats. */
  readonly paidSat: bigint;
  /**
   * The maker's signature of every rung the miner can afford, lowest fee first: 64 bytes `r || s` in hex,
   * low s.
   */
  readonly signatures: readonly string[];
  /** BIP340 by the maker's node key over the state hash: 64 bytes in hex. */
  readonly receiptSignature: string;
};

/** An output of a split. */
export type SplitOutput = {
  readonly name: 'miner' | 'maker' | 'payee' | 'minerBond' | 'makerBond';
  readonly script: Uint8Array;
  readonly valueSat: bigint;
};

/**
 * The outputs of a state in their order, before the miner's fee: P, MM, the payees of the terms, and bondP
 * and bondM where there are any. Throws `over_budget`.
 */
export function stateOutputs(params: ChannelParams, workHashes: bigint): readonly SplitOutput[] {
  const amounts = stateAmounts(params.terms, workHashes);
  const { bonds } = channelFacts(params);
  const outputs = [...payOutputs(params, amounts)];
  for (const side of ['miner', 'maker'] as const) {
    const valueSat = amounts[`${side}BondOutputSat`];
    if (valueSat === 0n) continue;
    assert(bonds !== undefined, 'bond_has_a_script');
    outputs.push({ name: `${side}Bond`, script: bonds[side].outputScript, valueSat });
  }
  return outputs;
}

/** The outputs that a state and a close have alike: P, MM and the payees. */
export function payOutputs(
  params: Pick<ChannelParams, 'terms' | 'minerPayoutScript' | 'makerPayoutScript'>,
  amounts: Pick<StateAmounts, 'minerSat' | 'makerSat' | 'payeesSat'>,
): readonly SplitOutput[] {
  const payees = payeeScripts(params.terms);
  return [
    { name: 'miner', script: params.minerPayoutScript, valueSat: amounts.minerSat },
    { name: 'maker', script: params.makerPayoutScript, valueSat: amounts.makerSat },
    ...amounts.payeesSat.map((valueSat, index) => ({
      ...{ name: 'payee' as const, script: payees[index]!, valueSat },
    })),
  ];
}

/** Most virtual bytes of a state with these outputs: 180 with two of P2WPKH, 266 with both bonds. */
function vsizeOf(params: ChannelParams, outputs: readonly SplitOutput[]): number {
  const scripts = outputs.map(({ script }) => script);
  return jointSpendVsize(channelFacts(params).script, scripts);
}

/** The fees in sats of the rungs that leave the miner an output that relays, lowest first; at least one. */
export function affordableFeesSat(params: ChannelParams, workHashes: bigint): readonly bigint[] {
  const outputs = stateOutputs(params, workHashes);
  const vsize = vsizeOf(params, outputs);
  const keep = dustSat(params.minerPayoutScript);
  const fees = params.terms.feeLadderSatPerKvb
    .map((rate) => feeOfVsize(vsize, rate))
    .filter((feeSat) => outputs[0]!.valueSat - feeSat >= keep);
  assert(fees.length > 0, 'one_rung_is_affordable');
  return fees;
}

/**
 * The rungs of a state that the miner can pay, lowest first, with an upper bound of their virtual bytes.
 */
export function ladderOf(
  params: ChannelParams,
  workHashes: bigint,
): readonly { readonly satPerKvb: number; readonly feeSat: bigint; readonly vsize: number }[] {
  const vsize = vsizeOf(params, stateOutputs(params, workHashes));
  const rates = params.terms.feeLadderSatPerKvb;
  return affordableFeesSat(params, workHashes).map((feeSat, rung) => ({
    satPerKvb: rates[rung]!,
    feeSat,
    vsize,
  }));
}

/**
 * The unsigned transaction of a state: F0 to P (less the fee), MM, payees and bonds, in this order. Throws
 * `over_budget`, and `bad_amount` for a rung that is not affordable.
 */
export function buildState(params: ChannelParams, workHashes: bigint, rung: number): Transaction {
  const feeSat = affordableFeesSat(params, workHashes)[rung];
  if (feeSat === undefined) throw new CodedError('bad_amount', `rung ${rung} is not affordable`);
  return buildSplit(params, stateOutputs(params, workHashes), feeSat);
}

/** The unsigned split of a channel, of which states and closes are made; the first output pays the fee. */
export function buildSplit(
  params: ChannelParams,
  outputs: readonly SplitOutput[],
  feeSat: bigint,
): Transaction {
  const { capacitySat } = channelFacts(params);
  const paid = outputs.map(({ script, valueSat }, index) => {
    const paidSat = index === 0 ? valueSat - feeSat : valueSat;
    assert(paidSat >= dustSat(script), 'output_relays', index);
    return { script, valueSat: paidSat };
  });
  const outSat = paid.reduce((total, { valueSat }) => total + valueSat, 0n);
  assert(feeSat > 0n && outSat + feeSat === capacitySat, 'split_conserves');
  return buildSpend(channelOutput(params), paid);
}

/** The rung of a state that has this txid; undefined where none has. */
export function rungOfTxid(params: ChannelParams, workHashes: bigint, txid: string): number | undefined {
  const rung = buildRungs(params, workHashes).findIndex((transaction) => transaction.getId() === txid);
  return rung === -1 ? undefined : rung;
}

/** The channel's output F0, as transactions spend it. */
export function channelOutput(params: ChannelParams): SpentOutput {
  const { fundingHash: hash, capacitySat: valueSat, script } = channelFacts(params);
  return { hash, vout: params.funding.vout, valueSat, script };
}

/** The 32-byte digest to sign for a transaction that spends the channel (BIP143, SIGHASH_ALL). */
export function channelDigest(params: ChannelParams, transaction: Transaction): Uint8Array {
  return spendDigest(channelOutput(params), transaction);
}

function buildRungs(params: ChannelParams, workHashes: bigint): Transaction[] {
  const outputs = stateOutputs(params, workHashes);
  return affordableFeesSat(params, workHashes).map((feeSat) => buildSplit(params, outputs, feeSat));
}

/**
 * The state hash, 32 bytes, which the maker's receipt and the miner's ack commit to: the channel (and with
 * it every parameter), the contract, n, work, pay and the txid of every rung.
 */
export function stateHash(params: ChannelParams, n: number, workHashes: bigint): Uint8Array {
  return hashOfRungs(params, n, workHashes, buildRungs(params, workHashes));
}

function hashOfRungs(
  params: ChannelParams,
  n: number,
  workHashes: bigint,
  rungs: readonly Transaction[],
): Uint8Array {
  const { paidSat } = stateAmounts(params.terms, workHashes);
  return taggedHash(
    'sharestream/state/1',
    concat(
      channelFacts(params).id,
      bigToLe(BigInt(n), 8),
      fromHex(params.contractId, 32),
      bigToBe(workHashes, 32),
      bigToLe(paidSat, 8),
      sha256(concat(...rungs.map((rung) => rung.getHash(false)))),
    ),
  );
}

/**
 * Signs state n as the maker. Keeps no memory: use `MonotoneSigner`, which refuses to go back or to sign
 * two contents for one n. Deterministic: the same state gives the same bytes. Throws `over_budget`,
 * `wrong_state_number`, `bad_amount`, `bad_key_file`.
 */
export function signState(
  params: ChannelParams,
  n: number,
  workHashes: bigint,
  signer: Signer,
): SignedState {
  checkNumber(n, workHashes);
  const { paidSat } = stateAmounts(params.terms, workHashes);
  checkSignerKey(signer, 'channel', params.keys.makerChannel);
  if (toHex(nodeIdBytes(signer)) !== params.terms.makerNodeId) {
    throw new CodedError('bad_key_file', 'the seed does not hold the node key of the maker');
  }
  const rungs = buildRungs(params, workHashes);
  return {
    n,
    workHashes,
    paidSat,
    signatures: rungs.map((rung) => toHex(signer.signEcdsa('channel', channelDigest(params, rung)))),
    receiptSignature: toHex(signer.signSchnorr('node', hashOfRungs(params, n, workHashes, rungs))),
  };
}

/**
 * Checks that state 0 has no work and every other state some. Throws `wrong_state_number`, `bad_amount`.
 */
function checkNumber(n: number, workHashes: bigint): void {
  if (!Number.isSafeInteger(n) || n < 0)
    throw new CodedError('wrong_state_number', `no state has number ${n}`);
  if (workHashes < 0n || (n === 0 && workHashes !== 0n)) {
    throw new CodedError('bad_amount', 'state 0 is of no work, and no work is negative');
  }
}

/**
 * True for states of the same number, work and pay, and so the same transactions, whatever the signatures.
 */
export function sameState(a: SignedState, b: SignedState): boolean {
  return a.n === b.n && a.workHashes === b.workHashes && a.paidSat === b.paidSat;
}

/** True for the same state with the same signatures: where one was verified the other is too. */
export function isRepeated(a: SignedState, b: SignedState): boolean {
  return (
    sameState(a, b) &&
    a.receiptSignature === b.receiptSignature &&
    a.signatures.length === b.signatures.length &&
    a.signatures.every((signature, rung) => signature === b.signatures[rung])
  );
}

/**
 * Checks a state by itself: amounts, every rung's signature and the receipt. This proves a state to a maker
 * that lost it. Throws `wrong_state_number`, `over_budget`, `bad_amount`, `bad_signature`.
 */
export function verifySignedState(params: ChannelParams, state: SignedState): void {
  checkNumber(state.n, state.workHashes);
  if (state.paidSat > params.terms.budgetSat) throw new CodedError('over_budget');
  const { paidSat } = stateAmounts(params.terms, state.workHashes);
  if (state.paidSat !== paidSat) {
    throw new CodedError(
      'bad_amount',
      `${state.workHashes} hashes earn ${paidSat} sat, not ${state.paidSat}`,
    );
  }
  const rungs = buildRungs(params, state.workHashes);
  if (state.signatures.length !== rungs.length) {
    throw new CodedError('bad_signature', `${rungs.length} rungs need as many signatures`);
  }
  rungs.forEach((rung, index) => {
    if (!isMakerSignature(params, rung, state.signatures[index]!)) {
      throw new CodedError('bad_signature', `the signature of rung ${index} does not verify`);
    }
  });
  const digest = hashOfRungs(params, state.n, state.workHashes, rungs);
  if (!isNodeSignature(digest, params.terms.makerNodeId, state.receiptSignature)) {
    throw new CodedError('bad_signature', 'the receipt does not verify');
  }
}

function isMakerSignature(params: ChannelParams, rung: Transaction, signature: string): boolean {
  const bytes = signatureBytes(signature);
  return (
    bytes !== undefined && isEcdsaSignature(channelDigest(params, rung), params.keys.makerChannel, bytes)
  );
}

function isNodeSignature(digest: Uint8Array, nodeId: string, signature: string): boolean {
  const bytes = signatureBytes(signature);
  return bytes !== undefined && isSchnorrSignature(digest, fromHex(nodeId, 32), bytes);
}

/**
 * The miner's check of a state from the maker, against the last one on disk; returns `same` for a
 * repetition of it, which needs no storing. Throws `wrong_state_number` unless it is the next (state 0
 * first), `not_monotone` unless its work is more, `over_budget`, `bad_amount`, `bad_signature`, and
 * `equivocation` for a well signed state with the number of the last and another content; both must be
 * kept.
 */
export function verifyState(
  params: ChannelParams,
  previous: SignedState | undefined,
  next: SignedState,
): 'next' | 'same' {
  if (previous !== undefined && next.n === previous.n) {
    // Byte for byte what was verified before: nothing is hashed or verified again.
    if (isRepeated(previous, next)) return 'same';
    verifySignedState(params, next);
    if (sameState(previous, next)) return 'same';
    throw new CodedError('equivocation', `two contents for state ${next.n}`);
  }
  const expected = previous === undefined ? 0 : previous.n + 1;
  if (next.n !== expected) {
    throw new CodedError('wrong_state_number', `expected state ${expected}, got ${next.n}`);
  }
  if (
    previous !== undefined &&
    (next.workHashes <= previous.workHashes || next.paidSat < previous.paidSat)
  ) {
    throw new CodedError('not_monotone', `state ${next.n} is not above state ${previous.n}`);
  }
  verifySignedState(params, next);
  return 'next';
}

/** The lowest rung of a state that pays at least this rate, else its highest. */
export function rungForFeeRate(
  params: ChannelParams,
  state: SignedState,
  feeRateSatPerKvb: number,
): number {
  const highest = state.signatures.length - 1;
  const rung = params.terms.feeLadderSatPerKvb.findIndex((rate) => rate >= feeRateSatPerKvb);
  return rung === -1 ? highest : Math.min(rung, highest);
}

/**
 * Completes a rung with the miner's signature: ready to broadcast. Checks the stored signature once more.
 * Throws `bad_amount` for a rung the state does not have, `bad_signature`, `bad_key_file`.
 */
export function signAndFinalizeState(
  params: ChannelParams,
  state: SignedState,
  rung: number,
  signer: Signer,
): SignedTransaction {
  checkSignerKey(signer, 'channel', params.keys.minerChannel);
  const digest = channelDigest(params, buildState(params, state.workHashes, rung));
  return finalizeState(params, state, rung, toHex(signer.signEcdsa('channel', digest)));
}

/**
 * Completes a rung with an external signature of the miner, 64 bytes in hex. Throws `bad_amount`,
 * `bad_signature`.
 */
export function finalizeState(
  params: ChannelParams,
  state: SignedState,
  rung: number,
  minerSignature: string,
): SignedTransaction {
  const transaction = buildState(params, state.workHashes, rung);
  const maker = signatureBytes(state.signatures[rung]);
  const miner = signatureBytes(minerSignature);
  if (maker === undefined || miner === undefined)
    throw new CodedError('bad_signature', `no signature for rung ${rung}`);
  return finalizeJointSpend(params, transaction, maker, miner);
}

/** Completes a split with both signatures, verified. Throws `bad_signature`. */
export function finalizeJointSpend(
  params: ChannelParams,
  transaction: Transaction,
  makerSignature: Uint8Array,
  minerSignature: Uint8Array,
): SignedTransaction {
  const digest = channelDigest(params, transaction);
  if (!isEcdsaSignature(digest, params.keys.makerChannel, makerSignature)) {
    throw new CodedError('bad_signature', 'the signature of the maker does not verify');
  }
  if (!isEcdsaSignature(digest, params.keys.minerChannel, minerSignature)) {
    throw new CodedError('bad_signature', 'the signature of the miner does not verify');
  }
  const output = channelOutput(params);
  const signatures = [derSignature(makerSignature), derSignature(minerSignature)] as const;
  return finalizeSpend(output, transaction, jointWitness(...signatures, output.script));
}

/** The hash that the miner's ack of a state signs, 32 bytes. */
export function ackHash(params: ChannelParams, state: SignedState): Uint8Array {
  return taggedHash(
    'sharestream/ack/1',
    concat(bigToLe(BigInt(state.n), 8), stateHash(params, state.n, state.workHashes)),
  );
}

/** Signs the miner's ack of a state with its node key: 64 bytes in hex. Only after the state is on disk. */
export function signAck(params: ChannelParams, state: SignedState, signer: Signer): string {
  if (toHex(nodeIdBytes(signer)) !== params.terms.minerNodeId) {
    throw new CodedError('bad_key_file', 'the seed does not hold the node key of the miner');
  }
  return toHex(signer.signSchnorr('node', ackHash(params, state)));
}

/** Checks an ack. Throws `bad_signature` unless it is the miner's for exactly this state. */
export function verifyAck(params: ChannelParams, state: SignedState, signature: string): void {
  if (!isNodeSignature(ackHash(params, state), params.terms.minerNodeId, signature)) {
    throw new CodedError('bad_signature', `the ack of state ${state.n} does not verify`);
  }
}

/** A signed state as JSON, in one spelling. */
export function signedStateToJson(state: SignedState): { readonly [key: string]: Json } {
  return {
    n: state.n,
    work_hashes: state.workHashes.toString(),
    paid_sat: state.paidSat.toString(),
    signatures: state.signatures,
    receipt_signature: state.receiptSignature,
  };
}

/** Parses a signed state: its shape only, `verifyState` judges the content. Throws `protocol`. */
export function parseSignedState(value: unknown): SignedState {
  const record = readRecord(value, 'state', [
    'n',
    'work_hashes',
    'paid_sat',
    'signatures',
    'receipt_signature',
  ]);
  const n = record['n'];
  if (typeof n !== 'number' || !Number.isSafeInteger(n) || n < 0 || Object.is(n, -0)) {
    throw new CodedError('protocol', 'state.n must be an integer from 0');
  }
  const signatures = record['signatures'];
  if (!Array.isArray(signatures) || signatures.length < 1 || signatures.length > 8) {
    throw new CodedError('protocol', 'state.signatures must be a list of 1 to 8');
  }
  return {
    n,
    workHashes: parseDecimal(record['work_hashes'], 'state.work_hashes'),
    paidSat: parseDecimal(record['paid_sat'], 'state.paid_sat'),
    signatures: signatures.map((signature) => toHex(readHex(signature, 'state.signatures', 64))),
    receiptSignature: toHex(readHex(record['receipt_signature'], 'state.receipt_signature', 64)),
  };
}
