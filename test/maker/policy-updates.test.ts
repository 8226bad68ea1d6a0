import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { MovingPrice, Price } from '../../src/contract/price.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import type { Update } from '../../src/contract/update.ts';
import {
  assertRoom,
  type Held,
  judgeTerms,
  judgeUpdate,
  type MakerPolicy,
  type PolicyContext,
  type PricingPolicy,
  raisesPrice,
  type StakesPolicy,
  stakesOf,
} from '../../src/maker/policy.ts';
import { makeBonds } from '../channel/fixtures.ts';
import { makeWholeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { WORK } from '../miner/work-stand.ts';
import { World } from './world.ts';

const world = new World();
const HEIGHT = 1000;
const POLICY: MakerPolicy = { ...world.policy, minStepHashes: 10n, maxStepHashes: 1000n };
const { maxPriceMsatPerEh: MOST } = POLICY;
const older: ContractTerms = { ...world.terms, expiryHeight: HEIGHT + 1000, stepHashes: 64n };
const newer = termsV3From({ ...world.terms, expiryHeight: HEIGHT + 1000 }, HEIGHT + 72);
const context: PolicyContext = {
  ...{ makerNodeId: newer.makerNodeId, peerNodeId: newer.minerNodeId, height: HEIGHT },
  ...{ openContractsOfPeer: 0, openBudgetSat: 0n },
};

/** What a refusal says: the term, what it is, and what would be taken; or its code. */
function said(task: () => void): readonly unknown[] | string {
  try {
    task();
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { path, got, allowed } = error.meta;
    return error.code === 'bad_terms' ? [path, got, allowed] : error.code;
  }
}

const follows = { formula: 'hash_value_144', epoch: 'difficulty', ttlBlocks: 144 } as const;
const bounds = { minMsatPerEh: 5n, maxMsatPerEh: MOST } as const;
const index: MovingPrice = { type: 'index', ...follows, ...bounds, premiumPpm: 7 };
const collar: MovingPrice = {
  ...{ type: 'collar', ...follows, ...bounds, strikeMsatPerEh: 50n, sharePpm: 300_000 },
};

describe('an update of terms that were taken', () => {
  const update = (changes: Partial<Update>): Update => ({
    ...{ contractIdHex: 'ab'.repeat(32), previousHex: 'ab'.repeat(32), number: 1, fromHashes: 640n },
    ...{ nonceHex: '11'.repeat(16), ...changes },
  });
  const judged = (
    changes: Partial<Update>,
    of: { policy?: Partial<MakerPolicy>; terms?: ContractTerms; highest?: bigint | undefined } = {},
  ): unknown =>
    said(() =>
      judgeUpdate(
        { ...POLICY, ...of.policy },
        of.terms ?? older,
        update(changes),
        'highest' in of ? of.highest : MOST,
      ),
    );
  const { priceMsatPerEh: now } = world.terms;

  it('has steps within the policy, whatever else it says', () => {
    expect([10n, 1000n].map((stepHashes) => judged({ stepHashes }))).toEqual(['taken', 'taken']);
    expect(judged({ stepHashes: 9n })).toEqual(['step_hashes', '9', 'at least 10']);
    expect(judged({ stepHashes: 1001n })).toEqual(['step_hashes', '1001', 'at most 1000']);
    expect(judged({ stepHashes: 9n, priceMsatPerEh: now - 1n })).toEqual([
      ...['step_hashes', '9', 'at least 10'],
    ]);
    expect(judged({ stepHashes: 10n }, { policy: { isHalted: true } })).toBe('taken');
  });

  it('that raises no price is taken of whatever policy: a lower one, the same, and none', () => {
    const policy = { isHalted: true };
    for (const changes of [{}, { stopHeight: 7 }, { priceMsatPerEh: now }, { priceMsatPerEh: 0n }])
      expect(judged(changes, { policy, highest: undefined })).toBe('taken');
  });

  it('that raises the price is taken up to the most that is paid now, and not by a policy that is halted', () => {
    const cheap = { ...older, priceMsatPerEh: now - 10n } as ContractTerms;
    const raised = (priceMsatPerEh: bigint, of: object = {}): unknown =>
      judged({ priceMsatPerEh }, { terms: cheap, highest: now - 5n, ...of });
    expect([raised(now - 9n), raised(now - 5n)]).toEqual(['taken', 'taken']);
    expect(raised(now - 4n)).toEqual(['price_msat_per_eh', `${now - 4n}`, `at most ${now - 5n}`]);
    expect(raised(now - 9n, { policy: { isHalted: true } })).toBe('maker_halted');
    expect(raised(now - 9n, { highest: undefined })).toBe('no_price');
    // Halted is the reason, whatever is missing.
    expect(raised(now - 9n, { policy: { isHalted: true }, highest: undefined })).toBe('maker_halted');
    expect(judged({ priceMsatPerEh: now - 4n, stepHashes: 9n }, { terms: cheap })).toEqual([
      ...['step_hashes', '9', 'at least 10'],
    ]);
  });

  it('of a price that moves raises none: its bounds were taken with the terms', () => {
    const moving = { ...newer, price: index } as TermsV3;
    const change = update({ priceMsatPerEh: MOST + 1n });
    expect([raisesPrice(older, change), raisesPrice(moving, change)]).toEqual([true, false]);
    expect([raisesPrice(older, update({})), raisesPrice(moving, update({}))]).toEqual([false, false]);
    expect(raisesPrice(older, update({ priceMsatPerEh: now }))).toBe(false);
    expect(judged({ priceMsatPerEh: MOST + 1n }, { terms: moving, highest: 1n })).toBe('taken');
  });
});

describe('a price that moves', () => {
  const pricing = (rule: Price): { readonly pricing: PricingPolicy } => ({
    pricing: {
      ...{ rule, targetInventoryHashes: 1n },
      spread: { inventoryPpm: 0, volatilityPpm: 0, sizePpm: 0, durationPpm: 0 },
    },
  });
  const judged = (
    price: Price,
    own: Partial<MakerPolicy> = {},
    around: Partial<PolicyContext> = {},
  ): unknown => {
    const answer = said(() =>
      judgeTerms({ ...POLICY, ...own }, { ...newer, price }, { ...context, ...around }),
    );
    return typeof answer === 'string' ? answer : [answer[0], answer[2]];
  };

  it('is of the kinds that the policy has: a collar where its own rule is one', () => {
    const taking = { maxIndexPremiumPpm: 10 };
    const fixed = pricing({ type: 'fixed', msatPerEh: 5n });
    const kinds = (own: Partial<MakerPolicy>): unknown[] => [judged(index, own), judged(collar, own)];
    const none = ['price.type', 'fixed'];
    expect(kinds({})).toEqual([none, none]);
    for (const rule of [fixed, pricing(index), pricing(collar)]) expect(kinds(rule)).toEqual([none, none]);
    const one = ['price.type', 'fixed, index'];
    expect(kinds(taking)).toEqual(['taken', one]);
    for (const rule of [fixed, pricing(index)])
      expect(kinds({ ...taking, ...rule })).toEqual(['taken', one]);
    expect(kinds({ ...taking, ...pricing(collar) })).toEqual(['taken', 'taken']);
  });

  it('has no greater premium than the policy, or than what is paid now', () => {
    const at = (premiumPpm: number, moving?: MovingPrice): unknown =>
      judged({ ...index, premiumPpm }, { maxIndexPremiumPpm: 10 }, { moving });
    expect([at(10), at(11)]).toEqual(['taken', ['price.premium_ppm', 'at most 10']]);
    expect([at(7, index), at(8, index)]).toEqual(['taken', ['price.premium_ppm', 'at most 7']]);
    const more = { ...index, premiumPpm: 20 };
    expect([at(10, more), at(11, more)]).toEqual(['taken', ['price.premium_ppm', 'at most 10']]);
    expect(at(10, collar)).toBe('taken');
  });

  it('of a collar moves as much as the own one, around no more; that of now goes before that of the rule', () => {
    const own = { maxIndexPremiumPpm: 10, ...pricing(collar) };
    const of = (changes: object, moving?: MovingPrice): unknown =>
      judged({ ...collar, ...changes } as Price, own, { moving });
    for (const sharePpm of [299_999, 300_001])
      expect(of({ sharePpm })).toEqual(['price.share_ppm', '300000']);
    expect([of({ strikeMsatPerEh: 50n }), of({ strikeMsatPerEh: 49n })]).toEqual(['taken', 'taken']);
    expect(of({ strikeMsatPerEh: 51n })).toEqual(['price.strike_msat_per_eh', 'at most 50']);
    const low = { ...collar, strikeMsatPerEh: 40n, sharePpm: 200_000 } as MovingPrice;
    expect(of({ strikeMsatPerEh: 40n, sharePpm: 200_000 }, low)).toBe('taken');
    expect(of({ strikeMsatPerEh: 41n, sharePpm: 200_000 }, low)).toEqual([
      ...['price.strike_msat_per_eh', 'at most 40'],
    ]);
    expect(of({}, index)).toEqual(['price.type', 'fixed, index']);
  });

  it('has no greater least than the own rule, or else than what is paid whatever the value', () => {
    const taking = { maxIndexPremiumPpm: 10 };
    const least = (minMsatPerEh: bigint, own: Partial<MakerPolicy>, around: object = {}): unknown =>
      judged({ ...index, minMsatPerEh }, { ...taking, ...own }, around);
    const refused = (most: bigint): unknown => ['price.min_msat_per_eh', `at most ${most}`];
    for (const rule of [index, collar])
      expect([least(5n, pricing(rule)), least(6n, pricing(rule))]).toEqual(['taken', refused(5n)]);
    // What is paid now is none of it where the own rule moves.
    expect(least(6n, pricing(index), { priceMsatPerEh: 9n })).toEqual(refused(5n));
    for (const own of [{}, pricing({ type: 'fixed', msatPerEh: 3n })]) {
      expect(least(MOST, own)).toBe('taken');
      const now = { priceMsatPerEh: 9n };
      expect([least(9n, own, now), least(10n, own, now)]).toEqual(['taken', refused(9n)]);
    }
  });
});

describe('the room for a contract', () => {
  const room = (held: Partial<Held>, own: Partial<MakerPolicy>, terms: ContractTerms): unknown => {
    const answer = said(() =>
      assertRoom({ ...POLICY, ...own }, terms, { openContractsOfPeer: 0, openBudgetSat: 0n, ...held }),
    );
    return typeof answer === 'string' ? answer : [answer[0], answer[2]];
  };

  it('of hashrate is what is left of what there is a use for, none where more is bought', () => {
    const own = { maxRateHps: 100n };
    const rate = (ownHps: bigint, besideHps: bigint) => ({ rate: { ownHps, besideHps } });
    const rated = { ...newer, rate: { committed: 30n, min: 30n, max: 30n } } as TermsV3;
    for (const [terms, path, more] of [
      [rated, 'rate.committed_hps', ''],
      [newer, 'work_total_hashes', ', over its time'],
      [older, 'work_total_hashes', ', over its time'],
    ] as const) {
      expect(room(rate(30n, 70n), own, terms)).toBe('taken');
      expect(room(rate(30n, 71n), own, terms)).toEqual([path, `at most 29 hashes a second${more}`]);
      for (const beside of [100n, 101n, 200n])
        expect(room(rate(1n, beside), own, terms)).toEqual([path, `at most 0 hashes a second${more}`]);
      expect(room(rate(0n, 200n), own, terms)).toBe('taken');
      expect(room(rate(30n, 71n), {}, terms)).toBe('taken');
      expect(room({}, own, terms)).toBe('taken');
    }
  });

  it('of work on jobs of the pools is what they are trusted with, none where more is owed', () => {
    const onPools = { ...newer, binding: WORK } as TermsV3;
    const pools = (roomHashes: bigint, besideHashes: bigint) => ({
      poolWork: { roomHashes, besideHashes },
    });
    const all = onPools.workTotalHashes;
    expect(room(pools(all + 5n, 5n), {}, onPools)).toBe('taken');
    expect(room(pools(all + 5n, 6n), {}, onPools)).toEqual(['work_total_hashes', `at most ${all - 1n}`]);
    for (const beside of [5n, 6n, 500n])
      expect(room(pools(5n, beside), {}, onPools)).toEqual(['work_total_hashes', 'at most 0']);
    // Jobs of the miner’s own owe nothing to a pool.
    expect([room(pools(0n, 0n), {}, newer), room({}, {}, onPools)]).toEqual(['taken', 'taken']);
  });
});

it('a cure under an auditor is no shorter than the policy says, where there is one', () => {
  const { delivery } = makeWholeTermsV3();
  const auditorBonds = makeBonds('auditor', { makerBondSat: 0n, collateralSat: 0n });
  const { auditorKeyHex } = auditorBonds as { readonly auditorKeyHex: string };
  const stakes: StakesPolicy = {
    ...stakesOf(POLICY),
    ...{ bondModes: ['none', 'auditor', 'hostage'], auditorKeysHex: [auditorKeyHex] },
  };
  const judged = (changes: object, minCureBlocks: number | undefined): unknown =>
    said(() =>
      judgeTerms(
        { ...POLICY, stakes: minCureBlocks === undefined ? stakes : { ...stakes, minCureBlocks } },
        { ...newer, ...changes } as TermsV3,
        context,
      ),
    );
  const cure = (cureBlocks: number, bonds: unknown = auditorBonds) => ({
    ...{ bonds, delivery: { ...delivery, cureBlocks } },
    rate: { committed: 10n, min: 10n, max: 20n },
  });
  const taken = judged(cure(24), 24);
  expect(taken).toBe('taken');
  expect(judged(cure(23), 24)).toEqual(['delivery.cure_blocks', '23', 'at least 24']);
  expect(judged(cure(1), undefined)).toBe('taken');
  expect(judged({ bonds: auditorBonds }, 24)).toBe('taken');
});
