import { isRecord } from '../base/json.ts';
import { PAUSE_REASONS } from '../contract/notices.ts';
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

export const contractPause: Command = {
  name: 'contract pause',
  summary: 'stop delivering, or taking work, for a while; hashrate goes elsewhere meanwhile',
  usage: `${ASK_USAGE} [--reason REASON] [--from HEIGHT] [--blocks N] [--dry-run]`,
  words: 1,
  help: [
    ASK_HELP,
    'Where the terms have rules of delivery a miner pauses by notice: some blocks ahead, for as many as `curtailment_blocks` allow,',
    'in which nothing is due. Else it is at once, and until `contract resume` where no --blocks are given.',
    'The minutes of a pause of the maker are its own fault.',
  ],
  options: {
    ...READ_OPTIONS,
    reason: { type: 'string', value: 'REASON', help: `one of ${PAUSE_REASONS.join(', ')} (default other)` },
    from: { type: 'string', value: 'HEIGHT', help: 'first block of the pause (default as soon as may be)' },
    blocks: { type: 'string', value: 'N', help: 'blocks for which it holds' },
    'dry-run': ASK_ONLY,
  },
  run: (options, io) => {
    const [from, blocks] = [wholeNumber(options, 'from'), wholeNumber(options, 'blocks')];
    return give('pause', options, io, {
      reason: options.text('reason') ?? 'other',
      ...(from === undefined ? {} : { from_height: from }),
      ...(blocks === undefined ? {} : { blocks }),
    });
  },
};

export const contractResume: Command = {
  name: 'contract resume',
  summary: 'end a pause of this side before its time',
  usage: `${ASK_USAGE} [--dry-run]`,
  words: 1,
  help: [ASK_HELP, 'Blocks of a notice that the other side has stay taken: nothing is due in them.'],
  options: { ...READ_OPTIONS, 'dry-run': ASK_ONLY },
  run: (options, io) => give('resume', options, io),
};

export const contractEnd: Command = {
  name: 'contract end',
  summary: 'give notice: the contract ends as many blocks from now as its terms say',
  usage: `${ASK_USAGE} [--dry-run | --yes]`,
  words: 1,
  help: [
    ASK_HELP,
    'Needs terms with `end.notice_blocks`, and the other side connected. Work goes on until then, all of it is paid, and each',
    'side has its bonds back.',
  ],
  options: { ...READ_OPTIONS, 'dry-run': ASK_ONLY, yes: YES },
  run: (options, io) => {
    if (!options.flag('dry-run')) assertConfirmed(options, 'A notice is not taken back.');
    return give('end', options, io);
  },
};

export const contractVoid: Command = {
  name: 'contract void',
  summary: 'end a contract at once and for good; a miner gives up what is not signed by then',
  usage: `${ASK_USAGE} [--dry-run | --yes]`,
  words: 1,
  help: [
    ASK_HELP,
    'No more is bought or sold, and both close as soon as they can. What the miner has earned is signed all the same where the',
    'maker does so; a miner waits for it no longer. Unvested bonds go as at any early end.',
  ],
  options: { ...READ_OPTIONS, 'dry-run': ASK_ONLY, yes: YES },
  run: (options, io) => {
    if (!options.flag('dry-run')) assertConfirmed(options, 'A contract that is void earns nothing more.');
    return give('void', options, io);
  },
};

async function give(
  what: 'pause' | 'resume' | 'end' | 'void',
  options: ParsedOptions,
  io: CommandIo,
  fields: object = {},
): Promise<number> {
  const input = { ...fields, dry_run: options.flag('dry-run') };
  const json = await askDaemon(`contract/${what}`, options, io, input);
  print(options, io, json, noticesText(json));
  return 0;
}

function noticesText({ contract, pauses, ends, written_off_sat: lost }: Record<string, unknown>): string {
  const of = (value: unknown, side: string): Record<string, unknown> | undefined => {
    const one = isRecord(value) ? value[side] : undefined;
    return isRecord(one) ? one : undefined;
  };
  const lines = ['miner', 'maker'].flatMap((side) => {
    const pause = of(pauses, side);
    const end = of(ends, side);
    const until = typeof pause?.['until_height'] === 'number' ? ` to ${pause['until_height']}` : '';
    return [
      ...(pause
        ? [`the ${side} pauses (${pause['reason']}) from block ${pause['from_height']}${until}`]
        : []),
      ...(end ? [`the ${side} gave notice: it ends at block ${end['height']}`] : []),
    ];
  });
  const written = typeof lost === 'string' ? [`${lost} sat are given up where nobody signs them`] : [];
  const all = [...lines, ...written];
  return `${String(contract).slice(0, 16)}: ${all.length === 0 ? 'no pause, no notice' : all.join('; ')}`;
}
