import { fromHex } from '../base/bytes.ts';
import { sha256d } from '../base/hash.ts';
import { displayHash, parseHeader } from '../bitcoin/header.ts';
import { hashToNumber, targetOfCompact } from '../bitcoin/target.ts';
import { type BlockValue, epochStart, hashValue144 } from '../contract/hash-value.ts';
import { movingPriceOf } from '../contract/index-price.ts';
import { priceAtValue } from '../contract/price.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { updatesOf } from '../contract/updated-terms.ts';
import type { PriceBasis } from '../settlement/price-basis.ts';
import type { Finding } from './finding.ts';

/**
 * Prices that follow the value of hashes, recomputed from the blocks that a file has. Both sides signed each,
 * so that a wrong one convicts neither: it is found, and said.
 */
export class PriceAudit {
  readonly #terms: ContractTerms;
  /** Prices that follow from blocks of this file. */
  readonly #recomputed = new Set<bigint>();
  #edge = -1;

  constructor(terms: ContractTerms) {
    this.#terms = terms;
  }

  get recomputed(): ReadonlySet<bigint> {
    return this.#recomputed;
  }

  /** Takes the blocks of an epoch. */
  take(basis: PriceBasis): Finding | undefined {
    const { edge, priceMsatPerEh: signed } = basis;
    const price = movingPriceOf(this.#terms);
    const blocks = valuesOf(basis);
    const where = `the blocks before ${edge}`;
    const flaw = (why: string): Finding => ({
      blame: 'file',
      code: 'bad_evidence',
      words: `${where} ${why}`,
    });
    if (price === undefined) return flaw('are of no price: it does not move');
    if (edge <= this.#edge || epochStart(price.epoch, edge) !== edge)
      return flaw('are of no epoch in its place');
    this.#edge = edge;
    if (typeof blocks === 'string') return flaw(blocks);
    const computed = priceAtValue(price, hashValue144(blocks)!);
    if (!signedPrices(this.#terms).includes(signed))
      return flaw(`are of a price that nobody signed: ${signed}`);
    if (computed === signed) {
      this.#recomputed.add(signed);
      return undefined;
    }
    const words = `both signed ${signed} msat/EH for ${where}, from which ${computed} follows`;
    return { blame: 'undecided', code: 'bad_amount', words };
  }
}

/** What a price was reckoned by; words for headers that hang together by no work. */
function valuesOf({ blocks }: PriceBasis): readonly BlockValue[] | string {
  const values: BlockValue[] = [];
  let before: string | undefined;
  for (const { header, rewardSat } of blocks) {
    const bytes = fromHex(header, 80);
    const { prevHash, bits } = parseHeader(bytes);
    const digest = sha256d(bytes);
    if (hashToNumber(digest) > targetOfCompact(bits))
      return `have one without its work: ${displayHash(digest)}`;
    if (before !== undefined && displayHash(prevHash) !== before)
      return `do not follow each other at ${before}`;
    before = displayHash(digest);
    values.push({ bits, rewardSat });
  }
  return values;
}

/** Each price that both signed, in their order. */
function signedPrices(terms: ContractTerms): readonly bigint[] {
  return updatesOf(terms).flatMap(({ update }) => update.priceMsatPerEh ?? []);
}

/** Signed prices that no file has the blocks of; one finding for all. */
export function unpricedFindings(
  terms: ContractTerms,
  recomputed: readonly ReadonlySet<bigint>[],
): readonly Finding[] {
  if (movingPriceOf(terms) === undefined) return [];
  const missing = signedPrices(terms).filter((price) => !recomputed.some((known) => known.has(price)));
  if (missing.length === 0) return [];
  const words = `no file has the blocks from which the price follows that both signed: ${missing.join(', ')} msat/EH`;
  return [{ blame: 'undecided', code: 'no_price', words }];
}
