import { CodedError } from '../base/errors.ts';
import { canonicalJson } from '../base/json.ts';
import { earnsSatRoundedUp } from '../base/price.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { BindingV3 } from './binding.ts';
import { DEFAULT_FEE_LADDER_SAT_PER_KVB } from './common-terms.ts';
import { deliveryField, rateField } from './delivery.ts';
import { amount, type FieldValue, group, hexBytes, integer, oneOf, refuseTerm } from './fields.ts';
import { highestMsatPerEh, type Price } from './price.ts';
import { type ContractTerms, parseTerms, type TermsV3, termsToJson } from './terms.ts';
import { TERMS_DEFAULTS } from './terms-defaults.ts';
import { withBondRule } from './terms-upgrade.ts';
import { bondsField } from './terms-v3.ts';

/** A quote: terms that the maker takes to the letter for a while, made of a request and its own choices. */

const words = {
  /** The miner sells; nothing else is quoted. */
  side: ['side', oneOf('sell')],
  workTotalHashes: ['work_total_hashes', amount],
  stepHashes: ['step_hashes', amount],
  maxUnpaidSteps: ['max_unpaid_steps', integer(1, 1000)],
  target: [
    'target',
    group({ easiestHex: ['easiest', hexBytes(32)], hardestHex: ['hardest', hexBytes(32)] }),
  ],
  /** Blocks from the quote to the expiry. */
  expiryBlocks: ['expiry_blocks', integer(1, 65_535)],
  binding: ['binding', oneOf('work', 'payout', 'bead')],
} as const;

const MOST_BLOCKS = 52_560;

/** Words that an earlier version did not know, and refuses by their path; left out they ask for nothing. */
const furtherWords = {
  bonds: ['bonds', bondsField],
  rate: ['rate', rateField],
  /** By what it is judged whether the rate is kept; needs one. */
  delivery: ['delivery', deliveryField],
  /** Blocks after the quote before which nothing is delivered, and within which it has to begin then. */
  start: [
    'start',
    group({
      afterBlocks: ['after_blocks', integer(0, MOST_BLOCKS)],
      withinBlocks: ['within_blocks', integer(1, MOST_BLOCKS)],
    }),
  ],
  durationBlocks: ['duration_blocks', integer(1, 105_120)],
  /** A price that follows the value of hashes by the maker's rule, never below this; else it is fixed. */
  moving: ['moving_price', group({ minMsatPerEh: ['min_msat_per_eh', amount] })],
} as const;

/** The words of a miner that asks for a quote. */
export const quoteRequestField = group(words, furtherWords);
export type QuoteRequest = FieldValue<typeof quoteRequestField>;

/** What of the terms of a quote is the maker's to choose, and who asks whom. */
export type QuoteChoices = {
  readonly network: NetworkName;
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  readonly price: Price;
  /** Height of the quote. */
  readonly height: number;
  readonly minDepth: number;
  readonly staleGraceSeconds: number;
  readonly binding: BindingV3;
  readonly nonceHex: string;
};

/** Both reserves of every quote, sats. */
export const QUOTE_RESERVES = { reserveSat: 1000n, minerReserveSat: 6000n } as const;

/** The terms of a quote. Throws `bad_terms` where no contract can have them. */
export function termsOfQuote(request: QuoteRequest, choices: QuoteChoices): TermsV3 {
  const { height, ...chosen } = choices;
  const { side: _side, expiryBlocks, binding: _binding, start, moving: _moving, ...asked } = request;
  const { fundingByBlocks, staleGraceSeconds: _grace, ...defaults } = TERMS_DEFAULTS;
  const terms: TermsV3 = {
    ...defaults,
    ...asked,
    ...chosen,
    ...QUOTE_RESERVES,
    ...(start === undefined ? {} : { start: startAt(start, height) }),
    version: 3,
    budgetSat: earnsSatRoundedUp(request.workTotalHashes, highestMsatPerEh(choices.price)),
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    fundingByHeight: height + fundingByBlocks,
    expiryHeight: height + expiryBlocks,
    overDelivery: 'credit',
    makerFault: { type: 'pause' },
    end: { cancelFeePpm: 0, noticeBlocks: 0 },
    renew: 'none',
  };
  // The amounts of bonds follow from the price, which the request does not know.
  const sized = terms.bonds === undefined ? terms : withBondRule(terms, terms.bonds.size);
  return parseTerms(termsToJson(sized)) as TermsV3;
}

/** The heights of a start that is asked for in blocks. */
export function startAt(
  { afterBlocks, withinBlocks }: NonNullable<QuoteRequest['start']>,
  height: number,
): NonNullable<TermsV3['start']> {
  const notBeforeHeight = height + afterBlocks;
  return { notBeforeHeight, notAfterHeight: notBeforeHeight + withinBlocks };
}

/** What a miner takes of the maker's choices. */
export type QuoteLimits = {
  readonly network: NetworkName;
  readonly minerNodeId: string;
  readonly makerNodeId: string;
  /** Height by the own node; undefined where none was asked. */
  readonly height: number | undefined;
  /** The least price, msat per EH. */
  readonly floorMsatPerEh: bigint;
  /** Where a price that moves may be capped, at the least; undefined: anywhere. */
  readonly leastCapMsatPerEh?: bigint | undefined;
  readonly maxMinDepth: number;
  readonly minStaleGraceSeconds: number;
  /** Under binding `work`. */
  readonly minExtranonce2Bytes: number;
  readonly maxWithdrawalsPerBlock: number;
  readonly minSolutionsPerMinute: number;
  readonly foreignChain: boolean;
};

