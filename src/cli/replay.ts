import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { larger } from '../base/bigints.ts';
import { CodedError } from '../base/errors.ts';
import { decimalText } from '../base/price.ts';
import { HASHRATE, Invalid } from '../config/values.ts';
import type { Side } from '../contract/incentive.ts';
import { chainOf } from '../operator/channel-access.ts';
import { type HistoryDay, parseHistory } from '../operator/hash-history.ts';
import { readNodeHistory } from '../operator/node-history.ts';
import {
  type DeliveredContract,
  deliveryStarts,
  MEAN_DAYS,
  type PricedContract,
  quantile,
  replayDelivery,
  replayPrices,
} from '../operator/replay.ts';
import { shippedDays, shippedPoolDays } from '../operator/shipped-history.ts';
import { accessOf, DEPS, print } from './channel-access.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';
import { ProgressBar } from './progress.ts';

/** Largest file that is read. */
const MOST_BYTES = 16 << 20;
/** Quantiles that are shown. */
const QUANTILES = [1, 10, 50, 90, 99, 100] as const;
/** The part of all start days on which no side may gain by leaving, for the bonds that are proposed. */
const COVERED_PERCENT = 99;

export const replayCommand: Command = {
  name: 'replay',
  summary: 'a contract over the past: who would have left it, and the bonds that hold both',
  usage: '[HISTORY.csv | --from-node --config FILE] [--for DAYS] [--premium PERCENT] ...',
  words: 1,
  help: [
    'Begins a contract on each day of a history that leaves room for it, at the value of hashes of that day, and follows both',
    'sides to its end: on which day a side would have gained by leaving, the bonds with which none would have, and how the',
    'contract ended for each against the value of each day.',
    'With no file it goes by what the program brings along: difficulty and subsidy of mainnet from May 2016 to October 2024,',
    'without fees, and the hashrates of a large pool from December 2023 to January 2025.',
    'The file: a line of names, then a line a day: date (2024-01-31), difficulty, subsidy_sat and fees_sat of a mean block;',
    'hashrate (hashes per second) of a farm or pool, where its delivery is to be judged too, by the rules of the terms. Other',
    'columns are left alone. Nothing is asked of anybody.',
    '--from-node reads headers and fees of the last --days of the bitcoin node of --config, a day being 144 blocks: two questions',
    'for each block.',
  ],
  options: {
    'from-node': { type: 'boolean', help: 'the history is what the own bitcoin node has' },
    config: { type: 'string', value: 'FILE', help: 'with --from-node: configuration that names the node' },
    days: { type: 'string', value: 'DAYS', help: 'with --from-node: days that are read (default 60)' },
    for: { type: 'string', value: 'DAYS', help: 'days of the contract (default 30)' },
    premium: {
      type: 'string',
      value: 'PERCENT',
      help: 'the price above the value of the first day (default 0)',
    },
    collateral: { type: 'string', value: 'PERCENT', help: "the miner's bond, of all pay (default 18)" },
    'maker-bond': { type: 'string', value: 'PERCENT', help: "the maker's bond, of all pay (default 18)" },
    hashrate: { type: 'string', value: 'RATE', help: 'that is sold (default "1 PH/s")' },
    committed: {
      type: 'string',
      value: 'PERCENT',
      help: `the promised hashrate, of the mean of the ${MEAN_DAYS} days before (default 95)`,
    },
    'shares-per-minute': { type: 'string', value: 'N', help: 'expected of what is promised (default 12)' },
    tolerance: { type: 'string', value: 'PERCENT', help: 'that may be missing beside chance (default 2)' },
    cure: { type: 'string', value: 'BLOCKS', help: 'in which a shortfall may be made up (default 24)' },
    curtailment: { type: 'string', value: 'BLOCKS', help: 'of curtailment by notice (default 0)' },
    alpha: { type: 'string', value: 'PERCENT', help: 'chance of a false default (default 0.1)' },
  },
  run: async (options, io) => {
    const { priced, delivered, name } = await historyOf(options, io);
    const days = countOption(options, 'for', 30);
    const prices = summaryOf(pricedContracts(days, priced, options));
    const delivery = deliverySummary(deliveries(days, delivered, options, io));
    if (prices === undefined && delivery === undefined)
      throw new CodedError('bad_history', `${name} has too few days for a contract of ${days}`);
    print(
      options,
      io,
      { history: name, days, prices: prices ?? null, delivery: delivery ?? null },
      [`by ${name}`, ...text(days, prices, delivery)].join('\n'),
    );
    return 0;
  },
};

