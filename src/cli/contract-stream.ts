import { foldEvents } from '../contract/event-chain.ts';
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
    'LogCreate, LogState, LogConfirmUpdate, LogExecuteUpdate, LogRevokeUpdate, LogWithdraw, LogRedeem. Each has the hash of the one',
    'before it: what is removed or edited is seen.',
  ],
  options: READ_OPTIONS,
  run: async (options, io) => {
    const source = await sourceOf(options, io);
    const events = contractEvents(source);
    foldEvents(source.stored.contractId, events);
    const lines = events.map(({ event, hash, n, paid_sat: sat }) =>
      [hash.slice(0, 16), event, ...(typeof n === 'number' ? [`state ${n}, ${String(sat)} sat`] : [])].join(
        '  ',
      ),
    );
    print(options, io, { contract: source.stored.contractId, events }, lines.join('\n'));
    return 0;
  },
};

/** Either side: each has its own by the close. */
export const contractRedeem: Command = { ...channelClose, name: 'contract redeem' };

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
