import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { priceText } from '../base/price.ts';
import { Invalid, WORK } from '../config/values.ts';
import { planClose } from '../operator/channel-plan.ts';
import { requireFunded } from '../operator/channel-report.ts';
import { waitForClose } from '../operator/channel-tools.ts';
import {
  ASK_HELP,
  ASK_USAGE,
  accessOf,
  askDaemon,
  assertConfirmed,
  channelOf,
  DEPS,
  DRY_RUN,
  planInput,
  print,
  SIGN_OPTIONS,
  secondsOption,
  WAIT,
  YES,
} from './channel-access.ts';
import { planText, resultText } from './channel-text.ts';
import type { Command, CommandIo, OptionSpec, ParsedOptions } from './command.ts';

const NEXT_WORK: OptionSpec = { type: 'string', value: 'WORK', help: 'work of the next contract' };

export const contractTopup: Command = {
  name: 'contract topup',
  summary: 'open the next contract while one runs: it takes over once that one is used up',
  usage: `${ASK_USAGE} [--work WORK] [--dry-run | --yes]`,
  words: 1,
  help: [
    'Asks the running proxy. CONTRACT is the id or the beginning of it. Terms are those of now, at the heights of now; budget and',
    'bonds follow from the work. The market maker has to take it by its policy. Nothing of the contract that runs changes.',
  ],
  options: {
    ...SIGN_OPTIONS,
    work: { ...NEXT_WORK, help: 'work of the next contract (default: that of the one that runs)' },
    'dry-run': { type: 'boolean', help: 'say which contract it would be; propose nothing' },
    yes: YES,
  },
  run: async (options, io) => {
    const isDryRun = options.flag('dry-run');
    if (!isDryRun) assertConfirmed(options, 'The deposit goes into a channel with the same maker.');
    const json = await askDaemon('contract/topup', options, io, {
      ...workField(options),
      dry_run: isDryRun,
    });
    print(options, io, json, nextText(json['successor'], isDryRun));
    return 0;
  },
};

export const contractWithdraw: Command = {
  name: 'contract withdraw',
  summary: 'take what was earned: both close the channel, and with --go-on the next contract goes on',
  ...closing(
    'withdraw',
    'The miner alone does this. There is no part of it: a channel pays in full by its close.',
  ),
};

/** The rest goes back to the sender in the same transaction. */
export const contractRefund: Command = {
  name: 'contract refund',
  summary: 'give what is unspent back to the market maker: both close the channel',
  ...closing(
    'refund',
    'A market maker asks the miner by it, a miner agrees to it unasked; --go-on is the miner’s.',
  ),
};

function closing(what: 'withdraw' | 'refund', who: string): Omit<Command, 'name' | 'summary'> {
  return {
    usage: `${ASK_USAGE} [--go-on [--work WORK]] [--dry-run | --yes] [--wait SECONDS]`,
    words: 1,
    help: [
      `${ASK_HELP} ${who}`,
      'With --go-on the next contract, for the work that is left, is opened first, and this one is closed once it is deep: no',
      'hashrate leaves the market maker.',
    ],
    options: {
      ...SIGN_OPTIONS,
      'go-on': { type: 'boolean', help: 'open the next contract first, on the same terms' },
      work: { ...NEXT_WORK, help: 'work of the next contract (default: what is left of this one)' },
      'dry-run': DRY_RUN,
      yes: YES,
      wait: WAIT,
    },
    run: (options, io) => close(what, options, io),
  };
}

async function close(what: 'withdraw' | 'refund', options: ParsedOptions, io: CommandIo): Promise<number> {
  const isDryRun = options.flag('dry-run');
  const fields = { ...workField(options), go_on: options.flag('go-on'), dry_run: isDryRun };
  if (!isDryRun) assertConfirmed(options, 'A channel that is closed pays nothing more.');
  const access = accessOf(options, io);
  const channel = requireFunded(await channelOf(access, options));
  const json = await askDaemon(`contract/${what}`, options, io, fields);
  if (isDryRun) {
    const plan = planClose(await planInput(access, channel, options));
    print(options, io, { ...json, plan }, [settledText(json, isDryRun), planText(plan)].join('\n'));
    return 0;
  }
  const wait = secondsOption(options, 'wait');
  if (wait === undefined) {
    print(options, io, json, settledText(json, isDryRun));
    return 0;
  }
  const result = await waitForClose(access, channel, { timeoutMs: wait * 1000, by: 'daemon' }, DEPS);
  print(options, io, { ...json, ...result }, [settledText(json, isDryRun), resultText(result)].join('\n'));
  return 0;
}

function settledText(json: Readonly<Record<string, unknown>>, isDryRun: boolean): string {
  const { contract, paid_sat: paid, unspent_sat: unspent, successor } = json;
  const id = String(contract).slice(0, 16);
  const whose = `${id}: ${paid} sat are signed to the miner, ${unspent} sat are unspent`;
  if (successor === null || successor === undefined)
    return isDryRun ? whose : `${whose}; both sides were asked to close`;
  return `${whose}\n${nextText(successor, isDryRun)}; once it is deep this one is closed`;
}

function nextText(successor: unknown, isDryRun: boolean): string {
  if (!isRecord(successor)) return 'no next contract';
  const { contract, work_total_hashes: work, budget_sat: budget, deposit_sat: deposit } = successor;
  const price = priceText(BigInt(String(successor['price_msat_per_eh'])));
  const name = isDryRun
    ? 'the next contract would have'
    : `next contract ${String(contract).slice(0, 16)}:`;
  return `${name} ${work} hashes at ${price}, budget ${budget} sat, own deposit ${deposit} sat`;
}

/** Throws `usage`. */
function workField(options: ParsedOptions): { readonly work_hashes?: string } {
  const text = options.text('work');
  if (text === undefined) return {};
  const work = WORK.parse(text);
  if (work instanceof Invalid) throw new CodedError('usage', `--work ${work.why}`);
  return { work_hashes: work.toString() };
}
