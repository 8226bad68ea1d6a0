import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { DestinationConfig, QuotaConfig } from '../config/config.ts';
import type { Job, UpstreamJob } from '../jobs/job.ts';
import type { Destination } from '../upstream/destination.ts';
import { isUsable } from '../upstream/failover.ts';
import { destinationOfLink } from '../upstream/session-links.ts';
import type { BraidpoolNodeView } from './braidpool-view.ts';
import { ownStream } from './destination-work.ts';
import type { RoutedDestination } from './routing.ts';

/** What mining has to know of a destination besides what it is. */
export type DestinationSetup = Pick<DestinationConfig, 'name' | 'role' | 'priority' | 'quota'> & {
  /** Of miners with a connection of their own. */
  readonly extranonce1: DestinationConfig['links']['extranonce1'];
};

export type MinedDestination = {
  /** Its place among others changes while it is mined. */
  setup: DestinationSetup;
  readonly destination: Destination;
  /** The JSON-RPC of a Braidpool node behind it. */
  readonly node: BraidpoolNodeView | undefined;
};

/** A contract as far as it concerns where hashrate goes. */
export type ContractWork = {
  /** Also the evidence stream that its shares are credited to. */
  readonly contractId: string;
  /** The name of the destination whose work is mined for it. Several contracts may share one. */
  readonly destination: string;
  /** Of all its shares, by its terms; undefined where each job names its own (`BoughtWork`). */
  readonly difficulty: number | undefined;
  /** It wants hashrate now. */
  readonly isDelivering: boolean;
  /** Why its buyer would not pay for a job, in words. By default any job is paid. */
  readonly unpaidReason?: (upstream: UpstreamJob) => string | undefined;
  /**
   * Its buyer has to be shown what each job commits to. Of miners with a connection upstream of their own
   * none is mined then.
   */
  readonly needsMetadata?: boolean;
  /** Its part of the hashrate; by default a part of its destination's rate, or as much as any other. */
  readonly quota?: QuotaConfig;
};

/**
 * A way to use a destination's work: for one contract, or for the miner's own account. Each has jobs of its
 * own, so that a share is credited to exactly one stream of evidence.
 */
export type WorkRoute = {
  /** `Job.destination` of its shared jobs, and what sessions are assigned to. */
  readonly name: string;
  readonly at: MinedDestination;
  readonly stream: string;
  /** Undefined for the miner's own work. */
  readonly contract: ContractWork | undefined;
};

const SEPARATOR = '@';
const UNJUDGED_LINKS =
  'its node leaves too little extranonce2 to be shared, and jobs of single miners are not judged before';
/** Longer than the job table knows a job after its end. */
const FORGET_MS = 120_000;

/** The destination that a route, or the link of a session, belongs to. */
export function destinationOfRoute(name: string): string {
  return destinationOfLink(withoutContract(name));
}

/** The destination of a route; the name of a link as it is. */
export function withoutContract(name: string): string {
  const at = name.indexOf(SEPARATOR);
  return at < 0 ? name : name.slice(0, at);
}

/** Contracts first, then the miner's own by priority. */
function rankOf({ setup: { role, priority } }: MinedDestination): number {
  return role === 'contract' ? -1 : priority;
}

/**
 * Destinations and contracts as they are now, and the routes that follow from them. What has ended stays
 * known until nobody can submit a job of it any more, so that its last shares find their way.
 */
export class WorkRoutes {
  /** By name, ended ones too. */
  readonly #routes = new Map<string, WorkRoute>();
  /** By name, removed ones too. */
  readonly #known = new Map<string, MinedDestination>();
  readonly #contracts = new Map<string, WorkRoute>();
  #own: readonly WorkRoute[] = [];
  #ended: readonly { readonly route: WorkRoute; readonly atMs: number }[] = [];
  #destinations: readonly MinedDestination[] = [];

  /** Best first. */
  get destinations(): readonly MinedDestination[] {
    return this.#destinations;
  }

