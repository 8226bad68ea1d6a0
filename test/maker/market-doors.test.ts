import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { MovingPrice, Price } from '../../src/contract/price.ts';
import type { QuoteRequest } from '../../src/contract/quote.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import type { Update } from '../../src/contract/update.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type HeldContract, heldContract, Market, type MarketDeps } from '../../src/maker/market.ts';
import { type MakerPolicy, type PricingPolicy, stakesOf } from '../../src/maker/policy.ts';
import type { Result } from '../../src/peer/messages.ts';
import { HashValues } from '../../src/settlement/hash-values.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { makeBonds } from '../channel/fixtures.ts';
import { random } from '../peer/tls-pair.ts';
import { SHARE, World } from './world.ts';

const base = new World();
const { minerNodeId: LISTED, makerNodeId: MAKER } = base.terms;
const STRANGER = 'ab'.repeat(32);
const HEIGHT = 1000;
const AT = { height: HEIGHT, tipBits: undefined };
const BEGIN_BLOCKS = 144;
/** 1000 sat a hash: whole sats of any number of hashes. */
const FIXED = 10n ** 24n;
const target = { easiestHex: targetToHex(SHARE.target), hardestHex: targetToHex(SHARE.target) };
const REQUEST: QuoteRequest = {
  side: 'sell',
  ...{ workTotalHashes: 400n, stepHashes: 64n, maxUnpaidSteps: 3, target },
  ...{ expiryBlocks: 1000, binding: 'payout' },
};
const POLICY: MakerPolicy = {
  ...base.policy,
  ...{ maxPriceMsatPerEh: FIXED, maxTotalBudgetSat: 10n ** 9n, bindings: ['payout', 'work'] },
  strangers: { maxBudgetSat: 10n ** 9n, maxContracts: 9, requireCollateral: false },
};
const NO_SPREAD = { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 };

class SaidValues extends HashValues {
  value: bigint | undefined = FIXED;
  override at(): bigint | undefined {
    return this.value;
  }
  override volatilityPpm(): bigint {
    return 500_000n;
  }
}

function desk(
  policy: Partial<MakerPolicy> = {},
  held: readonly HeldContract[] = [],
  deps: Partial<MarketDeps> = {},
) {
  const clock = new ManualClock(0);
  const values = new SaidValues({ chain: base.source, log: silentLogger });
  const market = new Market(
    { nodeId: MAKER, isListed: (id) => id === LISTED, beginBlocks: BEGIN_BLOCKS },
    {
      ...{ values, clock, random, log: silentLogger, pools: { roomHashes: (most) => most } },
      ...{ policy: () => ({ ...POLICY, ...policy }), held: () => held, ...deps },
    },
  );
  const quote = (changes: Partial<QuoteRequest> = {}, nodeId = LISTED): Result<'market.quote'> => {
    clock.advance(60_000);
    return market.quote({ request: { ...REQUEST, ...changes } }, nodeId, AT);
  };
  const said = (task: () => unknown): unknown => {
    try {
      task();
      return 'taken';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return error.meta['path'] ?? codeOf(error);
    }
  };
  return { market, values, quote, said };
}

const follows = { formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144 } as const;
const bounds = { minMsatPerEh: 5n, maxMsatPerEh: FIXED } as const;
const index: MovingPrice = { type: 'index', ...follows, ...bounds, premiumPpm: -100_000 };
const collar: MovingPrice = {
  ...{ type: 'collar', ...follows, ...bounds, strikeMsatPerEh: FIXED / 2n, sharePpm: 300_000 },
};
const pricing = (
  rule: Price,
  changes: Partial<PricingPolicy> = {},
): { readonly pricing: PricingPolicy } => ({
  pricing: { rule, spread: NO_SPREAD, targetInventoryHashes: 1000n, ...changes },
});

