import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Action } from '../http/server.ts';
import type { Maker } from '../maker/maker.ts';
import type { MinerSide } from '../peering/miner-side.ts';
import type { Selling } from './selling.ts';

type Actions = Readonly<Record<string, Action>>;

/** `POST /api/v1/channel/...` of a proxy, of its contract unless the body names an earlier one. */
export function proxyChannelActions(selling: () => Selling | undefined): Actions {
  const served = (input: unknown): MinerSide => {
    const running = selling();
    if (running === undefined) throw new CodedError('unknown_channel', 'no contract is configured');
    const wanted = contractOf(input) ?? running.contractId;
    const side = [running.side, ...running.earlier].find(({ status }) => status.contractId === wanted);
    if (side === undefined) throw new CodedError('unknown_channel', `${wanted} is not served here`);
    return side;
  };
  return {
    'channel/close': (input) => {
      const side = served(input);
      const { frozen, channel } = side.status;
      if (frozen !== undefined && !isClosing(channel)) {
        throw new CodedError(
          'channel_frozen',
          `${frozen}; it is closed alone, by force or by its deadline`,
        );
      }
      void side.close();
      return { contract: side.status.contractId, closing: true };
    },
    'channel/force-close': async (input) => {
      const side = served(input);
      await side.closeAlone();
      return { contract: side.status.contractId, closing: isClosing(side.status.channel) };
    },
  };
}

/** The same of a market maker, which must name the contract. */
export function makerChannelActions(maker: Maker): Actions {
  const contract = (input: unknown): string => {
    const wanted = contractOf(input);
    if (wanted === undefined) throw new CodedError('unknown_channel', 'say which contract');
    return wanted;
  };
  return {
    'channel/close': async (input) => {
      await maker.requestClose(contract(input));
      return { contract: contract(input), closing: true };
    },
    'channel/force-close': async (input) => {
      await maker.closeAlone(contract(input));
      const row = maker.status.find(({ contractId }) => contractId === contract(input));
      return { contract: contract(input), closing: isClosing(row?.channel) };
    },
  };
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
