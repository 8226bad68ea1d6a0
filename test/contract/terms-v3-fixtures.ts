import fc from 'fast-check';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { auditorSigner, EH, makeTerms } from '../channel/fixtures.ts';

const SCRIPT = `0014${'ab'.repeat(20)}`;

/** What the terms of `makeTerms` are in version 3, bound to one script. */
export function makeTermsV3(changes: Partial<TermsV3> = {}): TermsV3 {
  const binding = { type: 'coinbase' as const, scriptHex: SCRIPT };
  return { ...termsV3From(makeTerms({ binding }), 918_600), ...changes };
}

/** Terms that have every member there is, of the kinds that no program runs yet. */
export function makeWholeTermsV3(): TermsV3 {
  const terms = makeTermsV3({
    minerReserveSat: 20_000n,
    budgetSat: 600_000n,
    price: {
      type: 'collar',
      formula: 'hash_value_144',
      epoch: 'day',
      ttlBlocks: 144,
      minMsatPerEh: 400_000n,
      maxMsatPerEh: 500_000n,
      strikeMsatPerEh: 450_000n,
      sharePpm: 500_000,
    },
    binding: {
      type: 'work',
      extranonce2Bytes: 8,
      withdrawalsPerBlock: 60,
      solutionsPerMinute: 30,
      foreignChain: false,
    },
    target: { easiestHex: `00000000${'f'.repeat(56)}`, hardestHex: `000000000000${'f'.repeat(52)}` },
    rate: { committed: 10n ** 15n, min: 9n * 10n ** 14n, max: 11n * 10n ** 14n },
    start: { notBeforeHeight: 918_500, notAfterHeight: 918_700 },
    durationBlocks: 1008,
    delivery: {
      windowMinutes: 360,
      tolerancePpm: 20_000,
      curtailmentBlocks: 72,
      cureBlocks: 24,
      falseDefaultAlphaPpm: 1000,
    },
    overDelivery: 'refuse',
    makerFault: { type: 'standby', msatPerEh: 10_000n },
    end: { cancelFeePpm: 50_000, noticeBlocks: 144 },
    renew: 'offer',
    bonds: {
      bondMode: 'auditor',
      makerBondSat: 50_000n,
      collateralSat: 90_000n,
      size: { collateralPpm: 180_000, makerBondPpm: 100_000, makerBondFloorSat: 1n, worstCaseSat: 2n },
      bondCsvBlocks: 2016,
      auditorKeyHex: toHex(auditorSigner.publicKey('auditor')),
    },
    seal: { sealSat: 2000n, claimFeeRateSatPerKvb: 2000 },
    splits: [
      { scriptHex: SCRIPT, ppm: 100_000, seedSat: 600n, label: 'host' },
      { scriptHex: `0014${'cd'.repeat(20)}`, ppm: 50_000, seedSat: 600n, label: 'land' },
    ],
    textHashHex: '77'.repeat(32),
    predecessorHex: '88'.repeat(32),
    streamHex: '99'.repeat(16),
  });
  return terms;
}

const ppm = fc.integer({ min: 0, max: 1_000_000 });
const script = fc.integer({ min: 0, max: 2 ** 30 }).map((of) => `0014${of.toString(16).padStart(40, '0')}`);

/** Payees that may be in terms with a reserve of 20,000 sats. */
export const anySplits: fc.Arbitrary<NonNullable<TermsV3['splits']>> = fc.array(
  fc.record({
    scriptHex: script,
    ppm: fc.integer({ min: 1, max: 112_500 }),
    seedSat: fc.bigInt(546n, 2000n),
    label: fc.string({ maxLength: 40 }),
  }),
  { minLength: 1, maxLength: 8 },
);

