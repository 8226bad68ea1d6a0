import { parseArgs } from 'node:util';
import { CodedError } from '../base/errors.ts';
import { didYouMean } from '../base/spelling.ts';

/** One option of a command: `--name VALUE` for strings, `--name` for flags. */
export type OptionSpec = {
  readonly type: 'string' | 'boolean';
  readonly value?: string;
  readonly help: string;
};

export type ParsedOptions = {
  readonly text: (name: string) => string | undefined;
  readonly flag: (name: string) => boolean;
  readonly positionals: readonly string[];
  /** Options of the configuration by path, where the command `takesSettings`. */
  readonly settings: Readonly<Record<string, string>>;
};

/** What a command may touch of the process it runs in. */
export type CommandIo = {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
};

export type Command = {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What stands after the command's name in the usage line. */
  readonly usage: string;
  /** Paragraphs for `--help`. */
  readonly help: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** The most words it takes beside its options; default 0. */
  readonly words?: number;
  /** Takes each option of the configuration as `--stratum.listen VALUE`. */
  readonly takesSettings?: true;
  /** Resolves to the exit code. */
  readonly run: (options: ParsedOptions, io: CommandIo) => Promise<number>;
};

/** Every command has these. */
export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  json: { type: 'boolean', help: 'print one JSON object as the last line of standard output' },
  help: { type: 'boolean', help: 'print this help' },
};

/** Options of the configuration that have no dot in their path. */
const PLAIN_SETTINGS = ['network', 'data_dir', 'close_dir'];

/** Parses the words after the command's name. Throws `usage`. */
export function parseOptions(command: Command, words: readonly string[]): ParsedOptions {
  const specs: Readonly<Record<string, OptionSpec>> = { ...command.options, ...COMMON_OPTIONS };
  const { args, settings } =
    command.takesSettings === true ? takeSettings(words) : { args: words, settings: {} };
  const unknown = args
    .slice(0, args.includes('--') ? args.indexOf('--') : args.length)
    .filter((word) => word.startsWith('--'))
    .map((word) => word.slice(2).split('=')[0]!)
    .find((name) => !Object.hasOwn(specs, name));
  if (unknown !== undefined) {
    const known = [...Object.keys(specs), ...(command.takesSettings === true ? PLAIN_SETTINGS : [])];
    throw new CodedError(
      'usage',
      `${command.name} has no option --${unknown}${didYouMean(unknown, known, '--')}`,
    );
  }
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, { type: spec.type }]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      strict: true,
    });
    const most = command.words ?? 0;
    if (positionals.length > most && values['help'] !== true) {
      const extra = JSON.stringify(positionals[most]);
      throw new CodedError('usage', `${command.name} takes no further word: ${extra}`);
    }
    return {
      text: (name) => {
        const value = values[name];
        return typeof value === 'string' ? value : undefined;
      },
      flag: (name) => values[name] === true,
      positionals,
      settings,
    };
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError('usage', (error as Error).message);
  }
}

/** `--stratum.listen VALUE` and `--stratum.listen=VALUE` out of the words. Throws `usage` without a value. */
function takeSettings(words: readonly string[]): {
  readonly args: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
} {
  const args: string[] = [];
  const settings: Record<string, string> = {};
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    const match = /^--([\w.]+)(?:=(.*))?$/s.exec(word);
    const path = match?.[1] ?? '';
    if (match === null || !(path.includes('.') || PLAIN_SETTINGS.includes(path))) {
      args.push(word);
      continue;
    }
    if (match[2] === undefined) at += 1;
    const value = match[2] ?? words[at];
    if (value === undefined) throw new CodedError('usage', `--${path} needs a value`);
    settings[path] = value;
  }
  return { args, settings };
}

const SETTINGS_HELP =
  '  and each option of config/OPTIONS.md by its path, which wins over file and environment: --log.level debug';

/** The text of `sharestream COMMAND --help`. */
export function helpOf(command: Command): string {
  const specs = Object.entries({ ...command.options, ...COMMON_OPTIONS });
  const heads = specs.map(
    ([name, spec]) => `--${name}${spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''}`,
  );
  const width = Math.max(...heads.map((head) => head.length));
  const rows = specs.map(([, spec], index) => `  ${heads[index]!.padEnd(width)}  ${spec.help}`);
  return [
    `usage: sharestream ${command.name}${command.usage === '' ? '' : ` ${command.usage}`}`,
    '',
    ...command.help,
    '',
    'options:',
    ...rows,
    ...(command.takesSettings === true ? [SETTINGS_HELP] : []),
    '',
  ].join('\n');
}

/** A positive number of an option. Throws `usage`. */
export function numberOption(options: ParsedOptions, name: string, fallback: number): number {
  const text = options.text(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new CodedError('usage', `--${name} must be a positive number`);
  return value;
}
