import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import {
  compactOfTarget,
  targetOfDifficulty,
  targetToHex,
  workOfTarget,
} from '../../src/bitcoin/target.ts';
import { mostLostBeads } from '../../src/contract/bead-odds.ts';
import type { ContractTerms, TermsV1or2, TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import {
  assertRoom,
  judgeTerms,
  lockedSat,
  type MakerPolicy,
  type PolicyContext,
  type StakesPolicy,
} from '../../src/maker/policy.ts';
import { BOND_MODES, EH, makeBonds, makeTerms, SEAL } from '../channel/fixtures.ts';
import { makeWholeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const scriptHex = `0014${'cd'.repeat(20)}`;
const terms = makeTerms({
  binding: { type: 'coinbase', scriptHex },
  maxTargetHex: targetToHex(targetOfDifficulty(1024)),
});

const policy: MakerPolicy = {
  network: 'regtest',
  maxPriceMsatPerEh: terms.priceMsatPerEh,
  maxBudgetSat: terms.budgetSat,
  maxTotalBudgetSat: 2n * terms.budgetSat,
  maxOpenContractsPerMiner: 2,
  minStepHashes: EH,
  maxStepHashes: 100n * EH,
  maxUnpaidSteps: 3,
  minShareWorkHashes: workOfTarget(BigInt(`0x${terms.maxTargetHex}`)),
  minExpiryBlocks: 1000,
  maxExpiryBlocks: 2000,
  minDepth: 3,
  maxStaleGraceSeconds: 30,
  bindingScriptHex: scriptHex,
  bindings: ['none', 'coinbase', 'payout', 'bead'],
};

const context: PolicyContext = {
  makerNodeId: terms.makerNodeId,
  peerNodeId: terms.minerNodeId,
  height: terms.expiryHeight - 1500,
  openContractsOfPeer: 1,
  openBudgetSat: terms.budgetSat,
};

function judge(
  changes: Partial<TermsV1or2> = {},
  around: Partial<PolicyContext> = {},
  rules: Partial<MakerPolicy> = {},
): string {
  try {
    const { height } = { ...context, ...around };
    const proposed = termsV3From({ ...terms, ...changes }, height + 1);
    judgeTerms({ ...policy, ...rules }, proposed, { ...context, ...around });
    return 'taken';
  } catch (error) {
    return codeOf(error);
  }
}

const AUDITOR_KEY = (makeBonds('auditor') as { readonly auditorKeyHex: string }).auditorKeyHex;
const stakes: StakesPolicy = {
  bondModes: ['none', 'auditor', 'hostage'],
  maxMakerBondSat: 40_000n,
  minCollateralSat: 60_000n,
  auditorKeysHex: [AUDITOR_KEY],
  minBondCsvBlocks: 144,
  maxBondCsvBlocks: 2016,
  seal: 'allowed',
  minClaimFeeRateSatPerKvb: 2000,
  earlyClose: 'refused',
};

/** A side of a limit: what is changed of the terms, of what is around them, and of the policy. */
type Side = readonly [Partial<TermsV1or2>, Partial<PolicyContext>?, Partial<StakesPolicy>?];
const bonds = (
  amounts: Parameters<typeof makeBonds>[1],
  mode: 'auditor' | 'hostage' = 'auditor',
): [Partial<TermsV1or2>] => [{ bonds: makeBonds(mode, amounts) }];
const EASIEST = BigInt(`0x${terms.maxTargetHex}`);

/** Every limit by its words: the last that is taken, and the first that is not. */
const LIMITS_OF_POLICY: readonly (readonly [words: string, taken: Side, refused: Side])[] = [
  ['price_msat_per_eh may be at most', [{}], [{ priceMsatPerEh: terms.priceMsatPerEh + 1n }]],
  ['budget_sat may be at most', [{}], [{ budgetSat: terms.budgetSat + 1n }, { openBudgetSat: 0n }]],
  ['all budgets are in use', [{}], [{}, { openBudgetSat: terms.budgetSat + 1n }]],
  ['a miner may have 2 contracts', [{}], [{}, { openContractsOfPeer: 2 }]],
  ['step_hashes must be at least', [{}], [{ stepHashes: EH - 1n }]],
  ['step_hashes may be at most', [{ stepHashes: 100n * EH }], [{ stepHashes: 100n * EH + 1n }]],
  ['max_unpaid_steps may be at most 3', [{}], [{ maxUnpaidSteps: 4 }]],
  [
    'a share must be of at least',
    [{ maxTargetHex: targetToHex(EASIEST) }],
    [{ maxTargetHex: targetToHex(targetOfDifficulty(1023)) }],
  ],
  [
    'expiry_height must be at least',
    [{}, { height: terms.expiryHeight - 1000 }],
    [{}, { height: terms.expiryHeight - 999 }],
  ],
  [
    'expiry_height may be at most',
    [{}, { height: terms.expiryHeight - 2000 }],
    [{}, { height: terms.expiryHeight - 2001 }],
  ],
  ['min_depth must be at least', [{}], [{ minDepth: 2 }]],
  ['stale_grace_seconds may be at most', [{}], [{ staleGraceSeconds: 31 }]],
  ['the binding must be', [{}], [{ binding: { type: 'coinbase', scriptHex: '51' } }]],
  ['the network must be regtest', [{}], [{ network: 'signet' }]],
  ['the maker of the terms', [{}], [{ makerNodeId: 'ee'.repeat(32) }]],
  ['the miner of the terms', [{}], [{ minerNodeId: 'ee'.repeat(32) }]],
  // 485,060 of budget, 1,000 of reserve and the bond, against the miner's reserve and its collateral.
  [
    'the miner may not put more into the channel',
    bonds({ collateralSat: 486_060n + 40_000n - 6_000n }, 'hostage'),
    bonds({ collateralSat: 486_060n + 40_000n - 6_000n + 1n }, 'hostage'),
  ],
  ['bonds of mode forfeit_to_mm are not served', bonds({}), [{ bonds: makeBonds('forfeit_to_mm') }]],
  ['bonds of mode none are not served', [{}], [{}, {}, { bondModes: ['auditor'] }]],
  [
    'bonds.maker_bond_sat may be at most 40000',
    bonds({}),
    [...bonds({ makerBondSat: 40_001n }), { openBudgetSat: 0n }],
  ],
  ['bonds.collateral_sat must be at least 60000', bonds({}), bonds({ collateralSat: 59_999n })],
  [
    'contracts with a seal are not served',
    [{}, {}, { seal: 'never' }],
    [{ seal: SEAL }, {}, { seal: 'never' }],
  ],
  ['a contract needs a seal', [{ seal: SEAL }, {}, { seal: 'required' }], [{}, {}, { seal: 'required' }]],
  [
    'seal.claim_fee_sat_per_kvb must be at least 2000',
    [{ seal: SEAL }],
    [{ seal: { ...SEAL, claimFeeRateSatPerKvb: 1999 } }],
  ],
  [
    'this auditor is not trusted',
    bonds({}),
    [{ bonds: makeBonds('auditor') }, {}, { auditorKeysHex: [`02${'11'.repeat(32)}`] }],
  ],
  [
    'bonds.bond_csv_blocks must be at least 144',
    bonds({ bondCsvBlocks: 144 }),
    bonds({ bondCsvBlocks: 143 }),
  ],
  [
    'bonds.bond_csv_blocks may be at most 2016',
    bonds({ bondCsvBlocks: 2016 }),
    bonds({ bondCsvBlocks: 2017 }),
  ],
];

describe('each limit of a policy', () => {
  const said = ([changes, around, of]: Side, more: Partial<PolicyContext> = {}): string => {
    try {
      const rules = {
        ...policy,
        maxTotalBudgetSat: 2n * terms.budgetSat + 40_000n,
        stakes: { ...stakes, ...of },
      };
      const bonded = changes.bonds === undefined ? 40_000n : 0n;
      const openBudgetSat = (around?.openBudgetSat ?? terms.budgetSat) + bonded;
      judgeTerms(rules, { ...terms, ...changes }, { ...context, ...around, ...more, openBudgetSat });
      return 'taken';
    } catch (error) {
      if (codeOf(error) !== 'bad_terms') throw error;
      return (error as Error).message;
    }
  };

  it.each(LIMITS_OF_POLICY)('%s: %#', (words, taken, refused) => {
    expect(said(taken)).toBe('taken');
    expect(said(refused)).toContain(words);
  });

  it('counts the bond of the maker as budget, for a contract and for those it holds', () => {
    const bonded = { ...terms, bonds: makeBonds('hostage') };
    expect([lockedSat(terms), lockedSat(bonded)]).toEqual([485_060n, 525_060n]);
    const room = (maxTotalBudgetSat: bigint, openBudgetSat: bigint): string => {
      try {
        assertRoom({ ...policy, maxTotalBudgetSat }, bonded, { openContractsOfPeer: 0, openBudgetSat });
        return 'room';
      } catch (error) {
        return codeOf(error);
      }
    };
    expect([room(525_061n, 1n), room(525_061n, 2n)]).toEqual(['room', 'bad_terms']);
    expect([room(525_060n, 0n), room(525_059n, 0n)]).toEqual(['room', 'bad_terms']);
  });

  it('refuses all stakes where it says nothing of them', () => {
    expect(judge()).toBe('taken');
    for (const mode of BOND_MODES)
      expect(judge({ bonds: makeBonds(mode, { makerBondSat: 0n }) })).toBe('bad_terms');
    expect(judge({ seal: SEAL })).toBe('bad_terms');
  });
});

describe('the policy of a maker', () => {
  it('takes a contract at every limit', () => {
    expect(judge()).toBe('taken');
    expect(judge({}, { height: terms.expiryHeight - 1000 })).toBe('taken');
    expect(judge({}, { height: terms.expiryHeight - 2000 })).toBe('taken');
  });

  it.each<[string, Partial<TermsV1or2>]>([
    ['another network', { network: 'signet' }],
    ['another maker', { makerNodeId: 'ee'.repeat(32) }],
    ['another miner', { minerNodeId: 'ee'.repeat(32) }],
    ['a higher price', { priceMsatPerEh: terms.priceMsatPerEh + 1n }],
    ['a higher budget', { budgetSat: terms.budgetSat + 1n }],
    ['a smaller step', { stepHashes: EH - 1n }],
    ['more unpaid steps', { maxUnpaidSteps: 4 }],
    ['easier shares', { maxTargetHex: targetToHex(targetOfDifficulty(1023)) }],
    ['less depth', { minDepth: 2 }],
    ['more grace', { staleGraceSeconds: 31 }],
    ['a binding to others', { binding: { type: 'coinbase', scriptHex: '51' } }],
  ])('refuses %s', (_name, changes) => {
    expect(judge(changes)).toBe('bad_terms');
  });

  it('refuses an expiry too near or too far, too many contracts, and more than all its budget', () => {
    expect(judge({}, { height: terms.expiryHeight - 999 })).toBe('bad_terms');
    expect(judge({}, { height: terms.expiryHeight - 2001 })).toBe('bad_terms');
    expect(judge({}, { openContractsOfPeer: 2 })).toBe('bad_terms');
    expect(judge({}, { openBudgetSat: terms.budgetSat + 1n })).toBe('bad_terms');
  });

  it('takes any payee where it names no script', () => {
    const to = { binding: { type: 'coinbase' as const, scriptHex: '51' } };
    expect(judge(to, {}, { bindingScriptHex: undefined })).toBe('taken');
  });

  describe('of terms of version 3', () => {
    const newer = termsV3From(terms, context.height + 72);
    const pathOf = (changes: Partial<TermsV3>, own: Partial<MakerPolicy> = {}): string => {
      try {
        judgeTerms({ ...policy, ...own }, { ...newer, ...changes }, context);
        return 'taken';
      } catch (error) {
        if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
        return String(error.meta['path'] ?? error.message);
      }
    };
    const whole = makeWholeTermsV3();
    const { binding, target } = newer;

    it('are the only ones that are taken where nothing else is said', () => {
      const { bindings: _all, ...usual } = policy;
      const judged = (proposed: ContractTerms): unknown => {
        try {
          judgeTerms(usual, proposed, context);
          return 'taken';
        } catch (error) {
          return (error as CodedError).meta['path'];
        }
      };
      expect(judged(newer)).toBe('taken');
      expect(judged(terms)).toBe('version');
      expect(judged({ ...terms, binding: { type: 'none' } })).toBe('version');
      expect(judged({ ...terms, bonds: makeBonds('hostage') })).toBe('version');
    });

    it('takes what says the same as terms of version 1', () => {
      expect(pathOf({})).toBe('taken');
      expect(pathOf({ fundingByHeight: context.height + 1 })).toBe('taken');
    });

    it.each<[string, Partial<TermsV3>]>([
      ['price.type', { price: whole.price }],
      ['binding.type', { binding: whole.binding }],
      ['network', { network: 'signet' }],
      ['target.hardest', { target: { ...target, hardestHex: '01'.repeat(32) } }],
      ['maker_fault.type', { makerFault: whole.makerFault }],
      ['end.cancel_fee_ppm', { end: { cancelFeePpm: 1, noticeBlocks: 0 } }],
      ['end.notice_blocks', { end: { cancelFeePpm: 0, noticeBlocks: 1 } }],
      ['renew', { renew: 'offer' }],
      ['text_hash', { textHashHex: '11'.repeat(32) }],
      ['predecessor', { predecessorHex: '11'.repeat(32) }],
      ['stream', { streamHex: '11'.repeat(16) }],
      ['funding_by_height', { fundingByHeight: context.height }],
    ])('refuses %s that it cannot serve yet', (path, changes) => {
      expect(pathOf(changes)).toBe(path);
    });

    it.each<[string, Partial<TermsV3>, RegExp]>([
      [
        'standby pay',
        { makerFault: whole.makerFault },
        /must be pause: standby would be paid by what a maker/,
      ],
      [
        'a cancel fee',
        { end: { cancelFeePpm: 1, noticeBlocks: 0 } },
        /must be 0: no state pays the miner less/,
      ],
    ])('refuses %s, and says why it never will take it', (_, changes, why) => {
      expect(() => judgeTerms(policy, { ...newer, ...changes }, context)).toThrow(why);
    });

    it('takes no notice of the end, or one that is long enough', () => {
      const judged = (noticeBlocks: number, own: object = {}): string =>
        pathOf({ end: { cancelFeePpm: 0, noticeBlocks } }, own);
      expect([judged(0), judged(1), judged(2016)]).toEqual([
        'taken',
        'end.notice_blocks',
        'end.notice_blocks',
      ]);
      const own = { minNoticeBlocks: 10 };
      expect([0, 1, 9, 10, 11].map((blocks) => judged(blocks, own))).toEqual([
        'taken',
        'end.notice_blocks',
        'end.notice_blocks',
        'taken',
        'taken',
      ]);
    });

    it('takes payout within its limits: its own part, fees, samples', () => {
      const payout = {
        minOwnPpm: 970_000,
        minFeesPpm: 950_000,
        minSamplePpm: 10_000,
        maxSampleSeconds: 10,
      };
      const ppm = (own: number) => [
        { scriptHex, ppm: own },
        { scriptHex: '51', ppm: 1_000_000 - own },
      ];
      const least = { outputs: ppm(970_000), minFeesPpm: 950_000, samplePpm: 10_000, sampleSeconds: 10 };
      const judged = (changes: Partial<typeof least>): string =>
        pathOf({ binding: { type: 'payout', ...least, ...changes } }, { payout });
      expect(judged({})).toBe('taken');
      expect(judged({ outputs: ppm(969_999) })).toBe('binding.outputs');
      expect(judged({ minFeesPpm: 949_999 })).toBe('binding.min_fees_ppm');
      expect(judged({ samplePpm: 9_999 })).toBe('binding.sample_ppm');
      expect(judged({ sampleSeconds: 11 })).toBe('binding.sample_seconds');
      // Without limits of its own, all of the coinbase is for its script.
      expect(pathOf({ binding: { type: 'payout', ...least } })).toBe('binding.outputs');
    });

    it('takes jobs of its own, with a range of targets, only where it has an upstream', () => {
      const ranged = { target: { ...target, hardestHex: '01'.repeat(32) }, binding: whole.binding };
      expect(whole.binding.type).toBe('work');
      expect(pathOf(ranged)).toBe('binding.type');
      expect(pathOf(ranged, { bindings: ['work'] })).toBe('taken');
      expect(pathOf({}, { bindings: ['work'] })).toBe('binding.type');
    });

    it('takes beads that pay its script, while stolen ones earn no more than it may lose', () => {
      const binding = {
        ...{
          type: 'bead' as const,
          scriptHex,
          profile: 'as_is' as const,
          stopPpb: 1000,
          maxLossSat: 1000n,
        },
      };
      const bead = { scriptHex, profiles: ['as_is' as const], minStopPpb: 1000, maxLossSat: 1000n };
      let why = '';
      const judgeBead = (changes: Partial<typeof binding>, own: object = {}, tipBits?: number): string => {
        try {
          const context_ = { ...context, tipBits };
          judgeTerms(
            { ...policy, bead: { ...bead, ...own } },
            { ...newer, binding: { ...binding, ...changes } },
            context_,
          );
          return 'taken';
        } catch (error) {
          why = (error as CodedError).message;
          return (error as CodedError).meta['path'] as string;
        }
      };
      expect(pathOf({ binding })).toBe('binding.type');
      // The price is that of an EH: stolen beads may be worth so much of one.
      const most = (1000n * 1000n * EH) / (mostLostBeads(1000) * policy.maxPriceMsatPerEh);
      const bits = compactOfTarget((1n << 256n) / (most / 2n));
      const hard = compactOfTarget((1n << 256n) / (most * 2n));
      expect(judgeBead({}, {}, bits)).toBe('taken');
      expect(judgeBead({}, {}, hard)).toBe('binding.bead_max_loss_sat');
      // What it names is enough, and nothing less.
      const needed = BigInt(/less than the (\d+) sat/.exec(why)![1]!);
      const rich = { maxLossSat: 10n ** 15n };
      expect(judgeBead({ maxLossSat: needed }, rich, hard)).toBe('taken');
      expect(judgeBead({ maxLossSat: needed - 1n }, rich, hard)).toBe('binding.bead_max_loss_sat');
      expect(judgeBead({ maxLossSat: 1001n }, {}, bits)).toBe('binding.bead_max_loss_sat');
      expect(judgeBead({ maxLossSat: 10_000n }, { maxLossSat: 10_000n }, hard)).toBe('taken');
      expect(judgeBead({})).toBe('binding.profile');
      expect(judgeBead({ profile: 'weak' } as never, {}, bits)).toBe('binding.profile');
      // Weak ones are judged by the terms; what no statistics judge has no loss to bound.
      const weak = { profiles: ['weak'], maxLossSat: 10n ** 15n };
      expect(judgeBead({ profile: 'weak', maxLossSat: 10n ** 15n } as never, weak)).toBe('taken');
      expect(judgeBead({ profile: 'weak', maxLossSat: 10n ** 15n + 1n } as never, weak)).toBe(
        'binding.bead_max_loss_sat',
      );
      expect(judgeBead({ profile: 'spec' } as never, { profiles: ['spec'], maxLossSat: 0n })).toBe('taken');
      expect(judgeBead({ stopPpb: 1000, maxLossSat: 0n }, {}, bits)).toBe('binding.bead_max_loss_sat');
      expect(judgeBead({ stopPpb: 999 }, {}, bits)).toBe('binding.stop_ppb');
      expect(judgeBead({ scriptHex: `0014${'00'.repeat(20)}` }, {}, bits)).toBe('binding.script');
    });

    it('refuses a price, a target and a payee beyond its limits', () => {
      const price = { type: 'fixed' as const, msatPerEh: policy.maxPriceMsatPerEh + 1n };
      expect(pathOf({ price })).toMatch('price');
      const easier = targetToHex(targetOfDifficulty(1023));
      expect(pathOf({ target: { easiestHex: easier, hardestHex: easier } })).toBe('target.easiest');
      const outputs = [{ scriptHex: '51', ppm: 1_000_000 }];
      expect(pathOf({ binding: { ...binding, outputs } as TermsV3['binding'] })).toBe('binding.outputs');
    });
  });
});
