#!/usr/bin/env node
import './base/required-node.ts';
import { CodedError } from './base/errors.ts';
import { didYouMean } from './base/spelling.ts';
import { COMMIT, VERSION } from './base/version.ts';
import { type CommandIo, helpOf, parseOptions } from './cli/command.ts';
import { COMMANDS, loadCommands } from './cli/commands.ts';
import { endInTime } from './cli/end-process.ts';
import { wordsOf } from './cli/words.ts';

/** @param group only the commands of this first word */
async function overview(group?: string): Promise<string> {
  const names = Object.keys(COMMANDS).filter((name) => group === undefined || name.startsWith(`${group} `));
  const commands = await loadCommands(names);
  const width = Math.max(...names.map((name) => name.length));
  return [
    'Sharestream: a Stratum v1 proxy that verifies every share and streams bitcoin to the miner per verified EH.',
    '',
    'usage: sharestream COMMAND [OPTIONS]',
    '',
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'sharestream COMMAND --help explains a command.',
    '',
  ].join('\n');
}

async function main(words: readonly string[], io: CommandIo): Promise<number> {
  const [first, second] = words;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    io.stdout.write(await overview());
    return first === undefined ? 2 : 0;
  }
  if (first === '--version' || first === '-v' || first === 'version') {
    io.stdout.write(words.includes('--json') ? `${JSON.stringify(BUILD)}\n` : `${buildText()}\n`);
    return 0;
  }
  const names = Object.keys(COMMANDS);
  const isGroup = !names.includes(first) && names.some((name) => name.startsWith(`${first} `));
  if (isGroup && (second === undefined || second === '--help' || second === '-h')) {
    io.stdout.write(await overview(first));
    return second === undefined ? 2 : 0;
  }
  const spoken = [3, 2, 1].map((count) => words.slice(0, count).join(' '));
  const name = spoken.find((each) => names.includes(each)) ?? (isGroup ? `${first} ${second}` : first);
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new CodedError(
      'usage',
      `there is no command ${JSON.stringify(name)}${didYouMean(name, [...names, 'version'])}`,
    );
  }
  const command = await COMMANDS[name]!();
  const rest = words.slice(name.split(' ').length);
  if (rest.includes('--help') || rest.includes('-h')) {
    io.stdout.write(helpOf(command));
    return 0;
  }
  return await command.run(parseOptions(command, rest), io);
}

const BUILD = {
  version: VERSION,
  commit: COMMIT,
  node: process.version,
  sqlite: process.versions['sqlite'],
};

function buildText(): string {
  return `sharestream ${VERSION} (commit ${COMMIT}, Node ${BUILD.node}, SQLite ${BUILD.sqlite})`;
}

// Whoever reads the output may stop before its end, as `head` does: then there is nobody to tell anything.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.stderr.write(`${wordsOf(error)}\n`);
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.stderr.on('error', () => {});

let code: number;
try {
  const io = { stdout: process.stdout, stderr: process.stderr, env: process.env };
  code = await main(process.argv.slice(2), io);
} catch (error) {
  process.stderr.write(`${wordsOf(error)}\n`);
  code = error instanceof CodedError && error.code === 'usage' ? 2 : 1;
}
endInTime(code);
