import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { checkQuote, type QuoteLimits, type QuoteRequest } from '../../src/contract/quote.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import type { MakerPolicy, StakesPolicy } from '../../src/maker/policy.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { NO_POOLS } from '../../src/maker/work-binding.ts';
import { makerBook } from '../../src/operator/maker-book.ts';
import { call } from '../../src/peer/calls.ts';
import type { Result } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { connectAsMiner } from './impostors.ts';
import { SHARE, seedOf, World } from './world.ts';

const NO_SPREAD = { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 };
const REQUEST: QuoteRequest = {
  side: 'sell',
  ...{ workTotalHashes: 40_000n, stepHashes: 4n * SHARE.workHashes, maxUnpaidSteps: 3 },
  target: { easiestHex: targetToHex(SHARE.target), hardestHex: targetToHex(SHARE.target) },
  ...{ expiryBlocks: 1000, binding: 'payout' },
};
const FIXED = 10_000n * 10n ** 18n;
const BUDGET = 400_000n;

const stranger = new SeedSigner({ seed: seedOf('stranger'), network: 'regtest' });
const other = new SeedSigner({ seed: seedOf('another stranger'), network: 'regtest' });

const STRANGERS = { maxBudgetSat: 1_000_000n, maxContracts: 2, requireCollateral: false };

type Quote = Result<'market.quote'>;

let world: World | undefined;
const peers: RpcPeer[] = [];

async function started(policy: Partial<MakerPolicy> = {}): Promise<World> {
  world = new World({ policy });
  await world.startMaker();
  return world;
}

async function as(signer: SeedSigner): Promise<RpcPeer> {
  const peer = await connectAsMiner(world!, signer);
  peers.push(peer);
  return peer;
}

const quote = (peer: RpcPeer, changes: Partial<QuoteRequest> = {}): Promise<Quote> =>
  call(peer, 'market.quote', { request: { ...REQUEST, ...changes } });

function propose(
  peer: RpcPeer,
  signer: SeedSigner,
  { terms, quoteId }: { readonly terms: Quote['terms']; readonly quoteId?: string },
): Promise<Result<'contract.propose'>> {
  const signature = signTerms(terms, signer);
  return call(peer, 'contract.propose', {
    ...{ terms, signature },
    ...(quoteId === undefined ? {} : { quoteId }),
  });
}

/** What a call was refused with: the code, and the term. */
async function refusal(answer: Promise<unknown>): Promise<readonly unknown[]> {
  try {
    await answer;
    return ['taken'];
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { path, got, allowed } = error.meta;
    return path === undefined ? [codeOf(error)] : [codeOf(error), path, got, allowed];
  }
}

const limits = (peerOf: SeedSigner): QuoteLimits => ({
  network: 'regtest',
  minerNodeId: toHex(nodeIdBytes(peerOf)),
  makerNodeId: world!.terms.makerNodeId,
  ...{ height: world!.chain.height, floorMsatPerEh: FIXED, maxMinDepth: 6, minStaleGraceSeconds: 10 },
  ...{ minExtranonce2Bytes: 8, maxWithdrawalsPerBlock: 480, minSolutionsPerMinute: 1, foreignChain: false },
});

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.close(new CodedError('protocol', 'the test is over'));
  await world?.stop();
  world = undefined;
});

