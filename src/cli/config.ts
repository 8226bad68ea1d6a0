import { CodedError } from '../base/errors.ts';
import { exampleToml } from '../config/document.ts';
import { explainConfig, loadConfig } from '../config/load.ts';
import type { Command } from './command.ts';

export const configCommand: Command = {
  name: 'config',
  summary: 'check a configuration, print it as it is in force, or print a commented sample',
  usage: 'check|print|sample proxy|maker [--config FILE]',
  help: [
    'check   reads the configuration and names every problem at once, with its line.',
    'print   shows every option in force and where it came from; secrets are hidden.',
    'sample  prints a commented configuration with every option and its default.',
  ],
  options: { config: { type: 'string', value: 'FILE', help: 'configuration (TOML)' } },
  run: (options, io) => {
    const [action, role] = options.positionals;
    if (role !== 'proxy' && role !== 'maker')
      throw new CodedError('usage', 'say which role: proxy or maker');
    const file = options.text('config');
    const input = { ...(file === undefined ? {} : { file }), env: io.env };
    if (action === 'sample') {
      io.stdout.write(exampleToml(role));
    } else if (action === 'check') {
      loadConfig(role, input);
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