describe('a price that moves', () => {
  const taking = { maxIndexPremiumPpm: 50 };
  const moving = { minMsatPerEh: 3n };
  const quoted = (policy: Partial<MakerPolicy>): unknown => {
    const { quote, said } = desk(policy);
    let price: Price | undefined;
    const refusal = said(() => {
      price = (quote({ moving }).terms as TermsV3).price;
    });
    return price ?? refusal;
  };

  it('is quoted where the own rule moves and the policy takes one, with no more premium than that', () => {
    const fixed = pricing({ type: 'fixed', msatPerEh: 5n });
    for (const policy of [{}, taking, fixed, { ...fixed, ...taking }, pricing(index), pricing(collar)])
      expect(quoted(policy)).toBe('price.type');
    const own = { ...index, minMsatPerEh: 3n };
    expect(quoted({ ...taking, ...pricing(index) })).toEqual(own);
    const dear = { ...index, premiumPpm: 70 };
    expect(quoted({ ...taking, ...pricing(dear) })).toEqual({ ...own, premiumPpm: 50 });
    expect(quoted({ maxIndexPremiumPpm: 90, ...pricing(dear) })).toEqual({ ...own, premiumPpm: 70 });
    expect(quoted({ ...taking, ...pricing(collar) })).toMatchObject({ type: 'collar', sharePpm: 300_000 });
  });

  it('that is proposed without a quote is judged by what would be quoted, where the own rule moves', () => {
    const { terms } = desk({ ...taking, ...pricing(index) }).quote({ moving });
    const judged = (policy: Partial<MakerPolicy>, price: Price): unknown => {
      const { market, said } = desk(policy);
      return said(() => market.judge({ ...terms, price } as TermsV3, LISTED, AT, undefined));
    };
    const own = { ...index, minMsatPerEh: 3n };
    expect(judged({ ...taking, ...pricing(index) }, own)).toBe('taken');
    expect(judged({ ...taking, ...pricing(index) }, { ...own, premiumPpm: -99_999 })).toBe(
      'price.premium_ppm',
    );
    // By a rule that stands still, up to the premium of the policy.
    const fixed = pricing({ type: 'fixed', msatPerEh: 5n });
    expect(judged({ ...taking, ...fixed }, { ...own, premiumPpm: 50 })).toBe('taken');
    expect(judged({ ...taking, ...fixed }, { ...own, premiumPpm: 51 })).toBe('price.premium_ppm');
    expect(judged({ ...taking, ...fixed }, { ...own, minMsatPerEh: 6n })).toBe('price.min_msat_per_eh');
    // Where none is taken it is the kind that is refused, whatever the rule.
    for (const policy of [{}, fixed, pricing(index)]) expect(judged(policy, own)).toBe('price.type');
    // A fixed price is held to what is paid now, also by a rule that moves.
    const now = (FIXED * 9n) / 10n;
    expect(judged({ ...taking, ...pricing(index) }, { type: 'fixed', msatPerEh: now })).toBe('taken');
    expect(judged({ ...taking, ...pricing(index) }, { type: 'fixed', msatPerEh: now + 1n })).toBe(
      'price.msat_per_eh',
    );
  });

  it('of which the spread leaves nothing is none, as is a fixed one', () => {
    const { terms } = desk({ ...taking, ...pricing(index) }).quote({ moving });
    // What values were apart is half of the least.
    const spread = { ...NO_SPREAD, volatilityPpm: 2_000_000 };
    const { market, quote, said } = desk({ ...taking, ...pricing(index, { spread }) });
    expect(said(() => market.judge(terms, LISTED, AT, undefined))).toBe('no_price');
    expect([said(() => quote()), said(() => quote({ moving }))]).toEqual(['no_price', 'price.type']);
  });
});

