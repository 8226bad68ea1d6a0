import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ChannelAccess, chainOf } from '../operator/channel-access.ts';
import { type CheckedExport, readExport } from '../operator/channel-import.ts';
import { planForceClose, planFromFile } from '../operator/channel-plan.ts';
import {
  adoptChannel,
  chooseTransaction,
  type Recovery,
  recoverFromFile,
  recoverFromLedger,
  restoreFromMaker,
} from '../operator/channel-recovery.ts';
import { readOnChainIfPossible, requireFunded } from '../operator/channel-report.ts';
import { fallbackOf } from '../operator/channel-tools.ts';
import {
  accessOf,
  assertConfirmed,
  channelOf,
  channelsOf,
  DEPS,
  DRY_RUN,
  planInput,
  print,
  SIGN_OPTIONS,
  secondsOption,
  URGENT,
  YES,
} from './channel-access.ts';
import { planText, resultText } from './channel-text.ts';
import type { Command, CommandIo, ParsedOptions } from './command.ts';

const PEER_TIMEOUT_SECONDS = 30;

export const channelRecover: Command = {
  name: 'channel recover',
  summary: 'get the money out from an export, or from a copy of the ledger and the keys',
  usage: '[CONTRACT] --config FILE | --from FILE [--rpc-url URL] [--dry-run | --yes]',
  words: 1,
  help: [
    'With --config it asks the market maker for a newer state and to close together, and closes alone when that fails. Without',
    'a ledger, but with the keys, the market maker is asked first for the sealed copy it keeps.',
    'With an export (--from) and no keys it broadcasts what the file holds; with keys it takes the channel over into the ledger',
    'of --config, and goes on as above. To go on with the contract instead, start the daemon: it heals by itself.',
  ],
  options: {
    ...SIGN_OPTIONS,
    from: { type: 'string', value: 'FILE', help: 'an export, of `channel export`' },
    'peer-timeout': {
      type: 'string',
      value: 'SECONDS',
      help: `how long the market maker is waited for; 0 leaves it out (default ${PEER_TIMEOUT_SECONDS})`,
    },
    urgent: URGENT,
    'dry-run': DRY_RUN,
    yes: YES,
  },
  run: async (options, io) => {
    const access = accessOf(options, io);
    const from = options.text('from');
    const file = from === undefined ? undefined : readExport(resolve(from));
    if (file !== undefined && !hasKeys(file, access)) return await fromFile(file, access, options, io);
    if (options.flag('dry-run')) {
      if (file !== undefined) return await fromFile(file, access, options, io);
      const channel = requireFunded(await channelOf(access, options));
      const plan = planForceClose(await planInput(access, channel, options), 'recover');
      print(options, io, { dry_run: true, ...plan }, planText(plan));
      return 0;
    }
    assertConfirmed(options, 'To recover is to close the channel.');
    const seconds = secondsOption(options, 'peer-timeout') ?? PEER_TIMEOUT_SECONDS;
    if (file === undefined && seconds > 0 && (await isLost(access))) {
      await restoreFromMaker(access, access.network ?? 'mainnet', seconds * 1000, DEPS);
    }
    const channel =
      file === undefined
        ? requireFunded(await channelOf(access, options))
        : await adoptChannel(file, access, DEPS);
    const settings = { urgent: options.flag('urgent'), peerTimeoutMs: seconds * 1000 };
    printRecovery(options, io, await recoverFromLedger(access, channel, settings, DEPS));
    return 0;
  },
};

/** The disk is gone: there is a configuration and its keys, and no contract. */
async function isLost(access: ChannelAccess): Promise<boolean> {
  const { ledgerFile, network, keyFile } = access;
  if (ledgerFile === undefined || network === undefined || keyFile === undefined) return false;
  return (
    (access.postgres === undefined && !existsSync(ledgerFile)) || (await channelsOf(access)).length === 0
  );
}

/** A configuration to take it over into, and keys: in the file, or there. */
function hasKeys(file: CheckedExport, access: ChannelAccess): boolean {
  if (access.ledgerFile === undefined || access.keyFile === undefined) return false;
  return file.keyText !== undefined || existsSync(access.keyFile);
}

async function fromFile(
  file: CheckedExport,
  access: ChannelAccess,
  options: ParsedOptions,
  io: CommandIo,
): Promise<number> {
  const urgent = options.flag('urgent');
  if (!options.flag('dry-run')) {
    assertConfirmed(options, 'To recover is to close the channel.');
    printRecovery(options, io, await recoverFromFile(file, access, { urgent }, DEPS));
    return 0;
  }
  const chain = chainOf(access, file.params.terms.network, DEPS.log);
  const node = await readOnChainIfPossible(chain, file.params, fallbackOf(access)).finally(() =>
    chain?.close(),
  );
  const rate = node.onChain?.fee_rate_sat_per_kvb ?? fallbackOf(access);
  const chosen = chooseTransaction(file, urgent ? Number.POSITIVE_INFINITY : rate);
  const plan = planFromFile(file, chosen, node);
  print(options, io, { dry_run: true, ...plan }, planText(plan));
  return 0;
}

function printRecovery(options: ParsedOptions, io: CommandIo, result: Recovery): void {
  const text = `${resultText(result)}\nState ${result.state_number}, ${result.way}; the peer: ${result.peer}.`;
  print(options, io, result, text);
}
