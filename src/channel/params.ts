import { equal, fromHex, reversed, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { bondsOf, sealExpiryHeight } from '../contract/bond-terms.ts';
import { splitsOf } from '../contract/splits.ts';
import {
  type ContractTerms,
  checkTerms,
  contractIdOf,
  parseTerms,
  termsToJson,
  termsVersion,
} from '../contract/terms.ts';
import { capacitySat, stateAmounts } from './amounts.ts';
import { isTxid, isVout, readHex, readRecord } from './fields.ts';
import { auditorKeyOf, channelKeysToJson, checkKeysForTerms, parseChannelKeys } from './keys.ts';
import {
  auditedBondScript,
  type ChannelKeys,
  channelScript,
  hostageBondScript,
  sealScript,
  witnessScriptHashOutput,
} from './scripts.ts';
import {
  checkPayoutScript,
  dustSat,
  feeOfVsize,
  jointSpendVsize,
  SEAL_DATA_OUTPUT_BYTES,
} from './sizes.ts';
import { updatesField, updatesToJson, withSignedUpdates } from './update-signatures.ts';

export { capacitySat, makerContributionSat, minerContributionSat } from './amounts.ts';
export { isTxid, isVout, readHex, readRecord } from './fields.ts';
export { channelKeysToJson, parseChannelKeys } from './keys.ts';

/** An output of a transaction, by txid and index. */
export type Outpoint = {
  /** Txid as displayed: 64 lower-case hex digits. */
  readonly txid: string;
  readonly vout: number;
};

/** The seal of a channel: an output of the same funding transaction. */
export type ChannelSeal = {
  readonly vout: number;
  /** Output script of the maker's next seal, which every claim pays and commits to. */
  readonly nextScript: Uint8Array;
};

/** The parameters of a channel: all its transactions follow from them. */
export type ChannelParams = {
  readonly terms: ContractTerms;
  readonly contractId: string;
  readonly keys: ChannelKeys;
  readonly minerPayoutScript: Uint8Array;
  readonly makerPayoutScript: Uint8Array;
  readonly funding: Outpoint;
  /** The seal; present exactly when the terms have one. */
  readonly seal?: ChannelSeal;
};

/** A P2WSH output: its witness script and its output script. */
export type ScriptOutput = { readonly script: Uint8Array; readonly outputScript: Uint8Array };

/** Derived values that all transactions of a channel share, computed once. */
export type ChannelFacts = ScriptOutput & {
  readonly capacitySat: bigint;
  /** Txid of the funding in internal byte order. */
  readonly fundingHash: Uint8Array;
  /** Upper bound of the virtual bytes of a close, and of a state without bond outputs. */
  readonly stateVsize: number;
  readonly id: Uint8Array;
  /** Scripts of the bond outputs, where states have them. */
  readonly bonds?: { readonly miner: ScriptOutput; readonly maker: ScriptOutput };
  /** Script of the seal, where the terms have one. */
  readonly seal?: ScriptOutput;
};

const facts = new WeakMap<ChannelParams, ChannelFacts>();

/** The output scripts of the payees of the terms. */
export function payeeScripts(terms: ContractTerms): readonly Uint8Array[] {
  return splitsOf(terms).map(({ scriptHex }) => fromHex(scriptHex));
}

function payScripts(
  params: Pick<ChannelParams, 'terms' | 'minerPayoutScript' | 'makerPayoutScript'>,
): Uint8Array[] {
  return [params.minerPayoutScript, params.makerPayoutScript, ...payeeScripts(params.terms)];
}

/** The facts of a channel. Checks the parameters the first time it sees them (`checkChannelParams`). */
export function channelFacts(params: ChannelParams): ChannelFacts {
  const known = facts.get(params);
  if (known !== undefined) return known;
  checkChannelParams(params);
  const channel = scriptOutput(channelScript(params.keys, params.terms.expiryHeight));
  const bonds = bondScripts(params);
  const seal = sealOutput(params.terms, params.keys);
  const made: ChannelFacts = {
    ...channel,
    capacitySat: capacitySat(params.terms),
    fundingHash: reversed(fromHex(params.funding.txid, 32)),
    stateVsize: jointSpendVsize(channel.script, payScripts(params)),
    id: idOf(params),
    ...(bonds === undefined ? {} : { bonds }),
    ...(seal === undefined ? {} : { seal }),
  };
  facts.set(params, made);
  return made;
}

function scriptOutput(script: Uint8Array): ScriptOutput {
  return { script, outputScript: witnessScriptHashOutput(script) };
}

function bondScripts(params: Pick<ChannelParams, 'keys' | 'terms'>): ChannelFacts['bonds'] {
  const bonds = bondsOf(params.terms);
  const { minerBond: miner, makerBond: maker, minerExit, makerExit } = params.keys;
  if (miner === undefined || maker === undefined) return undefined;
  if (bonds.bondMode === 'hostage') {
    const bond = scriptOutput(hostageBondScript(miner, maker));
    return { miner: bond, maker: bond };
  }
  const auditor = auditorKeyOf(params.terms);
  if (bonds.bondMode !== 'auditor' || !auditor || !minerExit || !makerExit) return undefined;
  const bondOf = (owner: Uint8Array): ScriptOutput =>
    scriptOutput(auditedBondScript({ miner, maker, auditor, owner }, bonds.bondCsvBlocks));
  return { miner: bondOf(minerExit), maker: bondOf(makerExit) };
}

/**
 * The output F1 of the seal (`PROTOCOL.md`); undefined for terms without one. Throws `bad_terms` where its
 * keys are missing.
 */
export function sealOutput(terms: ContractTerms, keys: ChannelKeys): ScriptOutput | undefined {
  if (terms.seal === undefined) return undefined;
  const { minerSeal: miner, makerSeal: maker, minerSealExit: exit } = keys;
  if (!miner || !maker || !exit) throw new CodedError('bad_terms', 'the keys of the seal are missing');
  return scriptOutput(sealScript({ miner, maker, exit }, sealExpiryHeight(terms)));
}

/**
 * The channel id, 64 hex digits: a hash of all parameters, so that what is signed under it is bound to each
 * of them.
 */
export function channelIdOf(params: ChannelParams): string {
  return toHex(channelFacts(params).id);
}

function idOf(params: ChannelParams): Uint8Array {
  const text = canonicalJson(openedParamsToJson(params));
  return taggedHash('sharestream/channel/1', new TextEncoder().encode(text));
}

/**
 * Checks the parameters of a channel. Throws `bad_terms` for values that could cost a side its money,
 * `unknown_channel` for an id that is not of the terms.
 */
export function checkChannelParams(params: ChannelParams): void {
  const { terms, keys, funding } = params;
  if (params.contractId !== contractIdOf(terms)) {
    throw new CodedError('unknown_channel', 'the contract id is not the hash of the terms');
  }
  checkTerms(terms);
  checkKeysForTerms(keys, terms);
  checkPayoutScript(params.minerPayoutScript, 'the payout of the miner');
  checkPayoutScript(params.makerPayoutScript, 'the payout of the maker');
  checkPayees(params);
  if (!isTxid(funding.txid)) {
    throw new CodedError('bad_terms', 'the funding txid must be 64 lower-case hex digits');
  }
  if (!isVout(funding.vout)) throw new CodedError('bad_terms', 'the funding output index is out of range');
  checkFirstState(params);
  checkSeal(params);
}

/** Checks that what a payee has relays from the first state on, and is no other party's output. */
function checkPayees({ terms, minerPayoutScript, makerPayoutScript }: ChannelParams): void {
  for (const script of payeeScripts(terms)) {
    checkPayoutScript(script, 'the script of a payee');
    if (equal(script, minerPayoutScript) || equal(script, makerPayoutScript))
      throw new CodedError('bad_terms', 'a payee has the payout script of the miner or the maker');
  }
}

/** Checks that state 0 can pay its fee at the lowest rung, before anything is at risk. */
function checkFirstState(params: ChannelParams): void {
  const { terms, keys } = params;
  const { minerSat, minerBondOutputSat, makerBondOutputSat } = stateAmounts(terms, 0n);
  const bonds = bondScripts(params);
  const outputs = payScripts(params);
  if (bonds !== undefined && minerBondOutputSat > 0n) outputs.push(bonds.miner.outputScript);
  if (bonds !== undefined && makerBondOutputSat > 0n) outputs.push(bonds.maker.outputScript);
  const vsize = jointSpendVsize(channelScript(keys, terms.expiryHeight), outputs);
  const firstFee = feeOfVsize(vsize, terms.feeLadderSatPerKvb[0]!);
  if (minerSat - firstFee < dustSat(params.minerPayoutScript)) {
    throw new CodedError(
      'bad_terms',
      'the reserve of the miner does not pay for state 0 at the lowest fee',
    );
  }
}

function checkSeal(params: ChannelParams): void {
  const { terms, seal } = params;
  const output = sealOutput(terms, params.keys);
  if ((seal === undefined) !== (terms.seal === undefined)) {
    throw new CodedError('bad_terms', 'a channel has a seal exactly when its terms have one');
  }
  if (seal === undefined || terms.seal === undefined || output === undefined) return;
  checkPayoutScript(seal.nextScript, 'the next seal of the maker');
  if (!isVout(seal.vout) || seal.vout === params.funding.vout) {
    throw new CodedError('bad_terms', 'the seal must be another output of the funding');
  }
  const { sealSat, claimFeeRateSatPerKvb } = terms.seal;
  const data = new Uint8Array(SEAL_DATA_OUTPUT_BYTES);
  const claimVsize = jointSpendVsize(output.script, [data, seal.nextScript]);
  if (sealSat - feeOfVsize(claimVsize, claimFeeRateSatPerKvb) < dustSat(seal.nextScript)) {
    throw new CodedError('bad_terms', 'the seal does not pay for its claim');
  }
}

/** The parameters as JSON, in one spelling, with the updates of the terms that both signed. */
export function channelParamsToJson(params: ChannelParams): { readonly [key: string]: Json } {
  return { ...openedParamsToJson(params), ...updatesToJson(params.terms) };
}

/** The parameters as the channel was opened by: its id is their hash. */
function openedParamsToJson(params: ChannelParams): { readonly [key: string]: Json } {
  const { seal } = params;
  return {
    version: termsVersion(params.terms),
    terms: termsToJson(params.terms),
    contract_id: params.contractId,
    keys: channelKeysToJson(params.keys),
    miner_payout_script: toHex(params.minerPayoutScript),
    maker_payout_script: toHex(params.makerPayoutScript),
    funding: { txid: params.funding.txid, vout: params.funding.vout },
    ...(seal === undefined ? {} : { seal: { vout: seal.vout, next_script: toHex(seal.nextScript) } }),
  };
}

/**
 * Parses the parameters: every field present and in range, no unknown ones. Throws `protocol` for the
 * shape, `bad_terms` for the content.
 */
export function parseChannelParams(value: unknown): ChannelParams {
  const fields = [
    'version',
    'terms',
    'contract_id',
    'keys',
    'miner_payout_script',
    'maker_payout_script',
    'funding',
  ];
  const record = readRecord(value, 'channel', fields, ['seal', 'updates']);
  const { version } = record;
  if (version !== 1 && version !== 2 && version !== 3)
    throw new CodedError('protocol', 'channel version must be 1, 2 or 3');
  const { txid, vout } = readRecord(record['funding'], 'funding', ['txid', 'vout']);
  if (!isTxid(txid)) throw new CodedError('protocol', 'funding.txid must be 64 lower-case hex digits');
  if (!isVout(vout)) throw new CodedError('protocol', 'funding.vout must be an output index');
  const terms = parseTerms(record['terms']);
  const params: ChannelParams = {
    terms: record['updates'] === undefined ? terms : parseUpdates(terms, record['updates']),
    contractId: toHex(readHex(record['contract_id'], 'contract_id', 32)),
    keys: parseChannelKeys(record['keys']),
    minerPayoutScript: readHex(record['miner_payout_script'], 'miner_payout_script'),
    makerPayoutScript: readHex(record['maker_payout_script'], 'maker_payout_script'),
    funding: { txid, vout },
    ...(record['seal'] === undefined ? {} : { seal: parseSeal(record['seal']) }),
  };
  if (version !== termsVersion(params.terms)) {
    throw new CodedError('protocol', `channel version must be ${termsVersion(params.terms)} for its terms`);
  }
  checkChannelParams(params);
  return params;
}

/** Throws `bad_terms`, `update_conflict`, `bad_signature`. */
function parseUpdates(terms: ContractTerms, value: unknown): ContractTerms {
  return withSignedUpdates(terms, updatesField.parse(value, 'updates'));
}

function parseSeal(value: unknown): ChannelSeal {
  const { vout, next_script: script } = readRecord(value, 'seal', ['vout', 'next_script']);
  if (!isVout(vout)) throw new CodedError('protocol', 'seal.vout must be an output index');
  return { vout, nextScript: readHex(script, 'seal.next_script') };
}
