import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { loadKeyFile } from '../channel/key-file.ts';
import { openForReading, signerOf } from '../operator/channel-access.ts';
import { buildExport, exportText, recordsOf, transactionsOf } from '../operator/channel-export.ts';
import { planClose, planForceClose } from '../operator/channel-plan.ts';
import { channelDetail, channelRow, requireFunded } from '../operator/channel-report.ts';
import {
  broadcastSigned,
  type CloseResult,
  forceClose,
  requestClose,
  waitForClose,
} from '../operator/channel-tools.ts';
import {
  accessOf,
  assertConfirmed,
  channelOf,
  channelsOf,
  DEPS,
  DRY_RUN,
  onChainOf,
  planInput,
  print,
  READ_OPTIONS,
  SIGN_OPTIONS,
  secondsOption,
  URGENT,
  WAIT,
  YES,
} from './channel-access.ts';
import { factsText, planText, resultText, rowText } from './channel-text.ts';
import type { Command } from './command.ts';

export const channelList: Command = {
  name: 'channel list',
  summary: 'the contracts of a ledger and their channels',
  usage: '--config FILE | --ledger FILE',
  help: ['Lists every contract of a proxy or a market maker, also while its daemon runs.'],
  options: READ_OPTIONS,
  run: async (options, io) => {
    const rows = (await channelsOf(accessOf(options, io))).map(channelRow);
    const text = rows.length === 0 ? 'the ledger has no contract' : rows.map(rowText).join('\n');
    print(options, io, { channels: rows }, text);
    return 0;
  },
};

export const channelShow: Command = {
  name: 'channel show',
  summary: 'everything about one channel: amounts, deadlines, and what the chain says of it',
  usage: '[CONTRACT] --config FILE | --ledger FILE',
  words: 1,
  help: [
    'CONTRACT is the id or the beginning of it; without it the only contract that is not over.',
    'The bitcoin node is asked too where one is named, and its absence is no failure.',
  ],
  options: SIGN_OPTIONS,
  run: async (options, io) => {
    const access = accessOf(options, io);
    const channel = await channelOf(access, options);
    const { onChain, problem } = await onChainOf(access, channel);
    const detail = { ...channelDetail(channel, onChain), chain_problem: problem ?? null };
    print(options, io, detail, factsText(detail));
    return 0;
  },
};

export const channelClose: Command = {
  name: 'channel close',
  summary: 'end a contract: both sides sign what is left and close the channel',
  usage: '[CONTRACT] --config FILE [--dry-run | --yes] [--wait SECONDS]',
  words: 1,
  help: [
    'Asks the running daemon to close together with the other side: one small transaction at a fee of today.',
    'Without a daemon, or where the other side does not answer: `channel force-close`.',
  ],
  options: { ...SIGN_OPTIONS, 'dry-run': DRY_RUN, yes: YES, wait: WAIT },
  run: async (options, io) => {
    const access = accessOf(options, io);
    const channel = requireFunded(await channelOf(access, options));
    if (options.flag('dry-run')) {
      const plan = planClose(await planInput(access, channel, options));
      print(options, io, { dry_run: true, ...plan }, planText(plan));
      return 0;
    }
    assertConfirmed(options, 'A contract that is closed earns nothing more.');
    await requestClose(access, channel);
    const wait = secondsOption(options, 'wait');
    const result: CloseResult =
      wait === undefined
        ? {
            ...{ contract: channel.stored.contractId, by: 'daemon', close_txid: null },
            ...{ close_tx: null, fee_sat: null, confirmations: null },
          }
        : await waitForClose(access, channel, { timeoutMs: wait * 1000, by: 'daemon' }, DEPS);
    print(options, io, result, resultText(result));
    return 0;
  },
};

