import { type ContractEvent, foldEvents } from '../contract/event-chain.ts';
import { openForReading } from '../operator/channel-access.ts';
import { contractEvents, streamJson } from '../operator/contract-events.ts';
import { readStream } from '../operator/contract-stream.ts';
import { channelClose } from './channel.ts';
import { accessOf, askDaemon, channelOf, DEPS, print, READ_OPTIONS } from './channel-access.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const USAGE = '[CONTRACT] --config FILE | --ledger FILE';

export const contractStream: Command = {
  name: 'contract stream',
  summary: 'a contract as a money stream: sender, recipient, balances, rate, timeframe',
  usage: `${USAGE} [--ask]`,
  words: 1,
  help: [
    'What `getStream` and `balanceOf` are: by the ledger of either side, also while its daemon runs. With --ask by the running daemon,',
    'which asks the other side too; the exit code is 1 where the two differ.',
  ],
  options: { ...READ_OPTIONS, ask: { type: 'boolean', help: 'have the daemon ask the other side too' } },
  run: async (options, io) => {
    if (!options.flag('ask')) {
      const json = streamJson(await sourceOf(options, io));
      print(options, io, json, JSON.stringify(json, undefined, 2));
      return 0;
    }
    const json = await askDaemon('contract/stream', options, io, { ask_peer: true });
    print(options, io, json, JSON.stringify(json, undefined, 2));
    const { differences } = json;
    return Array.isArray(differences) && differences.length > 0 ? 1 : 0;
  },
};

export const contractEventsCommand: Command = {
  name: 'contract events',
  summary: 'what happened to a contract: a chain of events, each with the signatures that bind by it',
  usage: USAGE,
  words: 1,
  help: [
    'LogCreate, LogState, LogConfirmUpdate, LogExecuteUpdate, LogRevokeUpdate, LogWithdraw, LogRedeem, and LogPause, LogResume, LogEnd,',
    'LogVoid for what a side gave notice of. Each has the hash of the one before it: what is removed or edited is seen. The head',
    'behind each state is signed by both; later ones are what this side has.',
  ],
  options: READ_OPTIONS,
  run: async (options, io) => {
    const source = await sourceOf(options, io);
    const events = contractEvents(source);
    foldEvents(source.stored.contractId, events);
    const lines = events.map((event) =>
      [event.hash.slice(0, 16), event.event, ...wordsOf(event)].join('  '),
    );
    print(options, io, { contract: source.stored.contractId, events }, lines.join('\n'));
    return 0;
  },
};

/** Either side: each has its own by the close. */
export const contractRedeem: Command = { ...channelClose, name: 'contract redeem' };
export const contractClose: Command = { ...channelClose, name: 'contract close' };

/** Of a state what it pays, of a notice who said it when, and what. */
function wordsOf(event: ContractEvent): readonly string[] {
  const { n, paid_sat: sat, by, at_height: height, at_ms: ms } = event;
  if (typeof n === 'number') return [`state ${n}, ${String(sat)} sat`];
  if (typeof by !== 'string') return [];
  const { reason, from_height: from, until_height: until, end_height: end, written_off_sat: lost } = event;
  const span = typeof until === 'number' ? ` to ${until}` : '';
  const what = [
    ...(typeof from === 'number' ? [`${String(reason)} from block ${from}${span}`] : []),
    ...(typeof end === 'number' ? [`it ends at block ${end}`] : []),
    ...(typeof lost === 'string' ? [`${lost} sat are given up`] : []),
  ];
  const who = by === 'recipient' ? 'miner' : 'market maker';
  return [`by the ${who} at block ${String(height)}, ${new Date(Number(ms)).toISOString()}`, ...what];
}

async function sourceOf(options: ParsedOptions, io: CommandIo) {
  const access = accessOf(options, io);
  const { stored } = await channelOf(access, options);
  const ledger = await openForReading(access, DEPS.log);
  try {
    return await readStream(ledger, stored);
  } finally {
    await ledger.close();
  }
}