describe('a quote', () => {
  it('is what was asked for, and taken to the letter', async () => {
    await started();
    const peer = await as(world!.minerSigner);
    const given = await quote(peer);
    checkQuote(REQUEST, given.terms, limits(world!.minerSigner));
    expect([given.depositSat, given.validForMs]).toEqual([6000n, 300_000]);
    expect(given.terms).toMatchObject({
      ...{ budgetSat: BUDGET, expiryHeight: world!.startHeight + 1000, minDepth: 2 },
      price: { type: 'fixed', msatPerEh: FIXED },
    });
    const { contractId } = await propose(peer, world!.minerSigner, given);
    expect(world!.maker.status[0]?.contractId).toBe(contractId);
  });

  it('is refused with the first term that is another, and is there for the right ones after', async () => {
    await started();
    const peer = await as(world!.minerSigner);
    const { terms, quoteId } = await quote(peer);
    const dearer = {
      ...terms,
      price: { type: 'fixed', msatPerEh: FIXED + 1n },
      budgetSat: 500_000n,
    } as TermsV3;
    expect(await refusal(propose(peer, world!.minerSigner, { terms: dearer, quoteId }))).toEqual([
      ...['bad_terms', 'budget_sat', '"500000"', '"400000"'],
    ]);
    const priced = { ...dearer, budgetSat: BUDGET + 1n };
    expect(await refusal(propose(peer, world!.minerSigner, { terms: priced, quoteId }))).toEqual([
      ...['bad_terms', 'budget_sat', '"400001"', '"400000"'],
    ]);
    const deeper = { ...terms, minDepth: 3 } as TermsV3;
    expect(await refusal(propose(peer, world!.minerSigner, { terms: deeper, quoteId }))).toEqual([
      ...['bad_terms', 'min_depth', '3', '2'],
    ]);
    expect(await refusal(propose(peer, world!.minerSigner, { terms, quoteId }))).toEqual(['taken']);
    expect(world!.maker.market.refused).toHaveLength(3);
    expect(world!.maker.market.refused[2]).toMatchObject({
      what: 'proposal',
      path: 'min_depth',
      allowed: '2',
    });
  });

  it('is unknown to another peer, once it was taken, and after a restart, where a new one is given', async () => {
    await started({ strangers: STRANGERS });
    const peer = await as(world!.minerSigner);
    const given = await quote(peer);
    expect(await refusal(propose(await as(stranger), world!.minerSigner, given))).toEqual([
      'quote_unknown',
    ]);
    await world!.restartMaker();
    const again = await as(world!.minerSigner);
    expect(await refusal(propose(again, world!.minerSigner, given))).toEqual(['quote_unknown']);
    const anew = await quote(again);
    await propose(again, world!.minerSigner, anew);
    // The same again is the same contract, whatever became of its quote.
    expect(await refusal(propose(again, world!.minerSigner, anew))).toEqual(['taken']);
    expect(world!.maker.status).toHaveLength(1);
  });

  it('is over when its time is', async () => {
    await started();
    let late = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + late };
    await world!.restartMaker({ clock });
    const peer = await as(world!.minerSigner);
    const given = await quote(peer);
    late = given.validForMs;
    expect(await refusal(propose(peer, world!.minerSigner, given))).toEqual(['quote_unknown']);
  });

  it('says which term is beyond the policy, and what would be taken', async () => {
    await started();
    const peer = await as(world!.minerSigner);
    expect(await refusal(quote(peer, { workTotalHashes: 200_000n }))).toEqual([
      ...['bad_terms', 'budget_sat', '2000000', 'at most 1000000'],
    ]);
    expect(await refusal(quote(peer, { maxUnpaidSteps: 6 }))).toEqual([
      ...['bad_terms', 'max_unpaid_steps', '6', 'at most 5'],
    ]);
    expect((await refusal(quote(peer, { expiryBlocks: 499 })))[1]).toBe('expiry_height');
    const { market } = world!.maker;
    expect(market.quotes.stats).toMatchObject({ asked: 3, refused: 3, quoted: 0 });
    expect(market.refusedTerms).toEqual({ budget_sat: 1, max_unpaid_steps: 1, expiry_height: 1 });
    expect((await refusal(quote(peer, { binding: 'work' })))[1]).toBe('binding.type');
    expect(await refusal(quote(peer))).toEqual(['taken']);
  });

  it('holds its budget against others for as long as it lasts, the largest of a peer alone', async () => {
    await started({ maxTotalBudgetSat: 1_000_000n, strangers: STRANGERS });
    const [one, two] = [await as(stranger), await as(other)];
    await quote(one);
    const large = await quote(one, { workTotalHashes: 70_000n });
    expect(await refusal(quote(two))).toEqual([
      ...['bad_terms', 'budget_sat', '400000', 'at most 300000 with the bond'],
    ]);
    await quote(two, { workTotalHashes: 30_000n });
    expect(await refusal(propose(one, stranger, large))).toEqual(['taken']);
  });

  it('is given so often, and no oftener', async () => {
    await started();
    const peer = await as(world!.minerSigner);
    const answers: unknown[] = [];
    for (let asked = 0; asked < 31; asked += 1) answers.push((await refusal(quote(peer)))[0]);
    expect(answers).toEqual([...answers.slice(0, 30).fill('taken'), 'too_often']);
    expect(world!.maker.market.quotes.all).toHaveLength(4);
  });
});