describe('a quote by what is bought already', () => {
  const fixed: Price = { type: 'fixed', msatPerEh: FIXED };
  const spread = { ...NO_SPREAD, inventoryPpm: 100_000 };
  const byRate = pricing(fixed, { spread, targetRateHps: 10n });
  const priceOf = ({ terms }: Result<'market.quote'>): bigint =>
    ((terms as TermsV3).price as { readonly msatPerEh: bigint }).msatPerEh;
  /** Ten hashes a second from one height to another. */
  const booked = (from: number, to: number): HeldContract => {
    const terms = {
      ...desk().quote().terms,
      ...{
        rate: { committed: 10n, min: 10n, max: 10n },
        start: { notBeforeHeight: from, notAfterHeight: from },
      },
      ...{ durationBlocks: to - from, expiryHeight: HEIGHT + 5000 },
    } as TermsV3;
    return { ...heldContract(terms, 0n, true), openHashes: 10n ** 9n };
  };

  it('is lower by the hashrate of its own time: from now, or its start, to its end, or near its expiry', () => {
    const price = (of: HeldContract, changes: Partial<QuoteRequest> = {}): bigint =>
      priceOf(desk(byRate, [of]).quote(changes));
    const less = (FIXED * 9n) / 10n;
    const last = HEIGHT + 1000 - BEGIN_BLOCKS;
    expect(price(booked(last - 1, last + 50))).toBe(less);
    expect(price(booked(last, last + 50))).toBe(FIXED);
    expect(price(booked(HEIGHT, HEIGHT + 1))).toBe(less);
  });

  it('is told of a height, and of the most at any later one', () => {
    const { market } = desk({}, [booked(HEIGHT, HEIGHT + 10), booked(HEIGHT + 5, HEIGHT + 20)]);
    const rates = (height: number): unknown => Object.values(market.rates(height));
    expect([rates(HEIGHT), rates(HEIGHT + 5)]).toEqual([
      [10n, 20n],
      [20n, 20n],
    ]);
    expect(market.bookingOf(base.terms, 0n, HEIGHT).hashesPerSecond).toBe(0n);
    expect(desk().market.rates(HEIGHT)).toEqual({ nowHps: 0n, peakHps: 0n });
  });

  it('of one that ended is what it was before', () => {
    const gone = heldContract(desk().quote().terms, 400n, true);
    expect(priceOf(desk(byRate, [gone]).quote())).toBe(FIXED);
  });
});

describe('work on jobs of the pools', () => {
  it('has room beside what contracts on them still bring, and the most of each other peer’s quotes', () => {
    const held = (type: 'work' | 'payout', openHashes: bigint): HeldContract => {
      const terms = desk().quote({ binding: type }).terms;
      return { ...heldContract(terms, 0n, true), openHashes };
    };
    const all = [held('work', 100n), held('payout', 7000n), held('work', 30n)];
    const { market, quote } = desk({ maxPoolUnpaidHashes: 10n ** 6n, maxOpenContractsPerMiner: 9 }, all);
    const { terms } = quote({ binding: 'work', workTotalHashes: 64n });
    const room = (): unknown => market.heldBeside(terms, HEIGHT).poolWork;
    expect(room()).toEqual({ roomHashes: 10n ** 6n, besideHashes: 130n });
    // Its own quote is none of it; of another peer's the largest on these jobs.
    for (const workTotalHashes of [128n, 256n, 192n]) quote({ binding: 'work', workTotalHashes }, STRANGER);
    quote({ binding: 'payout', workTotalHashes: 512n }, STRANGER);
    quote({ binding: 'payout', workTotalHashes: 512n }, 'cd'.repeat(32));
    expect(room()).toEqual({ roomHashes: 10n ** 6n, besideHashes: 386n });
    quote({ binding: 'work', workTotalHashes: 64n }, 'cd'.repeat(32));
    expect(room()).toEqual({ roomHashes: 10n ** 6n, besideHashes: 450n });
    // Without a bound nothing is counted.
    expect(desk({}, all).market.heldBeside(terms, HEIGHT)).not.toHaveProperty('poolWork');
  });
});

describe('an update', () => {
  it('is judged by the price of what is left of the work and of the time, and a refusal is kept', () => {
    const spread = { ...NO_SPREAD, durationPpm: 500_000, sizePpm: 500_000 };
    const fixed: Price = { type: 'fixed', msatPerEh: FIXED };
    const { market, said } = desk(pricing(fixed, { spread }));
    const terms = { ...base.terms, workTotalHashes: 400n, expiryHeight: HEIGHT + 1000 } as ContractTerms;
    const cheap = { ...terms, priceMsatPerEh: 1n } as ContractTerms;
    const update = (priceMsatPerEh: bigint, fromHashes: bigint): Update => ({
      ...{ contractIdHex: 'ab'.repeat(32), previousHex: 'ab'.repeat(32), number: 1, fromHashes },
      ...{ nonceHex: '11'.repeat(16), priceMsatPerEh },
    });
    // Of 1000 hashes 400 are a fifth off the price, 200 a tenth; of 5000 blocks 1000 a tenth.
    const at = (part: bigint): bigint => (FIXED * part) / 1000n;
    const judged = (price: bigint, from: bigint, height = HEIGHT): unknown =>
      said(() => market.judgeUpdate(cheap, update(price, from), height));
    const most = (from: bigint, height = HEIGHT): bigint => {
      let [low, high] = [0n, 1000n];
      while (high - low > 1n) {
        const middle = (low + high) / 2n;
        if (judged(at(middle), from, height) === 'taken') low = middle;
        else high = middle;
      }
      return low;
    };
    expect([most(0n), most(200n), most(0n, HEIGHT + 500)]).toEqual([700n, 800n, 750n]);
    const { refused } = market;
    expect(refused.at(-1)).toMatchObject({
      ...{ what: 'update', nodeId: LISTED, code: 'bad_terms', path: 'price_msat_per_eh' },
    });
    expect(market.quotes.stats.refused).toBe(0);
  });
});

