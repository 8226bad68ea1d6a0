import { isHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord, type Json } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { isNetworkName } from '../bitcoin/network.ts';
import { bondTermsToJson, parseBondTerms, parseSealTerms, sealTermsToJson } from './bond-terms.ts';
import { type CommonTerms, checkCommonTerms } from './common-terms.ts';

/** The binding of a share to the buyer: the job's coinbase must pay this script, or nothing is checked. */
export type Binding = { readonly type: 'coinbase'; readonly scriptHex: string } | { readonly type: 'none' };

/**
 * The signed terms of a fixed-price contract as versions 1 and 2 spell them: version 2 has bonds or a seal,
 * version 1 has neither. New contracts use version 3 once both sides know it.
 */
export type TermsV1or2 = CommonTerms & {
  /** Undefined in these versions; later ones have a number. */
  readonly version?: undefined;
  readonly priceMsatPerEh: bigint;
  /** The target of every share, or with another intake the easiest. 64 hex digits, big-endian. */
  readonly maxTargetHex: string;
  readonly binding: Binding;
};

/** The version: 1 for terms without bonds and seal, 2 for those with either. */
export function versionOfV1(terms: Pick<CommonTerms, 'bonds' | 'seal'>): 1 | 2 {
  return terms.bonds === undefined && terms.seal === undefined ? 1 : 2;
}

/** The terms as JSON, in the one spelling that both parties sign. */
export function termsV1ToJson(terms: TermsV1or2): { readonly [key: string]: Json } {
  return {
    ...(terms.bonds === undefined ? {} : { bonds: bondTermsToJson(terms.bonds) }),
    ...(terms.seal === undefined ? {} : { seal: sealTermsToJson(terms.seal) }),
    version: versionOfV1(terms),
    network: terms.network,
    miner_node_id: terms.minerNodeId,
    maker_node_id: terms.makerNodeId,
    price_msat_per_eh: terms.priceMsatPerEh.toString(),
    work_total_hashes: terms.workTotalHashes.toString(),
    step_hashes: terms.stepHashes.toString(),
    max_unpaid_steps: terms.maxUnpaidSteps,
    budget_sat: terms.budgetSat.toString(),
    reserve_sat: terms.reserveSat.toString(),
    miner_reserve_sat: terms.minerReserveSat.toString(),
    expiry_height: terms.expiryHeight,
    min_depth: terms.minDepth,
    fee_ladder_sat_per_kvb: terms.feeLadderSatPerKvb,
    max_target: terms.maxTargetHex,
    binding:
      terms.binding.type === 'none'
        ? { type: 'none' }
        : { type: 'coinbase', script: terms.binding.scriptHex },
    stale_grace_seconds: terms.staleGraceSeconds,
    nonce: terms.nonceHex,
  };
}

/**
 * Parses terms of versions 1 and 2: every field present and in range, no unknown ones. The groups `bonds`
 * and `seal` belong to version 2, which has at least one of them. Throws `bad_terms`.
 */
export function parseTermsV1(value: Record<string, unknown>): TermsV1or2 {
  const terms = readTerms(value);
  const known = termsV1ToJson(terms);
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(known, key))
      throw new CodedError('bad_terms', `unknown term ${JSON.stringify(key).slice(0, 60)}`);
  }
  checkTermsV1(terms);
  return terms;
}

function readTerms(value: Record<string, unknown>): TermsV1or2 {
  const decimal = (key: string): bigint => {
    try {
      return parseDecimal(value[key], key);
    } catch (error) {
      throw new CodedError('bad_terms', (error as Error).message);
    }
  };
  const integer = (key: string, min: number, max: number): number => {
    const number = value[key];
    if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max) {
      throw new CodedError('bad_terms', `${key} must be an integer from ${min} to ${max}`);
    }
    return number;
  };
  const hex = (key: string, size: number): string => {
    const text = value[key];
    if (!isHex(text, size) || text !== text.toLowerCase()) {
      throw new CodedError('bad_terms', `${key} must be ${size * 2} lower-case hex digits`);
    }
    return text;
  };
  const { version, bonds, seal } = value;
  if (version !== 1 && version !== 2) throw new CodedError('bad_terms', 'version must be 1, 2 or 3');
  if ((version === 2) !== (bonds !== undefined || seal !== undefined)) {
    throw new CodedError('bad_terms', 'version 2 has bonds or a seal, and version 1 has neither');
  }
  const network = value['network'];
  if (!isNetworkName(network)) throw new CodedError('bad_terms', 'network is not known');
  const ladder = value['fee_ladder_sat_per_kvb'];
  if (!Array.isArray(ladder) || !ladder.every((rate): rate is number => Number.isSafeInteger(rate))) {
    throw new CodedError('bad_terms', 'fee_ladder_sat_per_kvb must be a list of integers');
  }
  return {
    network,
    minerNodeId: hex('miner_node_id', 32),
    makerNodeId: hex('maker_node_id', 32),
    priceMsatPerEh: decimal('price_msat_per_eh'),
    workTotalHashes: decimal('work_total_hashes'),
    stepHashes: decimal('step_hashes'),
    maxUnpaidSteps: integer('max_unpaid_steps', 1, 1000),
    budgetSat: decimal('budget_sat'),
    reserveSat: decimal('reserve_sat'),
    minerReserveSat: decimal('miner_reserve_sat'),
    expiryHeight: integer('expiry_height', 1, 499_999_999),
    minDepth: integer('min_depth', 1, 144),
    feeLadderSatPerKvb: ladder,
    maxTargetHex: hex('max_target', 32),
    binding: readBinding(value['binding']),
    staleGraceSeconds: integer('stale_grace_seconds', 0, 3600),
    nonceHex: hex('nonce', 16),
    ...(bonds === undefined ? {} : { bonds: parseBondTerms(bonds) }),
    ...(seal === undefined ? {} : { seal: parseSealTerms(seal) }),
  };
}

function readBinding(value: unknown): Binding {
  if (isRecord(value) && value['type'] === 'none' && Object.keys(value).length === 1)
    return { type: 'none' };
  if (
    isRecord(value) &&
    value['type'] === 'coinbase' &&
    isHex(value['script']) &&
    Object.keys(value).length === 2
  ) {
    return { type: 'coinbase', scriptHex: value['script'].toLowerCase() };
  }
  throw new CodedError('bad_terms', 'binding must be {"type":"none"} or {"type":"coinbase","script":hex}');
}

/** Checks the relations between the terms. Throws `bad_terms` as `checkCommonTerms`. */
export function checkTermsV1(terms: TermsV1or2): void {
  const { priceMsatPerEh: price } = terms;
  checkCommonTerms(terms, { lowest: price, highest: price });
}
