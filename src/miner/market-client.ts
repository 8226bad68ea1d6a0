import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../bitcoin/target.ts';
import { minerContributionSat } from '../channel/params.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import type { BondTerms } from '../contract/bond-terms.ts';
import { checkQuote, type QuoteLimits, type QuoteRequest } from '../contract/quote.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { call } from '../peer/calls.ts';
import type { Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import { type SignerTree, signTerms, verifyTermsSignature } from '../settlement/opening.ts';

/** What a miner asks makers for. */
export type Sale = {
  readonly workTotalHashes: bigint;
  readonly stepHashes: bigint;
  readonly maxUnpaidSteps: number;
  readonly expiryBlocks: number;
  readonly shareDifficulty: number;
  readonly hardestShare: number;
  readonly floorMsatPerEh: bigint;
  readonly maxDepth: number;
  /** Undefined where none are asked for. */
  readonly bonds?: SaleBonds | undefined;
  /** Undefined where no hashrate is promised. */
  readonly rate?: QuoteRequest['rate'] | undefined;
  /** By what it is judged whether it is kept. */
  readonly delivery?: QuoteRequest['delivery'] | undefined;
  readonly start?: QuoteRequest['start'] | undefined;
  readonly durationBlocks?: number | undefined;
  /** Where a price that moves may be capped, at the least. */
  readonly leastCapMsatPerEh?: bigint | undefined;
};

/** What a quote is asked for under: the binding, and whether its price is to follow the value of hashes. */
export type Asked = {
  readonly binding: QuoteRequest['binding'];
  readonly price?: 'fixed' | 'moving';
};

/** Bonds by rule; the amounts are the least. */
export type SaleBonds = BondTerms & { readonly collateralPpm: number; readonly makerBondPpm: number };

/** A quote whose terms are those that were asked for. */
export type CheckedQuote = Result<'market.quote'>;

/** The words of a sale under a binding. A price that moves is never to be below the floor. */
export function requestOf(sale: Sale, { binding, price = 'fixed' }: Asked): QuoteRequest {
  const easiestHex = targetToHex(targetOfDifficulty(sale.shareDifficulty));
  const hardestHex = binding === 'work' ? targetToHex(targetOfDifficulty(sale.hardestShare)) : easiestHex;
  const { workTotalHashes, stepHashes, maxUnpaidSteps, expiryBlocks } = sale;
  const { rate, delivery, start, durationBlocks, bonds } = sale;
  return {
    ...{ side: 'sell', workTotalHashes, stepHashes, maxUnpaidSteps, expiryBlocks, binding },
    target: { easiestHex, hardestHex },
    ...(bonds === undefined ? {} : { bonds: ruledBonds(bonds) }),
    ...(rate === undefined ? {} : { rate }),
    ...(delivery === undefined ? {} : { delivery }),
    ...(start === undefined ? {} : { start }),
    ...(durationBlocks === undefined ? {} : { durationBlocks }),
    ...(price === 'fixed' ? {} : { moving: { minMsatPerEh: sale.floorMsatPerEh } }),
  };
}

/** The words for bonds: their amounts follow from the price that is quoted. */
function ruledBonds({
  collateralPpm,
  makerBondPpm,
  ...bonds
}: SaleBonds): NonNullable<QuoteRequest['bonds']> {
  const { collateralSat: worstCaseSat, makerBondSat: makerBondFloorSat } = bonds;
  return { ...bonds, size: { collateralPpm, worstCaseSat, makerBondPpm, makerBondFloorSat } };
}

/** Who is asked, and whom the own log is told; undefined where no program is. */
type QuotePlace = Pick<QuoteLimits, 'network' | 'makerNodeId' | 'height'> & {
  readonly auditorNodeId?: string | undefined;
};

/** What a quote must be for the own proxy to serve it. */
const WORK_LIMITS = {
  ...{ minExtranonce2Bytes: 8, maxWithdrawalsPerBlock: 480, minSolutionsPerMinute: 1200 },
  ...{ foreignChain: false, minStaleGraceSeconds: 10 },
} as const;

/**
 * Asks a maker for a quote, and checks that its terms are what was asked for, at no less than the floor.
 * Throws what the maker refuses with, `bad_terms` with the path for a quote of other terms.
 */
export async function askQuote(
  peer: RpcPeer,
  { sale, ...asked }: Asked & { readonly sale: Sale },
  { auditorNodeId, ...place }: QuotePlace,
  signer: SignerTree,
): Promise<CheckedQuote> {
  const request = requestOf(sale, asked);
  const quote = await call(peer, 'market.quote', { request });
  const minerNodeId = toHex(nodeIdBytes(signer));
  const { floorMsatPerEh, leastCapMsatPerEh, maxDepth: maxMinDepth } = sale;
  checkQuote(request, quote.terms, {
    ...{ ...place, ...WORK_LIMITS, minerNodeId, floorMsatPerEh, leastCapMsatPerEh, maxMinDepth },
  });
  if (quote.depositSat !== minerContributionSat(quote.terms))
    throw new CodedError('bad_terms', 'deposit_sat is not what the terms say', { path: 'deposit_sat' });
  checkAuditor(quote, auditorNodeId);
  return quote;
}

/** Both logs are needed at one program. Throws `bad_terms`. */
function checkAuditor({ auditor }: CheckedQuote, own: string | undefined): void {
  if (auditor === undefined || own === undefined || auditor.nodeId === own) return;
  throw new CodedError('bad_terms', `the maker tells its log to another auditor, at ${auditor.endpoint}`, {
    ...{ path: 'auditor.node_id', got: auditor.nodeId, allowed: own },
  });
}

/**
 * Proposes terms, those of a quote where one is named. Resolves once the maker has signed them; nothing is
 * locked up by that. Throws what it refuses with, `quote_unknown` where the quote is over.
 */
export async function proposeTerms(
  peer: RpcPeer,
  { quoteId, terms }: Pick<CheckedQuote, 'terms'> & { readonly quoteId?: string },
  signer: SignerTree,
): Promise<ContractTerms> {
  const quoted = quoteId === undefined ? {} : { quoteId };
  const answer = await call(peer, 'contract.propose', {
    ...{ terms, signature: signTerms(terms, signer), ...quoted },
  });
  if (answer.contractId !== contractIdOf(terms)) throw new CodedError('protocol', 'another contract id');
  verifyTermsSignature(terms, terms.makerNodeId, answer.signature);
  return terms;
}
