import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { readAddress } from '../bitcoin/address.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { targetOfDifficulty, targetToHex } from '../bitcoin/target.ts';
import type { ContractConfig, MeteringConfig } from '../config/config.ts';
import { isMetering, type MeteringTerms } from '../contract/metering.ts';
import {
  type ContractTerms,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  parseTerms,
  type TermsV1or2,
  type TermsV3,
  termsToJson,
} from '../contract/terms.ts';
import { TERMS_DEFAULTS } from '../contract/terms-defaults.ts';
import { termsV3From, withBondRule } from '../contract/terms-upgrade.ts';
import { rewritten } from '../contract/updated-terms.ts';

/** What the terms of a configured contract depend on beside the configuration. */
export type TermsPlace = {
  readonly network: NetworkName;
  /** x-only key, 64 hex digits. */
  readonly minerNodeId: string;
  readonly tipHeight: number;
  /** 16 bytes that tell this contract from others with equal terms. */
  readonly nonce: Uint8Array;
};

/** The terms that a configuration asks for. Throws `bad_terms`, as their peer would. */
export function configuredTerms(contract: ContractConfig, place: TermsPlace): ContractTerms {
  return parseTerms(termsToJson(uncheckedTerms(contract, place)));
}

function uncheckedTerms(contract: ContractConfig, place: TermsPlace): ContractTerms {
  const { network, minerNodeId, tipHeight, nonce } = place;
  const older: TermsV1or2 = {
    network,
    minerNodeId,
    makerNodeId: contract.makerNodeId,
    priceMsatPerEh: contract.priceMsatPerEh,
    workTotalHashes: contract.workTotalHashes,
    stepHashes: contract.stepHashes,
    maxUnpaidSteps: contract.maxUnpaidSteps,
    budgetSat: contract.budgetSat,
    reserveSat: contract.reserveSat,
    minerReserveSat: contract.minerReserveSat,
    expiryHeight: tipHeight + contract.expiryBlocks,
    minDepth: contract.minDepth,
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    maxTargetHex: targetToHex(targetOfDifficulty(contract.shareDifficulty)),
    binding:
      contract.binding.type === 'payout'
        ? { type: 'coinbase', scriptHex: contract.binding.outputs[0]!.scriptHex }
        : { type: 'none' },
    staleGraceSeconds: contract.staleGraceSeconds,
    nonceHex: toHex(nonce),
    ...(contract.bonds === undefined ? {} : { bonds: contract.bonds }),
    ...(contract.seal === undefined ? {} : { seal: contract.seal }),
  };
  if (contract.termsVersion !== 3) return older;
  const terms: TermsV3 = {
    ...boundTerms(contract.binding, older, tipHeight),
    ...clockTerms(contract.term, tipHeight),
    ...deliveryTerms(contract.delivery),
    ...indexTerms(contract),
    ...splitTerms(contract.payees, network),
  };
  return contract.bondRule === undefined ? terms : withBondRule(terms, contract.bondRule);
}

/** Version 3 of the terms, with what binds the work. */
function boundTerms(binding: ContractConfig['binding'], older: TermsV1or2, tipHeight: number): TermsV3 {
  const fundingByHeight = tipHeight + TERMS_DEFAULTS.fundingByBlocks;
  if (binding.type !== 'work') return termsV3From(older, fundingByHeight, binding);
  const { hardestShare, ...work } = binding;
  const terms = termsV3From(older, fundingByHeight, work);
  return {
    ...terms,
    target: { ...terms.target, hardestHex: targetToHex(targetOfDifficulty(hardestShare)) },
  };
}

/** Who has a part of the pay. Throws `bad_terms` for an address that is none of this network. */
function splitTerms(payees: ContractConfig['payees'], network: NetworkName): Pick<TermsV3, 'splits'> {
  if (payees === undefined) return {};
  const splits = payees.map(({ address, ...payee }) => {
    const { script, why } = readAddress(address, network);
    if (script === undefined) throw new CodedError('bad_terms', `${JSON.stringify(address)} ${why}`);
    return { ...payee, scriptHex: toHex(script) };
  });
  return { splits };
}