describe('the auditor', () => {
  const bonds = makeBonds('auditor');
  const { auditorKeyHex } = bonds as { readonly auditorKeyHex: string };
  const stakes = { ...stakesOf(POLICY), auditorKeysHex: [auditorKeyHex] };
  const place = { host: 'auditor.example', port: 7334, nodeId: 'ab'.repeat(32), keyHex: auditorKeyHex };

  function audited(isThere: boolean, own: Partial<MakerPolicy> = { stakes }) {
    const asked: unknown[] = [];
    const assertNamed = async (of: unknown): Promise<void> => {
      asked.push(of);
      if (!isThere) throw new CodedError('bad_terms', 'away', { path: 'bonds.auditor_key' });
    };
    const { market } = desk(own, [], { auditor: { place, assertNamed } });
    const says = (what: 'quote' | 'proposal', of: typeof bonds | undefined): Promise<string> =>
      market.assertAuditor(what, of, LISTED).then(() => 'taken', codeOf);
    return { market, asked, says };
  }

  it('is asked where its rulings are taken, and the terms are by them', async () => {
    const there = audited(true);
    expect(await there.says('quote', bonds)).toBe('taken');
    expect(there.asked).toEqual([{ bonds }]);
    const away = audited(false);
    for (const of of [
      undefined,
      makeBonds('hostage'),
      // Another is refused by the policy, and not asked for.
      { ...bonds, auditorKeyHex: `02${'11'.repeat(32)}` } as typeof bonds,
    ])
      expect(await away.says('proposal', of)).toBe('taken');
    const none = audited(false, {});
    expect([await none.says('quote', bonds), away.asked, none.asked]).toEqual(['taken', [], []]);
    const { market } = desk({ stakes });
    expect(await market.assertAuditor('quote', bonds, LISTED).then(() => 'taken', codeOf)).toBe('taken');
    expect(there.market.refused).toEqual([]);
  });

  it('that does not answer is a refusal that is kept; of a quote it is counted as asked for', async () => {
    const { market, says } = audited(false);
    expect(await says('proposal', bonds)).toBe('bad_terms');
    expect(market.quotes.stats).toMatchObject({ asked: 0, refused: 0 });
    expect(await says('quote', bonds)).toBe('bad_terms');
    expect(market.quotes.stats).toMatchObject({ asked: 1, refused: 1 });
    expect(market.refused.map(({ what, path, nodeId }) => [what, path, nodeId])).toEqual([
      ['proposal', 'bonds.auditor_key', LISTED],
      ['quote', 'bonds.auditor_key', LISTED],
    ]);
    expect(market.refusedTerms).toEqual({ bonds: 2 });
  });
});

describe('a price today', () => {
  it('is far above the value of hashes from a bound on, and then refused whatever the policy pays', () => {
    const { terms } = desk().quote();
    const judged = (offMarketPpm: bigint | undefined, value: bigint | undefined): unknown => {
      const { market, values, said } = desk(offMarketPpm === undefined ? {} : { offMarketPpm });
      values.value = value;
      return said(() => market.judge(terms, LISTED, AT, undefined));
    };
    expect(judged(2_000_000n, FIXED / 2n)).toBe('taken');
    expect(judged(2_000_000n, FIXED / 2n - 1n)).toBe('price.msat_per_eh');
    // Far below is the miner's affair; what is not known is none of it, nor is any without a bound.
    expect(judged(2_000_000n, FIXED * 100n)).toBe('taken');
    expect(judged(2_000_000n, undefined)).toBe('taken');
    expect(judged(undefined, 1n)).toBe('taken');
  });
});
