import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { type BondTerms, bondsOf, hasBondOutputs } from '../../src/contract/bond-terms.ts';
import { highestMsatPerEh, lowestMsatPerEh } from '../../src/contract/price.ts';
import {
  checkTerms,
  parseTerms,
  type TermsV1or2,
  type TermsV3,
  termsToJson,
} from '../../src/contract/terms.ts';
import {
  backlogMs,
  coinbaseRule,
  easiestTarget,
  fixedPriceMsatPerEh,
  hardestTarget,
  mostMsatPerEh,
  notYetServed,
} from '../../src/contract/terms-access.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { forfeitsBond, isAtStake, vestingOf } from '../../src/contract/vesting.ts';
import { anyBondedTerms, BOND_MODES, code, EH, makeBonds, makeTerms, SEAL } from '../channel/fixtures.ts';
import { makeTermsV3, makeWholeTermsV3 } from './terms-v3-fixtures.ts';

/** Where terms are refused, with the reason's first words; `taken` where they are sound. */
function judged(check: () => unknown): string {
  try {
    check();
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
    return String(error.meta['path'] ?? error.message);
  }
}

type V3 = Partial<TermsV3>;
const SCRIPT = '51';
const audit: V3 = {
  binding: { type: 'none' },
  price: { type: 'fixed', msatPerEh: 0n },
  ...{ budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n },
};
const whole = makeWholeTermsV3();
const collar = whole.price as Extract<TermsV3['price'], { readonly type: 'collar' }>;
const sized = whole.bonds!;
const split = (ppm: number, seedSat: bigint) => ({ scriptHex: SCRIPT, ppm, seedSat, label: '' });
const bead = (profile: 'spec' | 'as_is' | 'weak', maxLossSat: bigint): V3 => ({
  binding: { type: 'bead', scriptHex: SCRIPT, profile, stopPpb: 1, maxLossSat },
});
const pays = (...ppms: readonly number[]): V3 => ({
  binding: {
    type: 'payout',
    outputs: ppms.map((ppm, index) => ({ scriptHex: `5${index + 1}`, ppm })),
    ...{ minFeesPpm: 0, samplePpm: 0, sampleSeconds: 10 },
  },
});
const caps = (...list: readonly (readonly [number, number])[]): V3 => ({
  feeCaps: list.map(([blocksLeft, ppm]) => ({ blocksLeft, ppm })),
});
const rate = { min: 5n, committed: 6n, max: 7n };
const target = (easiestHex: string, hardestHex = easiestHex): V3 => ({
  target: { easiestHex, hardestHex },
});

