import { VERSION } from '../base/version.ts';
import { COMMON_OPTIONS, type Command } from './command.ts';

export const manualCommand = (load: () => Promise<readonly Command[]>): Command => ({
  name: 'manual',
  summary: 'prints the manual page',
  usage: '',
  help: ['All commands with their options, as a page for man: sharestream manual | man -l -'],
  options: {},
  async run({ flag }, io) {
    const page = manualPage(await load());
    io.stdout.write(flag('json') ? `${JSON.stringify({ page })}\n` : page);
    return 0;
  },
});

/** sharestream(1), in the macros of man(7), from the same tables as `--help`. */
export function manualPage(commands: readonly Command[]): string {
  return [
    `.TH SHARESTREAM 1 "" "sharestream ${VERSION}" "User Commands"`,
    '.ad l',
    '.nh',
    '.SH NAME',
    'sharestream \\- Stratum v1 proxy that verifies every share and streams bitcoin to the miner per verified EH',
    '.SH SYNOPSIS',
    '.B sharestream',
    '.I COMMAND',
    '[\\fIOPTIONS\\fR]',
    '.SH DESCRIPTION',
    roff(
      'Sharestream stands between ASICs and a Braidpool node or any Stratum v1 pool. It checks every share itself, weighs it by ' +
        'its difficulty, and advances a payment channel from a market maker to the miner per verified EH of work.',
    ),
    '.SH COMMANDS',
    ...commands.flatMap(commandSection),
    '.SH EXIT STATUS',
    ...listed('0', 'done'),
    ...listed('1', 'failed; the message says what to do'),
    ...listed('2', 'wrong usage'),
    ...listed('3, 4', 'of audit: a side is wrong; undecided'),
    '.SH ENVIRONMENT',
    ...listed(
      'SHARESTREAM_SECTION__OPTION',
      'sets the option section.option of the configuration of a daemon, as SHARESTREAM_LOG__LEVEL',
    ),
    ...listed('SHARESTREAM_DATA_DIR', 'the folder of ledger and keys'),
    '',
  ].join('\n');
}

function commandSection(command: Command): readonly string[] {
  const options = Object.entries({ ...command.options, ...COMMON_OPTIONS });
  return [
    `.SS ${roff(`sharestream ${command.name} ${command.usage}`.trim())}`,
    ...paragraphs(command.help),
    ...options.flatMap(([name, spec]) => {
      const value = spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : '';
      return listed(`--${name}${value}`, spec.help);
    }),
  ];
}

/** Lines of a help text: those that are set in columns stay as they are. */
function paragraphs(lines: readonly string[]): readonly string[] {
  const isSet = (line: string): boolean => /\S {2,}\S/.test(line) || line.startsWith('  ');
  return lines.flatMap((line) => {
    if (line === '') return ['.PP'];
    return isSet(line) ? ['.nf', roff(line), '.fi'] : [roff(line)];
  });
}

const listed = (head: string, text: string): readonly string[] => ['.TP', `.B ${roff(head)}`, roff(text)];

/** A text as such: no escape, no macro, and hyphens that can be copied. */
function roff(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replace(
      /[^\0-~]/gu,
      (each) => `\\[u${each.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    );
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
