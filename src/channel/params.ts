import { fromHex, isHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, isRecord, type Json } from '../base/json.ts';
import {
  type ContractTerms,
  checkTerms,
  contractIdOf,
  parseTerms,
  termsToJson,
} from '../contract/terms.ts';
import { type ChannelKeys, channelScript, checkChannelKeys, witnessScriptHashOutput } from './scripts.ts';
import { checkPayoutScript, dustSat, feeOfVsize, jointSpendVsize } from './sizes.ts';

export type Outpoint = {
  /** As displayed: 64 lower-case hex digits. */
  readonly txid: string;
  readonly vout: number;
};

/** Everything a channel's transactions follow from. */
export type ChannelParams = {
  readonly terms: ContractTerms;
  readonly contractId: string;
  readonly keys: ChannelKeys;
  readonly minerPayoutScript: Uint8Array;
  readonly makerPayoutScript: Uint8Array;
  readonly funding: Outpoint;
};

/** `V = B + R + r0`: the value of the channel's output. Bonds would add to it. */
export function capacitySat(terms: ContractTerms): bigint {
  return makerContributionSat(terms) + minerContributionSat(terms);
}

/** What the maker puts in, before fees: `B + R`. */
export function makerContributionSat(terms: ContractTerms): bigint {
  return terms.budgetSat + terms.reserveSat;
}

/** What the miner puts in, before fees: `r0`. */
export function minerContributionSat(terms: ContractTerms): bigint {
  return terms.minerReserveSat;
}

/** What every transaction of a channel shares, worked out once. */
export type ChannelFacts = {
  readonly script: Uint8Array;
  readonly outputScript: Uint8Array;
  readonly capacitySat: bigint;
  /** Internal byte order. */
  readonly fundingHash: Uint8Array;
  readonly stateVsize: number;
  readonly id: Uint8Array;
};

const facts = new WeakMap<ChannelParams, ChannelFacts>();

/** The facts of a channel. Checks the parameters the first time it sees them (`checkChannelParams`). */
export function channelFacts(params: ChannelParams): ChannelFacts {
  const known = facts.get(params);
  if (known !== undefined) return known;
  checkChannelParams(params);
  const script = channelScript(params.keys, params.terms.expiryHeight);
  const made: ChannelFacts = {
    script,
    outputScript: witnessScriptHashOutput(script),
    capacitySat: capacitySat(params.terms),
    fundingHash: reversed(fromHex(params.funding.txid, 32)),
    stateVsize: jointSpendVsize(script, [params.minerPayoutScript, params.makerPayoutScript]),
    id: idOf(params),
  };
  facts.set(params, made);
  return made;
}

/**
 * The channel id, 64 hex digits: a hash of all parameters, so that what is signed under it is bound to each
 * of them.
 */
export function channelIdOf(params: ChannelParams): string {
  return toHex(channelFacts(params).id);
}

function idOf(params: ChannelParams): Uint8Array {
  const text = canonicalJson(channelParamsToJson(params));
  return taggedHash('sharestream/channel/1', new TextEncoder().encode(text));
}

/**
 * Throws `bad_terms` for parameters that could cost a side its money, `unknown_channel` for an id that is
 * not of the terms.
 */
export function checkChannelParams(params: ChannelParams): void {
  const { terms, keys, funding } = params;
  if (params.contractId !== contractIdOf(terms)) {
    throw new CodedError('unknown_channel', 'the contract id is not the hash of the terms');
  }
  checkTerms(terms);
  checkChannelKeys(keys);
  checkPayoutScript(params.minerPayoutScript, 'the payout of the miner');
  checkPayoutScript(params.makerPayoutScript, 'the payout of the maker');
  if (!isTxid(funding.txid)) {
    throw new CodedError('bad_terms', 'the funding txid must be 64 lower-case hex digits');
  }
  if (!isVout(funding.vout)) throw new CodedError('bad_terms', 'the funding output index is out of range');
  const script = channelScript(keys, terms.expiryHeight);
  const vsize = jointSpendVsize(script, [params.minerPayoutScript, params.makerPayoutScript]);
  const firstFee = feeOfVsize(vsize, terms.feeLadderSatPerKvb[0]!);
  if (terms.minerReserveSat - firstFee < dustSat(params.minerPayoutScript)) {
    throw new CodedError(
      'bad_terms',
      'the reserve of the miner does not pay for state 0 at the lowest fee',
    );
  }
}

