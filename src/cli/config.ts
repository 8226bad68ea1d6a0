import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import type { Role } from '../config/config.ts';
import { exampleToml } from '../config/document.ts';
import { type ConfigInput, explainConfig } from '../config/load.ts';
import { describeProblem } from '../config/problems.ts';
import { editsIgnored } from '../daemon/config-edits.ts';
import { checkedConfig } from './checked-config.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

export const configCommand: Command = {
  name: 'config',
  summary: 'check a configuration, print it as it is in force, or print a commented sample',
  usage: 'check|print proxy|maker|auditor [--config FILE]  |  sample proxy|maker|auditor [--out FILE]',
  words: 2,
  takesSettings: true,
  help: [
    'check   names every problem at once, with its line: values, addresses and keys, what the sample only shows, figures that',
    '        do not fit together; then what prices and durations come to in all units.',
    'print   shows every option in force and where it came from; secrets are hidden.',
    'sample  prints a commented configuration with every option and its default, or writes it to --out FILE (mode 0600).',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML)' },
    out: { type: 'string', value: 'FILE', help: 'sample: where to; never over another file' },
    force: { type: 'boolean', help: 'sample: yes, over it' },
  },
  run: async (options, io) => {
    const [action, role] = options.positionals;
    if (role !== 'proxy' && role !== 'maker' && role !== 'auditor')
      throw new CodedError('usage', 'say which role: proxy, maker or auditor');
    const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
    const input = { ...(file === undefined ? {} : { file }), env: io.env, flags: options.settings };
    if (action === 'sample') {
      sample(role, options, io);
    } else if (action === 'check') {
      await check(role, input, options, io);
    } else if (action === 'print') {
      const rows = explainConfig(role, input);
      const lines = rows.map((row) => `${row.path} = ${row.value ?? '(none)'}  # ${row.source}`);
      io.stdout.write(`${options.flag('json') ? JSON.stringify(rows) : lines.join('\n')}\n`);
    } else {
      throw new CodedError('usage', 'say `config check`, `config print` or `config sample`');
    }
    return 0;
  },
};

/** What stands there in all units, what is odd, and that it may be used. */
async function check(role: Role, input: ConfigInput, options: ParsedOptions, io: CommandIo): Promise<void> {
  const { config, warnings: odd, facts } = checkedConfig(role, input);
  const warnings = [...odd, ...('contract' in config ? await editsIgnored(config) : [])];
  if (options.flag('json')) {
    const rows = warnings.map(({ path, message }) => ({ path, message }));
    io.stdout.write(`${JSON.stringify({ ok: true, warnings: rows, facts })}\n`);
    return;
  }
  const lines = [
    ...facts.map(({ path, text }) => `${path}: ${text}`),
    ...warnings.map((warning) => `warning: ${describeProblem(warning)}`),
    'the configuration is valid',
  ];
  io.stdout.write(`${lines.join('\n')}\n`);
}

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
