import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Price } from '../../src/contract/price.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import {
  assertNotHalted,
  assertRoom,
  judgeMetering,
  judgeTerms,
  type MakerPolicy,
  type PolicyContext,
  stakesOf,
  termText,
} from '../../src/maker/policy.ts';
import { makeBonds } from '../channel/fixtures.ts';
import { World } from './world.ts';

const world = new World();
const HEIGHT = 1000;
const newer = termsV3From({ ...world.terms, expiryHeight: HEIGHT + 1000 }, HEIGHT + 72);
const POLICY: MakerPolicy = world.policy;
const context: PolicyContext = {
  ...{ makerNodeId: newer.makerNodeId, peerNodeId: newer.minerNodeId, height: HEIGHT },
  ...{ openContractsOfPeer: 0, openBudgetSat: 0n },
};

/** What a refusal says: the term, and what would be taken; or its code. */
function said(task: () => void): readonly unknown[] | string {
  try {
    task();
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { path, allowed } = error.meta;
    if (error.code !== 'bad_terms') return error.code;
    return allowed === undefined ? [path] : [path, allowed];
  }
}

const judged = (changes: Partial<TermsV3>, own: Partial<MakerPolicy> = {}, around = {}): unknown =>
  said(() => judgeTerms({ ...POLICY, ...own }, { ...newer, ...changes }, { ...context, ...around }));

describe('a price that moves', () => {
  const { maxPriceMsatPerEh: most } = POLICY;
  const follows = { formula: 'hash_value_144', ttlBlocks: 144, minMsatPerEh: 1n } as const;
  const index = (changes: object = {}): { readonly price: Price } => ({
    price: {
      ...{ type: 'index', ...follows, epoch: 'difficulty', maxMsatPerEh: most, premiumPpm: 5 },
      ...changes,
    } as Price,
  });
  const collar: Price = {
    ...{ type: 'collar', ...follows, epoch: 'difficulty', maxMsatPerEh: most },
    ...{ strikeMsatPerEh: 1n, sharePpm: 1 },
  };

  it('is taken by its premium alone, where one is named', () => {
    expect(judged(index())).toEqual(['price.type', 'fixed']);
    expect(judged({ price: collar })).toEqual(['price.type', 'fixed']);
    const own = { maxIndexPremiumPpm: 5 };
    expect(judged(index(), own)).toBe('taken');
    expect(judged(index({ premiumPpm: -1_000_000 }), own)).toBe('taken');
    expect(judged(index({ premiumPpm: 6 }), own)).toEqual(['price.premium_ppm', 'at most 5']);
    expect(judged({ price: collar }, own)).toEqual(['price.type', 'fixed, index']);
    expect(judged({}, own)).toBe('taken');
  });

  it('has no more epochs than both may sign', () => {
    const days = 144 * (LIMITS.contractUpdates - 1);
    const own = { maxIndexPremiumPpm: 5, maxExpiryBlocks: 100_000 };
    const within = (blocks: number, epoch: 'day' | 'difficulty'): unknown =>
      judged({ ...index({ epoch }), expiryHeight: HEIGHT + blocks }, own);
    expect(within(days, 'day')).toBe('taken');
    const few = `at most ${LIMITS.contractUpdates} epochs to the expiry`;
    expect(within(days + 1, 'day')).toEqual(['price.epoch', few]);
    expect(within(days + 1, 'difficulty')).toBe('taken');
  });

  it('may go as high as the policy pays, whatever is paid now; a fixed one not beyond that', () => {
    const own = { maxIndexPremiumPpm: 5 };
    const low = { priceMsatPerEh: most - 1n };
    expect(judged(index(), own, low)).toBe('taken');
    const path = 'price.max_msat_per_eh';
    expect(judged(index({ maxMsatPerEh: most + 1n }), own)).toEqual([path, `at most ${most}`]);
    const fixed = (msatPerEh: bigint) => ({ price: { type: 'fixed', msatPerEh } as const });
    expect(judged(fixed(most - 1n), own, low)).toBe('taken');
    expect(judged(fixed(most), own, low)).toEqual(['price.msat_per_eh', `at most ${most - 1n}`]);
    expect(judged(fixed(most), own)).toBe('taken');
  });
});

