import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import type { Role } from '../config/config.ts';
import { exampleToml } from '../config/document.ts';
import { explainConfig, loadConfig } from '../config/load.ts';
import { assertKeysKnown } from '../daemon/node-keys.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

export const configCommand: Command = {
  name: 'config',
  summary: 'check a configuration, print it as it is in force, or print a commented sample',
  usage: 'check|print proxy|maker [--config FILE]  |  sample proxy|maker [--out FILE]',
  words: 2,
  takesSettings: true,
  help: [
    'check   reads the configuration and names every problem at once, with its line.',
    'print   shows every option in force and where it came from; secrets are hidden.',
    'sample  prints a commented configuration with every option and its default, or writes it to --out FILE (mode 0600).',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML)' },
    out: { type: 'string', value: 'FILE', help: 'sample: where to; never over another file' },
    force: { type: 'boolean', help: 'sample: yes, over it' },
  },
  run: (options, io) => {
    const [action, role] = options.positionals;
    if (role !== 'proxy' && role !== 'maker')
      throw new CodedError('usage', 'say which role: proxy or maker');
    const file = options.text('config');
    const input = { ...(file === undefined ? {} : { file }), env: io.env, flags: options.settings };
    if (action === 'sample') {
      sample(role, options, io);
    } else if (action === 'check') {
      assertKeysKnown(loadConfig(role, input));
      io.stdout.write(options.flag('json') ? '{"ok":true}\n' : 'the configuration is valid\n');
    } else if (action === 'print') {
      const rows = explainConfig(role, input);
      const lines = rows.map((row) => `${row.path} = ${row.value ?? '(none)'}  # ${row.source}`);
      io.stdout.write(`${options.flag('json') ? JSON.stringify(rows) : lines.join('\n')}\n`);
    } else {
      throw new CodedError('usage', 'say `config check`, `config print` or `config sample`');
    }
    return Promise.resolve(0);
  },
};

function sample(role: Role, options: ParsedOptions, io: CommandIo): void {
  const toml = exampleToml(role);
  const out = options.text('out');
  if (out === undefined) {
    io.stdout.write(options.flag('json') ? `${JSON.stringify({ role, toml })}\n` : toml);
    return;
  }
  const file = resolve(out);
  if (options.flag('force')) rmSync(file, { force: true });
  writePrivateFile(file, toml);
  io.stdout.write(`${options.flag('json') ? JSON.stringify({ role, file }) : `written to ${file}`}\n`);
}
