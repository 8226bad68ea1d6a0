import { sum } from '../base/bigints.ts';
import type { ChannelBalance } from '../channel/amounts.ts';
import type { Fault } from '../channel/lifecycle-state.ts';
import type { StreamStatus } from '../contract/stream.ts';
import type { DeliveryView } from '../settlement/minute-keeper.ts';
import type { ChannelStatus } from '../settlement/records.ts';
import type { ChainPart } from './chain-part.ts';

/** What metrics and `/readyz` need of a contract, at either side. */
export type ContractState = {
  readonly contractId: string;
  readonly connected: boolean;
  readonly channel: ChannelStatus | 'none';
  readonly stream: StreamStatus;
  readonly fault: Fault['type'] | undefined;
  readonly frozen: string | undefined;
  readonly delivery: Pick<DeliveryView, 'own'> | undefined;
  readonly expiryHeight: number;
  readonly balance: ChannelBalance;
};

/** Blocks before the expiry at which a side begins to close by itself: nothing is to be done by then. */
export const EXPIRY_NEAR_BLOCKS = 144;

/** True while there is a channel with money in it. */
export function isFunded({ channel }: ContractState): boolean {
  return channel !== 'none' && channel !== 'opening' && channel !== 'closed' && channel !== 'failed';
}

/** True from the opening of its channel on. */
export function isBegun({ channel }: ContractState): boolean {
  return channel !== 'none';
}

/** True while a contract needs its other side: to begin, for work, or to close the channel together. */
export function needsPeer({ channel, stream }: ContractState): boolean {
  return channel !== 'closing' && channel !== 'closed' && channel !== 'failed' && stream !== 'ended';
}

/** Short, as in the log and the status. */
export function nameOf({ contractId }: Pick<ContractState, 'contractId'>): string {
  return `contract ${contractId.slice(0, 16)}`;
}

/** Height that the chain has by now: by the clock, where no node tells. */
export function heightOf(part: ChainPart | undefined): number | undefined {
  const { projectedHeight, height } = part?.chainClock.standing ?? {};
  return projectedHeight ?? height;
}

/** Contracts without money that need their other side, and have no connection to it. */
export function metersAway(
  all: readonly { readonly status: string; readonly connected: boolean }[],
): number {
  return all.filter(({ status, connected }) => status !== 'ended' && !connected).length;
}

/**
 * Metrics of contracts and their channels. Those that are over count nowhere but among the states.
 * @param waits tells which contracts need their other side; at a maker those alone that were begun
 */
export function contractStateSources(
  all: () => readonly ContractState[],
  part: ChainPart | undefined,
  waits: (contract: ContractState) => boolean = needsPeer,
) {
  const funded = (): readonly ContractState[] => all().filter(isFunded);
  return {
    contract_state: () => countsOf(all().map(({ stream }) => stream)),
    contract_delivery_state: () => countsOf(funded().flatMap(({ delivery }) => delivery?.own ?? [])),
    contracts_without_peer: () => all().filter((each) => waits(each) && !each.connected).length,
    channel_state: () =>
      countsOf(
        all()
          .filter(isBegun)
          .map((each) => (each.fault !== undefined && isFunded(each) ? 'frozen' : each.channel)),
      ),
    channel_faults: () => countsOf(funded().flatMap(({ fault }) => fault ?? [])),
    channel_balance_sats: () => ({
      miner: sumOf(funded().map(({ balance }) => balance.minerSat)),
      maker: sumOf(funded().map(({ balance }) => balance.makerSat)),
    }),
    channel_expiry_blocks: () => {
      const height = heightOf(part);
      const heights = funded().map(({ expiryHeight }) => expiryHeight);
      return height === undefined || heights.length === 0 ? undefined : Math.min(...heights) - height;
    },
  };
}

/** For `/readyz`: no channel is frozen, or so near its expiry that it should have been closed. */
export function channelCheck(all: readonly ContractState[], part: ChainPart | undefined): true | string {
  const height = heightOf(part) ?? 0;
  const reasons = all.filter(isFunded).flatMap((each) => {
    const left = each.expiryHeight - height;
    if (each.fault !== undefined) return `${nameOf(each)} is ${each.fault}: ${each.frozen ?? ''}`;
    return left < EXPIRY_NEAR_BLOCKS ? `${nameOf(each)} expires in ${left} blocks` : [];
  });
  return reasons[0] ?? true;
}

export function sumOf(values: readonly bigint[]): number {
  return Number(sum(values));
}

export function countsOf(names: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
