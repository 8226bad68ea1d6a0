#!/usr/bin/env node
import { CodedError } from './base/errors.ts';
import { type Command, type CommandIo, helpOf, parseOptions } from './cli/command.ts';
import { configCommand } from './cli/config.ts';
import { demoCommand } from './cli/demo.ts';
import { keysCommand } from './cli/keys.ts';
import { ledgerCommand } from './cli/ledger.ts';
import { makerCommand } from './cli/maker.ts';
import { proxyCommand } from './cli/proxy.ts';

const COMMANDS: readonly Command[] = [
  demoCommand,
  proxyCommand,
  makerCommand,
  keysCommand,
  configCommand,
  ledgerCommand,
];

function overview(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length));
  return [
    'Sharestream: a Stratum v1 proxy that verifies every share and streams bitcoin to the miner per verified EH.',
    '',
    'usage: sharestream COMMAND [OPTIONS]',
    '',
    ...COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'sharestream COMMAND --help explains a command.',
    '',
  ].join('\n');
}

async function main(words: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === '--help' || name === 'help') {
    io.stdout.write(overview());
    return name === undefined ? 2 : 0;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) throw new CodedError('usage', `there is no command ${JSON.stringify(name)}`);
  const options = parseOptions(command, rest);
  if (options.flag('help')) {
    io.stdout.write(helpOf(command));
    return 0;
  }
  return await command.run(options, io);
}

try {
  const io = { stdout: process.stdout, stderr: process.stderr, env: process.env };
  process.exitCode = await main(process.argv.slice(2), io);
} catch (error) {
  const coded = error instanceof CodedError;
  process.stderr.write(
    coded ? `${error.message}\n${error.hint}\n` : `${(error as Error).stack ?? error}\n`,
  );
  process.exitCode = coded && error.code === 'usage' ? 2 : 1;
}
