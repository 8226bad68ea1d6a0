import { CodedError } from '../base/errors.ts';
import { decimalText, priceText, priceUnits } from '../base/price.ts';
import { formatSi } from '../base/units.ts';
import { flooredText, parseSale, type Sale, saleText } from '../config/sale-text.ts';
import {
  DURATION,
  FEE_RATE,
  HASHRATE,
  INTEGER,
  Invalid,
  type Kind,
  msatPerEh,
  POSITIVE,
  PRICE,
  WORK,
} from '../config/values.ts';
import { factorPpmOf, offMarketOf, offMarketText } from '../contract/off-market.ts';
import {
  contractFees,
  type Economics,
  leastHashrate,
  outcomeOf,
  shareWork,
} from '../operator/contract-economics.ts';
import { print } from './channel-access.ts';
import type { Command, OptionSpec, ParsedOptions } from './command.ts';

const WEEK = '7d';
/** A price this many times above or below the value of hashes is asked about. */
const OFF_MARKET = '1.5';

export const calcCommand: Command = {
  name: 'calc',
  summary: 'from which hashrate a contract pays, given its price, duration and the fees of the chain',
  usage:
    '[SALE] [--price PRICE] [--hashrate RATE] [--for TIME] [--value PRICE] [--fee-rate RATE] [--step WORK]',
  words: 1,
  help: [
    'A sale in words: "30 sats per 60 TH/min for 1 week", "46000 sat/PH/day of 5 PH/s for 30 days"; or its parts by options.',
    'The price in any unit: "46000 sat/PH/day", "532 sat/EH", "0.00045 BTC/PH/day", "30 sats per 60 TH/min". It is answered in',
    'all of them, with the hashrate at which the pay covers what opening and closing the channel cost you, and that at which',
    'they are at most a part of it. With --hashrate it says what that comes to. Nothing is asked of anybody.',
  ],
  options: {
    price: { type: 'string', value: 'PRICE', help: 'what work earns' },
    hashrate: { type: 'string', value: 'RATE', help: 'yours, such as "200 TH/s"' },
    for: { type: 'string', value: 'TIME', help: `how long work is delivered (default ${WEEK})` },
    value: { type: 'string', value: 'PRICE', help: 'what hashes are worth; a price far off it is named' },
    'off-market': { type: 'string', value: 'FACTOR', help: `what is far off (default ${OFF_MARKET})` },
    'fee-rate': {
      type: 'string',
      value: 'RATE',
      help: 'of the opening and the close (default "5 sat/vB")',
    },
    'most-fees': {
      type: 'string',
      value: 'PERCENT',
      help: 'the part of the pay that fees may be (default 5)',
    },
    step: { type: 'string', value: 'WORK', help: 'work between two states (default "1 EH")' },
    'max-unpaid-steps': { type: 'string', value: 'N', help: 'steps that may be unpaid (default 3)' },
    'share-difficulty': {
      type: 'string',
      value: 'N',
      help: 'of the shares of the contract (default 65536)',
    },
  } satisfies Readonly<Record<string, OptionSpec>>,
  run: (options, io) => {
    const sale = saleOf(options);
    const economics = economicsOf(options, sale);
    const percent = optionOf(options, 'most-fees', POSITIVE, '5');
    if (percent > 100) throw new CodedError('usage', '--most-fees is at most 100');
    const hashrate = hashrateOf(options) ?? sale?.hashesPerSecond;
    const offMarket = offMarketWarning(options, economics.priceMsatPerEh);
    const answer = {
      ...answerOf(economics, percent, hashrate),
      sale: sale === undefined ? null : saleText(sale),
      floored: (sale && flooredText(sale.price)) ?? null,
      off_market: offMarket ?? null,
    };
    print(
      options,
      io,
      answer,
      [...textOf(economics, answer), ...(offMarket === undefined ? [] : [offMarket])].join('\n'),
    );
    return Promise.resolve(0);
  },
};

/** The sale that is said in words. Throws `usage`. */
function saleOf(options: ParsedOptions): Sale | undefined {
  const [words] = options.positionals;
  if (words === undefined) return undefined;
  const twice = ['price', 'hashrate', 'for'].find((name) => options.text(name) !== undefined);
  if (twice !== undefined) throw new CodedError('usage', `--${twice} beside a sale in words`);
  const sale = parseSale(words);
  if (sale instanceof Invalid) throw new CodedError('usage', `${JSON.stringify(words)} ${sale.why}`);
  return sale;
}

function hashrateOf(options: ParsedOptions): bigint | undefined {
  if (options.text('hashrate') === undefined) return undefined;
  const hashrate = optionOf(options, 'hashrate', HASHRATE, '');
  if (hashrate === 0n) throw new CodedError('usage', '--hashrate must be above 0');
  return hashrate;
}

