import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { priceText } from '../base/price.ts';
import { Invalid, PRICE, WORK } from '../config/values.ts';
import {
  ASK_HELP,
  ASK_ONLY,
  ASK_USAGE,
  askDaemon,
  assertConfirmed,
  print,
  READ_OPTIONS,
  wholeNumber,
  YES,
} from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

export const contractUpdate: Command = {
  name: 'contract update',
  summary: 'propose other terms for a running contract: they hold once the other side confirms them',
  usage: `${ASK_USAGE} [--price PRICE] [--step WORK] [--stop HEIGHT | --drift] [--from WORK] [--dry-run | --yes]`,
  words: 1,
  help: [
    ASK_HELP,
    'Work up to --from keeps its price (default: two steps from here); nothing that is owed changes. One update waits at a time:',
    'until the other side confirms it either may take it back with `contract revoke`.',
    '--stop corrects a duration in blocks by what blocks took: what was meant as a week may come early or late. --drift takes the block',
    'that `contract clock` names.',
  ],
  options: {
    ...READ_OPTIONS,
    price: {
      type: 'string',
      value: 'PRICE',
      help: 'of the work from there on, such as "46000 sat/PH/day"',
    },
    step: { type: 'string', value: 'WORK', help: 'work after which a state is signed' },
    stop: { type: 'string', value: 'HEIGHT', help: 'block behind the last whose work is credited' },
    drift: { type: 'boolean', help: 'stop where the time is over that its blocks were meant to take' },
    from: { type: 'string', value: 'WORK', help: 'work of the contract up to which nothing changes' },
    'dry-run': ASK_ONLY,
    yes: YES,
  },
  run: async (options, io) => {
    const fields = { ...wantedOf(options), ...(await timedStop(options, io)) };
    if (Object.keys(fields).length === 0)
      throw new CodedError('usage', 'say what changes: --price, --step, --stop, --drift');
    if (!options.flag('dry-run')) assertConfirmed(options, 'The other side may confirm it at once.');
    return ask('update', options, io, fields);
  },
};

export const contractClock: Command = {
  name: 'contract clock',
  summary: 'how far the blocks of a contract are from the time that they were meant to take',
  usage: ASK_USAGE,
  words: 1,
  help: [
    ASK_HELP,
    'With the block at which it would stop in that time: `contract update --drift` proposes it.',
  ],
  options: READ_OPTIONS,
  run: async (options, io) => {
    const json = await askDaemon('contract/clock', options, io, {});
    print(options, io, json, clockText(json));
    return 0;
  },
};

export const contractConfirm: Command = {
  name: 'contract confirm',
  summary: 'sign the update that the other side proposed: both are bound from then on',
  usage: `${ASK_USAGE} [--dry-run | --yes]`,
  words: 1,
  help: [ASK_HELP, '--dry-run shows it.'],
  options: { ...READ_OPTIONS, 'dry-run': ASK_ONLY, yes: YES },
  run: (options, io) => {
    if (!options.flag('dry-run')) assertConfirmed(options, 'An update that both signed is not taken back.');
    return ask('confirm', options, io);
  },
};

export const contractRevoke: Command = {
  name: 'contract revoke',
  summary: 'take back the update that waits, or refuse it',
  usage: `${ASK_USAGE} [--dry-run]`,
  words: 1,
  help: [ASK_HELP, 'Needs the other side connected: both sign that it never holds.'],
  options: { ...READ_OPTIONS, 'dry-run': ASK_ONLY },
  run: (options, io) => ask('revoke', options, io),
};

export const contractUpdates: Command = {
  name: 'contract updates',
  summary: 'the updates of a contract: which hold, which one waits, which were taken back',
  usage: ASK_USAGE,
  words: 1,
  help: [ASK_HELP],
  options: READ_OPTIONS,
  run: (options, io) => ask('updates', options, io),
};

