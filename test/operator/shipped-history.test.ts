import { describe, expect, it } from 'vitest';
import { larger } from '../../src/base/bigints.ts';
import { quantile, replayPrices } from '../../src/operator/replay.ts';
import {
  PERIODS,
  POOL_FIRST_DAY,
  POOL_PHS,
  shippedDays,
  shippedPoolDays,
} from '../../src/operator/shipped-history.ts';
import { sharestream } from '../cli/program.ts';
import { blockVectors, headers665280 } from '../vectors.ts';
import { type ByHand, bondThatHolds, replayByHand, valuesByHand } from './replay-by-hand.ts';

const DAY_SECONDS = 86_400;
const FIRST_HEIGHT = 413_280;
const ROWS = [...PERIODS.matchAll(/(\S+) ([0-9a-f]{8})/g)].map(([, day, bits], index) => {
  return { height: FIRST_HEIGHT + 2016 * index, seconds: Date.parse(day!) / 1000, bits: bits! };
});

/** The target of nbits as a fraction of all hashes. */
function targetOf(bits: string): number {
  return Number(`0x${bits.slice(2)}`) * 2 ** (8 * (Number(`0x${bits.slice(0, 2)}`) - 3) - 256);
}

describe('the history that the program brings along', () => {
  it('has the nbits of real headers, at the height and about the time that they say', () => {
    const known = [
      ...blockVectors()
        .map(({ name, header }) => ({ height: Number(name.replace('block ', '')), header }))
        .filter(({ height }) => height >= FIRST_HEIGHT),
      ...headers665280().map((header, index) => ({ height: 665_280 + index, header })),
    ];
    expect(known.length).toBe(131);
    for (const { height, header } of known) {
      const bytes = Buffer.from(header, 'hex');
      const period = Math.floor((height - FIRST_HEIGHT) / 2016);
      const [row, next] = [ROWS[period]!, ROWS[period + 1]!];
      expect(bytes.readUInt32LE(72).toString(16)).toBe(row.bits);
      const part = (height - row.height) / 2016;
      const reckoned = row.seconds + part * (next.seconds - row.seconds);
      // Days are whole, and blocks do not come evenly.
      expect(Math.abs(bytes.readUInt32LE(68) - reckoned)).toBeLessThan(1.5 * DAY_SECONDS);
    }
  });

  it('has each period as long as its target and the next say, by the rule of consensus', () => {
    expect(ROWS.length).toBe(225);
    for (const [index, row] of ROWS.slice(0, -2).entries()) {
      const [next, after] = [ROWS[index + 1]!, ROWS[index + 2]!];
      // The 2015 intervals that the rule looks at, and one more.
      const seconds = (targetOf(next.bits) / targetOf(row.bits)) * 14 * DAY_SECONDS + 600;
      const days = (next.seconds - row.seconds) / DAY_SECONDS;
      expect(Math.abs(days - seconds / DAY_SECONDS), row.bits).toBeLessThan(1.1);
      expect(after.seconds).toBeGreaterThan(next.seconds);
    }
  });

  it('halves the subsidy where the chain does', () => {
    const values = new Map(shippedDays().map(({ day, valueMsatPerEh }) => [day, Number(valueMsatPerEh)]));
    // The halvings of 9 July 2016, 11 May 2020 and 19 April 2024 fall into a period, to the day or the next.
    for (const [before, after] of [
      ['2016-07-08', '2016-07-11'],
      ['2020-05-10', '2020-05-13'],
      ['2024-04-18', '2024-04-21'],
    ] as const)
      expect(values.get(before)! / values.get(after)!).toBeCloseTo(2, 5);
  });

  it('has the days of a pool, with the storm of January 2024', () => {
    const days = shippedPoolDays();
    expect([days.length, days[0]!.day, days.at(-1)!.day]).toEqual([428, POOL_FIRST_DAY, '2025-01-31']);
    expect(
      POOL_PHS.trim()
        .split(/\s+/)
        .every((phs) => /^\d{6}$/.test(phs)),
    ).toBe(true);
    const storm = days.find(({ day }) => day === '2024-01-15')!;
    const before = days.find(({ day }) => day === '2024-01-13')!;
    expect(storm.hashrate! / before.hashrate!).toBeCloseTo(0.73, 1);
  });
});