/** What is said of a price far above or below the value of hashes. */
function offMarketWarning(options: ParsedOptions, priceMsatPerEh: bigint): string | undefined {
  if (options.text('value') === undefined) return undefined;
  const value = optionOf(options, 'value', PRICE, '');
  const factor = optionOf(options, 'off-market', POSITIVE, OFF_MARKET);
  if (factor < 1) throw new CodedError('usage', '--off-market is at least 1');
  const off = offMarketOf(priceMsatPerEh, value, factorPpmOf(factor));
  return off === undefined ? undefined : `is that meant? ${offMarketText(off)}`;
}

function economicsOf(options: ParsedOptions, sale: Sale | undefined): Economics {
  if (sale === undefined && options.text('price') === undefined)
    throw new CodedError('usage', 'say a sale, such as "30 sats per 60 TH/min for 1 week", or --price');
  const time = (): bigint => BigInt(Math.floor(optionOf(options, 'for', DURATION, WEEK) / 1000));
  const seconds = sale?.seconds ?? time();
  const stepHashes = optionOf(options, 'step', WORK, '1 EH');
  if (seconds === 0n || stepHashes === 0n)
    throw new CodedError('usage', '--for and --step must be above 0');
  return {
    priceMsatPerEh: sale === undefined ? optionOf(options, 'price', PRICE, '') : msatPerEh(sale.price),
    ...{ seconds, stepHashes },
    maxUnpaidSteps: optionOf(options, 'max-unpaid-steps', INTEGER, '3'),
    shareDifficulty: optionOf(options, 'share-difficulty', POSITIVE, '65536'),
    feeRateSatPerKvb: optionOf(options, 'fee-rate', FEE_RATE, '5 sat/vB'),
  };
}

/** Throws `usage`. */
function optionOf<T>(options: ParsedOptions, name: string, kind: Kind<T>, fallback: string): T {
  const value = kind.parse(options.text(name) ?? fallback);
  if (value instanceof Invalid) throw new CodedError('usage', `--${name} ${value.why}`);
  return value;
}

function answerOf(economics: Economics, percent: number, hashrate: bigint | undefined) {
  const { openSat, closeSat } = contractFees(economics.feeRateSatPerKvb);
  const most = BigInt(Math.max(1, Math.round(percent * 10_000)));
  return {
    price: priceUnits(economics.priceMsatPerEh),
    seconds: economics.seconds,
    fees: { open_sat: openSat, close_sat: closeSat, fee_rate_sat_per_kvb: economics.feeRateSatPerKvb },
    break_even_hashes_per_second: leastHashrate(economics, 1_000_000n),
    most_fees_percent: percent,
    pays_from_hashes_per_second: leastHashrate(economics, most),
    share_work_hashes: shareWork(economics.shareDifficulty),
    at: hashrate === undefined ? null : atOf(economics, hashrate),
  };
}

function atOf(economics: Economics, hashrate: bigint) {
  const outcome = outcomeOf(economics, hashrate);
  return {
    hashes_per_second: hashrate,
    work_hashes: outcome.workHashes,
    earns_sat: outcome.earnsSat,
    fees_sat: outcome.feesSat,
    net_sat: outcome.netSat,
    net_price: priceUnits(outcome.netMsatPerEh),
    shares_per_minute: outcome.sharesPerMinute,
    seconds_per_step: outcome.secondsPerStep,
    at_risk_sat: outcome.atRiskSat,
    pays: outcome.netSat > 0n,
  };
}

function textOf(
  { priceMsatPerEh, seconds }: Economics,
  answer: ReturnType<typeof answerOf> & { readonly floored: string | null },
): readonly string[] {
  const { fees, at, most_fees_percent: percent } = answer;
  const rate = (hashes: bigint): string => formatSi(Number(hashes), 'H/s');
  const lines = [
    `price      ${priceText(priceMsatPerEh)}`,
    ...(answer.floored === null ? [] : [`           said ${answer.floored}`]),
    `time       ${decimalText((seconds * 100n) / 86_400n, 2)} days`,
    `fees       ${fees.open_sat} sat to open, ${fees.close_sat} sat to close, at ${fees.fee_rate_sat_per_kvb} sat/kvB`,
    `even from  ${rate(answer.break_even_hashes_per_second)}: there the pay is what the chain costs`,
    `pays from  ${rate(answer.pays_from_hashes_per_second)}: there fees are ${percent} % of it`,
  ];
  if (at === null) return lines;
  const verdict = at.pays ? `${at.net_sat} sat are left` : `it loses ${-at.net_sat} sat`;
  return [
    ...lines,
    `at ${rate(at.hashes_per_second)}:`,
    `  ${decimalText(at.work_hashes, 18)} EH earn ${at.earns_sat} sat, floored once; fees are ${at.fees_sat} sat: ${verdict}`,
    `  after fees ${at.net_price.sat_per_ph_day} sat/PH/day`,
    `  ${at.shares_per_minute.toPrecision(3)} shares a minute, a state each ${timeText(at.seconds_per_step)}`,
    `  at most ${at.at_risk_sat} sat are unpaid`,
  ];
}

function timeText(seconds: number): string {
  if (seconds < 120) return `${seconds.toPrecision(3)} s`;
  return seconds < 7200 ? `${(seconds / 60).toPrecision(3)} min` : `${(seconds / 3600).toPrecision(3)} h`;
}
