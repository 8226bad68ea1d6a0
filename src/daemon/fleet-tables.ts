import { CodedError } from '../base/errors.ts';
import {
  fleetView,
  handOver,
  type InstanceView,
  type KnownInstance,
  stateOf,
} from '../fleet/fleet-view.ts';
import { parseNews } from '../fleet/instance-news.ts';
import type { LeaseRow } from '../ledger/lease.ts';
import type { PostgresOptions } from '../ledger/postgres/address.ts';
import { PostgresInstances } from '../ledger/postgres/instances.ts';
import { KeptLink } from '../ledger/postgres/kept-link.ts';
import { PostgresLeases } from '../ledger/postgres/leases.ts';

/** For so long only the instance that was named may take a lease that is handed over. */
const HAND_OVER_MS = 30_000;

/** An instance as `GET /api/v1/fleet` and `fleet status` show it. */
export type FleetRow = ReturnType<typeof fleetRow>;

/** The instances of one database, from its tables. Everything throws `ledger_io`. */
export class FleetTables {
  readonly #instances: PostgresInstances;
  readonly #leases: PostgresLeases;

  /** Of all that is read and written here, by the connections of one. */
  readonly link: KeptLink;

  constructor(postgres: PostgresOptions) {
    this.link = new KeptLink(postgres);
    this.#instances = new PostgresInstances(this.link);
    this.#leases = new PostgresLeases(this.link);
  }

  get instances(): PostgresInstances {
    return this.#instances;
  }

  async rows(): Promise<readonly FleetRow[]> {
    const [known, leases] = await this.#known();
    return fleetView(known, leases).map(fleetRow);
  }

  /** Asks a running instance to let go of its miners and leases. Throws `not_found`, `wrong_status`. */
  async drain(instance: string, isDryRun: boolean): Promise<void> {
    const [known] = await this.#known();
    const found = known.find((each) => each.instance === instance);
    if (found === undefined) throw new CodedError('not_found', `there is no instance ${instance}`);
    const state = stateOf(found);
    if (state !== 'here') throw new CodedError('wrong_status', `${instance} is ${state}`);
    if (!isDryRun) await this.#instances.drain(instance);
  }

  /** Has the owner of a contract's channel hand it to another. Throws `not_found`, `wrong_status`. */
  async move(contract: string, instance: string, isDryRun: boolean): Promise<LeaseRow> {
    const lease = handOver(contract, instance, ...(await this.#known()));
    if (!isDryRun) await this.#leases.want(lease.resource, instance, HAND_OVER_MS);
    return lease;
  }

  async close(): Promise<void> {
    await this.link.close();
  }

  async #known(): Promise<readonly [readonly KnownInstance[], readonly LeaseRow[]]> {
    const [rows, leases] = await Promise.all([this.#instances.list(), this.#leases.list()]);
    const known = rows.map(({ told, ...row }) => {
      return { ...row, news: told === undefined ? undefined : parseNews(told) };
    });
    return [known, leases];
  }
}

/** As it is spelled on the wire, but for decimals. */
export function fleetRow({ instance, state, agoMs, news, leases, ifDead }: InstanceView) {
  return {
    ...{ instance, state, ago_ms: Math.round(agoMs) },
    ...{ site: news?.site ?? null, version: news?.software ?? null, sessions: news?.sessions ?? null },
    hashes_per_second: news?.hashesPerSecond ?? null,
    ...{
      queued_writes: news?.queuedWrites ?? null,
      lag_ms: news === undefined ? null : Math.round(news.lagMs),
    },
    own_contracts: news?.ownContracts ?? null,
    extranonce_range: news?.extranonceRange ?? null,
    leases: leases.map(({ resource, token, leftMs, wanted }) => ({
      ...{ resource, token, left_ms: leftMs, handed_to: wanted?.instance ?? null },
    })),
    slices: (news?.contracts ?? []).map(({ name, resource, isOwner, grantedHashes, doneHashes }) => ({
      ...{ name, resource, is_owner: isOwner, granted_hashes: grantedHashes, done_hashes: doneHashes },
    })),
    if_dead: ifDead.map(({ name, withinMs, takers, atRiskHashes }) => ({
      ...{ name, taken_within_ms: withinMs ?? null, takers: [...takers], at_risk_hashes: atRiskHashes },
    })),
  };
}
