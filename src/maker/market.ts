import { toHex } from '../base/bytes.ts';
import type { Clock, Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { LIMITS } from '../base/limits.ts';
import { earnsSatRoundedUp } from '../base/price.ts';
import { minerContributionSat } from '../channel/params.ts';
import type { BindingV3 } from '../contract/binding.ts';
import { refuseTerm } from '../contract/fields.ts';
import { epochStart } from '../contract/hash-value.ts';
import { edgeAt, movingPriceOf } from '../contract/index-price.ts';
import {
  highestNearMsatPerEh,
  type OffMarket,
  offMarketOf,
  offMarketText,
} from '../contract/off-market.ts';
import type { MovingPrice, Price } from '../contract/price.ts';
import { assertQuoted, type QuoteRequest, startAt, termsOfQuote } from '../contract/quote.ts';
import { movingQuotePrice, type Portion, type PriceFacts, quotePrice } from '../contract/quote-price.ts';
import { priceToday } from '../contract/quote-rank.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { fixedPriceMsatPerEh } from '../contract/terms-access.ts';
import { TERMS_DEFAULTS } from '../contract/terms-defaults.ts';
import { TERM_NAMES } from '../contract/terms-v3.ts';
import type { Update } from '../contract/update.ts';
import type { Logger } from '../log/logger.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { AuditorLink } from '../settlement/auditor-link.ts';
import type { HashValues } from '../settlement/hash-values.ts';
import {
  assertNotHalted,
  type Held,
  judgeTerms,
  judgeUpdate,
  lockedSat,
  type MakerPolicy,
  type PolicyContext,
  type PricingPolicy,
  pricePath,
  stakesOf,
} from './policy.ts';
import type { PoolAccounts } from './pool-accounts.ts';
import { type Quote, QuoteBook } from './quote-book.ts';
import { type BookedTerms, type Booking, bookedTermsOf, bookingOf, peakRate } from './rate-book.ts';

/** A contract that holds money, or a proposal that may become one. */
export type HeldContract = {
  readonly terms: ContractTerms;
  readonly minerNodeId: string;
  readonly isListed: boolean;
  readonly lockedSat: bigint;
  /** Work that is not credited yet, hashes. */
  readonly openHashes: bigint;
};

/** A proposal, an update or a request that was refused, for the operator. */
export type RefusedProposal = {
  readonly at: string;
  readonly nodeId: string;
  readonly what: 'quote' | 'proposal' | 'update';
  readonly code: string;
  readonly reason: string;
  readonly path: string | undefined;
  readonly got: string | undefined;
  readonly allowed: string | undefined;
};

export type MarketOptions = {
  readonly nodeId: string;
  readonly isListed: (nodeId: string) => boolean;
  /** Blocks before an expiry within which nothing is bought. */
  readonly beginBlocks: number;
};

export type MarketDeps = {
  readonly policy: () => MakerPolicy;
  /** @param except a contract id that does not count */
  readonly held: (except?: string) => readonly HeldContract[];
  readonly values: HashValues;
  /** What pools owe, which bounds contracts on their jobs. */
  readonly pools: Pick<PoolAccounts, 'roomHashes'>;
  /** Whom the own log is told; undefined where no program is. */
  readonly auditor?: Pick<AuditorLink, 'place' | 'assertNamed'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
};

/** How long a quote holds. */
const QUOTE_MS = 5 * 60_000;

/** The bindings of quotes on jobs of the own. */
const WORK: BindingV3 = {
  ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
  foreignChain: false,
};

/** A proposal with the tip it is judged at. */
export type JudgedAt = Pick<PolicyContext, 'height' | 'tipBits'>;

/** What a maker offers to whom at which price: quotes, and the judgement of what is proposed. */
export class Market {
  readonly quotes: QuoteBook;
  readonly #options: MarketOptions;
  readonly #deps: MarketDeps;
  readonly #refused: RefusedProposal[] = [];
  readonly #refusedTerms: Record<string, number> = {};

  constructor(options: MarketOptions, deps: MarketDeps) {
    this.#options = options;
    this.#deps = deps;
    this.quotes = new QuoteBook(deps);
  }

  /** The newest refusals, the last one last. */
  get refused(): readonly RefusedProposal[] {
    return this.#refused;
  }

  /** How often each term was what a quote or proposal was refused for; `none`: another reason. */
  get refusedTerms(): Readonly<Record<string, number>> {
    return this.#refusedTerms;
  }

  isListed(nodeId: string): boolean {
    return this.#options.isListed(nodeId);
  }

  /** Answers `market.quote`. Throws `maker_halted`, `too_often`, `bad_terms` with the term. */
  quote({ request }: Params<'market.quote'>, nodeId: string, at: JudgedAt): Result<'market.quote'> {
    const isListed = this.isListed(nodeId);
    this.quotes.count(nodeId, isListed);
    return this.#noting('quote', nodeId, () => {
      const terms = this.#termsFor(request, nodeId, at.height);
      this.#judge(terms, nodeId, at, pricesOf(terms));
      const { quoteId } = this.quotes.add(nodeId, isListed, terms, QUOTE_MS);
      return {
        ...{ quoteId, terms, depositSat: minerContributionSat(terms) },
        validForMs: QUOTE_MS,
        ...this.#auditorOf(request),
      };
    });
  }

  /** Said to whoever asks for delivery alone: a miner of an older version knows no such member. */
  #auditorOf({ bonds, delivery }: QuoteRequest): Pick<Result<'market.quote'>, 'auditor'> {
    const { auditor } = this.#deps;
    if (auditor === undefined || delivery === undefined || bonds?.bondMode !== 'auditor') return {};
    const { host, port, nodeId } = auditor.place;
    return { auditor: { nodeId, endpoint: hostPortText(host, port) } };
  }

  /**
   * Judges a proposal: by the quote it names, to the letter, and else by what would be quoted now. Throws
   * as `judgeTerms`, `quote_unknown`.
   */
  judge(terms: ContractTerms, nodeId: string, at: JudgedAt, quoteId: string | undefined): void {
    this.#noting('proposal', nodeId, () => {
      assertNotHalted(this.#deps.policy());
      const quote: Quote | undefined =
        quoteId === undefined ? undefined : this.quotes.find(quoteId, nodeId);
      if (quote !== undefined) assertQuoted(quote.terms, terms);
      const prices = quote === undefined ? this.#pricesNow(terms, at.height) : pricesOf(terms);
      this.#judge(terms, nodeId, at, prices);
    });
  }

  /** Judges an update of terms that were taken, by what would be paid now for what is left. */
  judgeUpdate(terms: ContractTerms, update: Update, height: number): void {
    const leftHashes = terms.workTotalHashes - update.fromHashes;
    const highest = this.#price(this.#booked(terms, leftHashes), terms.expiryHeight - height, height);
    this.#noting('update', terms.minerNodeId, () =>
      judgeUpdate(this.#deps.policy(), terms, update, highest),
    );
  }

  /** Asks the auditor's program, where the policy takes its rulings. Throws as `AuditorLink.assertNamed`. */
  async assertAuditor(
    what: RefusedProposal['what'],
    bonds: ContractTerms['bonds'],
    nodeId: string,
  ): Promise<void> {
    const { auditor, policy } = this.#deps;
    if (auditor === undefined || bonds?.bondMode !== 'auditor') return;
    if (!stakesOf(policy()).auditorKeysHex.includes(bonds.auditorKeyHex)) return;
    await auditor.assertNamed({ bonds }).catch((error: unknown) => {
      // A request that is refused here does not come to `quote`, which counts the others.
      if (what === 'quote') this.quotes.count(nodeId, this.isListed(nodeId));
      this.#note(what, nodeId, error);
    });
  }

  /** What is held beside a peer: contracts but for one, and what others may take by their quotes. */
  held(nodeId: string, except?: string): Held {
    const contracts = this.#deps.held(except);
    const own = contracts.filter(({ minerNodeId }) => minerNodeId === nodeId);
    const holds = this.quotes.holds(nodeId);
    const sum = (list: readonly { readonly lockedSat: bigint }[]): bigint =>
      list.reduce((total, each) => total + each.lockedSat, 0n);
    const strangers = [...contracts, ...holds].filter(({ isListed }) => !isListed);
    return {
      openContractsOfPeer: own.length,
      openBudgetSat: sum(contracts) + sum(holds),
      budgetOfPeerSat: sum(own),
      strangers: this.isListed(nodeId)
        ? undefined
        : { contracts: strangers.length, budgetSat: sum(strangers) },
    };
  }

  /** What is held beside terms of a peer, and how much hashrate in their time. */
  heldBeside(terms: ContractTerms, height: number, except?: string): Held {
    const own = bookingOf(this.#booked(terms, terms.workTotalHashes), height);
    const beside = this.#bookings(height, terms.minerNodeId, except);
    const rate = { ownHps: own.hashesPerSecond, besideHps: peakRate(beside, own) };
    return { ...this.held(terms.minerNodeId, except), rate, ...this.#poolRoom(terms.minerNodeId, except) };
  }

  /** Work that contracts and quotes on the pools' jobs may still bring, and what there is room for. */
  #poolRoom(nodeId: string, except?: string): Pick<Held, 'poolWork'> {
    const { maxPoolUnpaidHashes } = this.#deps.policy();
    if (maxPoolUnpaidHashes === undefined) return {};
    const isWork = ({ binding }: ContractTerms): boolean => binding.type === 'work';
    const open = this.#deps
      .held(except)
      .reduce((sum, { terms, openHashes }) => (isWork(terms) ? sum + openHashes : sum), 0n);
    const quoted = this.quotes.termsBeside(nodeId).map((list) => list.filter(isWork));
    const most = (list: readonly ContractTerms[]): bigint =>
      list.reduce((top, { workTotalHashes }) => (workTotalHashes > top ? workTotalHashes : top), 0n);
    const besideHashes = quoted.reduce((sum, list) => sum + most(list), open);
    return { poolWork: { roomHashes: this.#deps.pools.roomHashes(maxPoolUnpaidHashes), besideHashes } };
  }

  /** The hashrate bought at a height, and the most at any later one, hashes per second. */
  rates(height: number): { readonly nowHps: bigint; readonly peakHps: bigint } {
    const contracts = this.#contractBookings(height);
    const time = (endHeight: number) => ({ fromHeight: height, endHeight });
    return {
      nowHps: peakRate(contracts, time(height + 1)),
      peakHps: peakRate(contracts, time(Number.POSITIVE_INFINITY)),
    };
  }

  /** The hashrate of a contract in its time. */
  bookingOf(terms: ContractTerms, openHashes: bigint, height: number): Booking {
    return bookingOf(this.#booked(terms, openHashes), height);
  }

  #booked(terms: ContractTerms, openHashes: bigint): BookedTerms {
    return bookedTermsOf(terms, openHashes, this.#options.beginBlocks);
  }

  #contractBookings(height: number, except?: string): readonly (readonly Booking[])[] {
    return this.#deps
      .held(except)
      .map(({ terms, openHashes }) => [bookingOf(this.#booked(terms, openHashes), height)]);
  }

  /** Of contracts, and of what others than a peer may take by their quotes. */
  #bookings(height: number, nodeId: string, except?: string): readonly (readonly Booking[])[] {
    const quotes = this.quotes
      .termsBeside(nodeId)
      .map((list) => list.map((each) => bookingOf(this.#booked(each, each.workTotalHashes), height)));
    return [...this.#contractBookings(height, except), ...quotes];
  }

  /** The most that is paid for terms now. Throws `no_price` where there is none. */
  #pricesNow(terms: ContractTerms, height: number): Prices {
    const blocks = terms.expiryHeight - height;
    const asked = this.#booked(terms, terms.workTotalHashes);
    const { pricing, maxIndexPremiumPpm } = this.#deps.policy();
    const isRuleMoving = pricing !== undefined && pricing.rule.type !== 'fixed';
    if (movingPriceOf(terms) === undefined || !isRuleMoving)
      return { priceMsatPerEh: this.#price(asked, blocks, height) };
    if (maxIndexPremiumPpm === undefined) return {};
    const moving = this.#movingPrice(asked, blocks, height, 1n);
    if (moving === undefined) throw new CodedError('no_price');
    return { moving };
  }

  #priceOfRequest(request: QuoteRequest, height: number): Price {
    const { workTotalHashes: openHashes, rate, start, durationBlocks, expiryBlocks } = request;
    const notBeforeHeight = start === undefined ? undefined : startAt(start, height).notBeforeHeight;
    const lastHeight = height + expiryBlocks - this.#options.beginBlocks;
    const times = { notBeforeHeight, durationBlocks, lastHeight };
    const asked = { openHashes, committedHps: rate?.committed, ...times };
    const { moving } = request;
    if (moving === undefined) return { type: 'fixed', msatPerEh: this.#price(asked, expiryBlocks, height) };
    const price = this.#movingPrice(asked, expiryBlocks, height, moving.minMsatPerEh);
    if (price === undefined)
      throw new CodedError('bad_terms', 'no price that moves is quoted here', FIXED_ONLY);
    return price;
  }

  /** What is bought against what is wanted: by rate in the time of a contract, or by work in all. */
  #inventory(asked: BookedTerms, height: number): Portion {
    const { targetRateHps, targetInventoryHashes = 0n } = this.#deps.policy().pricing ?? {};
    if (targetRateHps === undefined) return { amount: this.inventoryHashes, whole: targetInventoryHashes };
    const time = bookingOf(asked, height);
    return { amount: peakRate(this.#contractBookings(height), time), whole: targetRateHps };
  }

  /** Throws `no_price`. */
  #price(asked: BookedTerms, blocks: number, height: number): bigint {
    const { pricing, maxPriceMsatPerEh } = this.#deps.policy();
    if (pricing === undefined) return maxPriceMsatPerEh;
    const { rule, spread } = pricing;
    const price = quotePrice(rule, spread, this.#facts(pricing, asked, blocks, height));
    if (price === undefined) throw new CodedError('no_price');
    return price < maxPriceMsatPerEh ? price : maxPriceMsatPerEh;
  }

  /** The price that moves as the own rule does; undefined where none is taken, or the rule is fixed. */
  #movingPrice(
    asked: BookedTerms,
    blocks: number,
    height: number,
    minMsatPerEh: bigint,
  ): MovingPrice | undefined {
    const { pricing, maxIndexPremiumPpm: most } = this.#deps.policy();
    if (pricing === undefined || most === undefined) return undefined;
    const { rule, spread } = pricing;
    const facts = this.#facts(pricing, asked, blocks, height);
    const price = movingQuotePrice(rule, spread, facts, minMsatPerEh);
    if (price?.type !== 'index') return price;
    return { ...price, premiumPpm: Math.min(price.premiumPpm, most) };
  }

  #facts({ rule, spread }: PricingPolicy, asked: BookedTerms, blocks: number, height: number): PriceFacts {
    const { maxPriceMsatPerEh, maxBudgetSat, maxExpiryBlocks } = this.#deps.policy();
    const { values } = this.#deps;
    const epoch = rule.type === 'fixed' ? height : epochStart(rule.epoch, height);
    return {
      valueMsatPerEh: rule.type === 'fixed' ? 0n : values.at(epoch),
      volatilityPpm: spread.volatilityPpm === 0 ? 0n : values.volatilityPpm(epoch),
      inventory: this.#inventory(asked, height),
      size: {
        amount: earnsSatRoundedUp(asked.openHashes, maxPriceMsatPerEh),
        whole: maxBudgetSat,
      },
      duration: { amount: BigInt(Math.max(0, blocks)), whole: BigInt(maxExpiryBlocks) },
    };
  }

  /** Work that is bought and not credited yet. */
  get inventoryHashes(): bigint {
    return this.#deps.held().reduce((sum, { openHashes }) => sum + openHashes, 0n);
  }

  #termsFor(request: QuoteRequest, minerNodeId: string, height: number): ContractTerms {
    const policy = this.#deps.policy();
    assertNotHalted(policy);
    const price = this.#priceOfRequest(request, height);
    return termsOfQuote(request, {
      ...{ network: policy.network, makerNodeId: this.#options.nodeId, minerNodeId },
      ...{ price, height, minDepth: policy.minDepth },
      staleGraceSeconds: Math.min(TERMS_DEFAULTS.staleGraceSeconds, policy.maxStaleGraceSeconds),
      binding: quotedBinding(request.binding, policy),
      nonceHex: toHex(this.#deps.random.bytes(16)),
    });
  }

  #judge(terms: ContractTerms, peerNodeId: string, at: JudgedAt, prices: Prices): void {
    this.#assertNearMarket(terms, at.height);
    judgeTerms(this.#deps.policy(), terms, {
      ...{ ...at, makerNodeId: this.#options.nodeId, peerNodeId, ...prices },
      ...this.heldBeside({ ...terms, minerNodeId: peerNodeId }, at.height),
    });
  }

  /** What hashes are worth today; undefined while that is not known. */
  valueMsatPerEh(height: number): bigint | undefined {
    return this.#deps.values.at(edgeAt({ epoch: 'day' }, height));
  }

  /** How a price is off the market today. */
  offMarket(priceMsatPerEh: bigint, height: number): OffMarket | undefined {
    return offMarketOf(priceMsatPerEh, this.valueMsatPerEh(height), this.#deps.policy().offMarketPpm);
  }

  /** Throws `bad_terms` where today's price is far above the value of hashes, whatever the policy pays. */
  #assertNearMarket(terms: ContractTerms, height: number): void {
    const { offMarketPpm } = this.#deps.policy();
    if (offMarketPpm === undefined) return;
    const price = priceToday(terms, this.valueMsatPerEh(height));
    const off = this.offMarket(price, height);
    if (off?.side !== 'above') return;
    const most = highestNearMsatPerEh(off.valueMsatPerEh, offMarketPpm);
    throw new CodedError('bad_terms', offMarketText(off), {
      ...{ path: pricePath(terms), got: `${price} today`, allowed: `at most ${most} today` },
    });
  }

  /** Keeps what is refused, and why, for the operator. */
  #noting<T>(what: RefusedProposal['what'], nodeId: string, task: () => T): T {
    try {
      return task();
    } catch (error) {
      return this.#note(what, nodeId, error);
    }
  }

  #note(what: RefusedProposal['what'], nodeId: string, error: unknown): never {
    if (!(error instanceof CodedError)) throw error;
    const { code, message, meta } = error;
    const word = (name: string): string | undefined =>
      typeof meta[name] === 'string' ? meta[name] : undefined;
    if (what === 'quote') this.quotes.stats.refused += 1;
    // The first name of a path is one of the schema; what is no term of it a peer may have made up.
    const [name = ''] = (word('path') ?? 'none').split('.');
    const term = TERM_NAMES.has(name) ? name : 'none';
    this.#refusedTerms[term] = (this.#refusedTerms[term] ?? 0) + 1;
    this.#refused.push({
      ...{ at: new Date(this.#deps.clock.nowMs()).toISOString(), nodeId, what, code },
      ...{ reason: message.slice(0, 200), path: word('path'), got: word('got') },
      allowed: word('allowed'),
    });
    if (this.#refused.length > LIMITS.refusedProposals) this.#refused.shift();
    throw error;
  }
}

/** The most that is paid for terms: a fixed price, or one that moves; see `PolicyContext`. */
type Prices = Pick<PolicyContext, 'priceMsatPerEh' | 'moving'>;

/** Of terms that were quoted: what they say. */
function pricesOf(terms: ContractTerms): Prices {
  const moving = movingPriceOf(terms);
  return moving === undefined ? { priceMsatPerEh: fixedPriceMsatPerEh(terms) } : { moving };
}

const FIXED_ONLY = { path: 'price.type', got: 'moving', allowed: 'fixed' } as const;

/** The binding of a quote by the policy. Throws `bad_terms` where it is not taken. */
function quotedBinding(type: QuoteRequest['binding'], policy: MakerPolicy): BindingV3 {
  if (type === 'work') return WORK;
  const { bindingScriptHex: scriptHex, payout, bead } = policy;
  if (type === 'payout') {
    if (scriptHex === undefined)
      refuseTerm('binding.type', 'is quoted only where policy.binding_script is set');
    return {
      ...{ type, outputs: [{ scriptHex, ppm: 1_000_000 }] },
      ...{ minFeesPpm: payout?.minFeesPpm ?? 0, samplePpm: payout?.minSamplePpm ?? 0 },
      sampleSeconds: Math.min(10, payout?.maxSampleSeconds ?? 10),
    };
  }
  const profile = bead?.profiles[0];
  if (bead === undefined || profile === undefined) refuseTerm('binding.type', 'is not taken here');
  const { scriptHex: payee, minStopPpb, maxLossSat } = bead;
  return { type, scriptHex: payee, profile, stopPpb: minStopPpb, maxLossSat };
}

/** Money and open work of a contract. */
export function heldContract(
  terms: ContractTerms,
  verifiedWorkHashes: bigint,
  isListed: boolean,
): HeldContract {
  const open = terms.workTotalHashes - verifiedWorkHashes;
  return {
    ...{ terms, minerNodeId: terms.minerNodeId, isListed, lockedSat: lockedSat(terms) },
    openHashes: open > 0n ? open : 0n,
  };
}