/** What contracts are priced by, and what their delivery is judged by; often one and the same. */
type NamedHistory = {
  readonly priced: readonly HistoryDay[];
  readonly delivered: readonly HistoryDay[];
  readonly name: string;
};

const SHIPPED_NAME = 'the history of the program: mainnet without fees, and a pool';

async function historyOf(options: ParsedOptions, io: CommandIo): Promise<NamedHistory> {
  const [path, ...more] = options.positionals;
  const both = (history: readonly HistoryDay[], name: string): NamedHistory => {
    return { priced: history, delivered: history, name };
  };
  if (options.flag('from-node')) {
    if (path !== undefined) throw new CodedError('usage', 'a history or --from-node, not both');
    return both(await nodeHistory(options, io), 'the chain');
  }
  if (more.length > 0) throw new CodedError('usage', 'name one history');
  if (path !== undefined) return both(parseHistory(readHistory(resolve(path))), path);
  return { priced: shippedDays(), delivered: shippedPoolDays(), name: SHIPPED_NAME };
}

async function nodeHistory(options: ParsedOptions, io: CommandIo): Promise<readonly HistoryDay[]> {
  const days = countOption(options, 'days', 60);
  const access = accessOf(options, io);
  const chain = chainOf(access, access.network ?? 'mainnet', DEPS.log);
  if (chain === undefined) throw new CodedError('usage', 'say which node: --config FILE with [chain]');
  const bar = new ProgressBar(io.stderr);
  try {
    return await readNodeHistory(chain, days, (read) => bar.show(read / days, () => `${read} days`));
  } finally {
    bar.end();
    chain.close();
  }
}