/** Blocks by which two nodes may see the tip apart. */
const TIPS_APART = 6;

/**
 * Checks that quoted terms are those asked for: what is the maker's to choose is within the limits, and
 * nothing else is other than `termsOfQuote` makes it. Throws `bad_terms` with the path.
 */
export function checkQuote(request: QuoteRequest, terms: ContractTerms, limits: QuoteLimits): void {
  if (terms.version !== 3) refuseTerm('version', 'of a quote must be 3');
  const { price, binding } = terms;
  const height = terms.expiryHeight - request.expiryBlocks;
  checkQuotedPrice(request, price, limits);
  if (limits.height !== undefined && Math.abs(height - limits.height) > TIPS_APART)
    refuseTerm('expiry_height', `is not ${request.expiryBlocks} blocks from the tip, ${limits.height}`);
  if (terms.minDepth > limits.maxMinDepth) refuseTerm('min_depth', `may be at most ${limits.maxMinDepth}`);
  if (terms.staleGraceSeconds < limits.minStaleGraceSeconds)
    refuseTerm('stale_grace_seconds', `must be at least ${limits.minStaleGraceSeconds}`);
  checkQuotedBinding(request, binding, limits);
  const expected = termsOfQuote(request, {
    ...{ network: limits.network, minerNodeId: limits.minerNodeId, makerNodeId: limits.makerNodeId },
    ...{ price, height, minDepth: terms.minDepth, binding },
    ...{ staleGraceSeconds: terms.staleGraceSeconds, nonceHex: terms.nonceHex },
  });
  const path = differenceOf(termsToJson(expected), termsToJson(terms));
  if (path !== undefined) refuseTerm(path, 'is not what was asked for');
}

/** Blocks for which the price before may stand in for one that is not signed, at the most: three days. */
const MOST_TTL_BLOCKS = 432;

function checkQuotedPrice({ moving }: QuoteRequest, price: Price, limits: QuoteLimits): void {
  const { floorMsatPerEh: floor, leastCapMsatPerEh: leastCap = 0n } = limits;
  if (price.type === 'fixed') {
    if (moving !== undefined) refuseTerm('price.type', 'of a quote must not be fixed');
    if (price.msatPerEh < floor)
      refuseTerm('price.msat_per_eh', `of ${price.msatPerEh} is below the floor, ${floor}`);
    return;
  }
  if (moving === undefined) refuseTerm('price.type', 'of a quote must be fixed');
  if (price.minMsatPerEh !== moving.minMsatPerEh || price.minMsatPerEh < floor)
    refuseTerm('price.min_msat_per_eh', `must be what was asked for, and at least the floor, ${floor}`);
  if (price.maxMsatPerEh < leastCap) refuseTerm('price.max_msat_per_eh', `must be at least ${leastCap}`);
  if (price.ttlBlocks > MOST_TTL_BLOCKS)
    refuseTerm('price.ttl_blocks', `may be at most ${MOST_TTL_BLOCKS}`);
}

function checkQuotedBinding({ binding: wanted }: QuoteRequest, binding: BindingV3, limits: QuoteLimits) {
  if (binding.type !== wanted) refuseTerm('binding.type', `must be ${wanted}`);
  if (binding.type !== 'work') return;
  if (binding.extranonce2Bytes < limits.minExtranonce2Bytes)
    refuseTerm('binding.extranonce2_bytes', `must be at least ${limits.minExtranonce2Bytes}`);
  if (binding.withdrawalsPerBlock > limits.maxWithdrawalsPerBlock)
    refuseTerm('binding.withdrawals_per_block', `may be at most ${limits.maxWithdrawalsPerBlock}`);
  if (binding.solutionsPerMinute < limits.minSolutionsPerMinute)
    refuseTerm('binding.solutions_per_minute', `must be at least ${limits.minSolutionsPerMinute}`);
  if (binding.foreignChain && !limits.foreignChain)
    refuseTerm('binding.foreign_chain', 'is not taken here');
}

type Printed = ReturnType<typeof termsToJson>;

/** The first term in which two printed terms differ. */
function differenceOf(a: Printed, b: Printed): string | undefined {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].toSorted();
  return names.find((name) => {
    const [one, other] = [a[name], b[name]];
    if (one === undefined || other === undefined) return one !== other;
    return canonicalJson(one) !== canonicalJson(other);
  });
}

/**
 * Checks that proposed terms are the quoted ones to the letter. Throws `bad_terms`, with the first term that
 * differs, what it is and what would be taken in `meta`.
 */
export function assertQuoted(quoted: ContractTerms, proposed: ContractTerms): void {
  const [allowed, got] = [termsToJson(quoted), termsToJson(proposed)];
  const path = differenceOf(allowed, got);
  if (path === undefined) return;
  const text = (printed: Printed): string => {
    const value = printed[path];
    return value === undefined ? 'none' : canonicalJson(value).slice(0, 100);
  };
  throw new CodedError('bad_terms', `${path} is not as quoted`, {
    ...{ path, got: text(got), allowed: text(allowed) },
  });
}
