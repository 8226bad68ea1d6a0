import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { type HistoryDay, parseHistory } from '../../src/operator/hash-history.ts';
import {
  deliveryStarts,
  quantile,
  type ReplayDelivery,
  type ReplayTerms,
  replayDelivery,
  replayPrices,
} from '../../src/operator/replay.ts';
import { replayByHand, valueByHand } from './replay-by-hand.ts';

const TERMS: ReplayTerms = {
  days: 30,
  hashesPerSecond: 10n ** 18n,
  premiumPpm: 0n,
  collateralPpm: 180_000n,
  makerBondPpm: 180_000n,
};

const dayOf = (index: number): string => new Date(Date.UTC(2023, 0, 1 + index)).toISOString().slice(0, 10);

function daysOf(values: readonly number[]): readonly HistoryDay[] {
  return values.map((value, index) => {
    return { day: dayOf(index), valueMsatPerEh: BigInt(value), hashrate: undefined };
  });
}

/** The same from the definitions, in floating point: pay, gain and bond of each day, one by one. */
function byHand(values: readonly number[], first: number, terms: ReplayTerms) {
  const days = values.slice(first, first + terms.days);
  const price = days[0]! * (1 + Number(terms.premiumPpm) / 1e6);
  const paid = price * terms.days;
  const gains = days.map((value, index) => {
    const left = terms.days - index;
    return {
      miner: (value - price) * left - (Number(terms.collateralPpm) / 1e6) * paid * (left / terms.days),
      maker: (price - value) * left - (Number(terms.makerBondPpm) / 1e6) * paid * (left / terms.days),
    };
  });
  const index = gains.findIndex(({ miner, maker }) => miner > 0 || maker > 0);
  // A price is a whole number of msat: who gains less than that may make cannot be told by fractions.
  const isOnEdge = gains.some(({ miner, maker }, day) => {
    const edge = 2 * (terms.days - day);
    return Math.abs(miner) < edge || Math.abs(maker) < edge;
  });
  return {
    isOnEdge,
    leaves:
      index === -1
        ? undefined
        : { side: gains[index]!.miner > 0 ? 'miner' : 'maker', day: dayOf(first + index) },
    collateral: Math.max(0, ...days.map((value) => value / price - 1)),
    makerBond: Math.max(0, ...days.map((value) => 1 - value / price)),
    result: 1 - days.reduce((sum, value) => sum + value, 0) / paid,
  };
}

/** A walk of the value of hashes that moves by up to a twentieth a day. */
const anyWalk = fc
  .tuple(
    fc.integer({ min: 100_000, max: 1_000_000 }),
    fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 30, maxLength: 90 }),
  )
  .map(([start, steps]) => {
    let value = start;
    return [start, ...steps.map((step) => (value = Math.max(1000, Math.round(value * (1 + step / 1000)))))];
  });

/** Sixty days of one difficulty: what a block pays beside its subsidy, and a subsidy that halves. */
const HALVED_FROM = 45;
const DIFFICULTY = 83e12;
const subsidySat = (day: number): number => (day < HALVED_FROM ? 625_000_000 : 312_500_000);
const historyOf = (feesSat: (day: number) => number): readonly HistoryDay[] =>
  parseHistory(
    [
      'date,difficulty,subsidy_sat,fees_sat',
      ...Array.from({ length: 60 }, (_, day) =>
        [dayOf(day), DIFFICULTY, subsidySat(day), feesSat(day)].join(','),
      ),
    ].join('\n'),
  );

describe('the fees of blocks', () => {
  // Some, as ever; a week of twice the subsidy from the 20th day on; and none while nobody sends anything.
  const courses: Readonly<Record<string, (day: number) => number>> = {
    none: () => 0,
    some: (day) => 20_000_000 + ((day * 7_919) % 30) * 1_000_000,
    'a week of many': (day) => (day >= 20 && day < 27 ? 1_250_000_000 : 20_000_000),
    'as much as a halving takes': (day) => (day < HALVED_FROM ? 0 : 312_500_000),
  };

  it.each(Object.entries(courses))('are in the value, and decide who leaves: %s', (_what, feesSat) => {
    const history = historyOf(feesSat);
    const byHand = history.map(({ day }, index) => {
      return { day, sats: valueByHand(DIFFICULTY, subsidySat(index), feesSat(index)) };
    });
    for (const [index, { valueMsatPerEh }] of history.entries())
      expect(Math.abs(Number(valueMsatPerEh) - byHand[index]!.sats * 1000)).toBeLessThan(1.001);
    const said = replayPrices(history, TERMS);
    const hand = replayByHand(byHand, TERMS.days, 0.18, 0.18);
    expect(said.map(({ day, leaves }) => [day, leaves ?? null])).toEqual(
      hand.map(({ day, leaves }) => [day, leaves]),
    );
    for (const [index, one] of said.entries())
      expect(Math.abs(Number(one.collateralNeededPpm) / 1e6 - hand[index]!.collateral)).toBeLessThan(4e-6);
  });

  it('have the miner leave in a week of many, and keep the maker where they make up for a halving', () => {
    const sides = (what: string): ReadonlySet<string | undefined> =>
      new Set(replayPrices(historyOf(courses[what]!), TERMS).map(({ leaves }) => leaves?.side));
    // Without fees those that see the halving are left by the maker, and nobody else.
    expect(sides('none')).toEqual(new Set(['maker', undefined]));
    expect(sides('a week of many').has('miner')).toBe(true);
    expect(sides('as much as a halving takes')).toEqual(new Set([undefined]));
  });
});

