import { Transaction } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { assert } from '../base/assert.ts';
import { equal, fromHex, isHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { LIMITS } from '../base/limits.ts';
import { MAX_SATS, parseDecimal } from '../base/units.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { capacitySat, makerContributionSat, minerContributionSat } from './amounts.ts';
import { isTxid, isVout, readHex, readRecord } from './fields.ts';
import { checkKeysForTerms } from './keys.ts';
import { sealOutput } from './params.ts';
import {
  type ChannelKeys,
  channelScript,
  derSignature,
  publicKeyHashOutput,
  witnessScriptHashOutput,
} from './scripts.ts';
import { isEcdsaSignature, type Signer } from './signer.ts';
import {
  checkFeeRate,
  checkPayoutScript,
  dustSat,
  feeOfWeight,
  fundingCommonWeight,
  outputWeight,
  WALLET_INPUT_WEIGHT,
} from './sizes.ts';

/**
 * A coin of the P2WPKH script of a key. A peer's coin must be checked on the chain: outpoint value and
 * script (`fundingInputScript`) must be these, else the funding can never confirm.
 */
export type FundingInput = {
  readonly txid: string;
  readonly vout: number;
  readonly valueSat: bigint;
  /** Compressed public key, 66 lower-case hex digits. */
  readonly publicKeyHex: string;
};

/** The coins that one side brings to a funding, and the output script of its change. */
export type FundingSide = { readonly inputs: readonly FundingInput[]; readonly changeScript: Uint8Array };

export type FundingRole = 'maker' | 'miner';

/** The input of `buildFunding`: terms, keys, both sides' coins and the fee rate. */
export type FundingRequest = {
  readonly terms: ContractTerms;
  readonly keys: ChannelKeys;
  readonly maker: FundingSide;
  readonly miner: FundingSide;
  readonly feeRateSatPerKvb: number;
};

/**
 * The funding transaction F that both sides compute alike. All inputs are segwit, so the txid is fixed
 * before anything is signed.
 */
export type Funding = {
  /** Unsigned transaction. */
  readonly hex: string;
  readonly txid: string;
  readonly vout: number;
  /** Index of the seal's output, where the terms have a seal. */
  readonly sealVout?: number;
  readonly capacitySat: bigint;
  readonly feeSat: bigint;
  /** Value of each side's change output; 0 where it has none. */
  readonly changeSat: Readonly<Record<FundingRole, bigint>>;
  /** Inputs in the order of the transaction. */
  readonly inputs: readonly (FundingInput & { readonly role: FundingRole })[];
};

/** The output script (hex) the chain must show for an input. */
export function fundingInputScript(input: FundingInput): string {
  return toHex(publicKeyHashOutput(fromHex(input.publicKeyHex, 33)));
}

/**
 * Builds the funding F, version 2: inputs by (txid, vout), outputs by (value, script) as BIP69. Each side
 * pays for its own inputs and change, the miner also for the seal, the maker for the rest; change below
 * dust goes to the fee. Throws `insufficient_funds` (meta: role, missingSat), `bad_funding`, `bad_terms`,
 * `bad_amount` (fee rate).
 */
export function buildFunding(request: FundingRequest): Funding {
  checkFeeRate(request.feeRateSatPerKvb);
  const { terms, keys } = request;
  checkKeysForTerms(keys, terms);
  const channelOutput = witnessScriptHashOutput(channelScript(keys, terms.expiryHeight));
  const seal = sealOutput(terms, keys)?.outputScript;
  const inputs = orderedInputs(request, seal === undefined ? [channelOutput] : [channelOutput, seal]);
  const changeSat = changesOf(request, channelOutput, seal);
  const outputs = [{ script: channelOutput, valueSat: capacitySat(terms) }];
  if (seal !== undefined && terms.seal !== undefined)
    outputs.push({ script: seal, valueSat: terms.seal.sealSat });
  for (const role of ['maker', 'miner'] as const) {
    if (changeSat[role] > 0n)
      outputs.push({ script: request[role].changeScript, valueSat: changeSat[role] });
  }
  outputs.sort((a, b) => compare(a.valueSat, b.valueSat) || Buffer.compare(a.script, b.script));
  const transaction = new Transaction();
  transaction.version = 2;
  for (const input of inputs) {
    transaction.addInput(reversed(fromHex(input.txid, 32)), input.vout, 0xffff_fffd);
  }
  for (const output of outputs) transaction.addOutput(output.script, output.valueSat);
  const inSat = inputs.reduce((total, input) => total + input.valueSat, 0n);
  const outSat = outputs.reduce((total, output) => total + output.valueSat, 0n);
  assert(inSat > outSat, 'funding_pays_a_fee');
  return {
    hex: transaction.toHex(),
    txid: transaction.getId(),
    vout: outputs.findIndex((output) => output.script === channelOutput),
    ...(seal === undefined ? {} : { sealVout: outputs.findIndex((output) => output.script === seal) }),
    capacitySat: capacitySat(terms),
    feeSat: inSat - outSat,
    changeSat,
    inputs,
  };
}

/** The change of both sides: the value of their coins above contribution and fee. */
function changesOf(
  request: FundingRequest,
  channelOutput: Uint8Array,
  seal: Uint8Array | undefined,
): Funding['changeSat'] {
  const { terms, feeRateSatPerKvb } = request;
  return {
    maker: changeOf('maker', request.maker, {
      contributionSat: makerContributionSat(terms),
      commonWeight: fundingCommonWeight(channelOutput),
      feeRateSatPerKvb,
    }),
    miner: changeOf('miner', request.miner, {
      contributionSat: minerContributionSat(terms),
      commonWeight: seal === undefined ? 0 : outputWeight(seal),
      feeRateSatPerKvb,
    }),
  };
}

function orderedInputs(request: FundingRequest, ownOutputs: readonly Uint8Array[]): Funding['inputs'] {
  const inputs: (FundingInput & { role: FundingRole })[] = [];
  for (const role of ['maker', 'miner'] as const) {
    const side = request[role];
    checkFundingSide(side);
    if (ownOutputs.some((output) => equal(side.changeScript, output))) {
      throw new CodedError('bad_funding', `the change of the ${role} is the channel itself`);
    }
    for (const input of side.inputs) inputs.push({ ...input, role });
  }
  inputs.sort((a, b) => compare(a.txid, b.txid) || a.vout - b.vout);
  inputs.forEach((input, index) => {
    const before = inputs[index - 1];
    if (before !== undefined && before.txid === input.txid && before.vout === input.vout) {
      throw new CodedError('bad_funding', `the input ${input.txid}:${input.vout} is there twice`);
    }
  });
  return inputs;
}

function compare<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Checks a side's coins and change. Throws `bad_funding` for inputs that may not be used, `bad_terms` for a
 * change script of another kind.
 */
export function checkFundingSide(side: FundingSide): void {
  checkPayoutScript(side.changeScript, 'a change script');
  if (side.inputs.length < 1 || side.inputs.length > LIMITS.fundingInputs) {
    throw new CodedError('bad_funding', `a side brings 1 to ${LIMITS.fundingInputs} inputs`);
  }
  for (const input of side.inputs) {
    if (!isTxid(input.txid) || !isVout(input.vout)) {
      throw new CodedError('bad_funding', 'an input is not an outpoint');
    }
    if (input.valueSat <= 0n || input.valueSat > MAX_SATS) {
      throw new CodedError('bad_funding', 'the value of an input is out of range');
    }
    const { publicKeyHex } = input;
    if (
      !isHex(publicKeyHex, 33) ||
      publicKeyHex !== publicKeyHex.toLowerCase() ||
      !ecc.isPointCompressed(fromHex(publicKeyHex))
    ) {
      throw new CodedError('bad_funding', 'the key of an input is not a compressed public key');
    }
  }
}

function changeOf(
  role: FundingRole,
  side: FundingSide,
  share: {
    readonly contributionSat: bigint;
    readonly commonWeight: number;
    readonly feeRateSatPerKvb: number;
  },
): bigint {
  const weight = side.inputs.length * WALLET_INPUT_WEIGHT + share.commonWeight;
  const inSat = side.inputs.reduce((total, input) => total + input.valueSat, 0n);
  const freeSat = inSat - share.contributionSat - feeOfWeight(weight, share.feeRateSatPerKvb);
  if (freeSat < 0n) {
    throw new CodedError('insufficient_funds', `the ${role} lacks ${-freeSat} sat for the funding`, {
      role,
      missingSat: -freeSat,
    });
  }
  const withChange = weight + outputWeight(side.changeScript);
  const changeSat = inSat - share.contributionSat - feeOfWeight(withChange, share.feeRateSatPerKvb);
  return changeSat >= dustSat(side.changeScript) ? changeSat : 0n;
}

function digestOf(transaction: Transaction, funding: Funding, index: number): Uint8Array {
  const input = funding.inputs[index]!;
  const hash = publicKeyHashOutput(fromHex(input.publicKeyHex, 33)).subarray(2);
  const scriptCode = Uint8Array.of(0x76, 0xa9, 0x14, ...hash, 0x88, 0xac);
  return transaction.hashForWitnessV0(index, scriptCode, input.valueSat, Transaction.SIGHASH_ALL);
}

function indexesOf(funding: Funding, role: FundingRole): number[] {
  return funding.inputs.flatMap((input, index) => (input.role === role ? [index] : []));
}

/**
 * Signs the inputs of one side with the `wallet` key: signatures (64 bytes in hex) in the order of the
 * transaction. Never signs an input of the other side. Throws `bad_funding` for an own input of another
 * key.
 */
export function signFundingInputs(funding: Funding, role: FundingRole, signer: Signer): string[] {
  const transaction = Transaction.fromHex(funding.hex);
  const walletKey = toHex(signer.publicKey('wallet'));
  return indexesOf(funding, role).map((index) => {
    if (funding.inputs[index]!.publicKeyHex !== walletKey) {
      throw new CodedError('bad_funding', 'an own input does not belong to the wallet key');
    }
    return toHex(signer.signEcdsa('wallet', digestOf(transaction, funding, index)));
  });
}

/**
 * Checks the signatures of one side. Throws `bad_signature` unless there is one valid signature for each of
 * its inputs, in the order of the transaction.
 */
export function verifyFundingSignatures(
  funding: Funding,
  role: FundingRole,
  signatures: readonly string[],
): void {
  const transaction = Transaction.fromHex(funding.hex);
  const indexes = indexesOf(funding, role);
  if (signatures.length !== indexes.length) {
    throw new CodedError('bad_signature', `the ${role} must sign ${indexes.length} inputs`);
  }
  indexes.forEach((index, position) => {
    const text = signatures[position];
    const publicKey = fromHex(funding.inputs[index]!.publicKeyHex, 33);
    if (
      !isHex(text, 64) ||
      !isEcdsaSignature(digestOf(transaction, funding, index), publicKey, fromHex(text))
    ) {
      throw new CodedError(
        'bad_signature',
        `the signature of input ${index} of the funding does not verify`,
      );
    }
  });
}

/**
 * Verifies both sides' signatures and completes the funding, ready to broadcast. Throws `bad_signature`.
 */
export function finalizeFunding(
  funding: Funding,
  signatures: Readonly<Record<FundingRole, readonly string[]>>,
): { readonly hex: string; readonly txid: string; readonly vsize: number } {
  const transaction = Transaction.fromHex(funding.hex);
  for (const role of ['maker', 'miner'] as const) {
    verifyFundingSignatures(funding, role, signatures[role]);
    indexesOf(funding, role).forEach((index, position) => {
      const signature = derSignature(fromHex(signatures[role][position]!, 64));
      transaction.setWitness(index, [signature, fromHex(funding.inputs[index]!.publicKeyHex, 33)]);
    });
  }
  assert(transaction.getId() === funding.txid, 'funding_txid_is_fixed');
  return { hex: transaction.toHex(), txid: funding.txid, vsize: transaction.virtualSize() };
}

/** Upper bound of the virtual bytes of the spend of so many coins that takes them back. */
export function cancelVsize(inputs: number, script: Uint8Array): number {
  return Math.ceil((fundingCommonWeight(script) + inputs * WALLET_INPUT_WEIGHT) / 4);
}

/**
 * The spend of one side's coins of a funding that takes them back, and makes the funding impossible: a
 * funding of these coins alone with one output, so that the same wallets sign it. Throws
 * `insufficient_funds` where too little is left to relay.
 */
export function buildFundingCancel(
  funding: Funding,
  role: FundingRole,
  script: Uint8Array,
  feeSat: bigint,
): Funding {
  const inputs = funding.inputs.filter((input) => input.role === role);
  const inSat = inputs.reduce((total, input) => total + input.valueSat, 0n);
  const leftSat = inSat - feeSat;
  if (leftSat < dustSat(script)) {
    const missingSat = dustSat(script) - leftSat;
    throw new CodedError('insufficient_funds', 'too little is left to take back', { role, missingSat });
  }
  const transaction = new Transaction();
  transaction.version = 2;
  for (const { txid, vout } of inputs) {
    transaction.addInput(reversed(fromHex(txid, 32)), vout, 0xffff_fffd);
  }
  transaction.addOutput(script, leftSat);
  return {
    ...{ hex: transaction.toHex(), txid: transaction.getId(), vout: 0, capacitySat: leftSat, feeSat },
    ...{ changeSat: { maker: 0n, miner: 0n }, inputs },
  };
}

/** One side of a funding as JSON, in one spelling. */
export function fundingSideToJson(side: FundingSide): { readonly [key: string]: Json } {
  return {
    inputs: side.inputs.map((input) => ({
      txid: input.txid,
      vout: input.vout,
      value_sat: input.valueSat.toString(),
      public_key: input.publicKeyHex,
    })),
    change_script: toHex(side.changeScript),
  };
}

/**
 * Parses one side of a funding. Throws `protocol` for the shape, `bad_funding` and `bad_terms` for the
 * content.
 */
export function parseFundingSide(value: unknown): FundingSide {
  const record = readRecord(value, 'funding side', ['inputs', 'change_script']);
  const inputs = record['inputs'];
  if (!Array.isArray(inputs) || inputs.length > LIMITS.fundingInputs) {
    throw new CodedError('protocol', `inputs must be a list of at most ${LIMITS.fundingInputs}`);
  }
  const side: FundingSide = {
    inputs: inputs.map(parseFundingInput),
    changeScript: readHex(record['change_script'], 'change_script'),
  };
  checkFundingSide(side);
  return side;
}

function parseFundingInput(value: unknown): FundingInput {
  const record = readRecord(value, 'funding input', ['txid', 'vout', 'value_sat', 'public_key']);
  const { txid, vout } = record;
  if (!isTxid(txid)) throw new CodedError('protocol', 'txid must be 64 lower-case hex digits');
  if (!isVout(vout)) throw new CodedError('protocol', 'vout must be an output index');
  return {
    txid,
    vout,
    valueSat: parseDecimal(record['value_sat'], 'value_sat'),
    publicKeyHex: toHex(readHex(record['public_key'], 'public_key', 33)),
  };
}
