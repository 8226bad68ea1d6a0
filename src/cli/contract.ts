import { CodedError } from '../base/errors.ts';
import { priceText } from '../base/price.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { formatSi } from '../base/units.ts';
import { loadSeed } from '../channel/key-file.ts';
import { minerContributionSat } from '../channel/params.ts';
import { SeedSigner } from '../channel/signer.ts';
import type { MakerPlace, ProxyConfig, SellConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { blocksOfMs, type SaleTimes, saleTimesOf } from '../config/sale-terms.ts';
import { DURATION, HASHRATE, Invalid, type Kind, WORK } from '../config/values.ts';
import { movingPriceOf } from '../contract/index-price.ts';
import { offMarketOf, offMarketText } from '../contract/off-market.ts';
import { movingPriceText } from '../contract/price.ts';
import { type ContractTerms, contractIdOf, termsToJson } from '../contract/terms.ts';
import { silentLogger } from '../log/logger.ts';
import { chainSource } from '../operator/chain-access.ts';
import { requestAction } from '../operator/daemon-action.ts';
import {
  type AskedMakers,
  askMakers,
  type MakerQuote,
  type MarketTools,
  placeOfOffer,
  propose,
  takeInput,
} from '../operator/market-tools.ts';
import { quotesView } from '../operator/quotes-view.ts';
import { HashValues } from '../settlement/hash-values.ts';
import { channelList, channelShow } from './channel.ts';
import { assertConfirmed, daemonOf, print, YES } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const OPTIONS = {
  config: { type: 'string', value: 'FILE', help: 'configuration of the proxy (TOML)' },
  work: { type: 'string', value: 'WORK', help: 'work of the contract, instead of sell.work' },
  rate: { type: 'string', value: 'RATE', help: 'hashrate that is promised, instead of sell.rate' },
  for: { type: 'string', value: 'TIME', help: 'for how long, instead of sell.duration_blocks' },
} as const;

const MOST_MAKERS = 16;

export const contractQuote: Command = {
  name: 'contract quote',
  summary: 'ask market makers what they pay, and rank what they answer',
  usage: '[OFFER | NAME]... --config FILE [--work WORK] [--rate RATE] [--for TIME]',
  words: MOST_MAKERS,
  help: [
    'Asks every [[maker]] of the configuration, or those named: by their name there, or by a pasted offer (shst1...).',
    'What is asked for is in [sell]; a quote of other terms, or below sell.floor_price, is refused. Nothing is bound by asking.',
  ],
  options: OPTIONS,
  run: async (options, io) => {
    const { asked } = await askAll(options, io);
    print(options, io, quotesView(asked), quotesText(asked));
    return asked.ranked.length > 0 ? 0 : 1;
  },
};

export const contractTake: Command = {
  name: 'contract take',
  summary: 'take the best quote: its maker signs it, and the running proxy serves it from then on',
  usage: '[OFFER | NAME]... --config FILE [--work WORK] [--rate RATE] [--for TIME] [--dry-run | --yes]',
  words: MOST_MAKERS,
  help: [
    'Asks as `contract quote` does and takes the first of the ranking; name one maker, or paste its offer, to take that one.',
    'The proxy must run. It pays its reserve into the channel, so its address needs that and a fee: see `deposit`.',
  ],
  options: {
    ...OPTIONS,
    'dry-run': { type: 'boolean', help: 'ask, and say what would be taken; sign nothing' },
    'off-market': { type: 'boolean', help: 'take it however far below the value of hashes it is' },
    yes: YES,
  },
  run: async (options, io) => {
    const { asked, tools } = await askAll(options, io);
    const [best] = asked.ranked;
    if (best === undefined) {
      print(options, io, quotesView(asked), quotesText(asked));
      return 1;
    }
    await handOver(best.quote, options, io, true);
    if (options.flag('dry-run')) {
      const text = `${quotesText(asked)}\nthe first would be taken`;
      print(options, io, { dry_run: true, ...quotesView(asked) }, text);
      return 0;
    }
    assertConfirmed(options, 'The deposit goes into a channel with this maker.');
    await propose(best.quote, tools);
    const contract = await handOver(best.quote, options, io, false);
    const { maker, terms } = best.quote;
    const text = `taken: contract ${contract} with ${maker} at ${priceText(best.priceMsatPerEh)}`;
    print(options, io, { contract, maker, terms: termsToJson(terms) }, text);
    return 0;
  },
};

export const contractList: Command = { ...channelList, name: 'contract list' };
export const contractShow: Command = { ...channelShow, name: 'contract show' };

type Asked = { readonly asked: AskedMakers; readonly tools: MarketTools };

async function askAll(options: ParsedOptions, io: CommandIo): Promise<Asked> {
  const config = proxyConfig(options, io);
  const { network, chain, sell, keys, auditor } = config;
  if (sell === undefined || chain === undefined)
    throw new CodedError('config_invalid', 'sell.floor_price is missing: the least you sell for');
  const times = timesOf(options, sell);
  const signer = new SeedSigner({
    ...{ seed: loadSeed(keys.seedFile), network, random: systemRandom },
    nodeNumber: keys.nodeNumber,
  });
  const tools = { network, signer, timers: systemTimers, auditorNodeId: auditor?.nodeId };
  const source = chainSource(network, chain, silentLogger);
  const values = new HashValues({ chain: source, log: silentLogger });
  try {
    const places = placesOf(config, options.positionals);
    return {
      asked: await askMakers(places, { ...sell, ...times }, { ...tools, chain: source, values }),
      tools,
    };
  } finally {
    source.close();
  }
}

/** The work, rate and time that are asked for. Throws `usage`. */
function timesOf(options: ParsedOptions, { said }: SellConfig): SaleTimes {
  const rate = optionOf(options, 'rate', HASHRATE);
  const ms = optionOf(options, 'for', DURATION);
  if (rate === 0n || ms === 0) throw new CodedError('usage', '--rate and --for must be above 0');
  const isTimed = rate !== undefined || ms !== undefined;
  const work = optionOf(options, 'work', WORK) ?? (isTimed ? undefined : said.work);
  return saleTimesOf({
    ...{ ...said, work, rate: rate ?? said.rate, maxRate: rate === undefined ? said.maxRate : undefined },
    durationBlocks: ms === undefined ? said.durationBlocks : blocksOfMs(ms),
  });
}

/** Throws `usage`. */
function optionOf<T>(options: ParsedOptions, name: string, kind: Kind<T>): T | undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const value = kind.parse(text);
  if (value instanceof Invalid) throw new CodedError('usage', `--${name} ${value.why}`);
  return value;
}

