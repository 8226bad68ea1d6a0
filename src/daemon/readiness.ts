import type { ReadyCheck } from '../http/server.ts';
import type { Mining } from '../mining/mining.ts';
import { isServing } from '../upstream/failover.ts';
import { chainCheck } from './chain-part.ts';
import {
  type ContractState,
  channelCheck,
  isBegun,
  isFunded,
  nameOf,
  needsPeer,
} from './contract-state.ts';
import type { MakerParts } from './maker-metrics.ts';
import type { ProxyParts } from './proxy-status.ts';

type Check = true | string;

/**
 * What `/readyz` of a proxy says of each part: whether it can be used now. What the configuration does not
 * have is no part.
 */
export function proxyChecks(facts: ProxyParts): Readonly<Record<string, ReadyCheck>> {
  const { mining, durability, contracts, chain, closing, waiting } = facts;
  const meters = () => (contracts.metering === undefined ? [] : [contracts.metering.meter.status]);
  const upstream = (): Check => isUp(mining) || 'no destination gives work';
  const notServed = (): string | undefined =>
    closing.reason?.message ?? waiting.find(({ name }) => name === 'contract')?.waiting?.detail;
  const channels = (): readonly ContractState[] =>
    [...contracts.all.map(({ side }) => side), ...contracts.earlier].map(({ status }) => status);
  return {
    ...(chain === undefined ? {} : { node: () => chainCheck(chain) }),
    miners: () => {
      const { letGoCause } = mining.server;
      return letGoCause === undefined ? upstream() : `let go: ${letGoCause}`;
    },
    ledger: () => closing.reason?.message ?? durability.check(),
    upstream,
    contract: () => notServed() ?? contractCheck(contracts.all.map(({ side }) => side.status)),
    channel: () => channelCheck(channels(), chain),
    maker: () =>
      makerCheck([
        ...contracts.all.map(({ side: { status, work } }) => ({
          ...status,
          needed: needsPeer(status),
          work: work?.status,
        })),
        ...meters().map((meter) => ({ ...meter, needed: meter.status !== 'ended', stream: meter.status })),
      ]),
    parts: () => waiting.map((part) => part.waiting).find((part) => part !== undefined)?.detail ?? true,
  };
}

/** What `/readyz` of a market maker says of each part. */
export function makerChecks(
  parts: MakerParts,
  isListening: () => boolean,
): Readonly<Record<string, ReadyCheck>> {
  const { maker, durability, closing, part } = parts;
  const begun = (): MakerParts['maker']['status'] =>
    maker.status.filter((each) => isBegun(each) && needsPeer(each));
  return {
    ...(part === undefined ? {} : { node: () => chainCheck(part) }),
    ledger: () => closing.reason?.message ?? durability.check(),
    peers: () => isListening() || 'no peer is served',
    contract: () => closing.reason?.message ?? firstReason(begun().map(contractReason)),
    channel: () => channelCheck(maker.status, part),
    miners: () =>
      firstReason(begun().map((each) => each.connected || `${nameOf(each)}: its miner is not connected`)),
    upstream: () =>
      firstReason(
        maker.status.map(
          (each) => !each.connected || each.work?.isDown !== true || `${nameOf(each)}: no pool gives work`,
        ),
      ),
  };
}

function isUp({ destinations }: Mining): boolean {
  return destinations.some(({ health }) => isServing(health));
}

type SoldState = ContractState & { readonly live: boolean; readonly isExposureLimited: boolean };

/** A successor that waits for its turn is no reason while another contract is delivered to. */
export function contractCheck(all: readonly SoldState[]): Check {
  const needed = all.filter(needsPeer);
  const isAnyLive = needed.some(({ live }) => live);
  return firstReason(
    needed.map((each) => {
      if (each.isExposureLimited) return `${nameOf(each)}: too much of its work is unpaid`;
      return (each.stream === 'pending' && isAnyLive) || contractReason(each);
    }),
  );
}

function contractReason(each: ContractState): Check {
  const { stream } = each;
  if (stream === 'pending')
    return `${nameOf(each)} ${isFunded(each) ? 'waits for its channel to be deep enough' : 'has no channel yet'}`;
  return stream !== 'paused' || `${nameOf(each)} is paused`;
}

/** A contract with or without money, as far as its maker concerns it. */
export type ServedState = {
  readonly contractId: string;
  readonly connected: boolean;
  readonly stream: string;
  /** It needs its maker now. */
  readonly needed: boolean;
  /** Why the last connection ended. */
  readonly lastError: string | undefined;
  /** Of the jobs of the maker, where it gives them. */
  readonly work?: { readonly up: boolean; readonly down_reason: string | null } | undefined;
};

/** Connected, and giving work where the jobs are the maker's. */
export function makerCheck(all: readonly ServedState[]): Check {
  return firstReason(
    all.map((each) => {
      const { needed, connected, stream, work, lastError } = each;
      if (!needed) return true;
      if (!connected) return `${nameOf(each)}: not connected${because(lastError)}`;
      const isServed = work === undefined || work.up || stream !== 'live';
      return isServed || `${nameOf(each)}: it gives no work${because(work.down_reason)}`;
    }),
  );
}

function because(reason: string | null | undefined): string {
  return reason === undefined || reason === null ? '' : `, ${reason}`;
}

function firstReason(checks: readonly Check[]): Check {
  return checks.find((check) => check !== true) ?? true;
}
