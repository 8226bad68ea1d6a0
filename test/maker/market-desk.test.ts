import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { QuoteRequest } from '../../src/contract/quote.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type HeldContract, heldContract, Market } from '../../src/maker/market.ts';
import { lockedSat, type MakerPolicy, type PricingPolicy } from '../../src/maker/policy.ts';
import type { Result } from '../../src/peer/messages.ts';
import { HashValues } from '../../src/settlement/hash-values.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { random } from '../peer/tls-pair.ts';
import { MAKER_SCRIPT_HEX, SHARE, World } from './world.ts';

const base = new World();
const { minerNodeId: LISTED, makerNodeId: MAKER } = base.terms;
const STRANGER = 'ab'.repeat(32);
const HEIGHT = 1000;
const AT = { height: HEIGHT, tipBits: undefined };
/** 1000 sat a hash: whole sats of any number of hashes. */
const FIXED = 10n ** 24n;
const target = { easiestHex: targetToHex(SHARE.target), hardestHex: targetToHex(SHARE.target) };
const REQUEST: QuoteRequest = {
  side: 'sell',
  ...{ workTotalHashes: 400n, stepHashes: 64n, maxUnpaidSteps: 3, target },
  ...{ expiryBlocks: 1000, binding: 'payout' },
};
const POLICY: MakerPolicy = { ...base.policy, maxPriceMsatPerEh: FIXED };
const NO_SPREAD = { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 };

/** Values that a node would have: of each height, and how far they were apart. */
class SaidValues extends HashValues {
  readonly asked: string[] = [];
  value: bigint | undefined = FIXED;
  override at(height: number): bigint | undefined {
    this.asked.push(`value ${height}`);
    return this.value;
  }
  override volatilityPpm(height: number): bigint {
    this.asked.push(`volatility ${height}`);
    return 500_000n;
  }
}

function desk(policy: Partial<MakerPolicy> = {}, held: readonly HeldContract[] = []) {
  const clock = new ManualClock(0);
  const values = new SaidValues({ chain: base.source, log: silentLogger });
  const asked: (string | undefined)[] = [];
  const market = new Market(
    { nodeId: MAKER, isListed: (id) => id === LISTED, beginBlocks: 144 },
    {
      ...{ values, clock, random, log: silentLogger, pools: { roomHashes: () => 10n ** 30n } },
      policy: () => ({ ...POLICY, ...policy }),
      held: (except) => {
        asked.push(except);
        return held;
      },
    },
  );
  const quote = (changes: Partial<QuoteRequest> = {}, nodeId = LISTED, height = HEIGHT) => {
    clock.advance(60_000);
    return market.quote({ request: { ...REQUEST, ...changes } }, nodeId, { ...AT, height });
  };
  const said = (task: () => unknown): unknown => {
    try {
      task();
      return 'taken';
    } catch (error) {
      return error instanceof CodedError ? (error.meta['path'] ?? codeOf(error)) : error;
    }
  };
  return { clock, market, values, asked, quote, said };
}

const priceOf = ({ terms }: Result<'market.quote'>): bigint => {
  const { price } = terms as TermsV3;
  return price.type === 'fixed' ? price.msatPerEh : -1n;
};