/** Throws `usage` where no block can be named. */
async function timedStop(
  options: ParsedOptions,
  io: CommandIo,
): Promise<{ readonly stop_height?: number }> {
  if (!options.flag('drift')) return {};
  if (options.text('stop') !== undefined) throw new CodedError('usage', '--stop or --drift');
  const json = await askDaemon('contract/clock', options, io, {});
  const { timed_stop_height: stop } = json;
  if (typeof stop !== 'number') throw new CodedError('usage', `no block can be named: ${clockText(json)}`);
  return { stop_height: stop };
}

function clockText(json: Readonly<Record<string, unknown>>): string {
  const { from_height: from, duration_blocks: blocks, stop_height: stop, height } = json;
  const { drift_seconds: drift, block_interval_seconds: interval, timed_stop_height: timed } = json;
  if (typeof blocks !== 'number') return 'it has no duration in blocks, or has not begun';
  const span = `blocks ${String(from)} to ${String(stop)}`;
  if (typeof drift !== 'number') return `${span}; when its first block came is not known`;
  const hours = (Math.abs(drift) / 3600).toFixed(1);
  const sooner = `${hours} h ${drift < 0 ? 'later' : 'sooner'} than it was meant`;
  const inTime = timed === null ? 'that time is over' : `in its time it would stop at ${String(timed)}`;
  return `${span}; block ${String(height)} came ${sooner}, one each ${String(interval)} s; ${inTime}`;
}

/** Throws `usage`. */
function wantedOf(options: ParsedOptions): Readonly<Record<string, unknown>> {
  const read = (name: string, kind: typeof PRICE, key: string): object => {
    const text = options.text(name);
    if (text === undefined) return {};
    const value = kind.parse(text);
    if (value instanceof Invalid) throw new CodedError('usage', `--${name} ${value.why}`);
    return { [key]: value.toString() };
  };
  const stop = wholeNumber(options, 'stop');
  return {
    ...read('price', PRICE, 'price_msat_per_eh'),
    ...read('step', WORK, 'step_hashes'),
    ...read('from', WORK, 'from_hashes'),
    ...(stop === undefined ? {} : { stop_height: stop }),
  };
}

async function ask(
  what: 'update' | 'confirm' | 'revoke' | 'updates',
  options: ParsedOptions,
  io: CommandIo,
  fields: object = {},
): Promise<number> {
  const isDryRun = what !== 'updates' && options.flag('dry-run');
  const json = await askDaemon(`contract/${what}`, options, io, { ...fields, dry_run: isDryRun });
  print(options, io, json, updatesText(json));
  return 0;
}

function updatesText(json: Readonly<Record<string, unknown>>): string {
  const { contract, agreed, pending, revoked, price_msat_per_eh: price } = json;
  const lines = Array.isArray(agreed)
    ? agreed.map((each) => lineOf('holds', isRecord(each) ? each['update'] : {}))
    : [];
  const waiting = isRecord(pending)
    ? [
        lineOf(
          pending['by'] === 'own' ? 'waits for the other side' : 'waits for `contract confirm`',
          pending,
        ),
      ]
    : [];
  const dead = Array.isArray(revoked) && revoked.length > 0 ? [`${revoked.length} were taken back`] : [];
  const now = typeof price === 'string' ? [`price of new work: ${priceText(BigInt(price))}`] : [];
  return [`contract ${String(contract).slice(0, 16)}`, ...lines, ...waiting, ...dead, ...now].join('\n');
}

function lineOf(how: string, update: unknown): string {
  if (!isRecord(update)) return how;
  const {
    number,
    from_hashes: from,
    price_msat_per_eh: price,
    step_hashes: step,
    stop_height: stop,
  } = update;
  const changes = [
    ...(typeof price === 'string' ? [priceText(BigInt(price))] : []),
    ...(typeof step === 'string' ? [`a step of ${step} hashes`] : []),
    ...(typeof stop === 'number' ? [`the end at block ${stop}`] : []),
  ];
  return `update ${String(number)} ${how}: ${changes.join(', ')}, from ${String(from)} hashes on`;
}