/** What the program says of one start day, as parts of all pay. */
type Said = Pick<ByHand, 'day' | 'collateral' | 'makerBond' | 'result'> & { readonly leaves: unknown };

/** Compares each start day, and the bond from which on nobody gains by leaving in 99 % of them. */
function expectAsByHand(said: readonly Said[], heldSaid: number, days: number): void {
  const byHand = replayByHand(valuesByHand(PERIODS), days, 0.18, 0.18);
  expect(said.length).toBe(byHand.length);
  for (const [index, one] of said.entries()) {
    const hand = byHand[index]!;
    expect([one.day, one.leaves]).toEqual([hand.day, hand.leaves]);
    // The program's are whole ppm, rounded up or down.
    for (const what of ['collateral', 'makerBond', 'result'] as const)
      if (Math.abs(one[what] - hand[what]) > 2e-6) expect([one.day, what, one[what]]).toEqual(hand[what]);
  }
  const held = bondThatHolds(byHand, 0.99);
  expect(Math.abs(heldSaid - held)).toBeLessThan(2e-6);
  const staying = (bond: number): number =>
    replayByHand(valuesByHand(PERIODS), days, bond, bond).filter(({ leaves }) => leaves === null).length /
    byHand.length;
  expect(staying(heldSaid)).toBeGreaterThanOrEqual(0.99);
  expect(staying(heldSaid - 1e-4)).toBeLessThan(0.99);
}

describe('a replay of it', () => {
  it.each([30, 180, 365])('agrees with an independent script on each start day, over %i days', (days) => {
    const terms = { days, hashesPerSecond: 10n ** 15n, premiumPpm: 0n };
    const bonds = { collateralPpm: 180_000n, makerBondPpm: 180_000n };
    const contracts = replayPrices(shippedDays(), { ...terms, ...bonds });
    const said = contracts.map((one) => ({
      ...{ day: one.day, leaves: one.leaves ?? null, collateral: Number(one.collateralNeededPpm) / 1e6 },
      ...{ makerBond: Number(one.makerBondNeededPpm) / 1e6, result: Number(one.minerResultPpm) / 1e6 },
    }));
    const needed = contracts.map((one) => larger(one.collateralNeededPpm, one.makerBondNeededPpm));
    expectAsByHand(said, Number(quantile(needed, 99)) / 1e6, days);
  });

  it('is what `sharestream replay` prints with no file', async () => {
    const { code, json } = await sharestream(['replay', '--for', '3', '--json']);
    expect(code).toBe(0);
    const { history, prices, delivery } = json() as {
      history: string;
      prices: { bond_of_both_needed_percent: { p99: string }; starts: Record<string, string>[] };
      delivery: { contracts: number };
    };
    expect(history).toContain('without fees');
    expect(delivery.contracts).toBe(428 - 7 - 3 + 1);
    const part = (percent: string | undefined): number => Number(percent) / 100;
    const said = prices.starts.map((start) => ({
      ...{
        day: start['day']!,
        leaves: start['leaves'],
        collateral: part(start['collateral_needed_percent']),
      },
      ...{
        makerBond: part(start['maker_bond_needed_percent']),
        result: part(start['miner_result_percent']),
      },
    }));
    expectAsByHand(said, part(prices.bond_of_both_needed_percent.p99), 3);
  });

  it('has a value for each day, without a gap', () => {
    const values = valuesByHand(PERIODS);
    const days = shippedDays();
    expect(days.map(({ day }) => day)).toEqual(values.map(({ day }) => day));
    for (const [index, { valueMsatPerEh }] of days.entries())
      expect(Number(valueMsatPerEh) / 1000 / values[index]!.sats).toBeCloseTo(1, 5);
  });
});