/** Each bound of version 3: the last value taken, the first that is not, and what it is refused by. */
const EDGES: readonly (readonly [path: string, taken: V3, refused: V3])[] = [
  ['binding.bead_max_loss_sat', bead('as_is', 1n), bead('as_is', 0n)],
  ['binding.bead_max_loss_sat', bead('spec', 0n), bead('weak', 0n)],
  ['binding.bead_max_loss_sat', bead('weak', 1n), bead('weak', 0n)],
  ['binding.outputs.1.ppm', pays(999_999, 1), pays(1_000_000, 0)],
  ['binding.outputs', pays(500_000, 500_000), pays(500_000, 500_001)],
  ['rate.min_hps', { rate: { ...rate, min: 1n } }, { rate: { ...rate, min: 0n } }],
  ['rate.committed_hps', { rate: { ...rate, committed: 5n } }, { rate: { ...rate, committed: 4n } }],
  ['rate.max_hps', { rate: { ...rate, max: 6n } }, { rate: { ...rate, max: 5n } }],
  ['funding_by_height', { fundingByHeight: 919_998 }, { fundingByHeight: 920_000 }],
  ['start', { fundingByHeight: 919_999 - 1 }, { fundingByHeight: 919_999, start: at(1, 920_000) }],
  ['start', { start: at(1, 919_999) }, { start: at(1, 920_000) }],
  ['start.not_after_height', { start: at(9, 9) }, { start: at(9, 8) }],
  ['duration_blocks', { durationBlocks: 1399 }, { durationBlocks: 1400 }],
  [
    'duration_blocks',
    { start: at(1, 919_000), durationBlocks: 999 },
    { start: at(1, 919_000), durationBlocks: 1000 },
  ],
  ['price.min_msat_per_eh', moving({ minMsatPerEh: 1n }), moving({ minMsatPerEh: 0n })],
  ['price.max_msat_per_eh', moving({ maxMsatPerEh: 450_000n }), moving({ maxMsatPerEh: 399_999n })],
  [
    'price.strike_msat_per_eh',
    moving({ strikeMsatPerEh: 400_000n }),
    moving({ strikeMsatPerEh: 399_999n }),
  ],
  [
    'price.strike_msat_per_eh',
    moving({ strikeMsatPerEh: 500_000n }),
    moving({ strikeMsatPerEh: 500_001n }),
  ],
  ['target.hardest', target(`${'00'.repeat(31)}01`), target('01'.repeat(32), '00'.repeat(32))],
  ['target.hardest', target('22'.repeat(32)), target('11'.repeat(32), '22'.repeat(32))],
  ['target.easiest', target(`7${'f'.repeat(63)}`), target(`8${'0'.repeat(63)}`)],
  ['fee_caps.1.blocks_left', caps([2, 1], [1, 1], [0, 1]), caps([2, 1], [2, 1], [0, 1])],
  ['fee_caps.1.ppm', caps([2, 5], [0, 5]), caps([2, 5], [0, 4])],
  ['fee_caps', caps([0, 5]), caps([1, 5])],
  ['splits.0.ppm', { splits: [split(1, 546n)] }, { splits: [split(0, 546n)] }],
  ['splits.0.seed_sat', { splits: [split(1, 546n)] }, { splits: [split(1, 545n)] }],
  ['splits', { splits: [split(900_000, 546n)] }, { splits: [split(900_001, 546n)] }],
  [
    'splits',
    { splits: [split(1, 4454n), split(1, 546n)], minerReserveSat: 6000n },
    { splits: [split(1, 4454n), split(1, 547n)], minerReserveSat: 6000n },
  ],
  [
    'stale_grace_seconds',
    { binding: whole.binding, staleGraceSeconds: 10 },
    { binding: whole.binding, staleGraceSeconds: 9 },
  ],
  ['delivery', { rate, delivery: whole.delivery! }, { delivery: whole.delivery! }],
  [
    'maker_fault',
    { rate, makerFault: { type: 'standby', msatPerEh: 1n } },
    { makerFault: { type: 'standby', msatPerEh: 1n } },
  ],
  ...(['budgetSat', 'reserveSat', 'minerReserveSat'] as const).map(
    (key) => [wire(key), audit, { ...audit, [key]: 1n }] as const,
  ),
  ['price.msat_per_eh', audit, { ...audit, price: { type: 'fixed', msatPerEh: 1n } }],
  ['price.msat_per_eh', audit, { ...audit, price: { ...collar, maxMsatPerEh: 500_000n } }],
  ['bonds', audit, { ...audit, bonds: sized }],
  ['seal', audit, { ...audit, seal: SEAL }],
  ['splits', audit, { ...audit, splits: [split(1, 546n)] }],
  ['step_hashes', { ...audit, stepHashes: 1n }, { ...audit, stepHashes: 0n }],
  ['work_total_hashes', { ...audit, workTotalHashes: EH }, { ...audit, workTotalHashes: EH - 1n }],
  ['maker_node_id', audit, { ...audit, makerNodeId: makeTerms().minerNodeId }],
  ['funding_by_height', audit, { ...audit, fundingByHeight: 920_000 }],
];