/** Throws `bad_history`. */
function readHistory(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new CodedError('bad_history', `${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > MOST_BYTES)
      throw new CodedError('bad_history', `${path} is no file of at most ${MOST_BYTES} bytes`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** A percentage in ppm. Throws `usage`. */
function ppmOption(options: ParsedOptions, name: string, percent: string, most: number): bigint {
  const text = options.text(name) ?? percent;
  const value = /^[+-]?\d{1,7}(?:\.\d{1,4})?$/.test(text) ? Number(text) : Number.NaN;
  const least = name === 'premium' ? -most : 0;
  if (!(value >= least && value <= most))
    throw new CodedError('usage', `--${name} must be a percentage from ${least} to ${most}, got ${text}`);
  return BigInt(Math.round(value * 10_000));
}

/** A whole number, at least 1. Throws `usage`. */
function countOption(options: ParsedOptions, name: string, fallback: number, least = 1): number {
  const value = numberOption(options, name, fallback);
  if (value < least) throw new CodedError('usage', `--${name} is at least ${least}`);
  return value;
}

/** The contracts over the value of hashes; none where the history has none. */
function pricedContracts(
  days: number,
  history: readonly HistoryDay[],
  options: ParsedOptions,
): readonly PricedContract[] {
  const hashrate = HASHRATE.parse(options.text('hashrate') ?? '1 PH/s');
  if (hashrate instanceof Invalid) throw new CodedError('usage', `--hashrate ${hashrate.why}`);
  if (hashrate === 0n) throw new CodedError('usage', '--hashrate must be above 0');
  const terms = {
    days,
    hashesPerSecond: hashrate,
    premiumPpm: ppmOption(options, 'premium', '0', 99),
    collateralPpm: ppmOption(options, 'collateral', '18', 1000),
    makerBondPpm: ppmOption(options, 'maker-bond', '18', 1000),
  };
  return history[0]?.valueMsatPerEh === undefined ? [] : replayPrices(history, terms);
}

/** The contracts over the hashrates of the history; none where it has none. */
function deliveries(
  days: number,
  history: readonly HistoryDay[],
  options: ParsedOptions,
  io: CommandIo,
): readonly DeliveredContract[] {
  const terms = {
    days,
    committedPpm: ppmOption(options, 'committed', '95', 1000),
    sharesPerMinute: countOption(options, 'shares-per-minute', 12),
    tolerancePpm: Number(ppmOption(options, 'tolerance', '2', 99)),
    cureBlocks: countOption(options, 'cure', 24, 0),
    curtailmentBlocks: countOption(options, 'curtailment', 0, 0),
    alpha: Number(ppmOption(options, 'alpha', '0.1', 50)) / 1e6,
  };
  if (terms.committedPpm === 0n || terms.alpha === 0)
    throw new CodedError('usage', '--committed and --alpha must be above 0');
  const starts = history[0]?.hashrate === undefined ? 0 : deliveryStarts(history, days);
  const bar = new ProgressBar(io.stderr);
  const contracts = Array.from({ length: starts }, (_, start) => {
    bar.show(start / starts, () => `contract ${start + 1} of ${starts}`);
    return replayDelivery(history, terms, start);
  });
  bar.end();
  return contracts;
}

/** Quantiles of values in ppm, as percentages. */
function percentages(values: readonly bigint[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    QUANTILES.map((percent) => [`p${percent}`, percentText(quantile(values, percent))]),
  );
}

function percentText(ppm: bigint): string {
  return `${ppm < 0n ? '-' : ''}${decimalText(ppm < 0n ? -ppm : ppm, 4)}`;
}

function summaryOf(contracts: readonly PricedContract[]) {
  if (contracts.length === 0) return undefined;
  const left = (side: Side): number => contracts.filter(({ leaves }) => leaves?.side === side).length;
  return {
    contracts: contracts.length,
    miner_leaves: left('miner'),
    maker_leaves: left('maker'),
    collateral_needed_percent: percentages(contracts.map((one) => one.collateralNeededPpm)),
    maker_bond_needed_percent: percentages(contracts.map((one) => one.makerBondNeededPpm)),
    bond_of_both_needed_percent: percentages(
      contracts.map((one) => larger(one.collateralNeededPpm, one.makerBondNeededPpm)),
    ),
    miner_result_percent: percentages(contracts.map((one) => one.minerResultPpm)),
    starts: contracts.map((one) => ({
      day: one.day,
      price_msat_per_eh: one.priceMsatPerEh,
      leaves: one.leaves ?? null,
      collateral_needed_percent: percentText(one.collateralNeededPpm),
      maker_bond_needed_percent: percentText(one.makerBondNeededPpm),
      miner_result_percent: percentText(one.minerResultPpm),
    })),
  };
}

function deliverySummary(contracts: readonly DeliveredContract[]) {
  if (contracts.length === 0) return undefined;
  return {
    contracts: contracts.length,
    short: contracts.filter((one) => one.shortfallDay !== undefined).length,
    defaults: contracts.filter((one) => one.defaultDay !== undefined).length,
    starts: contracts.map((one) => ({
      day: one.day,
      shortfall: one.shortfallDay ?? null,
      default: one.defaultDay ?? null,
      curtailed_blocks: one.curtailedBlocks,
    })),
  };
}

function text(
  days: number,
  prices: ReturnType<typeof summaryOf>,
  delivery: ReturnType<typeof deliverySummary>,
): readonly string[] {
  return [
    ...(prices === undefined ? [] : pricesText(days, prices)),
    ...(delivery === undefined ? [] : deliveryText(days, delivery)),
  ];
}

function pricesText(days: number, prices: NonNullable<ReturnType<typeof summaryOf>>): readonly string[] {
  const row = (name: string, values: Readonly<Record<string, string>>): string =>
    [name.padEnd(26), ...QUANTILES.map((percent) => values[`p${percent}`]!.padStart(10))].join('');
  const stay = prices.contracts - prices.miner_leaves - prices.maker_leaves;
  const first = prices.starts[0]!.day;
  const last = prices.starts.at(-1)!.day;
  const bond = `p${COVERED_PERCENT}`;
  return [
    `${prices.contracts} contracts of ${days} days, begun from ${first} to ${last}`,
    `with these bonds the miner gains by leaving in ${prices.miner_leaves}, the maker in ${prices.maker_leaves}, nobody in ${stay}`,
    row(
      'percent of all pay',
      Object.fromEntries(QUANTILES.map((percent) => [`p${percent}`, `${percent} %`])),
    ),
    row('collateral needed', prices.collateral_needed_percent),
    row('maker bond needed', prices.maker_bond_needed_percent),
    row('the same bond of both', prices.bond_of_both_needed_percent),
    row('the contract beats the day', prices.miner_result_percent),
    `from a bond of ${prices.bond_of_both_needed_percent[bond]} % of both on, nobody gains by leaving on ` +
      `${COVERED_PERCENT} % of the start days`,
    `with a collateral of ${prices.collateral_needed_percent[bond]} % and a maker bond of ` +
      `${prices.maker_bond_needed_percent[bond]} %, each side stays on ${COVERED_PERCENT} % of the start days`,
  ];
}

function deliveryText(
  days: number,
  delivery: NonNullable<ReturnType<typeof deliverySummary>>,
): readonly string[] {
  const worst = delivery.starts.find((one) => one.default !== null);
  return [
    `${delivery.contracts} contracts of ${days} days over the hashrates: ${delivery.short} fall short, ${delivery.defaults} end in default`,
    ...(worst === undefined
      ? []
      : [`the first: begun ${worst.day}, short ${worst.shortfall}, default ${worst.default}`]),
  ];
}
