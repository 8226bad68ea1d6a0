import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { Price } from '../../src/contract/price.ts';
import {
  assertQuoted,
  checkQuote,
  type QuoteChoices,
  type QuoteLimits,
  type QuoteRequest,
  quoteRequestField,
  termsOfQuote,
} from '../../src/contract/quote.ts';
import { rankQuotes } from '../../src/contract/quote-rank.ts';
import { contractIdOf, parseTerms, type TermsV3, termsToJson } from '../../src/contract/terms.ts';
import '../seed.ts';

const EH = 10n ** 18n;
const hex = targetToHex(targetOfDifficulty(65_536));
const request: QuoteRequest = {
  ...{ side: 'sell', workTotalHashes: 100n * EH, stepHashes: EH, maxUnpaidSteps: 3, expiryBlocks: 1548 },
  ...{ target: { easiestHex: hex, hardestHex: hex }, binding: 'work' },
};
const choices: QuoteChoices = {
  ...{ network: 'regtest', minerNodeId: 'aa'.repeat(32), makerNodeId: 'bb'.repeat(32) },
  ...{ price: { type: 'fixed', msatPerEh: 485_000n }, height: 900_000, minDepth: 3, staleGraceSeconds: 30 },
  binding: {
    ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
    foreignChain: false,
  },
  nonceHex: '11'.repeat(16),
};
const limits: QuoteLimits = {
  ...{ network: 'regtest', minerNodeId: choices.minerNodeId, makerNodeId: choices.makerNodeId },
  ...{ height: 900_002, floorMsatPerEh: 480_000n, maxMinDepth: 6, minStaleGraceSeconds: 10 },
  ...{ minExtranonce2Bytes: 8, maxWithdrawalsPerBlock: 480, minSolutionsPerMinute: 1200 },
  foreignChain: false,
};
const terms = termsOfQuote(request, choices);

/** The path that is refused, if any is. */
function refused(run: () => void): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.meta['path'] ?? error.code;
  }
}
const check = (changed: Partial<TermsV3>, around: Partial<QuoteLimits> = {}): unknown =>
  refused(() => checkQuote(request, { ...terms, ...changed }, { ...limits, ...around }));

describe('a quote, as the miner checks it', () => {
  it('is taken where it is what was asked for, and covers all the work at its price', () => {
    expect(check({})).toBeUndefined();
    expect(terms.budgetSat).toBe(48_500n);
    expect(parseTerms(termsToJson(terms))).toEqual(terms);
  });

  it('may be better in what is the maker’s to choose, and no worse than the limits', () => {
    const binding = choices.binding as Extract<TermsV3['binding'], { readonly type: 'work' }>;
    expect(check({}, { floorMsatPerEh: 485_000n })).toBeUndefined();
    expect(check({}, { floorMsatPerEh: 485_001n })).toBe('price.msat_per_eh');
    expect(check({}, { height: 900_006 })).toBeUndefined();
    expect(check({}, { height: 900_007 })).toBe('expiry_height');
    expect([check({ minDepth: 6 }), check({ minDepth: 7 })]).toEqual([undefined, 'min_depth']);
    expect(check({ staleGraceSeconds: 9 })).toBe('stale_grace_seconds');
    expect(check({ binding: { ...binding, extranonce2Bytes: 7 } })).toBe('binding.extranonce2_bytes');
    expect(check({ binding: { ...binding, extranonce2Bytes: 9 } })).toBeUndefined();
    expect(check({ binding: { ...binding, withdrawalsPerBlock: 481 } })).toBe(
      'binding.withdrawals_per_block',
    );
    expect(check({ binding: { ...binding, solutionsPerMinute: 1199 } })).toBe(
      'binding.solutions_per_minute',
    );
    expect(check({ binding: { ...binding, foreignChain: true } })).toBe('binding.foreign_chain');
    expect(check({}, { minerNodeId: 'cc'.repeat(32) })).toBe('miner_node_id');
  });

  it('is refused with any other term changed by the least there is', () => {
    const own = ['price', 'min_depth', 'stale_grace_seconds', 'binding', 'nonce'];
    const printed = termsToJson(terms);
    const names = Object.keys(printed).filter((name) => !own.includes(name));
    fc.assert(
      fc.property(fc.constantFrom(...names), (name) => {
        const value = printed[name];
        const other =
          typeof value === 'number'
            ? value + 1
            : typeof value === 'string' && /^\d+$/.test(value) && name !== 'nonce'
              ? String(BigInt(value) + 1n)
              : undefined;
        if (other === undefined) return;
        expect(
          refused(() => checkQuote(request, parseTerms({ ...printed, [name]: other }), limits)),
        ).toBeDefined();
      }),
    );
    expect(check({ feeCaps: [{ blocksLeft: 0, ppm: 1_000_000 }] })).toBe('fee_caps');
    expect(check({ durationBlocks: 10 })).toBe('duration_blocks');
    expect(check({ refusedPpm: 101 })).toBe('refused_ppm');
    expect(check({ target: { easiestHex: hex, hardestHex: `${'00'.repeat(31)}01` } })).toBe('target');
    expect(check({ renew: 'offer' })).toBe('renew');
    expect(check({ minerReserveSat: 6001n })).toBe('miner_reserve_sat');
  });
});

