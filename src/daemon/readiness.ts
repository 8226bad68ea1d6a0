import type { ReadyCheck } from '../http/server.ts';
import type { Mining } from '../mining/mining.ts';
import { isServing } from '../upstream/failover.ts';
import { chainCheck } from './chain-part.ts';
import type { ContractRunner } from './contract-runner.ts';
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
  const upstream = (): Check => isUp(mining) || 'no destination gives work';
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
    contract: () => contractCheck(contracts.all),
    channel: () => channelCheck(channels(), chain),
    maker: () => makerCheck(facts),
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
    contract: () => firstReason(begun().map(contractReason)),
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

/** A successor that waits for its turn is no reason while another contract is delivered to. */
function contractCheck(all: readonly ContractRunner[]): Check {
  const statuses = all.map(({ side }) => side.status).filter(needsPeer);
  const isAnyLive = statuses.some(({ live }) => live);
  return firstReason(
    statuses.map((each) => {
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

/** Connected, and giving work where the jobs are the maker's. */
function makerCheck({ contracts }: ProxyParts): Check {
  const meter = contracts.metering?.meter.status;
  return firstReason([
    ...contracts.all.map(({ side }) => {
      const { status, work } = side;
      if (!needsPeer(status)) return true;
      if (!status.connected) return `${nameOf(status)}: not connected${because(status.lastError)}`;
      return (
        (work?.status.up ?? true) ||
        status.stream !== 'live' ||
        `${nameOf(status)}: it gives no work${because(work?.status.down_reason)}`
      );
    }),
    meter === undefined ||
      meter.status === 'ended' ||
      meter.connected ||
      `${nameOf(meter)}: not connected${because(meter.lastError)}`,
  ]);
}

function because(reason: string | null | undefined): string {
  return reason === undefined || reason === null ? '' : `, ${reason}`;
}

function firstReason(checks: readonly Check[]): Check {
  return checks.find((check) => check !== true) ?? true;
}
