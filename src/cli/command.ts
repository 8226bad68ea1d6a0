import { parseArgs } from 'node:util';
import { CodedError } from '../base/errors.ts';

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
  /** Resolves to the exit code. */
  readonly run: (options: ParsedOptions, io: CommandIo) => Promise<number>;
};

/** Every command has these. */
const COMMON: Readonly<Record<string, OptionSpec>> = {
  json: { type: 'boolean', help: 'print one JSON object as the last line of standard output' },
  help: { type: 'boolean', help: 'print this help' },
};

/** Parses the words after the command's name. Throws `usage`. */
export function parseOptions(command: Command, words: readonly string[]): ParsedOptions {
  const specs = { ...command.options, ...COMMON };
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, { type: spec.type }]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options,
      allowPositionals: true,
      strict: true,
    });
    return {
      text: (name) => {
        const value = values[name];
        return typeof value === 'string' ? value : undefined;
      },
      flag: (name) => values[name] === true,
      positionals,
    };
  } catch (error) {
    throw new CodedError('usage', (error as Error).message);
  }
}

/** The text of `sharestream COMMAND --help`. */
export function helpOf(command: Command): string {
  const specs = Object.entries({ ...command.options, ...COMMON });
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