describe('hashrate', () => {
  const HPS = 40_000n / 600n;
  const rated = (committed: bigint, changes: Partial<QuoteRequest> = {}): Partial<QuoteRequest> => ({
    ...{ rate: { committed, min: committed, max: 2n * committed }, durationBlocks: 10, ...changes },
  });
  const START = { afterBlocks: 100, withinBlocks: 10 };

  it('is bought up to what there is a use for at any one time, not in all', async () => {
    await started({ maxRateHps: 100n, strangers: STRANGERS });
    const [one, two] = [await as(stranger), await as(other)];
    expect(await refusal(quote(one, rated(101n)))).toEqual([
      ...['bad_terms', 'rate.committed_hps', '101', 'at most 100 hashes a second'],
    ]);
    const given = await quote(one, rated(HPS));
    expect((given.terms as TermsV3).rate?.committed).toBe(HPS);
    // Another's quote holds its hashrate, as does the contract that comes of it.
    expect((await refusal(quote(two, rated(HPS))))[3]).toBe('at most 34 hashes a second');
    await propose(one, stranger, given);
    expect((await refusal(quote(two, rated(HPS))))[3]).toBe('at most 34 hashes a second');
    expect((await refusal(quote(one, rated(HPS))))[3]).toBe('at most 34 hashes a second');
    // Once that one is over there is room.
    const later = await quote(two, rated(HPS, { start: START }));
    expect((later.terms as TermsV3).start?.notBeforeHeight).toBe(world!.startHeight + 100);
    expect(await refusal(propose(two, other, later))).toEqual(['taken']);
    expect(world!.maker.market.rates(world!.startHeight)).toEqual({ nowHps: HPS, peakHps: HPS });
  });

  it('that nobody promised is what is left over its time', async () => {
    await started({ maxRateHps: 1n });
    const peer = await as(world!.minerSigner);
    // 40,000 hashes in 1,000 blocks less those in which nothing is bought.
    expect(await refusal(quote(peer))).toEqual(['taken']);
    const short = { expiryBlocks: 500, workTotalHashes: 100_000n, durationBlocks: 100 };
    expect(await refusal(quote(peer, short))).toEqual([
      ...['bad_terms', 'work_total_hashes', '100000', 'at most 1 hashes a second, over its time'],
    ]);
  });

  it('that is bought makes the price of more in that time less, and of none after', async () => {
    const pricing = {
      rule: { type: 'fixed', msatPerEh: FIXED / 2n } as const,
      spread: { ...NO_SPREAD, inventoryPpm: 100_000 },
      ...{ targetInventoryHashes: 1n, targetRateHps: HPS },
    };
    await started({ pricing });
    const peer = await as(world!.minerSigner);
    const priceOf = async (changes: Partial<QuoteRequest>) =>
      ((await quote(peer, rated(HPS, changes))).terms as TermsV3).price;
    await propose(peer, world!.minerSigner, await quote(peer, rated(HPS)));
    expect(await priceOf({})).toMatchObject({ msatPerEh: (FIXED / 2n / 10n) * 9n });
    expect(await priceOf({ start: START })).toMatchObject({ msatPerEh: FIXED / 2n });
  });
});

describe('work on the jobs of pools', () => {
  it('is bought as far as they may owe for it, by contracts and by the quotes of others', async () => {
    const policy = {
      bindings: ['work', 'payout'],
      maxPoolUnpaidHashes: 60_000n,
      strangers: STRANGERS,
    } as const;
    await started(policy);
    const ownWork = { ...NO_POOLS(), book: new PoolBook(['one']) };
    await world!.restartMaker({ ownWork });
    const accounts = world!.maker.poolAccounts;
    await world!.makerLedger.appendNow([accounts.credit('one', 15_000n)]);
    const [one, two] = [await as(stranger), await as(other)];
    const work = { binding: 'work' } as const;
    const given = await quote(one, work);
    const left = ['bad_terms', 'work_total_hashes', '40000', 'at most 5000'];
    expect(await refusal(quote(two, work))).toEqual(left);
    await propose(one, stranger, given);
    expect(await refusal(quote(two, work))).toEqual(left);
    // Other work is no pool's, and what was paid for makes room.
    expect(await refusal(quote(two))).toEqual(['taken']);
    await accounts.paid('one', 15_000n);
    expect((await refusal(quote(two, work)))[3]).toBe('at most 20000');
    expect(await refusal(quote(two, { ...work, workTotalHashes: 20_000n }))).toEqual(['taken']);
    expect((makerBook(world!.maker) as { pools: unknown }).pools).toEqual([
      {
        ...{ pool: 'one', credited_hashes: 15_000n, paid_hashes: 15_000n, unpaid_hashes: 0n },
        of_max_hashes: 60_000n,
      },
    ]);
  });
});

