import { HASHES_PER_EH } from '../base/units.ts';
import {
  DELIVERY_START,
  type DeliveryOptions,
  type DeliveryState,
  transition,
} from '../contract/delivery-state.ts';
import { bondNeededPpm, leavingPays, type Side } from '../contract/incentive.ts';
import type { HistoryDay } from './hash-history.ts';

/**
 * Contracts replayed over the past: one from each day that leaves room for it. What each side would have had
 * from leaving, day by day, and whether a farm with these hashrates would have delivered.
 */

const SECONDS_PER_DAY = 86_400n;
const MINUTES_PER_DAY = 1440;
const BLOCKS_PER_DAY = 144;
const MINUTES_PER_BLOCK = MINUTES_PER_DAY / BLOCKS_PER_DAY;
/** Days before the start whose mean hashrate a commitment goes by. */
export const MEAN_DAYS = 7;

/** The contract that is replayed. */
export type ReplayTerms = {
  readonly days: number;
  readonly hashesPerSecond: bigint;
  /** The price is the value of hashes of the first day and this part of it more; may be negative. */
  readonly premiumPpm: bigint;
  /** Bonds as parts of what the whole work pays. */
  readonly collateralPpm: bigint;
  readonly makerBondPpm: bigint;
};

/** One contract over the value of hashes. */
export type PricedContract = {
  readonly day: string;
  readonly priceMsatPerEh: bigint;
  /** The first day on which a side gained by leaving, and which; undefined where none did. */
  readonly leaves: { readonly side: Side; readonly day: string } | undefined;
  /** The bonds with which no side would have gained on any day, ppm of what the whole work pays. */
  readonly collateralNeededPpm: bigint;
  readonly makerBondNeededPpm: bigint;
  /** What the contract paid the miner beyond each day's value of hashes, ppm of what the whole work pays. */
  readonly minerResultPpm: bigint;
};

/** The contract from each day of the history on. @param history all of its days have a value */
export function replayPrices(
  history: readonly HistoryDay[],
  terms: ReplayTerms,
): readonly PricedContract[] {
  const values = history.map(({ valueMsatPerEh }) => valueMsatPerEh!);
  return history
    .slice(0, Math.max(0, history.length - terms.days + 1))
    .map(({ day }, first) =>
      pricedContract(history, values.slice(first, first + terms.days), day, first, terms),
    );
}

function pricedContract(
  history: readonly HistoryDay[],
  values: readonly bigint[],
  day: string,
  first: number,
  terms: ReplayTerms,
): PricedContract {
  const price = (values[0]! * (1_000_000n + terms.premiumPpm)) / 1_000_000n;
  const needed = (side: Side): bigint =>
    values.reduce((most, value) => {
      const ppm = bondNeededPpm(side, price, value);
      return ppm > most ? ppm : most;
    }, 0n);
  const paid = price * BigInt(values.length);
  const worth = values.reduce((sum, value) => sum + value, 0n);
  const left = firstLeaving(values, price, terms);
  return {
    day,
    priceMsatPerEh: price,
    leaves: left && { side: left.side, day: history[first + left.index]!.day },
    collateralNeededPpm: needed('miner'),
    makerBondNeededPpm: needed('maker'),
    minerResultPpm: ((paid - worth) * 1_000_000n) / paid,
  };
}

/** The first day on which a side gains by leaving, counted from that of the start. */
function firstLeaving(
  values: readonly bigint[],
  priceMsatPerEh: bigint,
  terms: ReplayTerms,
): { readonly side: Side; readonly index: number } | undefined {
  const dayHashes = terms.hashesPerSecond * SECONDS_PER_DAY;
  const totalHashes = dayHashes * BigInt(terms.days);
  const paysSat = (totalHashes * priceMsatPerEh) / (HASHES_PER_EH * 1000n);
  const bonds = {
    collateralSat: (paysSat * terms.collateralPpm) / 1_000_000n,
    makerBondSat: (paysSat * terms.makerBondPpm) / 1_000_000n,
  };
  for (const [index, value] of values.entries()) {
    const remainingHashes = totalHashes - dayHashes * BigInt(index);
    const side = leavingPays({ priceMsatPerEh, totalHashes, remainingHashes, ...bonds }, value);
    if (side !== undefined) return { side, index };
  }
  return undefined;
}

