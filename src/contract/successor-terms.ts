import { larger, smaller } from '../base/bigints.ts';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { earnsSatRoundedUp } from '../base/price.ts';
import { highestMsatPerEh } from './price.ts';
import { type ContractTerms, parseTerms, type TermsV3, termsToJson } from './terms.ts';
import { TERMS_DEFAULTS } from './terms-defaults.ts';
import { withBondRule } from './terms-upgrade.ts';
import { rewritten } from './updated-terms.ts';

/** What of the next contract of a line is not as in the one before. */
export type SuccessorPlace = {
  /** Height at which it is proposed. */
  readonly height: number;
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** Its work; left out, that of the one before. */
  readonly workTotalHashes?: bigint | undefined;
};

/**
 * The terms of the contract that follows another: the same, as updates left them, at the heights of its
 * proposal. Budget and bonds follow from its work. Throws `bad_terms` for older versions, and where no
 * contract can have them.
 * @param terms with the updates that both signed
 */
export function successorTerms(
  terms: ContractTerms,
  { height, nonce, workTotalHashes = terms.workTotalHashes }: SuccessorPlace,
): TermsV3 {
  if (terms.version !== 3) throw new CodedError('bad_terms', 'only terms of version 3 have a successor');
  const first = rewritten(terms);
  const { price } = first;
  const blocks = height - (terms.fundingByHeight - TERMS_DEFAULTS.fundingByBlocks);
  const paysSat = earnsSatRoundedUp(workTotalHashes, highestMsatPerEh(price));
  const isAsBefore = workTotalHashes === terms.workTotalHashes;
  const next: TermsV3 = {
    ...{ ...first, ...startAfter(terms, blocks), workTotalHashes },
    stepHashes: smaller(first.stepHashes, workTotalHashes),
    budgetSat: isAsBefore ? larger(terms.budgetSat, paysSat) : paysSat,
    nonceHex: toHex(nonce),
    expiryHeight: terms.expiryHeight + blocks,
    fundingByHeight: terms.fundingByHeight + blocks,
  };
  const sized = isAsBefore || next.bonds === undefined ? next : withBondRule(next, next.bonds.size);
  return parseTerms(termsToJson(sized)) as TermsV3;
}

function startAfter({ start }: TermsV3, blocks: number): Pick<TermsV3, 'start'> {
  if (start === undefined) return {};
  const { notBeforeHeight, notAfterHeight } = start;
  return {
    start: { notBeforeHeight: notBeforeHeight + blocks, notAfterHeight: notAfterHeight + blocks },
  };
}