describe('a quote for a rate and a time', () => {
  const rate = { committed: 100n * 10n ** 12n, min: 10n ** 12n, max: 200n * 10n ** 12n };
  const start = { afterBlocks: 10, withinBlocks: 20 };
  const timed = { ...request, rate, start, durationBlocks: 1000 };
  const quoted = termsOfQuote(timed, choices);
  const refusedOf = (changed: Partial<TermsV3>): unknown =>
    refused(() => checkQuote(timed, { ...quoted, ...changed }, limits));

  it('states all of them, at the height of the quote', () => {
    expect(quoted).toMatchObject({ rate, durationBlocks: 1000 });
    expect(quoted.start).toEqual({ notBeforeHeight: 900_010, notAfterHeight: 900_030 });
    expect(refusedOf({})).toBeUndefined();
  });

  it('is refused with any of them changed or left out', () => {
    expect(refusedOf({ rate: { ...rate, committed: rate.committed + 1n } })).toBe('rate');
    expect(refusedOf({ durationBlocks: 1001 })).toBe('duration_blocks');
    expect(refusedOf({ start: { notBeforeHeight: 900_011, notAfterHeight: 900_030 } })).toBe('start');
    const { rate: _, ...unrated } = quoted;
    expect(refused(() => checkQuote(timed, unrated, limits))).toBe('rate');
    expect(refused(() => checkQuote(request, quoted, limits))).toBe('duration_blocks');
  });

  it('that no contract can have is refused by its term', () => {
    const ask = (changed: Partial<QuoteRequest>) =>
      refused(() => termsOfQuote({ ...timed, ...changed }, choices));
    expect(ask({ durationBlocks: 1518 })).toBe('duration_blocks');
    expect(ask({ rate: { ...rate, min: 0n } })).toBe('rate.min_hps');
  });
});

describe('a quote whose price follows the value of hashes', () => {
  const moving = { ...request, moving: { minMsatPerEh: 480_000n } };
  const price: Extract<Price, { readonly type: 'index' }> = {
    ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144, premiumPpm: -20_000 },
    ...{ minMsatPerEh: 480_000n, maxMsatPerEh: 600_000n },
  };
  const quoted = termsOfQuote(moving, { ...choices, price });
  const refusedOf = (changed: Partial<typeof price>, around: Partial<QuoteLimits> = {}): unknown =>
    refused(() =>
      checkQuote(moving, termsOfQuote(moving, { ...choices, price: { ...price, ...changed } }), {
        ...{ ...limits, ...around },
      }),
    );

  it('covers all the work at its highest price, and is of the maker’s rule', () => {
    expect(quoted.budgetSat).toBe(60_000n);
    expect(refusedOf({})).toBeUndefined();
    expect(refusedOf({ premiumPpm: -900_000 })).toBeUndefined();
  });

  it('is refused where it may fall below what was asked for, or is capped too low', () => {
    expect(refusedOf({ minMsatPerEh: 479_999n })).toBe('price.min_msat_per_eh');
    expect(refusedOf({}, { floorMsatPerEh: 480_001n })).toBe('price.min_msat_per_eh');
    expect(refusedOf({}, { leastCapMsatPerEh: 600_000n })).toBeUndefined();
    expect(refusedOf({}, { leastCapMsatPerEh: 600_001n })).toBe('price.max_msat_per_eh');
    expect([refusedOf({ ttlBlocks: 432 }), refusedOf({ ttlBlocks: 433 })]).toEqual([
      ...[undefined, 'price.ttl_blocks'],
    ]);
  });

  it('is not one that was asked for fixed, nor the other way round', () => {
    expect(refused(() => checkQuote(request, quoted, limits))).toBe('price.type');
    expect(refused(() => checkQuote(moving, terms, limits))).toBe('price.type');
  });
});