describe('the price of a quote', () => {
  const pricing = (changes: Partial<PricingPolicy> = {}): { readonly pricing: PricingPolicy } => ({
    pricing: {
      rule: { type: 'fixed', msatPerEh: FIXED },
      ...{ spread: NO_SPREAD, targetInventoryHashes: 1000n },
      ...changes,
    },
  });
  const spread = (changes: Partial<typeof NO_SPREAD>) => pricing({ spread: { ...NO_SPREAD, ...changes } });
  const holding = (openHashes: bigint): HeldContract => ({
    ...{ minerNodeId: STRANGER, isListed: true, lockedSat: 0n, openHashes, terms: base.terms },
  });

  it('is the highest where no rule says another, and never above it', () => {
    expect(priceOf(desk().quote())).toBe(FIXED);
    const dear = pricing({ rule: { type: 'fixed', msatPerEh: 2n * FIXED } });
    expect(priceOf(desk(dear).quote())).toBe(FIXED);
    expect(priceOf(desk(pricing({ rule: { type: 'fixed', msatPerEh: FIXED - 1n } })).quote())).toBe(
      FIXED - 1n,
    );
  });

  it('is lower by the part of the largest budget, of the longest time and of the inventory it takes', () => {
    // The size is by the highest price: 400 hashes of 1000 that a contract may have.
    expect(priceOf(desk(spread({ sizePpm: 100_000 })).quote())).toBe((FIXED * 96n) / 100n);
    const small = { workTotalHashes: 200n };
    expect(priceOf(desk(spread({ sizePpm: 100_000 })).quote(small))).toBe((FIXED * 98n) / 100n);
    // 1000 of 5000 blocks.
    expect(priceOf(desk(spread({ durationPpm: 100_000 })).quote())).toBe((FIXED * 98n) / 100n);
    const bought = [holding(300n), holding(200n)];
    expect(priceOf(desk(spread({ inventoryPpm: 100_000 }), bought).quote())).toBe((FIXED * 95n) / 100n);
  });

  it('asks the node for nothing that a fixed price without volatility does not need', () => {
    const fixed = desk(pricing());
    fixed.values.value = undefined;
    expect(priceOf(fixed.quote())).toBe(FIXED);
    expect(fixed.values.asked).toEqual([]);
    const moved = desk(spread({ volatilityPpm: 200_000 }));
    expect(priceOf(moved.quote())).toBe((FIXED * 9n) / 10n);
    // Of a price without epochs it is that of the tip.
    expect(moved.values.asked).toEqual([`volatility ${HEIGHT}`]);
  });

  it('follows the value at the begin of the epoch, and is none without one', () => {
    const bounds = { minMsatPerEh: 1n, maxMsatPerEh: 10n ** 30n };
    const follows = { formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144 } as const;
    const rule = { type: 'index', ...follows, ...bounds, premiumPpm: -100_000 } as const;
    const { values, quote, said, market } = desk(pricing({ rule }));
    expect(priceOf(quote())).toBe((FIXED * 9n) / 10n);
    expect(values.asked).toEqual(['value 864']);
    values.value = undefined;
    expect(said(quote)).toBe('no_price');
    expect(market.refused).toMatchObject([{ what: 'quote', code: 'no_price', path: undefined }]);
    values.value = FIXED;
    const { terms, quoteId } = quote();
    values.value = undefined;
    // Without its quote it is judged by the price of now, which is none; with it as quoted.
    expect(said(() => market.judge(terms, LISTED, AT, undefined))).toBe('no_price');
    expect(said(() => market.judge(terms, LISTED, AT, quoteId))).toBe('taken');
  });

  it('of a proposal without a quote is that of its work and of the blocks that are left to it', () => {
    const { quote, said, market } = desk(spread({ durationPpm: 500_000 }));
    const { terms } = quote({ expiryBlocks: 2000 });
    const judged = (height: number): unknown =>
      said(() => market.judge(terms, LISTED, { ...AT, height }, undefined));
    expect(judged(HEIGHT)).toBe('taken');
    // At a lower height it is longer, and worth less.
    expect(judged(HEIGHT - 1)).toBe('price.msat_per_eh');
    expect(judged(HEIGHT + 1)).toBe('taken');
    const atMost = desk(spread({ sizePpm: 500_000 }));
    const [few, many] = [atMost.quote({ workTotalHashes: 64n }), atMost.quote()];
    const dear = { ...many.terms, price: (few.terms as TermsV3).price } as TermsV3;
    expect(atMost.said(() => atMost.market.judge(dear, LISTED, AT, undefined))).toBe('price.msat_per_eh');
    expect(atMost.said(() => atMost.market.judge(many.terms, LISTED, AT, undefined))).toBe('taken');
  });

  it('is none for time that is over', () => {
    const { quote, said, market } = desk(spread({ durationPpm: 500_000 }));
    const { terms } = quote();
    const late = { ...AT, height: HEIGHT + 1001 };
    expect(said(() => market.judge(terms, LISTED, late, undefined))).toBe('funding_by_height');
  });
});

