import type { Action } from '../api/operation.ts';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { Maker } from '../maker/maker.ts';
import type { MinerContract } from '../miner/miner-contract.ts';
import { clockActions, type TimedChain } from './clock-actions.ts';
import { noticeActions } from './notice-actions.ts';
import type { RunningContracts } from './running-contracts.ts';
import { streamActions } from './stream-actions.ts';
import {
  isDry,
  makerSplit,
  makerSuccessionActions,
  minerSplit,
  proxySuccessionActions,
  type Split,
  splitJson,
} from './succession-actions.ts';
import { updateActions } from './update-actions.ts';

/** Longest wait in ms for a maker that was asked to close; who asked the daemon waits ten seconds. */
const ANSWER_MS = 5_000;

type Actions = Readonly<Record<string, Action>>;

/** `POST /api/v1/channel/...` of a proxy, of its one contract unless the body names another. */
export function proxyChannelActions(
  contracts: RunningContracts,
  chain?: TimedChain,
  timers: Timers = systemTimers,
): Actions {
  const served = (input: unknown): MinerContract => {
    const { first, all } = contracts;
    if (first === undefined) throw new CodedError('unknown_channel', 'no contract is configured');
    const named = contractOf(input);
    if (named === undefined && all.length > 1)
      throw new CodedError('unknown_channel', 'say which contract');
    const wanted = named ?? first.contractId;
    const side = contracts.side(wanted);
    if (side === undefined) throw new CodedError('unknown_channel', `${wanted} is not served here`);
    return side;
  };
  const assertClosable = (side: MinerContract): void => {
    const { frozen, channel } = side.status;
    if (frozen !== undefined && !isClosing(channel))
      throw new CodedError('channel_frozen', `${frozen}; it is closed alone, by force or by its deadline`);
  };
  const close = async (side: MinerContract): Promise<void> => {
    assertClosable(side);
    await answeredIn(timers, side.closeNow());
  };
  const updatesOf = (input: unknown) => {
    const { status, updates } = served(input);
    return { contract: status.contractId, updates };
  };
  return {
    'metering/end': async (input) => {
      const { metering } = contracts;
      const contract = contractOf(input) ?? metering?.contractId;
      if (metering === undefined || contract !== metering.contractId)
        throw new CodedError('unknown_channel', 'there is no such metering');
      metering.meter.end();
      return { contract, ending: true };
    },
    'channel/close': async (input) => {
      const side = served(input);
      if (!isDry(input)) await close(side);
      else {
        assertClosable(side);
        const { connected, channel } = side.status;
        if (isOpen(channel) && !connected)
          throw new CodedError('peer_closed', 'the maker is not connected');
      }
      return closeAnswer(side.status.contractId, input, minerSplit(side), true);
    },
    ...proxySuccessionActions({ contracts, served, close }),
    ...streamActions(served),
    ...updateActions(updatesOf),
    ...clockActions(updatesOf, chain),
    ...noticeActions((input, request, isDryRun) => {
      const side = served(input);
      return { contract: side.status.contractId, notices: side.notice(request, isDryRun) };
    }),
    'channel/force-close': async (input) => {
      const side = served(input);
      const split = minerSplit(side);
      const { contractId, channel } = side.status;
      if (isDry(input)) {
        assertFunded(channel);
        return { ...closeAnswer(contractId, input, split, false), asks_peer: !side.mayClose };
      }
      if (!side.mayClose) {
        side.closeAloneInTime().catch((error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
        });
        return { ...closeAnswer(contractId, input, split, false), asks_peer: true };
      }
      await side.closeAlone();
      return closeAnswer(contractId, input, split, isClosing(side.status.channel));
    },
  };
}

/** The same of a market maker, which must name the contract. */
export function makerChannelActions(maker: Maker, chain?: TimedChain): Actions {
  const contract = (input: unknown): string => {
    const contractId = contractOf(input);
    if (contractId === undefined) throw new CodedError('unknown_channel', 'say which contract');
    return contractId;
  };
  const updatesOf = (input: unknown) => {
    const id = contract(input);
    return { contract: id, updates: maker.updatesOf(id) };
  };
  return {
    'metering/end': async (input) => {
      await maker.endMetering(contract(input));
      return { contract: contract(input), ending: true };
    },
    'channel/close': async (input) => {
      const id = contract(input);
      const split = makerSplit(maker, id);
      await maker.requestClose(id, isDry(input));
      return closeAnswer(id, input, split, true);
    },
    ...makerSuccessionActions(maker, contract),
    ...streamActions((input) => maker.streamOf(contract(input))),
    ...updateActions(updatesOf),
    ...clockActions(updatesOf, chain),
    ...noticeActions((input, request, isDryRun) => {
      const id = contract(input);
      return { contract: id, notices: maker.notice(id, request, isDryRun) };
    }),
    'channel/force-close': async (input) => {
      const id = contract(input);
      const split = makerSplit(maker, id);
      const channel = (): string | undefined =>
        maker.status.find(({ contractId }) => contractId === id)?.channel;
      if (isDry(input)) assertFunded(channel());
      else await maker.closeAlone(id);
      return closeAnswer(id, input, split, isClosing(channel()));
    },
  };
}

/** Throws what the maker refuses with, if it does so soon; one that needs longer was asked all the same. */
async function answeredIn(timers: Timers, answer: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = timers.after(ANSWER_MS, late.resolve);
  answer.catch(() => {});
  await Promise.race([answer, late.promise]).finally(() => timer.cancel());
}

/** What was closed, or of a dry run would be, and whose the money is. */
function closeAnswer(contract: string, input: unknown, split: Split, isDone: boolean): object {
  return { contract, dry_run: isDry(input), closing: isDone && !isDry(input), ...splitJson(split) };
}

function isOpen(status: string): boolean {
  return status === 'funding' || status === 'open';
}

function assertFunded(status: string | undefined): void {
  if (status === undefined || !(isOpen(status) || isClosing(status)))
    throw new CodedError('unknown_channel', 'there is no funded channel to close');
}

function isClosing(status: string | undefined): boolean {
  return status === 'closing' || status === 'closed';
}

/** Throws `unknown_channel` for anything but a contract id. */
function contractOf(input: unknown): string | undefined {
  const contract = isRecord(input) ? input['contract'] : undefined;
  if (contract === undefined || (typeof contract === 'string' && /^[0-9a-f]{64}$/.test(contract))) {
    return contract;
  }
  throw new CodedError('unknown_channel', 'contract must be a contract id');
}