function at(notBeforeHeight: number, notAfterHeight: number): NonNullable<TermsV3['start']> {
  return { notBeforeHeight, notAfterHeight };
}
function moving(changes: Partial<typeof collar>): V3 {
  return { budgetSat: 600_000n, price: { ...collar, ...changes } };
}
function wire(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

describe('terms of version 3', () => {
  it.each(EDGES)('are bounded at %s: %#', (path, taken, refused) => {
    expect(judged(() => checkTerms(makeTermsV3(taken)))).toBe('taken');
    expect(judged(() => checkTerms(makeTermsV3(refused)))).toBe(path);
    expect(judged(() => parseTerms(termsToJson(makeTermsV3(refused))))).toBe(path);
  });

  it('have bonds of exactly the size of their rule: the part or the floor, whichever is more', () => {
    const bonds = (changes: object): TermsV3 =>
      makeTermsV3({ bonds: { ...sized, collateralSat: 87_310n, makerBondSat: 48_506n, ...changes } });
    const size = {
      collateralPpm: 180_000,
      worstCaseSat: 87_310n,
      makerBondPpm: 100_000,
      makerBondFloorSat: 1n,
    };
    const path = (changes: object): string => judged(() => checkTerms(bonds({ size, ...changes })));
    expect(path({})).toBe('taken');
    for (const by of [-1n, 1n]) {
      expect(path({ collateralSat: 87_310n + by })).toBe('bonds.collateral_sat');
      expect(path({ makerBondSat: 48_506n + by })).toBe('bonds.maker_bond_sat');
    }
    expect(path({ size: { ...size, worstCaseSat: 87_311n } })).toBe('bonds.collateral_sat');
    expect(path({ size: { ...size, worstCaseSat: 87_311n }, collateralSat: 87_311n })).toBe('taken');
    expect(path({ size: { ...size, makerBondFloorSat: 50_000n }, makerBondSat: 50_000n })).toBe('taken');
  });

  it('that are an upgrade state what the older ones said, and no more', () => {
    const binding = { type: 'coinbase' as const, scriptHex: SCRIPT };
    for (const bondMode of BOND_MODES) {
      const old = makeTerms({ binding, bonds: makeBonds(bondMode), seal: SEAL });
      const terms = termsV3From(old, 918_600);
      expect(judged(() => checkTerms(terms))).toBe('taken');
      expect(bondsOf(terms)).toMatchObject(bondsOf(old));
      expect(terms.bonds?.size).toEqual({
        ...{ collateralPpm: 0, worstCaseSat: 60_000n, makerBondPpm: 0, makerBondFloorSat: 40_000n },
      });
      expect(parseTerms(termsToJson(terms))).toEqual(terms);
    }
  });

  /** One change for each path that no program serves yet. */
  const UNSERVED: Readonly<Record<string, V3>> = {
    network: { network: 'signet' },
    'target.hardest': target('02'.repeat(32), '01'.repeat(32)),
    'maker_fault.type': { makerFault: { type: 'standby', msatPerEh: 1n } },
    'end.cancel_fee_ppm': { end: { cancelFeePpm: 1, noticeBlocks: 0 } },
    renew: { renew: 'offer' },
    text_hash: { textHashHex: '11' },
    predecessor: { predecessorHex: '11' },
    stream: { streamHex: '11' },
  };

  it.each(Object.entries(UNSERVED))('say that %s is not served yet', (path, changes) => {
    expect(notYetServed(makeTermsV3())).toBeUndefined();
    expect(notYetServed(makeTermsV3(changes))).toBe(path);
  });

  it('are served with beads of each profile', () => {
    for (const profile of ['spec', 'as_is', 'weak'] as const)
      expect(notYetServed(makeTermsV3(bead(profile, 1n)))).toBeUndefined();
  });

  it("are served with a range of targets where the jobs are the maker's", () => {
    const range = target('02'.repeat(32), '01'.repeat(32));
    expect(notYetServed(makeTermsV3({ binding: whole.binding }))).toBeUndefined();
    expect(notYetServed(makeTermsV3({ ...range, binding: whole.binding }))).toBeUndefined();
  });

  it('and those before are read by the same words', () => {
    const old = makeTerms({ binding: { type: 'coinbase', scriptHex: SCRIPT } });
    const terms = makeTermsV3({
      ...pays(1_000_000),
      backlogMinutes: 7,
      ...target('02'.repeat(32), '01'.repeat(32)),
    });
    expect(notYetServed(old)).toBeUndefined();
    expect([old, terms].map(fixedPriceMsatPerEh)).toEqual([485_060n, 485_060n]);
    // Until both have signed another.
    expect(fixedPriceMsatPerEh(makeTermsV3({ price: collar }))).toBe(lowestMsatPerEh(collar));
    expect(mostMsatPerEh(makeTermsV3({ price: collar }))).toBe(highestMsatPerEh(collar));
    expect(mostMsatPerEh(old)).toBe(485_060n);
    expect([old, terms].map(easiestTarget)).toEqual([
      BigInt(`0x${old.maxTargetHex}`),
      BigInt(`0x${'02'.repeat(32)}`),
    ]);
    expect([old, terms].map(hardestTarget)).toEqual([0n, BigInt(`0x${'01'.repeat(32)}`)]);
    expect([old, terms].map(backlogMs)).toEqual([21_600_000, 420_000]);
    const none = makeTerms();
    const two = makeTermsV3(pays(1, 999_999));
    const works = makeTermsV3({ binding: whole.binding });
    expect([none, old, works].map(coinbaseRule)).toEqual([
      { type: 'none' },
      { type: 'some', scriptHex: '51' },
      { type: 'none' },
    ]);
    expect(coinbaseRule(two)).toEqual({
      type: 'parts',
      outputs: [
        { scriptHex: '51', ppm: 1 },
        { scriptHex: '52', ppm: 999_999 },
      ],
    });
  });
});

describe('terms of versions 1 and 2', () => {
  const MAX_SATS = 21n * 10n ** 14n;
  const bonds = (changes: Partial<BondTerms>): Partial<TermsV1or2> => ({
    bonds: { ...makeBonds('auditor'), ...changes } as BondTerms,
  });
  const ladder = (...rates: readonly number[]): Partial<TermsV1or2> => ({ feeLadderSatPerKvb: rates });
  /** The rest of all bitcoin, after the reserves and these stakes. */
  const rest = (staked: bigint): bigint => MAX_SATS - 7000n - staked;

  it.each<[string, Partial<TermsV1or2>, Partial<TermsV1or2>]>([
    ['supply', { budgetSat: rest(0n) }, { budgetSat: rest(0n) + 1n }],
    [
      'supply with stakes',
      { ...bonds({}), seal: SEAL, budgetSat: rest(102_000n) },
      { ...bonds({}), seal: SEAL, budgetSat: rest(102_000n) + 1n },
    ],
    ['csv', bonds({ bondCsvBlocks: 65_535 }), bonds({ bondCsvBlocks: 65_536 })],
    ['csv', bonds({ bondCsvBlocks: 1 }), bonds({ bondCsvBlocks: 0 })],
    ['auditor key', bonds({}), bonds({ auditorKeyHex: `00${'02'.repeat(32)}` })],
    ['auditor key', bonds({}), bonds({ auditorKeyHex: `02${'0G'.repeat(32)}` })],
    [
      'seal rate',
      { seal: { ...SEAL, sealSat: 10n ** 6n, claimFeeRateSatPerKvb: 1_000_000 } },
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 1_000_001 } },
    ],
    [
      'seal rate',
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 100 } },
      { seal: { ...SEAL, claimFeeRateSatPerKvb: 99 } },
    ],
    ['seal', { seal: { ...SEAL, sealSat: 1000n } }, { seal: { ...SEAL, sealSat: 999n } }],
    ['ladder', ladder(100), ladder()],
    [
      'ladder',
      ladder(101, 102, 103, 104, 105, 106, 107, 108),
      ladder(101, 102, 103, 104, 105, 106, 107, 108, 109),
    ],
    ['ladder', ladder(100, 1_000_000), ladder(99, 1_000_000)],
    ['ladder', ladder(100, 101), ladder(100, 100)],
    ['reserve', { reserveSat: 1000n }, { reserveSat: 999n }],
    ['miner reserve', { minerReserveSat: 1000n }, { minerReserveSat: 999n }],
    ['step', { workTotalHashes: EH }, { workTotalHashes: EH - 1n }],
  ])('are bounded by %s: %#', (_what, taken, refused) => {
    expect(judged(() => checkTerms(makeTerms(taken)))).toBe('taken');
    expect(judged(() => checkTerms(makeTerms(refused)))).not.toBe('taken');
  });

  it('take a binding of one spelling, with the script in lower case', () => {
    const json = (binding: unknown): unknown => ({ ...termsToJson(makeTerms()), binding });
    expect(parseTerms(json({ type: 'none' })).binding).toEqual({ type: 'none' });
    expect(parseTerms(json({ type: 'coinbase', script: 'AB' })).binding).toEqual({
      ...{ type: 'coinbase', scriptHex: 'ab' },
    });
    for (const binding of [
      ...[
        null,
        'none',
        {},
        { type: 'none', script: '51' },
        { type: 'coinbase' },
        { type: 'bead', script: '51' },
      ],
      ...[
        { type: 'coinbase', script: '5' },
        { type: 'coinbase', script: '51', more: 1 },
      ],
    ]) {
      expect(
        code(() => parseTerms(json(binding))),
        JSON.stringify(binding),
      ).toBe('bad_terms');
    }
  });

  it('say by which member of a group they are refused', () => {
    const good = termsToJson(makeTerms({ bonds: makeBonds('auditor'), seal: SEAL })) as Record<
      string,
      object
    >;
    const why = (group: 'bonds' | 'seal', key: string, value: unknown): string =>
      judged(() => parseTerms({ ...good, [group]: { ...good[group], [key]: value } }));
    expect(why('bonds', 'bond_csv_blocks', '2016')).toBe('bad_terms: bonds.bond_csv_blocks is a number');
    expect(why('bonds', 'auditor_key', 2)).toBe('bad_terms: bonds.auditor_key is a string');
    expect(why('seal', 'claim_fee_sat_per_kvb', '1')).toBe(
      'bad_terms: seal.claim_fee_sat_per_kvb is a number',
    );
    expect(why('seal', 'seal_sat', 1)).toMatch(/seal\.seal_sat/);
  });
});