describe('the terms of a quote', () => {
  it('are bound by what the policy has for that binding, and refused where it has nothing', () => {
    const bindingOf = (policy: Partial<MakerPolicy>, binding: QuoteRequest['binding']): unknown => {
      const { quote, said } = desk(policy);
      let given: TermsV3 | undefined;
      const refusal = said(() => {
        given = quote({ binding }).terms as TermsV3;
      });
      return given?.binding ?? refusal;
    };
    const outputs = [{ scriptHex: MAKER_SCRIPT_HEX, ppm: 1_000_000 }];
    expect(bindingOf({}, 'payout')).toEqual({
      ...{ type: 'payout', outputs, minFeesPpm: 0, samplePpm: 0, sampleSeconds: 10 },
    });
    const payout = { minOwnPpm: 1, minFeesPpm: 950_000, minSamplePpm: 20_000, maxSampleSeconds: 7 };
    expect(bindingOf({ payout }, 'payout')).toEqual({
      ...{ type: 'payout', outputs, minFeesPpm: 950_000, samplePpm: 20_000, sampleSeconds: 7 },
    });
    expect(bindingOf({ payout: { ...payout, maxSampleSeconds: 11 } }, 'payout')).toMatchObject({
      sampleSeconds: 10,
    });
    expect(bindingOf({ bindingScriptHex: undefined }, 'payout')).toBe('binding.type');
    expect(bindingOf({ bindings: ['work'] }, 'work')).toEqual({
      ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
      foreignChain: false,
    });
    expect(bindingOf({}, 'work')).toBe('binding.type');
    const bindings = ['bead'] as const;
    const bead = { scriptHex: MAKER_SCRIPT_HEX, minStopPpb: 1000, maxLossSat: 10n ** 9n };
    const profiles = ['weak', 'spec'] as const;
    expect(bindingOf({ bindings, bead: { ...bead, profiles } }, 'bead')).toEqual({
      ...{ type: 'bead', scriptHex: MAKER_SCRIPT_HEX, profile: 'weak', stopPpb: 1000 },
      maxLossSat: 10n ** 9n,
    });
    expect(bindingOf({ bindings, bead: { ...bead, profiles: [] } }, 'bead')).toBe('binding.type');
    expect(bindingOf({ bindings }, 'bead')).toBe('binding.type');
  });

  it('have the grace of the defaults, or what the policy takes', () => {
    const graceOf = (maxStaleGraceSeconds: number): number =>
      desk({ maxStaleGraceSeconds }).quote().terms.staleGraceSeconds;
    expect([29, 30, 31].map(graceOf)).toEqual([29, 30, 30]);
  });

  it('are given to nobody while the policy is halted', () => {
    const { terms } = desk().quote();
    const { quote, said, market } = desk({ isHalted: true });
    expect(said(quote)).toBe('maker_halted');
    expect(said(() => market.judge(terms, LISTED, AT, undefined))).toBe('maker_halted');
    // That is the reason, whatever else is missing.
    const follows = { formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144 } as const;
    const bounds = { minMsatPerEh: 1n, maxMsatPerEh: 10n ** 30n };
    const rule = { type: 'index', ...follows, ...bounds, premiumPpm: 0 } as const;
    const pricing = { rule, spread: NO_SPREAD, targetInventoryHashes: 1n };
    const priceless = desk({ isHalted: true, pricing });
    priceless.values.value = undefined;
    expect(priceless.said(() => priceless.market.judge(terms, LISTED, AT, undefined))).toBe('maker_halted');
  });

  it('that were quoted are taken to the letter alone', () => {
    const { quote, said, market } = desk();
    const { terms, quoteId } = quote();
    const more = { ...terms, minDepth: 3 } as TermsV3;
    expect(said(() => market.judge(more, LISTED, AT, undefined))).toBe('taken');
    expect(said(() => market.judge(more, LISTED, AT, quoteId))).toBe('min_depth');
    expect(said(() => market.judge(terms, LISTED, AT, quoteId))).toBe('taken');
  });
});