export const channelForceClose: Command = {
  name: 'channel force-close',
  summary: 'close without the other side: the newest state (miner), the refund after expiry (market maker)',
  usage: '[CONTRACT] --config FILE [--dry-run | --yes] [--urgent] [--wait SECONDS]',
  words: 1,
  help: [
    'Goes through the running daemon, which then watches it and raises the fee; without one it is broadcast from here,',
    'and the daemon goes on with it at its next start. The miner can do this until the expiry, the market maker from it on.',
  ],
  options: {
    ...SIGN_OPTIONS,
    'dry-run': DRY_RUN,
    yes: YES,
    urgent: URGENT,
    wait: WAIT,
    signed: {
      type: 'string',
      value: 'FILE',
      help: 'the PSBT of a dry run, signed where the key is: broadcast that',
    },
  },
  run: async (options, io) => {
    const access = accessOf(options, io);
    const channel = requireFunded(await channelOf(access, options));
    if (options.flag('dry-run')) {
      const plan = planForceClose(await planInput(access, channel, options));
      print(options, io, { dry_run: true, ...plan }, planText(plan));
      return 0;
    }
    assertConfirmed(options, 'The fee of closing alone is higher, and bonds stay locked.');
    const signed = options.text('signed');
    const broadcast =
      signed === undefined
        ? await forceClose(access, channel, { urgent: options.flag('urgent') }, DEPS)
        : await broadcastSigned(access, channel, readPsbtFile(resolve(signed)), DEPS);
    const wait = secondsOption(options, 'wait');
    const result =
      wait === undefined
        ? broadcast
        : await waitForClose(access, channel, { timeoutMs: wait * 1000, by: broadcast.by }, DEPS);
    print(options, io, result, resultText(result));
    return 0;
  },
};

export const channelExport: Command = {
  name: 'channel export',
  summary: 'write one file with which someone else can close the channel for you',
  usage: '[CONTRACT] --config FILE --out FILE [--with-keys] [--dry-run]',
  words: 1,
  help: [
    'The file (mode 0600, never over another) holds the newest state signed at every fee, or the refund, what comes back',
    'later, the deadlines, and in its own fields what to do. Nobody can send the money elsewhere with it; who has it can',
    'close the channel, no more. With --with-keys it holds your secret keys too, and who has it has the money.',
  ],
  options: {
    ...SIGN_OPTIONS,
    out: { type: 'string', value: 'FILE', help: 'the file to write' },
    'with-keys': { type: 'boolean', help: 'put the secret keys in it, for another machine of your own' },
    'dry-run': { type: 'boolean', help: 'say what the file would hold; write nothing' },
  },
  run: async (options, io) => {
    const access = accessOf(options, io);
    const channel = requireFunded(await channelOf(access, options));
    const out = options.text('out');
    if (out === undefined && !options.flag('dry-run')) throw new CodedError('usage', '--out is missing');
    const signer = signerOf(access, channel.params.terms.network).forChannel(
      channel.stored.contract.channelIndex,
    );
    const isSecret = options.flag('with-keys');
    if (!options.flag('dry-run')) {
      const ledger = await openForReading(access, DEPS.log);
      const records = await recordsOf(ledger, channel);
      await ledger.close();
      const keyText = isSecret ? loadKeyFile(access.keyFile!).text : undefined;
      const input = { channel, records, signer, nowMs: DEPS.clock.nowMs(), keyText };
      writePrivateFile(resolve(out!), exportText(buildExport(input)));
    }
    const { role, params, last, stored } = channel;
    const transactions = transactionsOf(role, params, last, signer).map(
      ({ kind, rung, txid, fee_sat, fee_rate_sat_per_kvb, valid_from_height, valid_after_blocks }) => ({
        ...{ kind, rung, txid, fee_sat, fee_rate_sat_per_kvb, valid_from_height, valid_after_blocks },
      }),
    );
    const summary = {
      contract: stored.contractId,
      role,
      state_number: last.n,
      file: options.flag('dry-run') ? null : resolve(out!),
      has_keys: isSecret,
      transactions,
    };
    const where = summary.file === null ? 'Nothing is written.' : `Written to ${summary.file}.`;
    const text = `${where} State ${last.n}, ${transactions.length} signed transactions${isSecret ? ', AND YOUR SECRET KEYS' : ''}.`;
    print(options, io, summary, text);
    return 0;
  },
};

function readPsbtFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CodedError('bad_psbt', `${path} cannot be read (${code})`);
  }
}
