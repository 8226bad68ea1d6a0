import { isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { canonicalJson, isRecord, type Json } from '../base/json.ts';
import { MAX_SATS, owedSat, parseDecimal } from '../base/units.ts';
import { isNetworkName, type NetworkName } from '../bitcoin/network.ts';
import {
  type BondTerms,
  bondsOf,
  bondTermsToJson,
  checkBondTerms,
  checkSealTerms,
  parseBondTerms,
  parseSealTerms,
  type SealTerms,
  sealTermsToJson,
} from './bond-terms.ts';

/** How a share is tied to the buyer: the job's coinbase must pay this script, or nothing is checked. */
export type Binding = { readonly type: 'coinbase'; readonly scriptHex: string } | { readonly type: 'none' };

/**
 * The signed terms of a fixed-price contract (`channel.md` 7, `streams.md` 2.4). Amounts in the units of
 * their names.
 */
export type ContractTerms = {
  readonly network: NetworkName;
  /** x-only node keys, 64 hex digits. */
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  readonly priceMsatPerEh: bigint;
  /** The contract ends when this much work was delivered; nothing beyond it is credited. */
  readonly workTotalHashes: bigint;
  /** Work after which the maker signs the next state. */
  readonly stepHashes: bigint;
  /** Steps of verified but unsigned work at which the miner stops delivering. */
  readonly maxUnpaidSteps: number;
  readonly budgetSat: bigint;
  /** The maker's reserve: keeps its output above dust. */
  readonly reserveSat: bigint;
  /** The miner's own money in the channel, for fees. */
  readonly minerReserveSat: bigint;
  readonly expiryHeight: number;
  readonly minDepth: number;
  readonly feeLadderSatPerKvb: readonly number[];
  /** The target of every share, or with another intake the easiest. 64 hex digits, big-endian. */
  readonly maxTargetHex: string;
  readonly binding: Binding;
  /** A share may arrive this long after its block was replaced. */
  readonly staleGraceSeconds: number;
  /** Makes two contracts with equal terms different. 32 hex digits. */
  readonly nonceHex: string;
  /** Left out: no bonds (mode `none`, C = D = 0). */
  readonly bonds?: BondTerms;
  /** Left out: no seal channel. */
  readonly seal?: SealTerms;
};

/** 1 for terms without bonds and seal, 2 for those with either; each has its own one spelling. */
export function termsVersion(terms: ContractTerms): 1 | 2 {
  return terms.bonds === undefined && terms.seal === undefined ? 1 : 2;
}

/** One spelling of the terms: what both parties sign. */
export function termsToJson(terms: ContractTerms): { readonly [key: string]: Json } {
  return {
    ...(terms.bonds === undefined ? {} : { bonds: bondTermsToJson(terms.bonds) }),
    ...(terms.seal === undefined ? {} : { seal: sealTermsToJson(terms.seal) }),
    version: termsVersion(terms),
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

/** Hash of the canonical terms, 32 bytes. */
export function termsHash(terms: ContractTerms): Uint8Array {
  return taggedHash('sharestream/contract/1', new TextEncoder().encode(canonicalJson(termsToJson(terms))));
}

/** The contract id: the terms hash in hex. The same terms give the same id (I1). */
export function contractIdOf(terms: ContractTerms): string {
  return toHex(termsHash(terms));
}

/**
 * Parses terms from a peer or a file: every field present, in range, no unknown ones. The groups `bonds` and
 * `seal` belong to version 2, which has at least one of them. Throws `bad_terms`.
 */
export function parseTerms(value: unknown): ContractTerms {
  if (!isRecord(value)) throw new CodedError('bad_terms', 'terms must be an object');
  const terms = readTerms(value);
  const known = termsToJson(terms);
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(known, key))
      throw new CodedError('bad_terms', `unknown term ${JSON.stringify(key).slice(0, 60)}`);
  }
  checkTerms(terms);
  return terms;
}

function readTerms(value: Record<string, unknown>): ContractTerms {
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
  if (version !== 1 && version !== 2) throw new CodedError('bad_terms', 'version must be 1 or 2');
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

/** The relations between the terms that make a channel safe (`channel.md` 2.1). Throws `bad_terms`. */
export function checkTerms(terms: ContractTerms): void {
  const refuse = (why: string): never => {
    throw new CodedError('bad_terms', why);
  };
  if (terms.priceMsatPerEh <= 0n) refuse('price must be positive');
  if (terms.stepHashes <= 0n) refuse('step must be positive');
  if (terms.workTotalHashes < terms.stepHashes) refuse('work_total must be at least one step');
  if (terms.reserveSat < 1000n)
    refuse('reserve must be at least 1000 sat, to keep the output of the maker above dust');
  if (terms.minerReserveSat < 1000n)
    refuse('miner_reserve must be at least 1000 sat, to pay the fee of state 0');
  if (owedSat(terms.workTotalHashes, terms.priceMsatPerEh) > terms.budgetSat) {
    refuse('budget does not cover work_total at this price');
  }
  const { makerBondSat, collateralSat } = bondsOf(terms);
  const sealSat = terms.seal?.sealSat ?? 0n;
  const own = terms.budgetSat + terms.reserveSat + terms.minerReserveSat;
  if (own + makerBondSat + collateralSat + sealSat > MAX_SATS)
    refuse('amounts exceed the supply of bitcoin');
  checkBondTerms(terms);
  checkSealTerms(terms);
  if (terms.minerNodeId === terms.makerNodeId) refuse('miner and maker must be two nodes');
  const ladder = terms.feeLadderSatPerKvb;
  if (ladder.length < 1 || ladder.length > 8) refuse('the fee ladder has 1 to 8 rungs');
  ladder.forEach((rate, rung) => {
    if (rate < 100 || rate > 1_000_000 || (rung > 0 && rate <= ladder[rung - 1]!)) {
      refuse('the fee ladder must rise, between 100 and 1000000 sat per kvB');
    }
  });
}

/** The default ladder of `channel.md` 3.2: 1.1, 5, 20, 80 and 320 sat/vB. */
export const DEFAULT_FEE_LADDER_SAT_PER_KVB: readonly number[] = [1100, 5000, 20_000, 80_000, 320_000];