describe('what a maker holds', () => {
  const contract = (minerNodeId: string, of: bigint): HeldContract => ({
    ...{ minerNodeId, isListed: minerNodeId === LISTED, lockedSat: of, openHashes: of, terms: base.terms },
  });

  it('is counted for all, for a peer, and for those that are not listed together', () => {
    const strangers = { maxBudgetSat: 10n ** 9n, maxContracts: 9, requireCollateral: false };
    const held = [contract(LISTED, 5n), contract(STRANGER, 70n), contract('cd'.repeat(32), 300n)];
    const { market, quote, asked } = desk({ maxTotalBudgetSat: 10n ** 9n, strangers }, held);
    const { terms } = quote({}, STRANGER);
    const quoted = lockedSat(terms);
    expect(market.inventoryHashes).toBe(375n);
    expect(market.held(LISTED, 'this')).toEqual({
      ...{ openContractsOfPeer: 1, budgetOfPeerSat: 5n, openBudgetSat: 375n + quoted },
      strangers: undefined,
    });
    expect(asked.at(-1)).toBe('this');
    // Its own quotes stand in nobody's own way.
    expect(market.held(STRANGER)).toEqual({
      ...{ openContractsOfPeer: 1, budgetOfPeerSat: 70n, openBudgetSat: 375n },
      strangers: { contracts: 2, budgetSat: 370n },
    });
    expect(market.held('ef'.repeat(32)).strangers).toEqual({ contracts: 3, budgetSat: 370n + quoted });
  });

  it('of a contract is its money and what is not credited yet, none where more was', () => {
    const { terms } = desk().quote();
    const openOf = (verified: bigint): bigint => heldContract(terms, verified, true).openHashes;
    expect([0n, 1n, 399n, 400n, 401n].map(openOf)).toEqual([400n, 399n, 1n, 0n, 0n]);
    expect(heldContract(terms, 0n, false)).toEqual({
      ...{ minerNodeId: LISTED, isListed: false, lockedSat: terms.budgetSat, openHashes: 400n, terms },
    });
  });
});

describe('refusals', () => {
  it('are kept for the operator with the time, who, the term, and what would be taken; so many', () => {
    const { market, quote, said, clock } = desk();
    expect(said(() => quote({ maxUnpaidSteps: 6 }))).toBe('max_unpaid_steps');
    expect(market.refused).toEqual([
      {
        ...{ at: new Date(clock.nowMs()).toISOString(), nodeId: LISTED, what: 'quote' },
        ...{ code: 'bad_terms', path: 'max_unpaid_steps', got: '6', allowed: 'at most 5' },
        reason: 'bad_terms: max_unpaid_steps may be at most 5',
      },
    ]);
    const { terms } = quote();
    expect(said(() => market.judge(terms, LISTED, AT, 'unknown'))).toBe('quote_unknown');
    expect(market.refused.at(-1)).toMatchObject({ what: 'proposal', code: 'quote_unknown' });
    expect(market.refused).toHaveLength(2);
    for (let more = 2; more < LIMITS.refusedProposals; more += 1) said(() => quote({ maxUnpaidSteps: 7 }));
    expect([market.refused.length, market.refused[0]?.got]).toEqual([LIMITS.refusedProposals, '6']);
    said(() => quote({ maxUnpaidSteps: 8 }));
    expect(market.refused).toHaveLength(LIMITS.refusedProposals);
    expect([market.refused[0]?.code, market.refused.at(-1)?.got]).toEqual(['quote_unknown', '8']);
  });

  it('say no more than so many letters of a reason, and errors of our own are none', () => {
    const long = 'x'.repeat(300);
    const failing = (error: Error) =>
      desk({
        get isHalted(): boolean {
          throw error;
        },
      });
    const { market, quote, said } = failing(new CodedError('no_price', long));
    expect(said(quote)).toBe('no_price');
    expect(market.refused[0]?.reason).toBe(`no_price: ${long}`.slice(0, 200));
    const broken = failing(new TypeError('of ours'));
    expect(broken.said(broken.quote)).toMatchObject({ message: 'of ours' });
    expect(broken.market.refused).toEqual([]);
    // What is no text in an error is not repeated.
    const odd = failing(new CodedError('no_price', 'why', { path: 5, got: 'x' } as never));
    odd.said(odd.quote);
    expect(odd.market.refused).toMatchObject([{ path: undefined, got: 'x', allowed: undefined }]);
  });
});

describe('how often', () => {
  it('quotes are asked for is counted before anything is judged, for each and for strangers together', () => {
    const { market, said } = desk({ isHalted: true });
    const asks = (nodeId: string): unknown => said(() => market.quote({ request: REQUEST }, nodeId, AT));
    for (let asked = 0; asked < LIMITS.peerQuotesPerMinute; asked += 1)
      expect(asks(LISTED)).toBe('maker_halted');
    expect(asks(LISTED)).toBe('too_often');
    for (let asked = 0; asked < LIMITS.strangerQuotesPerMinute; asked += 1)
      expect(asks(`stranger ${asked}`)).toBe('maker_halted');
    expect(asks('one more')).toBe('too_often');
  });
});