describe('the room for a contract', () => {
  const { budgetSat } = newer;
  const room = (held: object, own: Partial<MakerPolicy> = {}, terms: ContractTerms = newer): unknown =>
    said(() =>
      assertRoom({ ...POLICY, ...own }, terms, { openContractsOfPeer: 0, openBudgetSat: 0n, ...held }),
    );
  const most = (sat: bigint): string => `at most ${sat} with the bond`;

  it('is what is left of all, and of what one miner may have', () => {
    const { maxTotalBudgetSat: total } = POLICY;
    expect(room({ openBudgetSat: total - budgetSat })).toBe('taken');
    expect(room({ openBudgetSat: total - budgetSat + 1n })).toEqual(['budget_sat', most(budgetSat - 1n)]);
    expect(room({ openBudgetSat: total + 5n })).toEqual(['budget_sat', most(0n)]);
    // Without a limit of its own a miner may have all.
    expect(room({ budgetOfPeerSat: total - budgetSat })).toBe('taken');
    expect(room({ budgetOfPeerSat: total - budgetSat + 1n })).toEqual(['budget_sat', most(budgetSat - 1n)]);
    const own = { maxBudgetOfMinerSat: budgetSat + 10n };
    expect(room({ budgetOfPeerSat: 10n }, own)).toBe('taken');
    expect(room({ budgetOfPeerSat: 11n }, own)).toEqual(['budget_sat', most(budgetSat - 1n)]);
    expect(room({ openContractsOfPeer: 1 })).toBe('taken');
    expect(room({ openContractsOfPeer: 2 })).toEqual(['miner_node_id', '2 contracts of a miner']);
  });

  it('of miners that are not listed is apart, and none unless the policy says so', () => {
    const held = (contracts: number, sat: bigint) => ({ strangers: { contracts, budgetSat: sat } });
    const strangers = { maxBudgetSat: budgetSat + 7n, maxContracts: 2, requireCollateral: false };
    expect(room(held(1, 7n), { strangers })).toBe('taken');
    expect(room(held(1, 8n), { strangers })).toEqual(['budget_sat', most(budgetSat - 1n)]);
    expect(room(held(2, 7n), { strangers })).toEqual([
      ...['miner_node_id', '2 contracts of miners that are not listed'],
    ]);
    expect(room(held(0, 0n))).toEqual(['budget_sat', most(0n)]);
    expect(room({ strangers: undefined }, { strangers })).toBe('taken');
    // Its other limits hold for them too.
    expect(room({ ...held(0, 0n), openContractsOfPeer: 2 }, { strangers })).toEqual([
      ...['miner_node_id', '2 contracts of a miner'],
    ]);
  });

  it('of miners that are not listed may cost a collateral: the least of the policy, or 1 sat', () => {
    const strangers = { maxBudgetSat: 10n ** 9n, maxContracts: 2, requireCollateral: true };
    const of = { strangers: { contracts: 0, budgetSat: 0n } };
    const bonded = (collateralSat: bigint): ContractTerms => ({
      ...newer,
      bonds: { ...makeBonds('hostage', { collateralSat, makerBondSat: 0n }), size: undefined } as never,
    });
    const at = (collateralSat: bigint, own: Partial<MakerPolicy> = {}): unknown =>
      room(of, { strangers, ...own }, collateralSat === 0n ? newer : bonded(collateralSat));
    expect(at(0n)).toEqual(['bonds.collateral_sat', 'at least 1']);
    expect(at(1n)).toBe('taken');
    const stakes = { ...stakesOf(POLICY), minCollateralSat: 50n };
    expect(at(49n, { stakes })).toEqual(['bonds.collateral_sat', 'at least 50']);
    expect(at(50n, { stakes })).toBe('taken');
  });
});

describe('metering without money', () => {
  const free = { priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n };
  const older = { ...world.terms, ...free, expiryHeight: HEIGHT + 1000 };
  const metering = termsV3From(older, HEIGHT + 72, { type: 'none' });
  const meters = (
    changes: Partial<TermsV3> = {},
    own: Partial<MakerPolicy> = {},
    around: Partial<Parameters<typeof judgeMetering>[2]> = {},
  ): unknown =>
    said(() =>
      judgeMetering(
        { ...POLICY, meters: true, ...own },
        { ...metering, ...changes },
        { ...context, ...around },
      ),
    );

  it('is taken where the policy says so, and by no channel', () => {
    expect(meters()).toBe('taken');
    for (const no of [false, undefined])
      expect(meters({}, { meters: no } as Partial<MakerPolicy>)).toEqual(['binding.type']);
    expect(said(() => judgeTerms({ ...POLICY, meters: true }, metering, context))).toEqual([
      'binding.type',
    ]);
    expect(meters({}, { isHalted: true })).toBe('maker_halted');
  });

  it('ends above the height of the own node, where there is one', () => {
    expect(meters({ expiryHeight: HEIGHT + 1 })).toBe('taken');
    expect(meters({ expiryHeight: HEIGHT })).toEqual(['expiry_height']);
    expect(meters({ expiryHeight: 1 }, {}, { height: undefined })).toBe('taken');
    expect(meters({ expiryHeight: 0 }, {}, { height: undefined })).toEqual(['expiry_height']);
    // It locks up nothing for how long it runs.
    expect(meters({ expiryHeight: HEIGHT + 100_000 })).toBe('taken');
  });

  it('has the parties, the steps, the shares and the number of contracts that any has', () => {
    expect(meters({ renew: 'offer' })).toEqual(['renew']);
    expect(meters({ network: 'signet' })).toEqual(['network', 'regtest']);
    expect(meters({ stepHashes: 9n }, { minStepHashes: 10n })).toEqual(['step_hashes', 'at least 10']);
    expect(meters({ staleGraceSeconds: 121 })).toEqual(['stale_grace_seconds', 'at most 120']);
    expect(meters({}, { minShareWorkHashes: 17n })).toEqual([
      ...['target.easiest', 'shares of at least 17 hashes'],
    ]);
    expect(meters({}, {}, { peerNodeId: 'ee'.repeat(32) })).toEqual(['miner_node_id', 'ee'.repeat(32)]);
    expect(meters({}, {}, { openContractsOfPeer: 1 })).toBe('taken');
    expect(meters({}, {}, { openContractsOfPeer: 2 })).toEqual([
      ...['miner_node_id', '2 contracts of a miner'],
    ]);
    // No budget is in its way.
    expect(meters({}, { maxTotalBudgetSat: 0n })).toBe('taken');
  });
});

