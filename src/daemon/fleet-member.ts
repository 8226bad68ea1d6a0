import type { Clock, Timer, Timers } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { VERSION } from '../base/version.ts';
import { IDS_WITHOUT_LEASE, idsOfLease } from '../fleet/extranonce-range.ts';
import { DROPPED_MS, type InstanceNews, printNews, TELL_MS } from '../fleet/instance-news.ts';
import { Owner } from '../fleet/owner.ts';
import { ownershipOptions } from '../fleet/ownership.ts';
import type { PostgresOptions } from '../ledger/postgres/address.ts';
import { ExtranonceRanges } from '../ledger/postgres/extranonce-ranges.ts';
import type { Logger } from '../log/logger.ts';
import type { Mining } from '../mining/mining.ts';
import { FleetTables } from './fleet-tables.ts';
import type { SharedContract } from './shared-contract.ts';

/** A ledger that is away lets miners go long before a range is over. */
const RANGE_LEASE_MS = 10 * 60_000;
/** Longer than a job that a session was sent can live after it. */
const RANGE_REST_MS = LIMITS.jobAgeMs + 120_000;
/** Miners wait no longer for a range. */
const RANGE_WAIT_MS = 2_000;
const LOOK_MS = 50;

/** What a proxy tells of itself alone, apart from what it shares. */
export type OwnNews = Omit<InstanceNews, 'site' | 'software' | 'contracts' | 'extranonceRange'>;

export type FleetMemberDeps = {
  readonly site: string;
  /** Number of this run of the program. */
  readonly run: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly server: Pick<Mining['server'], 'setSessionIds' | 'drain'>;
  readonly shared: () => readonly SharedContract[];
  /** What there is to be told. */
  readonly news: () => OwnNews;
};

/**
 * A proxy as one of the instances of its database: tells the others of itself every two seconds, does what
 * is asked of it there (a drain, a lease to hand over), and holds a range of session ids.
 */
export class FleetMember {
  readonly tables: FleetTables;
  readonly #deps: FleetMemberDeps;
  readonly #ranges: ExtranonceRanges;
  readonly #rangeOwner: Owner;
  #range: number | undefined;
  #timer: Timer | undefined;
  #telling: Promise<void> | undefined;
  #draining: Promise<void> | undefined;
  #lastError: string | undefined;

  constructor(postgres: PostgresOptions, deps: FleetMemberDeps) {
    const { clock, timers, log, server } = deps;
    this.#deps = deps;
    this.tables = new FleetTables(postgres);
    this.#ranges = new ExtranonceRanges(this.tables.link, RANGE_REST_MS);
    this.#rangeOwner = new Owner('extranonce', ownershipOptions(RANGE_LEASE_MS), {
      ...{ leases: this.#ranges, clock, timers, log },
      onOwn: (lease) => {
        this.#range = Number(lease.resource);
        server.setSessionIds(idsOfLease(lease), false);
      },
      onStop: async () => {
        this.#range = undefined;
        server.setSessionIds(IDS_WITHOUT_LEASE, true);
      },
    });
  }

  /** Before the first miner comes; a database that does not answer is waited for a moment only. */
  async begin(): Promise<void> {
    const { timers, server } = this.#deps;
    server.setSessionIds(IDS_WITHOUT_LEASE, false);
    this.#rangeOwner.start();
    for (let waited = 0; this.#range === undefined && waited < RANGE_WAIT_MS; waited += LOOK_MS)
      await sleep(timers, LOOK_MS);
    this.#timer = timers.every(TELL_MS, () => this.#beginTelling());
    this.#beginTelling();
  }

  /** What it tells of itself. */
  get news(): InstanceNews {
    const { site, news, shared } = this.#deps;
    return {
      ...{ site, software: VERSION, extranonceRange: this.#range },
      ...news(),
      contracts: shared().map((each) => each.news),
    };
  }

  /** It was asked to let go of its miners and leases, and does so. */
  get isDrained(): boolean {
    return this.#draining !== undefined;
  }

  /** To be called once the sessions are gone: their ids are free then. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#telling;
    await this.#draining;
    await this.#rangeOwner.close();
    await this.tables.close();
  }

  #beginTelling(): void {
    this.#telling ??= this.#tell().finally(() => {
      this.#telling = undefined;
    });
  }

  async #tell(): Promise<void> {
    const { run, shared } = this.#deps;
    try {
      const { instances } = this.tables;
      const { isDrained, toHandOver } = await instances.tell(run, printNews(this.news));
      const wanted = new Set(toHandOver);
      for (const contract of shared()) contract.want(!wanted.has(contract.status.resource));
      if (isDrained) this.#draining ??= this.#drain();
      await instances.forget(DROPPED_MS);
      this.#lastError = undefined;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const { code, message: detail } = error;
      if (this.#lastError !== code)
        this.#deps.log.warn({ code, detail }, 'the other instances are told later');
      this.#lastError = code;
    }
  }

  /** The channels first, so that states go on at others while the miners leave. */
  async #drain(): Promise<void> {
    const { log, shared, server } = this.#deps;
    log.warn({}, 'a drain was asked for: channels and miners are left to other instances');
    for (const contract of shared()) contract.leaveChannel();
    await server.drain();
    await Promise.all(shared().map((contract) => contract.stop()));
    log.info({}, 'drained: it may be stopped, and serves again once it is started anew');
  }
}