/** When the contract begins and ends. */
function clockTerms(
  term: ContractConfig['term'],
  tipHeight: number,
): Partial<Pick<TermsV3, 'start' | 'durationBlocks' | 'end'>> {
  if (term === undefined) return {};
  const { start, durationBlocks, noticeBlocks } = term;
  const notBeforeHeight = tipHeight + (start?.afterBlocks ?? 0);
  return {
    ...(start === undefined
      ? {}
      : { start: { notBeforeHeight, notAfterHeight: notBeforeHeight + start.withinBlocks } }),
    ...(durationBlocks === undefined ? {} : { durationBlocks }),
    end: { cancelFeePpm: 0, noticeBlocks },
  };
}

/** A price that follows the value of hashes, up to that of the configuration. */
function indexTerms({ index, priceMsatPerEh }: ContractConfig): Partial<Pick<TermsV3, 'price'>> {
  if (index === undefined) return {};
  const price = { type: 'index', formula: 'hash_value_144', maxMsatPerEh: priceMsatPerEh } as const;
  return { price: { ...price, ...index } };
}

/** What is promised, and the rules by which it is judged. */
function deliveryTerms(
  delivery: ContractConfig['delivery'],
): Partial<Pick<TermsV3, 'rate' | 'overDelivery' | 'delivery'>> {
  if (delivery === undefined) return {};
  const { rateHps, maxRateHps, overDelivery, rules } = delivery;
  const rate = { committed: rateHps, min: rateHps, max: maxRateHps };
  return { rate, overDelivery, delivery: rules };
}

/** Without a node no height is known: then nothing ends by the expiry. */
const NO_EXPIRY = 499_999_999;

/** The terms of metering without money. Throws `bad_terms`. */
export function meteringTerms(
  metering: MeteringConfig,
  place: Omit<TermsPlace, 'tipHeight'> & { readonly tipHeight: number | undefined },
): MeteringTerms {
  const { tipHeight } = place;
  const older: TermsV1or2 = {
    ...{ network: place.network, minerNodeId: place.minerNodeId, makerNodeId: metering.makerNodeId },
    ...{ priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n },
    ...{ workTotalHashes: metering.workTotalHashes, stepHashes: metering.stepHashes },
    expiryHeight: tipHeight === undefined ? NO_EXPIRY : tipHeight + metering.expiryBlocks,
    // Of a channel, which there is not.
    ...{ maxUnpaidSteps: 1, minDepth: 1, feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB },
    maxTargetHex: targetToHex(targetOfDifficulty(metering.shareDifficulty)),
    ...{ binding: { type: 'none' }, staleGraceSeconds: metering.staleGraceSeconds },
    nonceHex: toHex(place.nonce),
  };
  const terms = parseTerms(termsToJson(termsV3From(older, (tipHeight ?? 0) + 1, { type: 'none' })));
  if (!isMetering(terms)) throw new CodedError('bad_terms', 'not of metering');
  return terms;
}

/** One term of a running contract that the configuration would have otherwise. */
export type EditWithoutEffect = {
  readonly term: string;
  readonly running: string;
  readonly configured: string;
};

/** Terms that are another for each contract. */
const OF_ONE_CONTRACT = new Set([
  'version',
  'nonce',
  'expiry_height',
  'funding_by_height',
  'miner_node_id',
  'network',
]);

/** What of a configuration has no effect on the contract that runs: it keeps the terms it was signed with. */
export function editsWithoutEffect(running: ContractTerms, contract: ContractConfig): EditWithoutEffect[] {
  const place = {
    network: running.network,
    minerNodeId: running.minerNodeId,
    tipHeight: Math.max(0, running.expiryHeight - contract.expiryBlocks),
    nonce: new Uint8Array(16),
  };
  const now = termsToJson(running.version === 3 ? rewritten(running) : running);
  const wanted = wantedTerms(contract, place);
  const names = [...new Set([...Object.keys(now), ...Object.keys(wanted)])];
  const text = (value: unknown): string =>
    typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none');
  return names
    .filter((name) => !OF_ONE_CONTRACT.has(name) && text(now[name]) !== text(wanted[name]))
    .map((term) => ({ term, running: text(now[term]), configured: text(wanted[term]) }));
}

/** Ones that make no terms any more are no reason to stop the contract that runs. */
function wantedTerms(contract: ContractConfig, place: TermsPlace): { readonly [key: string]: Json } {
  try {
    return termsToJson(uncheckedTerms(contract, place));
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { refused: error.message };
  }
}