describe('a quote of a promised rate', () => {
  const rate = { committed: 10n ** 15n, min: 10n ** 15n, max: 2n * 10n ** 15n };
  const delivery = {
    ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 0, cureBlocks: 24 },
    falseDefaultAlphaPpm: 1000,
  };
  const asked: QuoteRequest = { ...request, rate, delivery };
  const promised = termsOfQuote(asked, choices);

  it('says by what it will be judged, as it was asked for', () => {
    expect(promised).toMatchObject({ rate, delivery, overDelivery: 'credit' });
    expect(parseTerms(termsToJson(promised))).toEqual(promised);
    expect(refused(() => checkQuote(asked, promised, limits))).toBeUndefined();
    expect(quoteRequestField.parse(quoteRequestField.print(asked), 'request')).toEqual(asked);
    expect(refused(() => termsOfQuote({ ...request, delivery }, choices))).toBe('delivery');
    const timed = { ...asked, start: { afterBlocks: 10, withinBlocks: 20 }, durationBlocks: 1000 };
    const quoted = termsOfQuote(timed, choices);
    expect(quoted).toMatchObject({ rate, delivery, durationBlocks: 1000 });
    expect(quoteRequestField.parse(quoteRequestField.print(timed), 'request')).toEqual(timed);
    expect(refused(() => checkQuote(timed, quoted, limits))).toBeUndefined();
  });

  it.each<[path: string, changes: Partial<TermsV3>]>([
    ['delivery', { delivery: { ...delivery, cureBlocks: 23 } }],
    ['delivery', { delivery: { ...delivery, falseDefaultAlphaPpm: 2000 } }],
    ['rate', { rate: { ...rate, committed: rate.committed + 1n } }],
    ['over_delivery', { overDelivery: 'refuse' }],
  ])('is refused with %s where the maker makes it another', (path, changes) => {
    expect(refused(() => checkQuote(asked, { ...promised, ...changes }, limits))).toBe(path);
  });

  it('is refused where the maker leaves the rules out, or adds them', () => {
    expect(refused(() => checkQuote(asked, terms, limits))).toBe('delivery');
    expect(refused(() => checkQuote(request, promised, limits))).toBe('delivery');
  });
});

describe('a proposal under a quote', () => {
  it('is the quoted one, or refused with the first term that differs and both its values', () => {
    expect(refused(() => assertQuoted(terms, terms))).toBeUndefined();
    const changed = { ...terms, budgetSat: 1n, minDepth: 1 };
    let meta: unknown;
    try {
      assertQuoted(terms, changed);
    } catch (error) {
      meta = (error as CodedError).meta;
    }
    expect(meta).toEqual({ path: 'budget_sat', got: '"1"', allowed: '"48500"' });
    expect(refused(() => assertQuoted(terms, { ...terms, durationBlocks: 5 }))).toBe('duration_blocks');
    expect(contractIdOf(changed)).not.toBe(contractIdOf(terms));
  });
});

describe('quotes side by side', () => {
  const quote = (maker: string, changes: Partial<TermsV3>) => ({ maker, terms: { ...terms, ...changes } });
  const priced = (msatPerEh: bigint): Partial<TermsV3> => ({ price: { type: 'fixed', msatPerEh } });

  it('are ranked by the price net of fees, and say why', () => {
    const small = { ...priced(500_000n), workTotalHashes: EH };
    const all = [quote('c', priced(484_000n)), quote('a', small), quote('b', priced(485_000n))];
    const ranked = rankQuotes(all, 1000n);
    // 1,000 sat of fees are 10,000 msat on each of 100 EH, and 1,000,000 on one.
    expect(ranked.map(({ quote: { maker }, netMsatPerEh }) => [maker, netMsatPerEh])).toEqual([
      ['b', 475_000n],
      ['c', 474_000n],
      ['a', -500_000n],
    ]);
    expect(ranked[1]!.why).toBe('1000 msat/EH less than the one above');
  });

  it('with prices that move stand where today’s value of hashes puts them, and say so', () => {
    const moving = (maker: string, premiumPpm: number) =>
      quote(maker, {
        price: {
          ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144, premiumPpm },
          ...{ minMsatPerEh: 400_000n, maxMsatPerEh: 600_000n },
        },
      });
    const all = [quote('fixed', priced(485_000n)), moving('more', 0), moving('less', -100_000)];
    const ranked = rankQuotes(all, 0n, 500_000n);
    expect(ranked.map(({ quote: { maker }, priceMsatPerEh }) => [maker, priceMsatPerEh])).toEqual([
      ...[
        ['more', 500_000n],
        ['fixed', 485_000n],
        ['less', 450_000n],
      ],
    ]);
    expect(ranked[2]!.why).toContain('by today’s value of hashes, 500000 msat/EH'.replace('’', "'"));
    expect(ranked[1]!.why).not.toContain('value of hashes');
    // No value is known: what it pays at the least.
    const blind = rankQuotes(all, 0n);
    expect(blind.map(({ quote: { maker } }) => maker)).toEqual(['fixed', 'less', 'more']);
    expect(blind[1]!.why).toContain('by its least price');
  });

  it('that pay as much are ranked by confirmations, then by name, in whatever order they come', () => {
    const all = [quote('b', {}), quote('a', {}), quote('d', { minDepth: 2 })];
    for (const order of [all, all.toReversed()])
      expect(rankQuotes(order, 10n).map(({ quote: { maker } }) => maker)).toEqual(['d', 'a', 'b']);
  });
});