describe('contracts over the past', () => {
  it('end as an independent reckoning says', () => {
    fc.assert(
      fc.property(anyWalk, fc.integer({ min: -100_000, max: 100_000 }), (values, premium) => {
        const terms = { ...TERMS, premiumPpm: BigInt(premium) };
        const contracts = replayPrices(daysOf(values), terms);
        expect(contracts.length).toBe(values.length - 29);
        for (const [first, contract] of contracts.entries()) {
          const hand = byHand(values, first, terms);
          expect(contract.day).toBe(dayOf(first));
          expect(Number(contract.collateralNeededPpm) / 1e6).toBeCloseTo(hand.collateral, 4);
          expect(Number(contract.makerBondNeededPpm) / 1e6).toBeCloseTo(hand.makerBond, 4);
          expect(Number(contract.minerResultPpm) / 1e6).toBeCloseTo(hand.result, 4);
          if (!hand.isOnEdge) expect(contract.leaves).toEqual(hand.leaves);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('hold both sides with the bonds that were needed, and a side leaves with less (I41)', () => {
    fc.assert(
      fc.property(anyWalk, (values) => {
        const history = daysOf(values);
        const needed = replayPrices(history, TERMS);
        const most = (key: 'collateralNeededPpm' | 'makerBondNeededPpm'): bigint =>
          quantile(
            needed.map((one) => one[key]),
            100,
          );
        const [collateral, makerBond] = [most('collateralNeededPpm'), most('makerBondNeededPpm')];
        const held = replayPrices(history, {
          ...TERMS,
          collateralPpm: collateral + 1n,
          makerBondPpm: makerBond + 1n,
        });
        expect(held.filter(({ leaves }) => leaves !== undefined)).toEqual([]);
        fc.pre(collateral > 1000n);
        const loose = replayPrices(history, {
          ...TERMS,
          collateralPpm: collateral - 100n,
          makerBondPpm: makerBond + 1n,
        });
        expect(loose.some(({ leaves }) => leaves?.side === 'miner')).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('need as many days as they last', () => {
    expect(replayPrices(daysOf(Array.from({ length: 29 }, () => 500_000)), TERMS)).toEqual([]);
    expect(replayPrices(daysOf(Array.from({ length: 30 }, () => 500_000)), TERMS).length).toBe(1);
  });
});

describe('a quantile', () => {
  it('is the least value at or above so many percent', () => {
    const values = [5n, 1n, 4n, 2n, 3n];
    expect([1, 20, 21, 50, 99, 100].map((percent) => quantile(values, percent))).toEqual([
      1n,
      1n,
      2n,
      3n,
      5n,
      5n,
    ]);
  });
});

const DELIVERY: ReplayDelivery = {
  days: 7,
  committedPpm: 950_000n,
  sharesPerMinute: 12,
  tolerancePpm: 20_000,
  cureBlocks: 24,
  curtailmentBlocks: 0,
  alpha: 1e-3,
};

function hashratesOf(values: readonly number[]): readonly HistoryDay[] {
  return values.map((value, index) => {
    return { day: dayOf(index), valueMsatPerEh: undefined, hashrate: value * 1e15 };
  });
}

describe('the delivery of a farm', () => {
  const steady = Array.from({ length: 14 }, () => 100);
  const storm = steady.map((value, index) => (index === 10 ? 40 : value));

  it('that is steady never falls short', () => {
    expect(deliveryStarts(hashratesOf(steady), 7)).toBe(1);
    expect(replayDelivery(hashratesOf(steady), DELIVERY, 0)).toEqual({
      day: dayOf(7),
      shortfallDay: undefined,
      defaultDay: undefined,
      curtailedBlocks: 0,
    });
  });

  it('that stops for a day defaults on that day', () => {
    const contract = replayDelivery(hashratesOf(storm), DELIVERY, 0);
    expect([contract.shortfallDay, contract.defaultDay]).toEqual([dayOf(10), dayOf(10)]);
  });

  it('that gives notice of that day does not', () => {
    const contract = replayDelivery(hashratesOf(storm), { ...DELIVERY, curtailmentBlocks: 144 }, 0);
    expect([contract.defaultDay, contract.curtailedBlocks]).toEqual([undefined, 144]);
  });

  it('that may make up for it in the days behind does, once it makes more than is due', () => {
    const made = steady.map((value, index) => (index === 10 ? 40 : index > 10 ? 125 : value));
    expect(
      replayDelivery(hashratesOf(made), { ...DELIVERY, cureBlocks: 600 }, 0).defaultDay,
    ).toBeUndefined();
    expect(replayDelivery(hashratesOf(storm), { ...DELIVERY, cureBlocks: 300 }, 0).defaultDay).toBe(
      dayOf(12),
    );
  });
});