const anyPrice: fc.Arbitrary<TermsV3['price']> = fc
  .record({
    type: fc.constantFrom('fixed' as const, 'index' as const, 'collar' as const),
    min: fc.bigInt(1n, 10n ** 7n),
    above: fc.bigInt(0n, 10n ** 6n),
    premiumPpm: fc.integer({ min: -1_000_000, max: 1_000_000 }).map((each) => each + 0),
    sharePpm: ppm,
    ttlBlocks: fc.integer({ min: 1, max: 4032 }),
    epoch: fc.constantFrom('day' as const, 'difficulty' as const),
  })
  .map(({ type, min, above, premiumPpm, sharePpm, ttlBlocks, epoch }) => {
    if (type === 'fixed') return { type, msatPerEh: min };
    const follows = {
      formula: 'hash_value_144' as const,
      epoch,
      ttlBlocks,
      minMsatPerEh: min,
      maxMsatPerEh: min + above,
    };
    return type === 'index'
      ? { type, ...follows, premiumPpm }
      : { type, ...follows, strikeMsatPerEh: min + above / 2n, sharePpm };
  });

const anyBinding: fc.Arbitrary<TermsV3['binding']> = fc.oneof(
  fc.record({
    type: fc.constant('work' as const),
    extranonce2Bytes: fc.integer({ min: 2, max: 16 }),
    withdrawalsPerBlock: fc.integer({ min: 0, max: 100_000 }),
    solutionsPerMinute: fc.integer({ min: 1, max: 1_000_000 }),
    foreignChain: fc.boolean(),
  }),
  fc
    .record({
      scripts: fc.uniqueArray(script, { minLength: 1, maxLength: 8 }),
      minFeesPpm: ppm,
      samplePpm: ppm,
      sampleSeconds: fc.integer({ min: 1, max: 600 }),
    })
    .map(({ scripts, ...rest }) => ({
      type: 'payout' as const,
      outputs: scripts.map((scriptHex, index) => ({
        scriptHex,
        ppm: index === 0 ? 1_000_000 - (scripts.length - 1) * 1000 : 1000,
      })),
      ...rest,
    })),
  fc.record({
    type: fc.constant('bead' as const),
    scriptHex: script,
    profile: fc.constantFrom('spec' as const, 'as_is' as const, 'weak' as const),
    stopPpb: fc.integer({ min: 1, max: 1_000_000 }),
    maxLossSat: fc.bigInt(1n, 10n ** 9n),
  }),
);

const anyOptional = fc.record(
  {
    rate: fc
      .tuple(fc.bigInt(1n, 10n ** 18n), fc.bigInt(0n, 10n ** 18n), fc.bigInt(0n, 10n ** 18n))
      .map(([min, more, most]) => ({ min, committed: min + more, max: min + more + most })),
    start: fc
      .tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 0, max: 100 }))
      .map(([first, more]) => ({ notBeforeHeight: first, notAfterHeight: first + more })),
    durationBlocks: fc.integer({ min: 1, max: 105_120 }),
    delivery: fc.record({
      windowMinutes: fc.integer({ min: 1, max: 44_640 }),
      tolerancePpm: ppm,
      curtailmentBlocks: fc.integer({ min: 0, max: 52_560 }),
      cureBlocks: fc.integer({ min: 0, max: 4032 }),
      falseDefaultAlphaPpm: fc.integer({ min: 1, max: 500_000 }),
    }),
    seal: fc.record({
      sealSat: fc.bigInt(1000n, 10n ** 6n),
      claimFeeRateSatPerKvb: fc.integer({ min: 100, max: 1_000_000 }),
    }),
    splits: anySplits,
    textHashHex: fc.constant('12'.repeat(32)),
    predecessorHex: fc.constant('34'.repeat(32)),
    streamHex: fc.constant('56'.repeat(16)),
  },
  { requiredKeys: [] },
);