function proxyConfig(options: ParsedOptions, io: CommandIo): ProxyConfig {
  const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
  return loadConfig('proxy', { ...(file === undefined ? {} : { file }), env: io.env });
}

function placesOf({ makers, network }: ProxyConfig, words: readonly string[]): readonly MakerPlace[] {
  if (words.length === 0) {
    if (makers.length === 0) throw new CodedError('usage', 'paste an offer, or write a [[maker]]');
    return makers;
  }
  const now = Math.floor(Date.now() / 1000);
  return words.map((word) => {
    const known = makers.find(({ name }) => name === word);
    if (known === undefined && !word.startsWith('shst1'))
      throw new CodedError('usage', `${JSON.stringify(word)} is no [[maker]] and no offer`);
    return known ?? placeOfOffer(word, network, now);
  });
}

/** Gives the contract to the running proxy. @param dryRun asks only whether it would serve it */
async function handOver(
  quote: MakerQuote,
  options: ParsedOptions,
  io: CommandIo,
  dryRun: boolean,
): Promise<string> {
  const daemon = daemonOf(options, io, 'proxy');
  await requestAction(daemon.url, daemon.dataDir, 'contract/take', {
    ...takeInput(quote, dryRun),
    off_market: options.flag('off-market'),
  });
  return contractIdOf(quote.terms);
}

/** The rule of a price that moves. */
function movingText(terms: ContractTerms): string[] {
  const price = movingPriceOf(terms);
  return price === undefined ? [] : [`   today: ${movingPriceText(price)}`];
}

function timesText(terms: ContractTerms): string[] {
  const { rate, start, durationBlocks } = terms.version === 3 ? terms : {};
  const words = [
    ...(rate === undefined ? [] : [`at ${formatSi(Number(rate.committed), 'H/s')}`]),
    ...(durationBlocks === undefined ? [] : [`for ${durationBlocks} blocks`]),
    ...(start === undefined ? [] : [`from block ${start.notBeforeHeight}`]),
  ];
  return words.length === 0 ? [] : [`   ${words.join(' ')}`];
}

function quotesText({ ranked, refused, feesSat, valueMsatPerEh, offMarketPpm }: AskedMakers): string {
  const lines = ranked.map((each, index) => {
    const { quote, priceMsatPerEh } = each;
    const { terms } = quote;
    const off = offMarketOf(priceMsatPerEh, valueMsatPerEh, offMarketPpm);
    const deposit = `deposit ${minerContributionSat(terms)} sat, funding ${terms.minDepth} deep`;
    return [
      `${index + 1}. ${quote.maker}: ${priceText(each.priceMsatPerEh)}`,
      ...movingText(terms),
      ...(off === undefined ? [] : [`   off the market: ${offMarketText(off)}`]),
      `   net ${each.netMsatPerEh} msat/EH: ${each.why}`,
      ...timesText(terms),
      `   binding ${terms.binding.type}, earns ${terms.budgetSat} sat, ${deposit}`,
    ].join('\n');
  });
  const none = refused.map(({ maker, error }) => {
    const { allowed } = error.meta;
    return `-  ${maker}: ${error.message}${typeof allowed === 'string' ? ` (takes ${allowed})` : ''}`;
  });
  const fees = ranked.length > 0 ? [`fees of opening and closing are reckoned as ${feesSat} sat`] : [];
  return [...lines, ...none, ...fees].join('\n');
}
