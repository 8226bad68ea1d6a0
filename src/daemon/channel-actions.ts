import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Action } from '../http/server.ts';
import type { Maker } from '../maker/maker.ts';
import type { Selling } from './selling.ts';

type Actions = Readonly<Record<string, Action>>;

/** `POST /api/v1/channel/...` of a proxy; both answer at once, the status page shows how far it is. */
export function proxyChannelActions(selling: () => Selling | undefined): Actions {
  const served = (input: unknown): Selling => {
    const running = selling();
    if (running === undefined) throw new CodedError('unknown_channel', 'no contract is configured');
    const wanted = contractOf(input);
    if (wanted !== undefined && wanted !== running.contractId) {
      throw new CodedError('unknown_channel', `the running contract is ${running.contractId}`);
    }
    return running;
  };
  return {
    'channel/close': (input) => {
      const { side, contractId } = served(input);
      void side.close();
      return { contract: contractId, closing: true };
    },
    'channel/force-close': async (input) => {
      const { side, contractId } = served(input);
      await side.closeAlone();
      return { contract: contractId, closing: true };
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
      await maker.lookAtChain(contract(input));
      return { contract: contract(input), closing: true };
    },
  };
}

/** Throws `unknown_channel` for anything but a contract id. */
function contractOf(input: unknown): string | undefined {
  const contract = isRecord(input) ? input['contract'] : undefined;
  if (contract === undefined || (typeof contract === 'string' && /^[0-9a-f]{64}$/.test(contract))) {
    return contract;
  }
  throw new CodedError('unknown_channel', 'contract must be a contract id');
}