describe('strangers', () => {
  it('are not let in unless the policy says so', async () => {
    await started();
    await expect(as(stranger)).rejects.toMatchObject({ code: 'unknown_peer' });
  });

  it('have what the policy gives them together, and bring a collateral where it asks for one', async () => {
    await started({ strangers: { ...STRANGERS, maxBudgetSat: 700_000n } });
    const [one, two] = [await as(stranger), await as(other)];
    await propose(one, stranger, await quote(one));
    expect(await refusal(quote(two))).toEqual([
      ...['bad_terms', 'budget_sat', '400000', 'at most 300000 with the bond'],
    ]);
    expect(await refusal(quote(await as(world!.minerSigner)))).toEqual(['taken']);
    await world!.stop();
    await started({ strangers: { ...STRANGERS, requireCollateral: true } });
    expect(await refusal(quote(await as(stranger)))).toEqual([
      ...['bad_terms', 'bonds.collateral_sat', 'none', 'at least 1'],
    ]);
  });
});

describe('the price', () => {
  it('is that of the quote for what is proposed without one, and falls with the inventory', async () => {
    const pricing = {
      rule: { type: 'fixed', msatPerEh: FIXED / 2n } as const,
      spread: { ...NO_SPREAD, inventoryPpm: 100_000 },
      targetInventoryHashes: 40_000n,
    };
    await started({ pricing });
    const peer = await as(world!.minerSigner);
    const first = await quote(peer);
    expect((first.terms as TermsV3).price).toMatchObject({ msatPerEh: FIXED / 2n });
    await propose(peer, world!.minerSigner, first);
    const second = await quote(peer);
    expect((second.terms as TermsV3).price).toMatchObject({ msatPerEh: (FIXED / 2n / 10n) * 9n });
    const above = { ...second.terms, price: { type: 'fixed', msatPerEh: FIXED / 2n } } as TermsV3;
    const terms = { ...above, budgetSat: 200_000n };
    expect((await refusal(propose(peer, world!.minerSigner, { terms })))[1]).toBe('price.msat_per_eh');
  });

  it('that moves is quoted by the own rule, within its collar, to whoever asks for one', async () => {
    const moving = { minMsatPerEh: 3n };
    const bounds = { minMsatPerEh: 5n, maxMsatPerEh: FIXED } as const;
    const follows = { formula: 'hash_value_144', epoch: 'difficulty', ttlBlocks: 144 } as const;
    const rule = { type: 'index', ...follows, ...bounds, premiumPpm: 10_000 } as const;
    const spread = { ...NO_SPREAD, durationPpm: 100_000 };
    await started({ pricing: { rule, spread, targetInventoryHashes: 1n }, maxIndexPremiumPpm: 0 });
    const peer = await as(world!.minerSigner);
    const given = await quote(peer, { moving });
    // A fifth of the longest contract: 1.01 less a fifth of a tenth.
    expect(given.terms).toMatchObject({
      ...{ price: { ...rule, premiumPpm: -10_200, minMsatPerEh: 3n }, budgetSat: BUDGET },
    });
    const asked = { ...REQUEST, moving };
    checkQuote(asked, given.terms, { ...limits(world!.minerSigner), floorMsatPerEh: 3n });
    expect(await refusal(quote(peer, { moving: { minMsatPerEh: 6n } }))).toEqual([
      ...['bad_terms', 'price.min_msat_per_eh', '6', 'at most 5'],
    ]);
    // Without a quote nobody gets more: neither the premium of the policy, nor another least price.
    const terms = given.terms as TermsV3;
    const offered = (changes: object) =>
      refusal(
        propose(peer, world!.minerSigner, {
          terms: { ...terms, price: { ...terms.price, ...changes } } as TermsV3,
        }),
      );
    expect((await offered({ premiumPpm: -10_199 }))[1]).toBe('price.premium_ppm');
    expect((await offered({ minMsatPerEh: 6n }))[1]).toBe('price.min_msat_per_eh');
    expect(await refusal(propose(peer, world!.minerSigner, given))).toEqual(['taken']);
  });

  it('that moves around a strike is quoted and taken by that rule alone', async () => {
    const moving = { minMsatPerEh: 1n };
    const bounds = { minMsatPerEh: 1n, maxMsatPerEh: FIXED } as const;
    const follows = { formula: 'hash_value_144', epoch: 'difficulty', ttlBlocks: 144 } as const;
    const rule = {
      type: 'collar',
      ...follows,
      ...bounds,
      strikeMsatPerEh: FIXED / 2n,
      sharePpm: 500_000,
    } as const;
    await started({
      pricing: { rule, spread: NO_SPREAD, targetInventoryHashes: 1n },
      maxIndexPremiumPpm: 0,
    });
    const peer = await as(world!.minerSigner);
    const { terms } = await quote(peer, { moving });
    expect((terms as TermsV3).price).toEqual(rule);
    const offered = (changes: object) =>
      refusal(
        propose(peer, world!.minerSigner, {
          terms: { ...terms, price: { ...rule, ...changes } } as TermsV3,
        }),
      );
    expect((await offered({ strikeMsatPerEh: FIXED / 2n + 1n }))[1]).toBe('price.strike_msat_per_eh');
    expect((await offered({ sharePpm: 499_999 }))[1]).toBe('price.share_ppm');
    expect(await offered({ strikeMsatPerEh: FIXED / 2n - 1n })).toEqual(['taken']);
  });

  it('that moves is not quoted by a maker that pays fixed ones, or takes none', async () => {
    await started({ maxIndexPremiumPpm: 0 });
    const peer = await as(world!.minerSigner);
    const moving = { minMsatPerEh: 1n };
    expect(await refusal(quote(peer, { moving }))).toEqual(['bad_terms', 'price.type', 'moving', 'fixed']);
  });

  it('far above the value of hashes is not paid, whatever the policy allows, and the book says how far', async () => {
    // Of 144 blocks of two hashes each: 50 BTC up to block 149, and half of that from there on.
    const policy = { maxBudgetSat: 10n ** 14n, maxTotalBudgetSat: 10n ** 15n, offMarketPpm: 1_500_000n };
    await started({ ...policy, maxPriceMsatPerEh: 10n ** 40n });
    world!.chain.generate(290 - world!.chain.height);
    const { market } = world!.maker;
    const valueNow = () => market.valueMsatPerEh(world!.chain.height);
    await expect.poll(valueNow, { timeout: 10_000 }).toBeDefined();
    const value = valueNow()!;
    await world!.stop();
    const most = (value * 3n) / 2n;
    for (const [price, answer] of [
      [most, ['taken']],
      [most + 1n, ['bad_terms', 'price.msat_per_eh', `${most + 1n} today`, `at most ${most} today`]],
    ] as const) {
      await started({ ...policy, maxPriceMsatPerEh: price });
      world!.chain.generate(290 - world!.chain.height);
      const own = world!.maker;
      await expect.poll(() => own.market.valueMsatPerEh(290), { timeout: 10_000 }).toBe(value);
      const peer = await as(world!.minerSigner);
      expect(await refusal(quote(peer, { workTotalHashes: 1000n }))).toEqual(answer);
      if (price !== most) break;
      const book = makerBook(own) as { readonly quotes: readonly object[] };
      expect(book).toMatchObject({ hash_value_msat_per_eh: value });
      // At a half above the value the maker would gain by leaving: it stakes nothing.
      expect(book.quotes[0]).toMatchObject({
        price_msat_per_eh: most,
        off_market: null,
        leaving_pays: 'maker',
      });
      await world!.stop();
    }
  });

  it('follows the value of hashes by the own node, and is none where that has none', async () => {
    const bounds = { minMsatPerEh: 1n, maxMsatPerEh: 10n ** 30n } as const;
    const follows = { formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144 } as const;
    const pricing = {
      rule: { type: 'index', ...follows, ...bounds, premiumPpm: -500_000 } as const,
      ...{ spread: NO_SPREAD, targetInventoryHashes: 1n },
    };
    await started({
      pricing,
      maxPriceMsatPerEh: 10n ** 40n,
      maxBudgetSat: 10n ** 14n,
      maxTotalBudgetSat: 10n ** 15n,
    });
    const peer = await as(world!.minerSigner);
    expect(await refusal(quote(peer, { workTotalHashes: 1000n }))).toEqual(['no_price']);
    world!.chain.generate(290 - world!.chain.height);
    await expect
      .poll(async () => (await refusal(quote(peer, { workTotalHashes: 1000n })))[0], { timeout: 10_000 })
      .toBe('taken');
    // Regtest: two hashes a block, and 50 BTC, or half after block 150; blocks 144 to 287 hold.
    const rewards = 5n * 5_000_000_000n + 1n * 5_000_000_000n + 138n * 2_500_000_000n;
    const value = (rewards * 1000n * 10n ** 18n) / (2n * 144n);
    const { terms } = await quote(peer, { workTotalHashes: 1000n });
    expect((terms as TermsV3).price).toMatchObject({ msatPerEh: value / 2n });
  });
});