export function isTxid(value: unknown): value is string {
  return isHex(value, 32) && value === value.toLowerCase();
}

export function isVout(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

/** One spelling, for peers and the ledger. */
export function channelParamsToJson(params: ChannelParams): { readonly [key: string]: Json } {
  return {
    version: 1,
    terms: termsToJson(params.terms),
    contract_id: params.contractId,
    keys: channelKeysToJson(params.keys),
    miner_payout_script: toHex(params.minerPayoutScript),
    maker_payout_script: toHex(params.makerPayoutScript),
    funding: { txid: params.funding.txid, vout: params.funding.vout },
  };
}

export function channelKeysToJson(keys: ChannelKeys): { readonly [key: string]: Json } {
  return {
    miner_channel: toHex(keys.minerChannel),
    maker_channel: toHex(keys.makerChannel),
    maker_refund: toHex(keys.makerRefund),
  };
}

/**
 * Every field present and in range, no unknown ones. Throws `protocol` for the shape, `bad_terms` for the
 * content.
 */
export function parseChannelParams(value: unknown): ChannelParams {
  const record = readRecord(value, 'channel', [
    'version',
    'terms',
    'contract_id',
    'keys',
    'miner_payout_script',
    'maker_payout_script',
    'funding',
  ]);
  if (record['version'] !== 1) throw new CodedError('protocol', 'channel version must be 1');
  const funding = readRecord(record['funding'], 'funding', ['txid', 'vout']);
  const { txid, vout } = funding;
  if (!isTxid(txid)) throw new CodedError('protocol', 'funding.txid must be 64 lower-case hex digits');
  if (!isVout(vout)) throw new CodedError('protocol', 'funding.vout must be an output index');
  const params: ChannelParams = {
    terms: parseTerms(record['terms']),
    contractId: toHex(readHex(record['contract_id'], 'contract_id', 32)),
    keys: parseChannelKeys(record['keys']),
    minerPayoutScript: readHex(record['miner_payout_script'], 'miner_payout_script'),
    makerPayoutScript: readHex(record['maker_payout_script'], 'maker_payout_script'),
    funding: { txid, vout },
  };
  checkChannelParams(params);
  return params;
}

/** Throws `protocol` for the shape, `bad_terms` unless the keys are valid and differ. */
export function parseChannelKeys(value: unknown): ChannelKeys {
  const record = readRecord(value, 'keys', ['miner_channel', 'maker_channel', 'maker_refund']);
  const keys: ChannelKeys = {
    minerChannel: readHex(record['miner_channel'], 'keys.miner_channel', 33),
    makerChannel: readHex(record['maker_channel'], 'keys.maker_channel', 33),
    makerRefund: readHex(record['maker_refund'], 'keys.maker_refund', 33),
  };
  checkChannelKeys(keys);
  return keys;
}

/** An object with exactly these fields. Throws `protocol`. */
export function readRecord(
  value: unknown,
  name: string,
  fields: readonly string[],
): Record<string, unknown> {
  if (!isRecord(value)) throw new CodedError('protocol', `${name} must be an object`);
  for (const field of fields) {
    if (!Object.hasOwn(value, field)) throw new CodedError('protocol', `${name} lacks ${field}`);
  }
  if (Object.keys(value).length !== fields.length) {
    throw new CodedError('protocol', `${name} has fields that are not known`);
  }
  return value;
}

/**
 * Lower-case hex of `size` bytes; without a size at most 10000 bytes, the longest script. Throws
 * `protocol`.
 */
export function readHex(value: unknown, name: string, size?: number): Uint8Array {
  if (!isHex(value, size) || value !== value.toLowerCase() || value.length > 20_000) {
    throw new CodedError('protocol', `${name} must be ${size ?? 'some'} bytes of lower-case hex`);
  }
  return fromHex(value);
}
