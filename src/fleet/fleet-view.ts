import { larger } from '../base/bigints.ts';
import { CodedError } from '../base/errors.ts';
import type { LeaseRow } from '../ledger/lease.ts';
import { type ContractNews, DROPPED_MS, GONE_MS, type InstanceNews } from './instance-news.ts';

/** An instance as the ledger knows it. */
export type KnownInstance = {
  readonly instance: string;
  /** Undefined where it never told anything that can be read: an older program, or a market maker. */
  readonly news: InstanceNews | undefined;
  /** Since it told of itself, or else since its last commit. */
  readonly agoMs: number;
  readonly isDrained: boolean;
};

export type InstanceState = 'here' | 'drained' | 'gone' | 'silent';

/** What would become of a contract if one instance died. */
export type Succession = {
  readonly name: string;
  readonly resource: string;
  /** Who has the channel: by its death another takes it, in so much time; undefined where it has not. */
  readonly withinMs: number | undefined;
  /** Those that may take it over; empty where the contract would stand still. */
  readonly takers: readonly string[];
  /** Work that it may have accepted and not written: the most that is lost, and is kept from others. */
  readonly atRiskHashes: bigint;
};

export type InstanceView = {
  readonly instance: string;
  readonly state: InstanceState;
  readonly agoMs: number;
  readonly news: InstanceNews | undefined;
  readonly leases: readonly LeaseRow[];
  readonly ifDead: readonly Succession[];
};

/** From the end of a lease until the next instance asks, as a part of it: see `ownershipOptions`. */
const ASKED_PER_LEASE = 5;

export function stateOf({ news, agoMs, isDrained }: KnownInstance): InstanceState {
  if (news === undefined) return 'silent';
  if (agoMs > GONE_MS) return 'gone';
  return isDrained ? 'drained' : 'here';
}

/** All that is known of the instances of a ledger; those that are gone for a day are left out. */
export function fleetView(
  known: readonly KnownInstance[],
  leases: readonly LeaseRow[],
): readonly InstanceView[] {
  const shown = known.filter(({ agoMs }) => agoMs <= DROPPED_MS);
  return shown.map((each) => {
    const held = leases.filter(({ owner, leftMs }) => owner === each.instance && leftMs > 0);
    return {
      ...{ instance: each.instance, state: stateOf(each), agoMs: each.agoMs, news: each.news },
      leases: held,
      ifDead: (each.news?.contracts ?? []).map((contract) => succession(each, contract, held, shown)),
    };
  });
}

function succession(
  { instance }: KnownInstance,
  { name, resource, leaseMs, grantedHashes, doneHashes }: ContractNews,
  held: readonly LeaseRow[],
  all: readonly KnownInstance[],
): Succession {
  const lease = held.find((each) => each.resource === resource);
  return {
    ...{ name, resource },
    withinMs: lease === undefined ? undefined : lease.leftMs + Math.ceil(leaseMs / ASKED_PER_LEASE),
    takers: all.filter((each) => each.instance !== instance && mayTake(each, resource)).map(nameOf),
    atRiskHashes: larger(grantedHashes - doneHashes, 0n),
  };
}

function mayTake(each: KnownInstance, resource: string): boolean {
  return stateOf(each) === 'here' && (each.news?.contracts ?? []).some((own) => own.resource === resource);
}

function nameOf({ instance }: KnownInstance): string {
  return instance;
}

/**
 * The lease of a contract, by its name, that is to be handed to an instance. Throws `not_found` and
 * `wrong_status`.
 */
export function handOver(
  contract: string,
  instance: string,
  known: readonly KnownInstance[],
  leases: readonly LeaseRow[],
): LeaseRow {
  const resources = known
    .flatMap(({ news }) => news?.contracts ?? [])
    .filter(({ name }) => name === contract);
  const lease = leases.find(({ resource }) => resources.some((each) => each.resource === resource));
  if (lease === undefined)
    throw new CodedError('not_found', `${contract} is no contract that several instances serve`);
  const to = known.find((each) => each.instance === instance);
  if (to === undefined) throw new CodedError('not_found', `there is no instance ${instance}`);
  if (!mayTake(to, lease.resource))
    throw new CodedError('wrong_status', `${instance} (${stateOf(to)}) cannot take ${contract}`);
  return lease;
}