describe('what is at stake', () => {
  it('is nothing without bonds, and with them until both have vested', () => {
    expect([0n, EH, 1000n * EH].map((work) => isAtStake(makeTerms(), work))).toEqual([false, false, false]);
    expect(forfeitsBond(makeTerms(), 0n)).toBe(false);
    fc.assert(
      fc.property(anyBondedTerms, fc.bigInt(0n, 1_100_000n), (terms, part) => {
        const work = (terms.workTotalHashes * part) / 1_000_000n;
        const { unvestedCollateralSat: collateral, unvestedMakerBondSat: bond } = vestingOf(terms, work);
        expect(isAtStake(terms, work)).toBe(collateral > 0n || bond > 0n);
        expect(forfeitsBond(terms, work)).toBe(
          terms.bonds?.bondMode === 'forfeit_to_mm' && collateral > 0n,
        );
        if (work >= terms.workTotalHashes) expect(isAtStake(terms, work)).toBe(false);
      }),
    );
  });

  it('by example: one side alone is enough, and the last hash releases it', () => {
    const one = (amounts: { makerBondSat?: bigint; collateralSat?: bigint }) =>
      makeTerms({ bonds: makeBonds('hostage', amounts) });
    const total = 1000n * EH;
    for (const terms of [one({ makerBondSat: 0n }), one({ collateralSat: 0n })]) {
      expect(hasBondOutputs(terms)).toBe(true);
      expect([0n, total / 2n, total].map((work) => isAtStake(terms, work))).toEqual([true, true, false]);
    }
    const forfeited = makeTerms({ bonds: makeBonds('forfeit_to_mm') });
    expect([0n, total - 1n, total].map((work) => forfeitsBond(forfeited, work))).toEqual([
      true,
      true,
      false,
    ]);
    expect(forfeitsBond(makeTerms({ bonds: makeBonds('hostage') }), 0n)).toBe(false);
  });
});
