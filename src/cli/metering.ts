import { requestAction } from '../operator/daemon-action.ts';
import { assertConfirmed, contractWord, daemonOf, print, READ_OPTIONS, YES } from './channel-access.ts';
import type { Command } from './command.ts';

export const meteringEnd: Command = {
  name: 'metering end',
  summary: 'end a contract without money: what is left is delivered, and signed by both',
  usage: '[CONTRACT] --config FILE --yes',
  words: 1,
  help: [
    'Asks the running daemon of either side. CONTRACT is its whole id, which a proxy does not need: it has one.',
    'Without the other side it ends at its next connection, or at a market maker at once.',
  ],
  options: { ...READ_OPTIONS, yes: YES },
  run: async (options, io) => {
    const daemon = daemonOf(options, io);
    const contract = contractWord(options);
    assertConfirmed(options, 'It is not proposed again under its name.');
    const input = contract === undefined ? undefined : { contract };
    const result = await requestAction(daemon.url, daemon.dataDir, 'metering/end', input);
    print(options, io, result, 'it ends once the rest is signed; `sharestream status` shows it');
    return 0;
  },
};