/** The least of these values that is at or above so many percent of them (nearest rank). */
export function quantile(values: readonly bigint[], percent: number): bigint {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}

/** What of delivery is replayed. */
export type ReplayDelivery = {
  readonly days: number;
  /** The committed hashrate, as a part of the mean of the days before the start. */
  readonly committedPpm: bigint;
  readonly sharesPerMinute: number;
  readonly tolerancePpm: number;
  readonly cureBlocks: number;
  /** Blocks of curtailment that the terms allow: a whole day of notice for each day that falls short. */
  readonly curtailmentBlocks: number;
  readonly alpha: number;
};

/** One contract over the hashrates of a farm. */
export type DeliveredContract = {
  readonly day: string;
  /** The first day on which a shortfall was found, and that of the default. */
  readonly shortfallDay: string | undefined;
  readonly defaultDay: string | undefined;
  readonly curtailedBlocks: number;
};

/** The first day from which a contract can be replayed, or less: of no mean before it is anything known. */
export function deliveryStarts(history: readonly HistoryDay[], days: number): number {
  return Math.max(0, history.length - days - MEAN_DAYS + 1);
}

/** The contract from one day on. @param start counted from the first that has a mean before it */
export function replayDelivery(
  history: readonly HistoryDay[],
  terms: ReplayDelivery,
  start: number,
): DeliveredContract {
  const first = start + MEAN_DAYS;
  const options = deliveryOptions(history.slice(start, first), terms);
  let state = DELIVERY_START;
  let shortfallDay: string | undefined;
  for (const [index, { day, hashrate }] of history.slice(first, first + terms.days).entries()) {
    state = replayDay(options, state, BigInt(Math.round(hashrate! * 60)), index);
    if (state.status === 'cure' || state.status === 'default') shortfallDay ??= day;
    if (state.status === 'default') break;
  }
  return {
    day: history[first]!.day,
    shortfallDay,
    defaultDay: state.status === 'default' ? dayOfDefault(history, first, state) : undefined,
    curtailedBlocks: state.curtailedBlocks,
  };
}

function dayOfDefault(history: readonly HistoryDay[], first: number, state: DeliveryState): string {
  return history[first + Math.floor((state.cureByHeight! - 1) / BLOCKS_PER_DAY)]!.day;
}

function deliveryOptions(before: readonly HistoryDay[], terms: ReplayDelivery): DeliveryOptions {
  const mean = before.reduce((sum, { hashrate }) => sum + hashrate!, 0) / before.length;
  const dueHashes = (BigInt(Math.round(mean * 60)) * terms.committedPpm) / 1_000_000n;
  return {
    dueHashes,
    shareHashes: dueHashes / BigInt(terms.sharesPerMinute) + 1n,
    tolerancePpm: terms.tolerancePpm,
    cureBlocks: terms.cureBlocks,
    curtailmentBlocks: terms.curtailmentBlocks,
    shortfall: {
      alpha: terms.alpha,
      tolerance: terms.tolerancePpm / 1e6,
      windowMinutes: MINUTES_PER_DAY,
      expectedMinutes: terms.days * MINUTES_PER_DAY,
    },
  };
}

/** A day's minutes, each with the same work: what is found short is so without any bad luck. */
function replayDay(
  options: DeliveryOptions,
  before: DeliveryState,
  minuteHashes: bigint,
  dayIndex: number,
): DeliveryState {
  const height = 1 + dayIndex * BLOCKS_PER_DAY;
  let state = before;
  const isShort = minuteHashes * 1_000_000n < options.dueHashes * BigInt(1_000_000 - options.tolerancePpm);
  if (isShort) {
    const notice = { type: 'curtailment', fromHeight: height, blocks: BLOCKS_PER_DAY } as const;
    state = transition(options, state, notice, height - 1).state;
  }
  for (let minute = 0; minute < MINUTES_PER_DAY; minute += 1) {
    const event = { type: 'minute', creditedHashes: minuteHashes, owner: undefined } as const;
    state = transition(options, state, event, height + Math.floor(minute / MINUTES_PER_BLOCK)).state;
    if (state.status === 'default') break;
  }
  return state;
}
