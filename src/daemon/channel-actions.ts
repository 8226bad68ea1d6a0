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
import { makerSuccessionActions, proxySuccessionActions } from './succession-actions.ts';
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
  const close = async (side: MinerContract): Promise<void> => {
    const { frozen, channel } = side.status;
    if (frozen !== undefined && !isClosing(channel))
      throw new CodedError('channel_frozen', `${frozen}; it is closed alone, by force or by its deadline`);
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
      await close(side);
      return { contract: side.status.contractId, closing: true };
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
      if (!side.mayClose) {
        side.closeAloneInTime().catch((error: unknown) => {
          if (!(error instanceof CodedError)) throw error;
        });
        return { contract: side.status.contractId, closing: false, asks_peer: true };
      }
      await side.closeAlone();
      return { contract: side.status.contractId, closing: isClosing(side.status.channel) };
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
      await maker.requestClose(contract(input));
      return { contract: contract(input), closing: true };
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
      await maker.closeAlone(contract(input));
      const row = maker.status.find(({ contractId }) => contractId === contract(input));
      return { contract: contract(input), closing: isClosing(row?.channel) };
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
