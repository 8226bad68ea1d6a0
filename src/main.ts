#!/usr/bin/env node
import './base/required-node.ts';
import { CodedError } from './base/errors.ts';
import { didYouMean } from './base/spelling.ts';
import { COMMIT, VERSION } from './base/version.ts';
import { type Command, type CommandIo, helpOf, parseOptions } from './cli/command.ts';
import { endInTime } from './cli/end-process.ts';
import { wordsOf } from './cli/words.ts';

/** Loaded when it is called for: most commands need a small part of the program. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./cli/demo.ts')).demoCommand,
  devnet: async () => (await import('./cli/devnet.ts')).devnetCommand,
  proxy: async () => (await import('./cli/proxy.ts')).proxyCommand,
  maker: async () => (await import('./cli/maker.ts')).makerCommand,
  auditor: async () => (await import('./cli/auditor.ts')).auditorCommand,
  'maker policy show': async () => (await import('./cli/maker-policy.ts')).makerPolicyShow,
  'maker policy set': async () => (await import('./cli/maker-policy.ts')).makerPolicySet,
  'maker paid': async () => (await import('./cli/maker-policy.ts')).makerPaid,
  'maker pnl': async () => (await import('./cli/accounts.ts')).makerPnl,
  'maker book': async () => (await import('./cli/maker-policy.ts')).makerBookCommand,
  watch: async () => (await import('./cli/watch.ts')).watchCommand,
  keys: async () => (await import('./cli/keys.ts')).keysCommand,
  config: async () => (await import('./cli/config.ts')).configCommand,
  status: async () => (await import('./cli/status.ts')).statusCommand,
  doctor: async () => (await import('./cli/doctor.ts')).doctorCommand,
  calc: async () => (await import('./cli/calc.ts')).calcCommand,
  'offer make': async () => (await import('./cli/offer.ts')).offerMake,
  'offer show': async () => (await import('./cli/offer.ts')).offerShow,
  'contract quote': async () => (await import('./cli/contract.ts')).contractQuote,
  'contract take': async () => (await import('./cli/contract.ts')).contractTake,
  'contract list': async () => (await import('./cli/contract.ts')).contractList,
  'contract show': async () => (await import('./cli/contract.ts')).contractShow,
  'contract update': async () => (await import('./cli/contract-updates.ts')).contractUpdate,
  'contract confirm': async () => (await import('./cli/contract-updates.ts')).contractConfirm,
  'contract revoke': async () => (await import('./cli/contract-updates.ts')).contractRevoke,
  'contract updates': async () => (await import('./cli/contract-updates.ts')).contractUpdates,
  'contract stream': async () => (await import('./cli/contract-stream.ts')).contractStream,
  'contract events': async () => (await import('./cli/contract-stream.ts')).contractEventsCommand,
  'contract topup': async () => (await import('./cli/contract-close.ts')).contractTopup,
  'contract withdraw': async () => (await import('./cli/contract-close.ts')).contractWithdraw,
  'contract redeem': async () => (await import('./cli/contract-stream.ts')).contractRedeem,
  'contract refund': async () => (await import('./cli/contract-close.ts')).contractRefund,
  'contract pause': async () => (await import('./cli/contract-notices.ts')).contractPause,
  'contract resume': async () => (await import('./cli/contract-notices.ts')).contractResume,
  'contract end': async () => (await import('./cli/contract-notices.ts')).contractEnd,
  'contract void': async () => (await import('./cli/contract-notices.ts')).contractVoid,
  income: async () => (await import('./cli/accounts.ts')).incomeCommand,
  replay: async () => (await import('./cli/replay.ts')).replayCommand,
  ledger: async () => (await import('./cli/ledger.ts')).ledgerCommand,
  'evidence export': async () => (await import('./cli/evidence.ts')).evidenceExport,
  audit: async () => (await import('./cli/audit.ts')).auditCommand,
  'metering end': async () => (await import('./cli/metering.ts')).meteringEnd,
  'channel list': async () => (await import('./cli/channel.ts')).channelList,
  'channel show': async () => (await import('./cli/channel.ts')).channelShow,
  'channel close': async () => (await import('./cli/channel.ts')).channelClose,
  'channel force-close': async () => (await import('./cli/channel.ts')).channelForceClose,
  'channel export': async () => (await import('./cli/channel.ts')).channelExport,
  'channel recover': async () => (await import('./cli/recover.ts')).channelRecover,
};

/** @param group only the commands of this first word */
async function overview(group?: string): Promise<string> {
  const names = Object.keys(COMMANDS).filter((name) => group === undefined || name.startsWith(`${group} `));
  const commands = await Promise.all(names.map((name) => COMMANDS[name]!()));
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