describe('a quote under an auditor', () => {
  const auditorKeyHex = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
  const bonds = {
    bondMode: 'auditor',
    ...{
      bondCsvBlocks: 2016,
      auditorKeyHex,
      collateralSat: 3000n,
      makerBondSat: 2000n,
    },
    size: { collateralPpm: 0, worstCaseSat: 3000n, makerBondPpm: 0, makerBondFloorSat: 2000n },
  } as const;
  const committed = SHARE.workHashes / 5n;
  const asked = {
    bonds,
    rate: { committed, min: committed, max: 2n * committed },
    delivery: {
      ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 0, cureBlocks: 24 },
      falseDefaultAlphaPpm: 1000,
    },
  };
  const stakes: StakesPolicy = {
    ...{ bondModes: ['none', 'auditor'], maxMakerBondSat: 10_000n, minCollateralSat: 0n },
    ...{ auditorKeysHex: [auditorKeyHex], minBondCsvBlocks: 144, maxBondCsvBlocks: 4320, minCureBlocks: 6 },
    ...{ seal: 'never', minClaimFeeRateSatPerKvb: 1000, earlyClose: 'refused' },
  };
  const place = { host: 'auditor.example', port: 7334, nodeId: 'ab'.repeat(32), keyHex: auditorKeyHex };

  /** A maker whose auditor answers, or not. */
  async function under(isThere: () => boolean): Promise<RpcPeer> {
    world = new World({ policy: { stakes } });
    const assertNamed = async (): Promise<void> => {
      if (!isThere()) throw new CodedError('bad_terms', 'away', { path: 'bonds.auditor_key' });
    };
    await world.startMaker(
      {},
      { auditor: { place, assertNamed, follow: () => undefined, viewOf: () => undefined } },
    );
    return as(world.minerSigner);
  }

  it('is of terms that name it, with the rules that it goes by and where it is told', async () => {
    const peer = await under(() => true);
    const given = await quote(peer, asked);
    checkQuote({ ...REQUEST, ...asked }, given.terms, limits(world!.minerSigner));
    expect(given.terms).toMatchObject({ bonds, delivery: asked.delivery, rate: asked.rate });
    expect(given.auditor).toEqual({ nodeId: place.nodeId, endpoint: 'auditor.example:7334' });
    expect((await propose(peer, world!.minerSigner, given)).contractId).toBe(contractIdOf(given.terms));
    // A miner of an older version asks for no delivery, and knows no such member.
    expect((await quote(peer, { bonds })).auditor).toBeUndefined();
    expect((await quote(peer)).auditor).toBeUndefined();
  });

  it('is refused with the term: an auditor that is not taken, a cure that is too short', async () => {
    const peer = await under(() => true);
    const strange = { ...bonds, auditorKeyHex: `03${auditorKeyHex.slice(2)}` };
    expect(await refusal(quote(peer, { ...asked, bonds: strange }))).toEqual([
      ...['bad_terms', 'bonds.auditor_key', strange.auditorKeyHex, auditorKeyHex],
    ]);
    const short = { ...asked, delivery: { ...asked.delivery, cureBlocks: 5 } };
    expect(await refusal(quote(peer, short))).toEqual([
      ...['bad_terms', 'delivery.cure_blocks', '5', 'at least 6'],
    ]);
  });

  it('is refused where its program does not answer, as is a proposal, and taken once it does', async () => {
    let isThere = false;
    const peer = await under(() => isThere);
    const away = ['bad_terms', 'bonds.auditor_key', undefined, undefined];
    expect(await refusal(quote(peer, asked))).toEqual(away);
    expect(world!.maker.market.quotes.stats).toMatchObject({ asked: 1, refused: 1 });
    isThere = true;
    const given = await quote(peer, asked);
    isThere = false;
    expect(await refusal(propose(peer, world!.minerSigner, given))).toEqual(away);
    expect(world!.maker.market.refused.map(({ what, path }) => [what, path])).toEqual([
      ['quote', 'bonds.auditor_key'],
      ['proposal', 'bonds.auditor_key'],
    ]);
    expect(world!.maker.market.refusedTerms).toEqual({ bonds: 2 });
    isThere = true;
    expect(await refusal(propose(peer, world!.minerSigner, given))).toEqual(['taken']);
  });
});