describe('a refusal', () => {
  it('names the terms of older versions as they are there', () => {
    const { terms } = world;
    const own = { bindings: ['coinbase', 'none', 'payout'] as const };
    const older = (changes: Partial<typeof terms>, more: Partial<MakerPolicy> = {}): unknown =>
      said(() => judgeTerms({ ...POLICY, ...own, ...more }, { ...terms, ...changes }, context));
    expect(older({})).toBe('taken');
    const { maxPriceMsatPerEh: most } = POLICY;
    expect(older({ priceMsatPerEh: most + 1n })).toEqual(['price_msat_per_eh', `at most ${most}`]);
    expect(older({}, { minShareWorkHashes: 17n })).toEqual([
      ...['max_target', 'shares of at least 17 hashes'],
    ]);
    const elsewhere = `0014${'cd'.repeat(20)}`;
    const { bindingScriptHex: script } = POLICY;
    expect(older({ binding: { type: 'coinbase', scriptHex: elsewhere } })).toEqual(['binding', script]);
    expect(older({ binding: { type: 'none' } })).toEqual(['binding', script]);
    expect(older({ binding: { type: 'none' } }, { bindingScriptHex: undefined })).toBe('taken');
    expect(older({}, { bindings: ['work'] })).toEqual(['version']);
    expect(judged({}, { bindings: ['work'] })).toEqual(['binding.type']);
  });

  it('of a notice says which would be taken', () => {
    const notice = (noticeBlocks: number, own: Partial<MakerPolicy> = {}): unknown =>
      judged({ end: { cancelFeePpm: 0, noticeBlocks } }, own);
    expect(notice(9)).toEqual(['end.notice_blocks', '0']);
    expect(notice(9, { minNoticeBlocks: 10 })).toEqual(['end.notice_blocks', '0, or at least 10']);
  });

  it('of a binding to the own script comes where there is one', () => {
    const outputs = [{ scriptHex: '51', ppm: 1_000_000 }];
    const payout = { binding: { ...newer.binding, outputs } as TermsV3['binding'] };
    expect(judged(payout)).toEqual(['binding.outputs']);
    expect(judged(payout, { bindingScriptHex: undefined })).toBe('taken');
  });

  it('comes for a funding that would be late, and for a miner that puts in more than the maker', () => {
    expect(judged({ fundingByHeight: HEIGHT + 1 })).toBe('taken');
    expect(judged({ fundingByHeight: HEIGHT })).toEqual(['funding_by_height']);
    const makerSat = newer.budgetSat + newer.reserveSat;
    expect(judged({ minerReserveSat: makerSat })).toBe('taken');
    expect(judged({ minerReserveSat: makerSat + 1n })).toEqual([
      ...['miner_reserve_sat', `at most ${makerSat} with the collateral`],
    ]);
  });
});

describe('a policy', () => {
  it('that is halted takes nothing; one that says nothing of that is not', () => {
    expect(judged({}, { isHalted: true })).toBe('maker_halted');
    expect(() => assertNotHalted({ ...POLICY, isHalted: false })).not.toThrow();
    expect(() => assertNotHalted(POLICY)).not.toThrow();
  });

  it('says what a term was, as it is on the wire, and no more than so many letters of it', () => {
    expect(termText(newer, 'expiry_height')).toBe('2000');
    expect(termText(newer, 'binding.type')).toBe('payout');
    expect(termText(newer, 'bonds.collateral_sat')).toBe('none');
    expect(termText(newer, 'budget_sat.of.nothing')).toBe('none');
    expect(termText(newer, 'binding')).toHaveLength(100);
    const many = { auditorKeysHex: Array.from({ length: 9 }, () => `02${'11'.repeat(32)}`) };
    const stakes = { ...stakesOf(POLICY), bondModes: ['auditor'] as const, ...many };
    const bonds = { ...makeBonds('auditor'), makerBondSat: 0n } as never;
    const answer = judged({ bonds }, { stakes: { ...stakes, minCollateralSat: 0n } });
    expect(answer).toEqual(['bonds.auditor_key', many.auditorKeysHex.join(', ').slice(0, 100)]);
  });

  it('without stakes refuses all of them, and has the least limits for what it does not say', () => {
    expect(stakesOf(POLICY)).toEqual({
      ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
      ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 65_535, seal: 'never' },
      ...{ minClaimFeeRateSatPerKvb: 100, earlyClose: 'refused' },
    });
  });
});
