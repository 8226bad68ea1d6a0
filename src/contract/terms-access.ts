import { NETWORKS } from '../bitcoin/network.ts';
import { refuseTerm } from './fields.ts';
import { highestMsatPerEh, lowestMsatPerEh } from './price.ts';
import type { ContractTerms } from './terms.ts';
import { TERMS_DEFAULTS } from './terms-defaults.ts';

/**
 * Accessors for what versions of the terms spell differently. Terms of version 3 that no program can run
 * yet are refused by `notYetServed` before a contract is signed.
 */

/**
 * The price that was signed with the terms, msat per EH: of one that moves the least, until both have signed
 * another.
 */
export function fixedPriceMsatPerEh(terms: ContractTerms): bigint {
  if (terms.version !== 3) return terms.priceMsatPerEh;
  return lowestMsatPerEh(terms.price);
}

/** The highest price that the terms allow, msat per EH. */
export function mostMsatPerEh(terms: ContractTerms): bigint {
  return terms.version === 3 ? highestMsatPerEh(terms.price) : terms.priceMsatPerEh;
}

/** The easiest target of a share. */
export function easiestTarget(terms: ContractTerms): bigint {
  return BigInt(`0x${terms.version === 3 ? terms.target.easiestHex : terms.maxTargetHex}`);
}

/** The hardest target of a share; 0 where any is accepted. */
export function hardestTarget(terms: ContractTerms): bigint {
  return terms.version === 3 ? BigInt(`0x${terms.target.hardestHex}`) : 0n;
}

/** The outputs that the coinbase of a job has to pay. */
export type CoinbaseRule =
  | { readonly type: 'none' }
  /** Any value above zero to this script. */
  | { readonly type: 'some'; readonly scriptHex: string }
  /** To each script its part of the whole value, rounded down to a sat. */
  | {
      readonly type: 'parts';
      readonly outputs: readonly { readonly scriptHex: string; readonly ppm: number }[];
    };

/** The part of a binding that the coinbase alone proves. */
export function coinbaseRule(terms: ContractTerms): CoinbaseRule {
  const { binding } = terms;
  if (binding.type === 'coinbase') return { type: 'some', scriptHex: binding.scriptHex };
  if (binding.type === 'payout') return { type: 'parts', outputs: binding.outputs };
  return { type: 'none' };
}

/**
 * The greatest age in ms of work kept while the peers were disconnected. Versions 1 and 2 have the default
 * of version 3.
 */
export function backlogMs(terms: ContractTerms): number {
  return (terms.version === 3 ? terms.backlogMinutes : TERMS_DEFAULTS.backlogMinutes) * 60_000;
}

/**
 * The part of the work in ppm that the maker may refuse without a reason that the miner's own rules confirm.
 * Versions 1 and 2 have the default of version 3, as for `staleRacePpm`.
 */
export function refusedPpm(terms: ContractTerms): number {
  return terms.version === 3 ? terms.refusedPpm : TERMS_DEFAULTS.refusedPpm;
}

/** The part of the solutions in ppm that may first come in a batch; as for `refusedPpm`. */
export function latePpm(terms: ContractTerms): number {
  return terms.version === 3 ? terms.latePpm : TERMS_DEFAULTS.latePpm;
}

/** The part of the work in ppm that may fall between two views of one new block. */
export function staleRacePpm(terms: ContractTerms): number {
  return terms.version === 3 ? terms.staleRaceAllowancePpm : TERMS_DEFAULTS.staleRaceAllowancePpm;
}

/**
 * The path on the wire of the first term that this program can read but not yet run; undefined where it can
 * run them all, as with versions 1 and 2.
 */
export function notYetServed(terms: ContractTerms): string | undefined {
  if (terms.version !== 3) return undefined;
  const { price, binding, target } = terms;
  const isWork = binding.type === 'work';
  const parts: readonly (readonly [path: string, isServed: boolean])[] = [
    ['price.type', price.type === 'fixed' || binding.type !== 'none'],
    // Its blocks need a signature that work does not make.
    ['network', binding.type !== 'payout' || NETWORKS[terms.network].consensus.isSigned !== true],
    ['target.hardest', isWork || target.hardestHex === target.easiestHex],
    ['over_delivery', terms.overDelivery === 'credit' || binding.type !== 'none'],
    ['maker_fault.type', terms.makerFault.type === 'pause'],
    ['end.cancel_fee_ppm', terms.end.cancelFeePpm === 0],
    ['end.notice_blocks', terms.end.noticeBlocks === 0 || binding.type !== 'none'],
    ['renew', terms.renew === 'none'],
    ['rate', terms.rate === undefined || binding.type !== 'none'],
    // Heights are those of the funding's chain: metering without money has none.
    ['start', terms.start === undefined || binding.type !== 'none'],
    ['duration_blocks', terms.durationBlocks === undefined || binding.type !== 'none'],
    ['delivery', terms.delivery === undefined || binding.type !== 'none'],
    ['text_hash', terms.textHashHex === undefined],
    ['predecessor', terms.predecessorHex === undefined],
    ['stream', terms.streamHex === undefined],
  ];
  return parts.find(([, isServed]) => !isServed)?.[0];
}

/** What no program will serve, and why: `MARKET.md` has it at length. */
const NEVER_SERVED: Readonly<Record<string, string>> = {
  'maker_fault.type':
    'must be pause: standby would be paid by what a maker says against itself alone, which then would say nothing',
  'end.cancel_fee_ppm':
    'must be 0: no state pays the miner less than one before, and no maker signs a fee once it has left',
};

/** Checks that this program can run the terms. Throws `bad_terms` with the path, and why not. */
export function assertServed(terms: ContractTerms): void {
  const path = notYetServed(terms);
  if (path !== undefined) refuseTerm(path, NEVER_SERVED[path] ?? 'is not served yet as it is');
}