  /** The running contracts, in the order they came. */
  get contracts(): readonly WorkRoute[] {
    return [...this.#contracts.values()];
  }

  /** By the name of a route that may have ended. */
  byName(name: string): WorkRoute | undefined {
    return this.#routes.get(name);
  }

  /** Where the shares of a job go, as long as it can be submitted. */
  destinationOf(job: Job): MinedDestination | undefined {
    const route = this.#routes.get(job.destination);
    return route === undefined ? this.#known.get(destinationOfLink(job.destination)) : route.at;
  }

  /** False once its contract has ended, or its destination is removed. */
  isLive({ at, name, contract }: WorkRoute): boolean {
    if (!this.#destinations.includes(at)) return false;
    return contract === undefined || this.#contracts.get(contract.contractId)?.name === name;
  }

  /** The live routes of a destination. */
  of(destination: Destination): readonly WorkRoute[] {
    return [...this.#own, ...this.#contracts.values()].filter(({ at }) => at.destination === destination);
  }

  /** Throws `config_invalid` when a destination has that name. */
  assertFree(name: string): void {
    if (this.#destinations.some(({ setup }) => setup.name === name))
      throw new CodedError('config_invalid', `"${name}" is taken by another destination`);
  }

  /** Throws as `assertFree`. */
  add(mined: MinedDestination): void {
    const { name, role } = mined.setup;
    assert(mined.destination.name === name, 'destination_name', name);
    this.assertFree(name);
    this.#known.set(name, mined);
    this.#destinations = [...this.#destinations, mined].sort((a, b) => rankOf(a) - rankOf(b));
    if (role === 'fallback') this.#keep({ name, at: mined, stream: ownStream(name), contract: undefined });
    this.#sortOwn();
  }

  /** The places of destinations among each other, and their parts; of equal ones in this order. */
  arrange(setups: readonly DestinationSetup[]): void {
    const placeOf = ({ setup: { name } }: MinedDestination): number => {
      const place = setups.findIndex((setup) => setup.name === name);
      return place < 0 ? setups.length : place;
    };
    for (const mined of this.#destinations) mined.setup = setups[placeOf(mined)] ?? mined.setup;
    this.#destinations = [...this.#destinations].sort(
      (a, b) => rankOf(a) - rankOf(b) || placeOf(a) - placeOf(b),
    );
    this.#sortOwn();
  }

  /** Its contracts end with it. @returns the routes that ended */
  remove(mined: MinedDestination): readonly WorkRoute[] {
    const ended = this.of(mined.destination);
    for (const { contract } of ended)
      if (contract !== undefined) this.#contracts.delete(contract.contractId);
    this.#destinations = this.#destinations.filter((other) => other !== mined);
    this.#sortOwn();
    return ended;
  }

  /**
   * A contract begins, or something about it is another than before.
   * @returns its route, and the one it had at another destination; undefined when nothing has changed. Throws
   *   `config_invalid` when there is no such destination
   */
  setContract(
    contract: ContractWork,
  ): { readonly route: WorkRoute; readonly ended: WorkRoute | undefined } | undefined {
    const { contractId, destination } = contract;
    const at = this.#destinations.find(({ setup }) => setup.name === destination);
    if (at === undefined)
      throw new CodedError('config_invalid', `there is no destination "${destination}"`);
    const before = this.#contracts.get(contractId);
    if (before?.contract !== undefined && isSame(before.contract, contract)) return undefined;
    const route = { name: `${destination}${SEPARATOR}${contractId}`, at, stream: contractId, contract };
    this.#contracts.set(contractId, route);
    this.#keep(route);
    return { route, ended: before?.name === route.name ? undefined : before };
  }

  /** @returns its route, which has ended; undefined when there is no such contract */
  endContract(contractId: string): WorkRoute | undefined {
    const route = this.#contracts.get(contractId);
    this.#contracts.delete(contractId);
    return route;
  }

  /** What `route` chooses from. */
  routed(): { readonly contracts: RoutedDestination[]; readonly fallbacks: RoutedDestination[] } {
    const delivering = this.contracts.filter((one) => {
      return one.contract?.isDelivering === true && unpaidReason(one) === undefined;
    });
    return {
      contracts: delivering.map((one) => ({
        health: healthOf(one),
        quota: one.contract?.quota ?? partOfQuota(one, delivering),
      })),
      fallbacks: this.#own.map((one) => ({ health: healthOf(one), quota: one.at.setup.quota })),
    };
  }

  /** The best of the miner's own that works and takes any number of sessions. */
  sharedFallback(): WorkRoute | undefined {
    return this.#own.find(
      ({ at: { destination } }) => destination.mode === 'shared' && isUsable(destination.health),
    );
  }

  /** Routes of earlier calls that nobody mines by any more. */
  ended(routes: readonly WorkRoute[], monotonicMs: number): void {
    this.#ended = [...this.#ended, ...routes.map((route) => ({ route, atMs: monotonicMs }))];
  }

  /** Forgets what ended long ago: nobody can submit a job of it any more. */
  sweep(monotonicMs: number): void {
    const due = this.#ended.filter(({ atMs }) => monotonicMs - atMs >= FORGET_MS);
    if (due.length === 0) return;
    this.#ended = this.#ended.filter((one) => !due.includes(one));
    for (const { route } of due) {
      if (this.#routes.get(route.name) === route) this.#routes.delete(route.name);
      const { name } = route.at.setup;
      const isRemoved = this.#known.get(name) === route.at && !this.#destinations.includes(route.at);
      if (isRemoved) this.#known.delete(name);
    }
  }

  #keep(route: WorkRoute): void {
    this.#routes.set(route.name, route);
  }

  #sortOwn(): void {
    this.#own = this.#destinations.flatMap(({ setup: { name, role } }) =>
      role === 'fallback' ? [this.#routes.get(name)!] : [],
    );
  }
}

/**
 * Why a contract is not mined for now though it wants hashrate: its buyer would not pay for the job. Of
 * connections of single sessions, which have jobs of their own, only whether any of them is paid.
 */
export function unpaidReason(
  { at: { destination }, contract }: WorkRoute,
  upstream: UpstreamJob | undefined = destination.lastJob,
): string | undefined {
  if (destination.mode === 'per_session')
    return contract?.needsMetadata === true ? UNJUDGED_LINKS : undefined;
  if (upstream === undefined) return undefined;
  return contract?.unpaidReason?.(upstream);
}

/** The work of a route: what a job commits to is kept where a buyer has to be shown it, since it is long. */
export function workFor({ contract }: WorkRoute, upstream: UpstreamJob): UpstreamJob {
  if (contract?.needsMetadata === true || upstream.metadata === undefined) return upstream;
  const { metadata: _, ...rest } = upstream;
  return rest;
}

function isSame(a: ContractWork, b: ContractWork): boolean {
  if (a.destination !== b.destination || a.difficulty !== b.difficulty) return false;
  return a.isDelivering === b.isDelivering && quotaText(a.quota) === quotaText(b.quota);
}

function quotaText(quota: QuotaConfig | undefined): string {
  if (quota === undefined) return '';
  if (quota.type === 'weight') return `${quota.weight}`;
  return `${quota.hashesPerSecond} H/s, at most ${quota.maxHashesPerSecond ?? 'that'}`;
}

/** Known by the route, since several routes of one destination take part. */
function healthOf({ name, at }: WorkRoute): RoutedDestination['health'] {
  return { ...at.destination.health, name };
}

/** The rate of a destination is for all its contracts that want hashrate and have none of their own. */
function partOfQuota({ at }: WorkRoute, delivering: readonly WorkRoute[]): QuotaConfig | undefined {
  const { quota } = at.setup;
  if (at.setup.role !== 'contract' || quota?.type !== 'rate') return undefined;
  const sharing = delivering.filter(
    (other) => other.at === at && other.contract?.quota === undefined,
  ).length;
  return { type: 'rate', hashesPerSecond: quota.hashesPerSecond / BigInt(sharing) };
}
