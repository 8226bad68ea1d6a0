import { toHex } from '../base/bytes.ts';
import type { Clock, Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { PeerRates } from './peer-rates.ts';
import { lockedSat } from './policy.ts';

/** A quote that was given, and until when it is kept. */
export type Quote = {
  readonly quoteId: string;
  readonly nodeId: string;
  readonly isListed: boolean;
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly untilMonotonicMs: number;
};

/** Money in sats that a peer's quotes hold: of several the largest, since they are alternatives. */
export type QuoteHold = { readonly nodeId: string; readonly isListed: boolean; readonly lockedSat: bigint };

/** The quotes of a maker that are not over. In memory alone: a restart forgets them, and says so. */
export class QuoteBook {
  /** Since the start, by what became of them. */
  readonly stats = { asked: 0, quoted: 0, refused: 0, taken: 0, expired: 0, replaced: 0 };
  readonly #quotes = new Map<string, Quote>();
  readonly #rates: PeerRates;
  readonly #strangers: TokenBucket;
  readonly #deps: { readonly clock: Clock; readonly random: Random };

  constructor(deps: { readonly clock: Clock; readonly random: Random }) {
    this.#deps = deps;
    this.#rates = new PeerRates('peerQuotesPerMinute', { ...deps, perMinute: LIMITS.peerQuotesPerMinute });
    const burst = LIMITS.strangerQuotesPerMinute;
    this.#strangers = new TokenBucket({ perSecond: burst / 60, burst }, deps.clock.monotonicMs());
  }

  /** Counts a request. Throws `too_often` beyond the rate of the peer, or of all that are not listed. */
  count(nodeId: string, isListed: boolean): void {
    this.stats.asked += 1;
    this.#rates.take(nodeId);
    if (!isListed && !this.#strangers.take(this.#deps.clock.monotonicMs()))
      throw new CodedError('too_often', 'quotes of peers that are not listed');
  }

  /** Keeps a quote, in the place of the peer's oldest where it has too many. Throws `too_often`. */
  add(nodeId: string, isListed: boolean, terms: ContractTerms, validMs: number): Quote {
    this.#drop();
    const own = this.all.filter((quote) => quote.nodeId === nodeId);
    if (own.length >= LIMITS.peerQuotes && this.#quotes.delete(own[0]!.quoteId)) this.stats.replaced += 1;
    const strangers = this.all.filter((quote) => !quote.isListed).length;
    if (this.#quotes.size >= LIMITS.quotes || (!isListed && strangers >= LIMITS.strangerQuotes))
      throw new CodedError('too_often', 'quotes that are not over');
    const quote: Quote = {
      quoteId: toHex(this.#deps.random.bytes(16)),
      ...{ nodeId, isListed, terms, contractId: contractIdOf(terms) },
      untilMonotonicMs: this.#deps.clock.monotonicMs() + validMs,
    };
    this.#quotes.set(quote.quoteId, quote);
    this.stats.quoted += 1;
    return quote;
  }

  /** The quote of a peer. Throws `quote_unknown` where it is over, was never given, or another's. */
  find(quoteId: string, nodeId: string): Quote {
    this.#drop();
    const quote = this.#quotes.get(quoteId);
    if (quote?.nodeId !== nodeId) throw new CodedError('quote_unknown');
    return quote;
  }

  /** Forgets a quote that was taken. */
  remove(quoteId: string): void {
    if (this.#quotes.delete(quoteId)) this.stats.taken += 1;
  }

  /** How many are not over. */
  get liveCount(): number {
    this.#drop();
    return this.#quotes.size;
  }

  /** In the order they were given. */
  get all(): readonly Quote[] {
    return [...this.#quotes.values()];
  }

  /** What quotes hold. @param except a peer whose own quotes do not stand in its way */
  holds(except: string): readonly QuoteHold[] {
    this.#drop();
    const largest = new Map<string, QuoteHold>();
    for (const { nodeId, isListed, terms } of this.all) {
      const locked = lockedSat(terms);
      if (nodeId === except || (largest.get(nodeId)?.lockedSat ?? -1n) >= locked) continue;
      largest.set(nodeId, { nodeId, isListed, lockedSat: locked });
    }
    return [...largest.values()];
  }

  /** The terms of the quotes of each peer but one: alternatives of that peer. */
  termsBeside(except: string): readonly (readonly ContractTerms[])[] {
    this.#drop();
    const byPeer = new Map<string, ContractTerms[]>();
    for (const { nodeId, terms } of this.all) {
      if (nodeId !== except) byPeer.set(nodeId, [...(byPeer.get(nodeId) ?? []), terms]);
    }
    return [...byPeer.values()];
  }

  #drop(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const { quoteId, untilMonotonicMs } of this.all)
      if (untilMonotonicMs <= nowMs && this.#quotes.delete(quoteId)) this.stats.expired += 1;
  }
}