const anyBonds = fc.record({
  bondMode: fc.constantFrom(
    'none' as const,
    'auditor' as const,
    'hostage' as const,
    'forfeit_to_mm' as const,
  ),
  collateralPpm: fc.integer({ min: 100_000, max: 1_000_000 }),
  makerBondPpm: fc.constantFrom(0, 50_000, 100_000),
  worstCaseSat: fc.bigInt(1000n, 10n ** 7n),
  bondCsvBlocks: fc.integer({ min: 1, max: 65_535 }),
});

/** Sound terms of version 3, of any kind but audit only. */
export const anyTermsV3: fc.Arbitrary<TermsV3> = fc
  .record({
    price: anyPrice,
    binding: anyBinding,
    optional: anyOptional,
    bonds: anyBonds,
    stepHashes: fc.bigInt(EH, 100n * EH),
    steps: fc.bigInt(1n, 5000n),
    staleGraceSeconds: fc.integer({ min: 10, max: 3600 }),
    hardness: fc.bigInt(0n, 43n),
    rest: fc.record({
      maxUnpaidSteps: fc.integer({ min: 1, max: 1000 }),
      refusedPpm: ppm,
      latePpm: ppm,
      staleRaceAllowancePpm: ppm,
      backlogMinutes: fc.integer({ min: 0, max: 1440 }),
      minDepth: fc.integer({ min: 1, max: 144 }),
      overDelivery: fc.constantFrom('refuse' as const, 'credit' as const),
      renew: fc.constantFrom('none' as const, 'offer' as const),
      end: fc.record({ cancelFeePpm: ppm, noticeBlocks: fc.integer({ min: 0, max: 52_560 }) }),
    }),
  })
  .map(({ price, binding, optional, bonds, stepHashes, steps, staleGraceSeconds, hardness, rest }) => {
    const workTotalHashes = stepHashes * steps;
    const highest = price.type === 'fixed' ? price.msatPerEh : price.maxMsatPerEh;
    const notionalSat = owedSat(workTotalHashes, highest);
    const easiest = (1n << 240n) - 1n;
    const terms = makeTermsV3({
      ...rest,
      ...optional,
      price,
      binding,
      stepHashes,
      workTotalHashes,
      staleGraceSeconds,
      budgetSat: notionalSat,
      expiryHeight: 1_100_000,
      minerReserveSat: 20_000n,
      target: { easiestHex: targetToHex(easiest), hardestHex: targetToHex(easiest >> hardness) },
    });
    const { rate: _rate, delivery: _delivery, ...ratesApart } = terms;
    const unrated = { ...ratesApart, overDelivery: 'credit' as const };
    const { seal: _seal, ...unsealed } = optional.rate === undefined ? unrated : terms;
    const isCommitted = binding.type !== 'bead' || binding.profile === 'spec';
    const sound = isCommitted && terms.seal !== undefined ? { ...unsealed, seal: terms.seal } : unsealed;
    const part = (of: number): bigint => (notionalSat * BigInt(of)) / 1_000_000n;
    const { bondMode, worstCaseSat, collateralPpm, bondCsvBlocks } = bonds;
    const lowest = price.type === 'fixed' ? price.msatPerEh : price.minMsatPerEh;
    const makerBondSat = part(bonds.makerBondPpm);
    const isBonded = makerBondSat >= 1000n && makerBondSat < owedSat(workTotalHashes, lowest);
    if (bondMode === 'none') return sound;
    const collateralSat = part(collateralPpm) > worstCaseSat ? part(collateralPpm) : worstCaseSat;
    const sized = {
      makerBondSat: isBonded ? makerBondSat : 0n,
      collateralSat,
      size: {
        collateralPpm,
        makerBondPpm: isBonded ? bonds.makerBondPpm : 0,
        makerBondFloorSat: 0n,
        worstCaseSat,
      },
    };
    if (bondMode !== 'auditor') return { ...sound, bonds: { bondMode, ...sized } };
    const auditorKeyHex = toHex(auditorSigner.publicKey('auditor'));
    return { ...sound, bonds: { bondMode, ...sized, bondCsvBlocks, auditorKeyHex } };
  });
